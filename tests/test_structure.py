"""The shape of the package: who may import whom, and what is public."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import simulator
from tests.parts import ROOT

PACKAGE = ROOT / "simulator"

# From the top down; a room may import those below it, and nothing beside it or above. A new room, a new file beside the
# rooms and a new file directly in `engine` are thought about here first: `docs/contributing.md` says what each holds.
ROOMS = [
    {"__main__"},
    {"cli"},
    {"studio"},
    {"__init__"},
    {"report"},
    {"study", "gate", "audit", "bench"},
    {"results"},
    {"decision", "export"},
    {"plots"},
    {"experiment"},
    {"cost", "analysis", "compliance"},
    {"engine"},
    {"performance", "workload"},
    {"trace"},
    {"examples", "scenario"},
    {"extensions", "files", "reading", "streams", "units"},
    {"errors", "version", "wording"},
]
# The same inside the engine: its files, and its four wings.
WINGS = [
    {"simulation"},
    {"clients", "chains"},
    {"routing"},
    {"site"},
    {"api"},
    {"operations"},
    {"cluster"},
    {"vllm"},
    {"backend", "clock", "ledger"},
    {"arrival", "record"},
    {"__init__"},
]
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}


def imports(path):
    """The modules that a file imports; `from simulator.engine import record` is `simulator.engine.record`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{name.name}" for name in node.names} & set(NAMES)
            yield from inner or {node.module}
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def place(path, floors, inside):
    """Floor of a file or folder below a folder, counted from the top."""
    name = path.relative_to(inside).parts[0].removesuffix(".py")
    floor = next((floor for floor, names in enumerate(floors) if name in names), None)
    assert floor is not None, f"{path}: {name} is in no room that {Path(__file__).name} knows"
    return name, floor


def arrows(path):
    return [NAMES[module] for module in imports(path) if module in NAMES]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own, floor = place(path, ROOMS, PACKAGE)
    for target in arrows(path):
        other, below = place(target, ROOMS, PACKAGE)
        assert other == own or floor < below, f"{path} imports {target}"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "engine" in path.relative_to(PACKAGE).parts], ids=lambda path: path.stem
)
def test_imports_of_the_engine_point_down(path):
    own, floor = place(path, WINGS, PACKAGE / "engine")
    for target in arrows(path):
        if "engine" in target.relative_to(PACKAGE).parts:
            other, below = place(target, WINGS, PACKAGE / "engine")
            assert other == own or floor < below, f"{path} imports {target}"


def test_no_file_needs_itself():
    graph = {path: arrows(path) for path in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(str(path.relative_to(PACKAGE)) for path in reversed(error.args[1])))


@pytest.mark.parametrize("rooms", [ROOMS, WINGS], ids=["package", "engine"])
def test_every_room_that_is_named_is_there(rooms):
    folder = PACKAGE if rooms is ROOMS else PACKAGE / "engine"
    there = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert set().union(*rooms) == there


def test_the_engine_knows_no_tables_no_money_no_calendar_no_files():
    for path in (PACKAGE / "engine").rglob("*.py"):
        found = {module.split(".")[0] for module in imports(path)}
        assert not found & {"pandas", "plotly", "pydantic", "datetime", "zoneinfo", "pathlib"}, path
        assert not {"simulator.cost", "simulator.workload.calendar"} & set(imports(path)), path
        assert "open(" not in path.read_text(encoding="utf-8"), path


def test_modules_stay_small():
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert max(sizes.values()) <= 400, max(sizes, key=sizes.get)


def test_everything_public_is_there_and_sorted():
    assert simulator.__all__ == sorted(simulator.__all__)
    for name in simulator.__all__:
        assert getattr(simulator, name)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        simulator.nothing_like_it  # noqa: B018


@pytest.mark.parametrize(
    "module", ["simulator", "simulator.cli.main", "simulator.scenario.loading", "simulator.experiment.checks"]
)
def test_heavy_libraries_load_only_when_used(module):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "scipy", "plotly", "joblib", "simpy", "numpy", "holidays"} & set(loaded)


#: Who else writes or removes files, and why.
WRITERS = {
    "files.py",  # for everybody
    "experiment/runs.py",  # prunes what is ours by name
    "bench/step_journal.py",  # appends, and removes its own file
    "bench/measure.py",  # a temporary folder, as the next two
    "performance/kernel_composed.py",
    "performance/kernel_tables.py",
    "experiment/eviction.py",  # removes what was used longest ago
    "experiment/errand.py",  # a folder for files that came from afar
    "experiment/tables.py",  # likewise
    "engine/vllm/compiled.py",  # the cache of compiled code
    "cli/main.py",  # to nowhere, where nobody listens
}


def test_what_is_written_goes_through_one_module():
    """So that it is whole or absent, and that faults can be tried on all of it (`tests/fuzz/faults.py`)."""
    pattern = re.compile(
        r"\.write_(?:text|bytes|html)\(|\.unlink\(|\.rmdir\(|\.touch\(|rmtree[(,]|os\.(?:replace|rename|remove|unlink)\("
        r'|open\([^)\n]*"[wax]b?\+?"|mkstemp|mkdtemp'
    )
    found = {str(path.relative_to(PACKAGE)) for path in MODULES if pattern.search(path.read_text(encoding="utf-8"))}
    assert found == WRITERS


def test_the_repository_names_no_machine():
    pattern = re.compile(r"(?<![\w.])/(?:home|root|tmp)/")
    for path in [*MODULES, *ROOT.glob("*.md"), *(ROOT / "scenarios").rglob("*.*"), *(ROOT / "tools").glob("*")]:
        assert not pattern.search(path.read_text(encoding="utf-8")), path
