"""What is on disk, and removing it."""

from __future__ import annotations

import json
import os
import time

import pytest

from simulator.cli.main import main
from simulator.errors import RunStoreError, SimulatorError
from simulator.experiment import checkpoint, runs
from simulator.experiment.eviction import StoreInUse

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


def test_the_store_has_a_bound(root, monkeypatch):
    store = root / runs.STORE
    assert StoreInUse(store).bound(300) == 0
    assert StoreInUse(store).bound(150) == 200
    assert [file.name for file in store.iterdir()] == [f"{2:024x}-0.json"]
    monkeypatch.setenv("SIMULATOR_STORE_GB", "much")
    with pytest.raises(SimulatorError, match="SIMULATOR_STORE_GB=much"):
        StoreInUse(store).bound()
    monkeypatch.setenv("SIMULATOR_STORE_GB", "1e-7")
    assert StoreInUse(store).bound() == 0
    monkeypatch.setenv("SIMULATOR_STORE_GB", "0")
    assert StoreInUse(store).bound() == 100


def test_what_was_used_longest_ago_goes_first_with_its_tables(root):
    store = root / runs.STORE
    table = store / f"{0:024x}-0.requests.parquet"
    table.write_text("x" * 50)
    os.utime(table, (0, 0))
    # Written first, used last.
    checkpoint.note_use(store / f"{0:024x}-0.json")
    written = (store / f"{0:024x}-0.json").stat().st_mtime
    assert written < time.time() - 49 * 86_400
    assert StoreInUse(store).bound(250) == 100
    assert not (store / f"{1:024x}-0.json").exists()
    assert StoreInUse(store).bound(150) == 100
    assert sorted(file.name for file in store.iterdir()) == [f"{0:024x}-0.json", table.name]
    assert StoreInUse(store).bound(149) == 150


def test_what_a_command_has_used_stays_and_all_while_another_is_at_work(root):
    store = root / runs.STORE
    first, second = StoreInUse(store), StoreInUse(store)
    checkpoint.note_use(store / f"{1:024x}-0.json")
    if os.name == "posix":
        assert first.bound(0) == 0
    second.close()
    assert first.bound(0) == 200
    assert [file.name for file in store.iterdir()] == [f"{1:024x}-0.json"]
    first.close()
    assert StoreInUse(store).bound(0) == 100
