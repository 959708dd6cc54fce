"""A test is skipped, fails or is named afterwards: it never goes missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests import parts
from tests.ledger import RAN, report, unrun
from tests.parts import PARTS, ROOT

#: Needs promtool, which is hidden from it here; nothing else of it is looked at.
TEST = "tests/export/test_real_prometheus.py::test_its_counts_are_ours"


def pytest_without_commands(*options):
    """How pytest ends that finds no command on the path, and what it says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PATH": "", "PYTEST_ADDOPTS": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["0", "2"])
def test_what_is_missing_is_skipped_with_its_reason_and_noted(tmp_path, processes):
    page = tmp_path / "page.json"
    code, said = pytest_without_commands("-m", "slow", "-n", processes, "--ledger", str(page), TEST)
    assert code == 0
    assert "needs Prometheus: not on the path: prometheus, promtool" in said
    assert json.loads(page.read_text()) == {TEST: "needs Prometheus: not on the path: prometheus, promtool"}


def test_what_is_missing_and_expected_fails():
    code, said = pytest_without_commands("-m", "slow", "-n", "0", "--expect", "/proc,Prometheus", TEST)
    assert code == 1
    assert "needs Prometheus: not on the path: prometheus, promtool" in said
    assert "1 error" in said


def test_a_part_nobody_knows_is_refused():
    code, said = pytest_without_commands("--collect-only", "--expect", "Prometheus,the moon", TEST)
    assert code == 4
    assert "--expect the moon: there are public traces, " in said


PAGES = {"default": {"a": RAN, "b": "needs Prometheus: …", "c": "needs vLLM: …"}, "slow": {"c": RAN}}


def test_what_ran_in_one_pass_ran():
    assert unrun({"a": [], "b": ["Prometheus"], "c": ["vLLM"], "d": []}, PAGES) == {
        "b": "default: needs Prometheus: …",
        "d": "selected in no pass",
    }


@pytest.mark.parametrize(
    ("needs", "without", "code"),
    [
        ({"a": [], "c": ["vLLM"]}, set(), 0),
        ({"a": [], "b": ["Prometheus"]}, set(), 1),
        ({"a": [], "b": ["Prometheus"]}, {"Prometheus"}, 0),
        ({"a": [], "b": ["Prometheus"]}, {"vLLM"}, 1),
        # What is done without excuses nobody who does not need it.
        ({"a": [], "d": []}, {"Prometheus"}, 1),
        # Nothing was collected.
        ({}, set(), 1),
    ],
)
def test_who_ran_nowhere_needs_an_excuse(needs, without, code, capsys):
    assert report(needs, PAGES, without) == code
    said = capsys.readouterr().out
    assert ("NOT RUN" in said) == bool(code and needs)
    assert ("excused, 1 tests (default: needs Prometheus: …):\n  b\n" in said) == (
        without == {"Prometheus"} and not code
    )


@pytest.mark.slow
def test_the_ledger_knows_every_test_with_what_it_needs(tmp_path):
    """Whatever its marks; here of one folder, the whole takes a while."""
    asked = [str(tmp_path), "--tests", "tests/export", "--without", "Prometheus"]
    command = [sys.executable, "-m", "tests.ledger", *asked]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    excused, _, guilty = done.stdout.partition("NOT RUN")
    assert TEST in excused
    assert "tests/export/test_tables.py::" in guilty


def test_the_table_of_parts_says_what_is_missing(capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert parts.main([]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == list(PARTS)
    assert parts.main(["/proc", "Prometheus"]) == 1
    assert parts.main(["kernel tables"] if parts.PARTS["kernel tables"]() is None else []) == 0


def test_parts_and_places_are_named_in_one_module():
    """Others say `@pytest.mark.needs(…)`, and take ROOT, SCENARIOS and TRACES from `tests/parts.py`."""
    pattern = re.compile(r"skipif|importorskip|pytest\.skip\b|__file__\)\.parents|deadline=")
    paths = {path for path in (ROOT / "tests").rglob("*.py") if pattern.search(path.read_text(encoding="utf-8"))}
    assert paths == {ROOT / "tests" / name for name in ("conftest.py", "parts.py", "test_parts.py")}
