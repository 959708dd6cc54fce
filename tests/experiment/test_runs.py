"""What is on disk, and removing it."""

from __future__ import annotations

import json
import os
import time

import pytest

from simulator.cli.main import main
from simulator.errors import RunStoreError
from simulator.experiment import runs

SUMMARY = {
    "decision": {"recommended": "api", "reasons": ["it is cheap"]},
    "patterns": [
        {
            "name": "api", "feasible": True, "infeasible_reasons": [], "monthly_cost_usd": {"mean": 12.0},
            "latency": {"e2e_s": {"p99": 3.5}},
        }
    ],
}  # fmt: skip

LEFT = ".a.0123456789abcdef.unfinished"


@pytest.fixture
def root(tmp_path):
    for name, day in (("b", "2026-11-02"), ("a", "2026-11-03")):
        (tmp_path / name).mkdir()
        made_by = {"environment": {"written_at": day}, "scenario": {"name": name}, "replications": 3}
        (tmp_path / name / "manifest.json").write_text(json.dumps(made_by))
        (tmp_path / name / "summary.json").write_text(json.dumps(SUMMARY))
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "manifest.json").write_text("{}")
    store = tmp_path / runs.STORE
    store.mkdir()
    for number, age_days in enumerate((50, 40, 1)):
        file = store / f"{number:024x}-0.json"
        file.write_text("x" * 100)
        then = time.time() - 86_400 * age_days
        os.utime(file, (then, then))
    part = tmp_path / LEFT / "whole"
    part.mkdir(parents=True)
    (part / "summary.json").write_text("{}")
    return tmp_path


def command(*words):
    with pytest.raises(SystemExit) as ended:
        main(["runs", *map(str, words)])
    return ended.value.code


def test_runs_are_listed_by_age_and_what_is_none_is_passed_over(root, capsys):
    assert [run.scenario for run in runs.list_runs(root)] == ["b", "a"]
    assert command("list", "--in", root, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [run["recommended"] for run in said["runs"]] == ["api", "api"]
    assert said["store_bytes"] == 300
    assert command("list", "--in", root) == 0
    assert "2 runs" in capsys.readouterr().out


def test_a_run_is_shown(root, capsys):
    assert command("show", root / "a") == 0
    said = capsys.readouterr().out
    assert "recommends api" in said
    assert "it is cheap" in said
    assert command("show", root / "strange") == 2
    with pytest.raises(RunStoreError, match="not a run directory"):
        runs.read_summary(root)


def test_pruning_spares_what_is_young_and_every_run(root, capsys):
    assert command("prune", "--in", root) == 0
    assert "removed 2 files" in capsys.readouterr().out
    assert [file.name for file in (root / runs.STORE).iterdir()] == [f"{2:024x}-0.json"]
    assert (root / LEFT).exists()
    assert runs.prune(root, older_than_days=0, everything=True)[0] == 2
    assert len(runs.list_runs(root)) == 2


def test_the_store_has_a_bound(root):
    store = root / runs.STORE
    assert runs.bound(store, 300) == 0
    assert runs.bound(store, 150) == 200
    assert [file.name for file in store.iterdir()] == [f"{2:024x}-0.json"]
