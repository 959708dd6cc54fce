"""Which tests really ran: each pass writes a page, and at the end the pages are held against the tests there are.

pytest --ledger build/ledger/default.json …                           # one page for each pass
python -m tests.ledger build/ledger --without "public traces"         # ends non-zero if a test ran in none
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.parts import PARTS, ROOT

RAN = "ran"


class Page:
    """Notes what became of each test of a pass: that it ran, or why it was skipped."""

    def __init__(self, path: Path) -> None:
        self.path, self.tests = path, {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Reports of all processes of a pass come together in the first."""
        if report.skipped:
            self.tests[report.nodeid] = report.longrepr[2].removeprefix("Skipped: ")
        elif report.when == "call":
            self.tests[report.nodeid] = RAN

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.tests, indent=0), encoding="utf-8")


class Collected:
    """Every test there is, with the parts that it needs."""

    def __init__(self) -> None:
        self.needs = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note what was collected."""
        self.needs = {item.nodeid: needed(item) for item in items}


def needed(item: pytest.Item) -> list[str]:
    """Parts that a test needs, in the order it names them; a part nobody knows is an error."""
    names = [name for marker in item.iter_markers("needs") for name in marker.args]
    for name in names:
        if name not in PARTS:
            raise pytest.UsageError(f"{item.nodeid} needs {name!r}, which tests/parts.py does not know")
    return names


def unrun(needs: dict[str, list[str]], pages: dict[str, dict[str, str]]) -> dict[str, str]:
    """Tests that ran in no pass, each with the reason."""
    found = {}
    for test in needs:
        said = {name: page[test] for name, page in pages.items() if test in page}
        if RAN not in said.values():
            found[test] = "; ".join(f"{name}: {reason}" for name, reason in said.items()) or "selected in no pass"
    return found


def report(needs: dict[str, list[str]], pages: dict[str, dict[str, str]], without: set[str]) -> int:
    """Print what ran in no pass; 1 if something does not for another reason than a part that is done without."""
    excused, guilty = defaultdict(list), defaultdict(list)
    for test, reason in unrun(needs, pages).items():
        (excused if without & set(needs[test]) else guilty)[reason].append(test)
    for word, group in (("excused", excused), ("NOT RUN", guilty)):
        for reason, tests in group.items():
            print(f"{word}, {len(tests)} tests ({reason}):", *tests, sep="\n  ")
    for name, page in pages.items():
        print(
            f"{name}: {sum(said == RAN for said in page.values())} ran, {sum(s != RAN for s in page.values())} did not"
        )
    left = sum(map(len, guilty.values()))
    print(f"{len(needs)} tests: {left} ran nowhere without an excuse, {sum(map(len, excused.values()))} with one")
    return int(bool(left) or not needs)


def main(arguments: list[str]) -> int:
    """Collect every test there is, whatever its marks, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the passes wrote their pages")
    parser.add_argument("--tests", default=ROOT / "tests", help="which tests there should be a trace of")
    parser.add_argument("--without", default="", help="parts that are done without, with commas between them")
    options = parser.parse_args(arguments)
    collected = Collected()
    code = pytest.main(["--collect-only", "-qqq", "-m", "", str(options.tests)], plugins=[collected])
    if code:
        return int(code)
    pages = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(options.folder.glob("*.json"))}
    return report(collected.needs, pages, set(filter(None, options.without.split(","))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
