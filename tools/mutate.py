"""How much the tests notice: small faults, one at a time, in a sample drawn with a seed.

    pip install -e '.[test,mutation]'
    python tools/mutate.py --sample 60                                   # of all rooms below; about 40 s each
    python tools/mutate.py --sample 20 --rooms gate compliance --quick

Faults are made by cosmic-ray (comparisons, arithmetic, numbers, `and` and `or`, `not`, loops that never run), on disk, in
a clone of what is committed. A fault is first met by the tests of its module and those that import it, then by the whole
default suite, unless `--quick`. What survives both is printed as a diff: a test is missing, or it changes nothing.

Why cosmic-ray: it is kept up, lists every place before it runs anything, so that a sample can be drawn, and takes any
command as the judge. mutmut 3 runs every mutant of a module; mutatest has had no release for this Python.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("decision", "gate", "compliance", "analysis", "cost", "scenario")
#: `int | None` is a type here, and a decorator is no place where a figure goes wrong.
PASSED_OVER = ("BitOr", "RemoveDecorator")
TIMEOUT_S = 1800.0


def places(rooms: Iterable[str]) -> list[MutationSpec]:
    """Every fault that could be made, in a fixed order; paths are relative to the working directory."""
    modules = [path for room in rooms for path in sorted(Path("simulator", room).rglob("*.py"))]
    with tempfile.TemporaryDirectory() as folder, use_db(f"{folder}/places.sqlite", WorkDB.Mode.create) as found:
        init(modules, found, {})
        specs = [spec for item in found.work_items for spec in item.mutations]
    specs = [spec for spec in specs if not any(word in spec.operator_name for word in PASSED_OVER)]
    return sorted(specs, key=lambda spec: (str(spec.module_path), spec.operator_name, spec.occurrence))


def tests_of(module: Path) -> list[str]:
    """The test file that mirrors a module, and those that import it; those of its room where there are none."""
    *package, name = module.with_suffix("").parts
    within = r" import" if name == "__init__" else rf"(\.{name} import|\simport [^\n]*\b{name}\b)"
    imports = re.compile(rf"from {re.escape('.'.join(package))}{within}")
    tests = sorted(Path("tests").rglob("test_*.py"))
    mirrored = Path("tests", *module.parts[1:-1], f"test_{module.name}")
    near = [path for path in tests if path == mirrored or imports.search(path.read_text(encoding="utf-8"))]
    return [str(path) for path in near] or [f"tests/{module.parts[1]}"]


def judge(*arguments: str) -> str:
    """A command that ends non-zero when a test fails; the same examples are drawn each time."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *arguments]
    return shlex.join(command)


def main() -> int:
    """Draw, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=60, help="how many faults")
    parser.add_argument("--seed", type=int, default=2026, help="of the sample")
    parser.add_argument("--rooms", nargs="+", default=ROOMS, help="folders of simulator/")
    parser.add_argument("--quick", action="store_true", help="only the tests of a module and those that import it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), folder], check=True)
        os.chdir(folder)
        os.environ |= {"PYTHONPATH": folder, "PYTEST_ADDOPTS": ""}
        known = places(options.rooms)
        drawn = random.Random(options.seed).sample(known, min(options.sample, len(known)))
        files = sorted({path for spec in drawn for path in tests_of(spec.module_path)})
        print(f"{len(known):,} places, {len(drawn)} drawn with seed {options.seed}; {len(files)} test files at first")
        if subprocess.run(shlex.split(judge("-n", "2", *files)), check=False, stdout=subprocess.DEVNULL).returncode:
            print("the tests fail without any fault", file=sys.stderr)
            return 2
        return tell(drawn, quick=options.quick)


def tell(drawn: list[MutationSpec], *, quick: bool) -> int:
    """Make each fault in turn; print what came of it, and at the end what survived."""
    ends, survived = Counter(), []
    for number, spec in enumerate(drawn, 1):
        began_s, room = time.monotonic(), spec.module_path.parts[1]
        found = mutate_and_test([spec], judge("-n", "0", *tests_of(spec.module_path)), TIMEOUT_S)
        if found.test_outcome == TestOutcome.SURVIVED and not quick:
            found = mutate_and_test([spec], judge("-n", "2"), TIMEOUT_S)
        outcome = found.test_outcome.value if found.test_outcome else found.worker_outcome.value
        ends[room, outcome] += 1
        name, taken_s = spec.operator_name.removeprefix("core/"), time.monotonic() - began_s
        print(f"{number:4} {outcome:11} {spec.module_path}:{spec.start_pos[0]} {name} ({taken_s:.0f} s)", flush=True)
        if outcome != TestOutcome.KILLED.value:
            survived.append(found.diff or found.output or "")
    print(*survived, sep="\n")
    for room in dict.fromkeys(room for room, _ in ends):
        counts = {outcome: count for (where, outcome), count in ends.items() if where == room}
        print(f"{room}: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
