"""How much the tests notice: small faults, one at a time, in a sample drawn with a seed.

    pip install -e '.[test,mutation]'
    python tools/mutate.py --sample 60                                   # of all rooms below
    python tools/mutate.py --sample 20 --rooms gate compliance --quick   # about 10 s a fault

Faults are made by cosmic-ray (comparisons, arithmetic, numbers, `and` and `or`, `not`, loops that never run), on disk, in
a clone of what is committed. A fault is met by the test file of its module and by those that import it, one after the
other; of each file by those tests that run its line, the fast ones first, which a run without any fault has noted. What
lives meets the rest of its room's tests when all have had their turn, and then, unless `--quick`, the whole default suite.
What survives is printed as a diff: a test is missing, or it changes nothing. A fault that makes tests take ten times as
long is noticed.

Why cosmic-ray: it is kept up, lists every place before it runs anything, so that a sample can be drawn, and changes one
place at a time. mutmut 3 runs every mutant of a module; mutatest has had no release for this Python.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec
from coverage import Coverage, CoverageData

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("decision", "gate", "compliance", "analysis", "cost", "scenario")
#: `int | None` is a type here, and a decorator is no place where a figure goes wrong.
PASSED_OVER = ("BitOr", "RemoveDecorator")
#: Whose tests hold every module of a room: bounds and defaults are those of the committed schema.
OF_ALL = {"scenario": Path("tests/scenario/test_loading.py")}
#: What takes long to import and is never changed: once here, so that no run of the tests has to.
HEAVY = ("numba", "pandas", "pydantic", "scipy.stats")


@contextlib.contextmanager
def cloned() -> Iterator[str]:
    """What is committed, in a folder of always the same name, so that the engine is compiled for it once."""
    folder = Path(tempfile.gettempdir(), f"mutated-{os.getuid()}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def places(rooms: Iterable[str]) -> list[MutationSpec]:
    """Every fault that could be made, in a fixed order; paths are relative to the working directory."""
    modules = [path for room in rooms for path in sorted(Path("simulator", room).rglob("*.py"))]
    with tempfile.TemporaryDirectory() as folder, use_db(f"{folder}/places.sqlite", WorkDB.Mode.create) as found:
        init(modules, found, {})
        specs = [spec for item in found.work_items for spec in item.mutations]
    specs = [spec for spec in specs if not any(word in spec.operator_name for word in PASSED_OVER)]
    return sorted(specs, key=lambda spec: (str(spec.module_path), spec.operator_name, spec.occurrence))


def tests_of(module: Path) -> list[str]:
    """The test file that mirrors a module first, then those that import it.

    Of a module with examples also what runs these.
    """
    *package, name = module.with_suffix("").parts
    within = r" import" if name == "__init__" else rf"(\.{name} import|\simport [^\n]*\b{name}\b)"
    imports = re.compile(rf"from {re.escape('.'.join(package))}{within}")
    tests = sorted(Path("tests").rglob("test_*.py"))
    mirrored = Path("tests", *module.parts[1:-1], f"test_{module.name}")
    always = mirrored, OF_ALL.get(module.parts[1])
    near = [path for path in tests if path in always or imports.search(path.read_text(encoding="utf-8"))]
    near.sort(key=lambda path: path != mirrored)
    if ">>>" in module.read_text(encoding="utf-8"):
        near.append(Path("tests", "test_doctests.py"))
    return [str(path) for path in near]


def others_of(module: Path) -> list[str]:
    """The other test files of its room."""
    known = tests_of(module)
    return [path for path in map(str, sorted(Path("tests", module.parts[1]).rglob("test_*.py"))) if path not in known]


@dataclass(eq=False)
class Witnesses:
    """Which test of a file runs which line, and how long it takes; a plugin of a run without any fault.

    A file is listened to when it is first needed. Tests that take longer than the rest of their file come last.
    """

    folder: str
    _known: dict[str, tuple[CoverageData, dict[str, float]]] = field(default_factory=dict)
    _coverage: Coverage = field(init=False)
    _taken_s: dict[str, float] = field(default_factory=dict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Lines that run from here on are this test's."""
        self._coverage.switch_context(item.nodeid)
        began_s = time.monotonic()
        result = yield
        self._taken_s[item.nodeid] = time.monotonic() - began_s
        self._coverage.switch_context("")
        return result

    def of(self, spec: MutationSpec, file: str) -> tuple[list[str], float]:
        """Tests of a file that run the line of a fault, the fast ones first, and how long they take.

        Without a test, of what runs on import: the file, if it reads the line. Nothing where none does.
        """
        if file not in self._known:
            self._known[file] = self._listen(file)
        lines, taken_s = self._known[file]
        by_line = lines.contexts_by_lineno(str(spec.module_path.resolve()))
        found = {test for line in statement(spec) for test in by_line.get(line, ())}
        if "" in found:
            return [file], sum(taken_s.values())
        return sorted(found, key=lambda test: taken_s[test]), sum(taken_s[test] for test in found)

    def _listen(self, file: str) -> tuple[CoverageData, dict[str, float]]:
        record = f"{self.folder}/{len(self._known)}"

        def run() -> int:
            self._coverage = Coverage(data_file=record, include=[str(Path("simulator/*").resolve())], config_file=False)
            self._coverage.start()
            code = pytest.main(arguments([file]), plugins=[self])
            if code == pytest.ExitCode.NO_TESTS_COLLECTED:  # all of them are slow, or benchmarks
                code = pytest.ExitCode.OK
            self._coverage.stop()
            self._coverage.save()
            Path(f"{record}.json").write_text(json.dumps(self._taken_s), encoding="utf-8")
            return code

        if in_a_child(run, timeout_s=3600, first=True):
            raise SystemExit(f"{file} fails without any fault")
        lines = CoverageData(record)
        lines.read()
        return lines, json.loads(Path(f"{record}.json").read_text(encoding="utf-8"))


def statement(spec: MutationSpec) -> range:
    """Lines of the statement in which a fault is; of one that holds others, those of its head."""
    line, found = spec.start_pos[0], range(0)
    for node in ast.walk(ast.parse(spec.module_path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            body = getattr(node, "body", None)
            end = body[0].lineno if body and line < body[0].lineno else (node.end_lineno or 0) + 1
            if not found or end - node.lineno <= len(found):
                found = range(node.lineno, end)
    return found


def arguments(tests: Sequence[str], *, processes: int = 0) -> list[str]:
    """Of pytest, which stops at the first test that fails; the same examples are drawn each time."""
    laws = ["--hypothesis-seed=0", "--hypothesis-profile=mutants"]
    return ["-x", "-q", "-p", "no:cacheprovider", *laws, "-n", str(processes), *tests]


def in_a_child(run: Callable[[], int], *, timeout_s: float, first: bool = False) -> bool:
    """Whether a function, run in a process of its own, ends with another code than 0, or not in time."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.setsid()
        if not first:
            silence = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(silence, stream)
            # Two faults of one second and one size would be the same to a cache.
            sys.dont_write_bytecode = True
        signal.alarm(int(timeout_s))
        code = 99
        try:
            code = run()
        except BaseException:
            traceback.print_exc()
        os._exit(int(code))
    status = os.waitpid(child, 0)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return status != 0


def near(spec: MutationSpec, after: str, witnesses: Witnesses) -> bool:
    """Whether tests of its module notice a fault."""
    return _seen(spec, after, witnesses, tests_of(spec.module_path))


def in_the_room(spec: MutationSpec, after: str, witnesses: Witnesses) -> bool:
    """Whether the other tests of its room do."""
    return _seen(spec, after, witnesses, others_of(spec.module_path))


def anywhere(spec: MutationSpec, after: str, _: Witnesses) -> bool:
    """Whether the default suite does."""
    return fails(spec.module_path, after, arguments([], processes=2), 3600.0)


def _seen(spec: MutationSpec, after: str, witnesses: Witnesses, files: Iterable[str]) -> bool:
    for file in files:
        tests, takes_s = witnesses.of(spec, file)
        if tests and fails(spec.module_path, after, arguments(tests), 120.0 + 10.0 * takes_s):
            return True
    return False


def made(spec: MutationSpec) -> tuple[str, str]:
    """What a module says with a fault, and the fault as a diff; nothing where there is nothing to change."""
    operator = get_operator(spec.operator_name)(**(spec.operator_args or {}))
    before = spec.module_path.read_text(encoding="utf-8")
    after = mutate_code(before, operator, spec.occurrence)
    if after is None:
        return "", ""
    name = f"{spec.module_path}"
    return after, "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, n=2, lineterm=""))


def fails(module: Path, text: str, arguments: list[str], timeout_s: float) -> bool:
    """Whether tests fail while this is what the module says."""
    before = module.read_text(encoding="utf-8")
    module.write_text(text, encoding="utf-8")
    try:
        return in_a_child(lambda: pytest.main(arguments), timeout_s=timeout_s)
    finally:
        module.write_text(before, encoding="utf-8")


def main() -> int:
    """Draw, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=60, help="how many faults")
    parser.add_argument("--seed", type=int, default=2026, help="of the sample")
    parser.add_argument("--rooms", nargs="+", default=ROOMS, help="folders of simulator/")
    parser.add_argument(
        "--quick", action="store_true", help="only the tests of a module's room and those that import it"
    )
    options = parser.parse_args()
    with cloned() as folder, tempfile.TemporaryDirectory() as kept:
        os.chdir(folder)
        os.environ |= {"PYTHONPATH": os.pathsep.join([folder, *sys.path[1:]]), "PYTEST_ADDOPTS": ""}
        sys.path[0] = folder
        known = places(options.rooms)
        drawn = random.Random(options.seed).sample(known, min(options.sample, len(known)))
        print(f"{len(known):,} places, {len(drawn)} drawn with seed {options.seed}", flush=True)
        for module in HEAVY:
            importlib.import_module(module)
        return tell(drawn, Witnesses(kept), quick=options.quick)


def tell(drawn: list[MutationSpec], witnesses: Witnesses, *, quick: bool) -> int:
    """Make each fault in turn; print what came of it, and at the end what survived."""
    ends: Counter[tuple[str, str]] = Counter()
    alive = dict(enumerate(drawn, 1))
    for stage in (near, in_the_room) if quick else (near, in_the_room, anywhere):
        for number, spec in list(alive.items()):
            began_s, (after, diff) = time.monotonic(), made(spec)
            outcome = "no fault"
            if after:
                outcome = "killed" if stage(spec, after, witnesses) else "survived"
            name, taken_s = spec.operator_name.removeprefix("core/"), time.monotonic() - began_s
            print(f"{number:4} {outcome:8} {spec.module_path}:{spec.start_pos[0]} {name} ({taken_s:.0f} s)", flush=True)
            if outcome == "survived":
                print(diff, flush=True)
            else:
                ends[spec.module_path.parts[1], outcome] += 1
                del alive[number]
    ends.update((spec.module_path.parts[1], "survived") for spec in alive.values())
    print("", *(made(spec)[1] for spec in alive.values()), sep="\n")
    for room in dict.fromkeys(room for room, _ in ends):
        counts = {outcome: count for (where, outcome), count in ends.items() if where == room}
        print(f"{room}: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
