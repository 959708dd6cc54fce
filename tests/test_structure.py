"""The shape of the package: who may import whom, and what is public."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import simulator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "simulator"

# From the top down; a layer may import those below it, and its neighbours in the same set.
LAYERS = [
    {"__main__"},
    {"cli", ""},
    {path.stem for path in PACKAGE.glob("*_cli.py")},
    {"report", "bench", "audit"},
    {"study", "gate", "export"},
    {"decision"},
    {"plots"},
    {"experiment"},
    {"cost", "analysis", "compliance"},
    {"engine"},
    {"performance", "workload"},
    {"scenario"},
    {"files", "options", "units"},
    {"errors", "version"},
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(module):
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py").removesuffix("__init__")
    for module in imports(path):
        if module.split(".")[0] == "simulator" and part(module) != own and own:
            assert DEPTH[own] < DEPTH[part(module)], f"{path} imports {module}"


def test_the_engine_knows_no_tables_no_money_no_calendar_no_files():
    for path in (PACKAGE / "engine").glob("*.py"):
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
    "module", ["simulator", "simulator.cli", "simulator.scenario.loading", "simulator.experiment.checks"]
)
def test_heavy_libraries_load_only_when_used(module):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "scipy", "plotly", "joblib", "simpy", "numpy", "holidays"} & set(loaded)


def test_the_repository_names_no_machine():
    pattern = re.compile(r"(?<![\w.])/(?:home|root|tmp)/")
    for path in [*MODULES, *ROOT.glob("*.md"), *(ROOT / "scenarios").rglob("*.*"), *(ROOT / "tools").glob("*")]:
        assert not pattern.search(path.read_text(encoding="utf-8")), path
