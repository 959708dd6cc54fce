import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator.cli.running import keep_run, run_with_progress
from simulator.engine.simulation import simulate
from simulator.errors import RunStoreError
from simulator.experiment import checkpoint, replications
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.store import open_place
from simulator.scenario.loading import load_scenario
from simulator.workload.synthesis import synthesise
from tests.experiment.small import small


def kept(target, scenario=None, patterns=None, store=None):
    scenario = scenario or small({"experiment.replications": 2})
    place = keep_run(scenario, target, patterns, store or target.parent.with_name(f"{target.parent.name}-store"))
    results = run_with_progress(scenario, patterns=patterns, jobs=1, store=place.store, quiet=True)
    place.write(results)
    return results


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    target = tmp_path_factory.mktemp("runs") / "one"
    return target, kept(target)


def test_a_run_directory_is_whole_and_nothing_else_is_left(run):
    target, results = run
    names = ["levels.parquet", "manifest.json", "requests.parquet", "scenario.yaml", "summary.json"]
    assert sorted(path.name for path in target.iterdir()) == names
    assert [path.name for path in target.parent.iterdir()] == ["one"]
    assert (target / "summary.json").read_bytes() == results.to_json()


def test_the_scenario_can_be_asked_again(run):
    target, results = run
    assert load_scenario(target / "scenario.yaml").sha256 == results.scenario.sha256


def test_the_manifest_says_what_made_it(run):
    target, results = run
    manifest = json.loads((target / "manifest.json").read_text())
    assert manifest["scenario"] == {"name": "small", "sha256": results.scenario.sha256}
    assert manifest["price_book"]["sha256"] == results.book.sha256
    assert (manifest["seed"], manifest["replications"]) == (7, 2)
    (profile,) = manifest["profiles"].items()
    assert profile[0] == "llama-3.1-8b-bf16-l40s-x1"
    assert set(profile[1]) == {"sha256", "label", "provenance"}
    assert manifest["same_simulation"] == {"bought": "rented"}
    assert {"host", "written_at", "python", "libraries"} <= set(manifest["environment"])


def test_two_runs_differ_only_in_their_environment(run, tmp_path):
    first, _ = run
    kept(tmp_path / "two")
    ours, theirs = (json.loads((folder / "manifest.json").read_text()) for folder in (first, tmp_path / "two"))
    for manifest in (ours, theirs):
        del manifest["environment"]
        # The manifest's own covers the environment too.
        del manifest["sha256"]["manifest.json"]
    assert ours == theirs
    assert (first / "summary.json").read_bytes() == (tmp_path / "two" / "summary.json").read_bytes()


def test_requests_are_those_of_the_first_replication(run):
    target, results = run
    scenario = results.scenario
    table = synthesise(scenario, 0)
    horizon_s = scenario.horizon.duration_s
    record = simulate(scenario.hosting_patterns["hybrid"], table, horizon_s=horizon_s, seed=7, replication=0)
    found = pd.read_parquet(target / "requests.parquet")
    assert set(found["pattern"]) == {"api", "rented", "hybrid"}
    hybrid = found[found["pattern"] == "hybrid"].reset_index(drop=True)
    assert len(hybrid) == len(table)
    np.testing.assert_array_equal(hybrid["arrival_s"], table.arrival_s)
    np.testing.assert_array_equal(hybrid["last_token_s"], record.log.last_token_s)
    assert list(hybrid["workload"]) == [table.workloads[number] for number in table.workload]
    assert list(hybrid["backend"].astype(str)) == [record.backends[number] for number in record.log.backend]
    assert (hybrid["failed_over"] == "capacity").sum() == (record.log.failover == 1).sum() > 0
    assert set(hybrid["outcome"]) == {"completed"}


def test_levels_are_hourly(run):
    target, results = run
    found = pd.read_parquet(target / "levels.parquet")
    assert len(found) == 2 * 24
    assert list(found["start_s"][:2]) == [0.0, 3600.0]
    assert 0.0 < found["busy_s"].max() <= 3600.0


def test_the_queue_of_each_hour_is_that_of_its_requests(tmp_path):
    """Requests waiting x seconds, hour by hour, beside when each was taken and when it was first scheduled."""
    tight = {"hosting_patterns.rented.cluster.engine": {"max_num_seqs": 1}, "experiment.replications": 1}
    tight["workloads.notes.volume.clinicians"] = 1500
    kept(tmp_path / "run", small(tight), ["rented"])
    levels = pd.read_parquet(tmp_path / "run" / "levels.parquet")
    requests = pd.read_parquet(tmp_path / "run" / "requests.parquet")
    starts_s = levels["start_s"].to_numpy()
    ends_s = np.minimum(requests["scheduled_s"].fillna(np.inf), 86_400.0)
    waiting_s = [
        float(np.clip(np.minimum(ends_s, start + 3600.0) - np.maximum(requests["enqueued_s"], start), 0.0, None).sum())
        for start in starts_s
    ]
    assert max(waiting_s) > 1800.0
    assert levels["waiting_s"].to_numpy() == pytest.approx(waiting_s, rel=0.02, abs=30.0)


def test_a_newer_run_replaces_an_older_one(tmp_path):
    kept(tmp_path / "run", small({"experiment.replications": 2}))
    kept(tmp_path / "run", small({"experiment.replications": 1}), ["api"])
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["replications"] == 1
    assert not (tmp_path / "run" / "levels.parquet").exists()


def test_nothing_but_a_run_is_ever_replaced(tmp_path, monkeypatch):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunStoreError, match="is not a run directory"):
        open_place(tmp_path)
    with pytest.raises(RunStoreError, match="is not a run directory"):
        open_place(tmp_path / "thesis.txt")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for here in (Path(), Path("../empty")):
        with pytest.raises(RunStoreError, match="where you stand"):
            open_place(here)
    monkeypatch.chdir(tmp_path)
    kept(tmp_path / "empty", small({"experiment.replications": 1}), ["api"])
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "empty" / "summary.json").is_file()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunStoreError, match="cannot be written"):
        open_place(tmp_path / "file" / "run")


def test_an_interrupted_run_leaves_what_is_simulated_and_nothing_else(tmp_path):
    store = tmp_path / "store"
    place = keep_run(small(), tmp_path / "run", None, store)
    assert place.finished() == 0
    (store / checkpoint.file_name(with_model_lengths(small()), "api", 0)).write_text("{}")
    (store / "of-another-scenario-0.json").write_text("{}")
    assert place.finished() == 1
    assert list(tmp_path.iterdir()) == [store]


def test_new_prices_take_no_simulation(tmp_path, monkeypatch):
    store = tmp_path / "store"
    first = kept(tmp_path / "first", store=store)
    prices = {
        "experiment.replications": 2,
        "name": "dearer",
        "hosting_patterns.api.api.prices": {"prompt": "90 USD/1M tokens", "output": "90 USD/1M tokens"},
        "hosting_patterns.rented.costs.compute": {"kind": "rental", "gpu_hour": "9 USD/h"},
        "hosting_patterns.bought.costs.power.price": "0.90 USD/kWh",
    }
    anew = kept(tmp_path / "anew", small(prices))
    monkeypatch.setattr(replications, "simulate", None)
    again = kept(tmp_path / "again", small(prices), store=store)
    assert again.to_json() == anew.to_json()
    costs = [{one.name: one.monthly_cost_usd.mean for one in found.patterns} for found in (first, again)]
    assert all(costs[0][name] < costs[1][name] for name in ("api", "rented", "bought"))
    for table in ("requests", "levels"):
        ours, theirs = (pd.read_parquet(tmp_path / name / f"{table}.parquet") for name in ("again", "anew"))
        pd.testing.assert_frame_equal(ours, theirs)


def test_tables_that_are_gone_are_made_again(tmp_path):
    store = tmp_path / "store"
    kept(tmp_path / "first", store=store)
    for table in store.glob("*.requests.parquet"):
        table.unlink()
    kept(tmp_path / "again", store=store)
    ours, theirs = (pd.read_parquet(tmp_path / name / "requests.parquet") for name in ("again", "first"))
    pd.testing.assert_frame_equal(ours, theirs)


def test_the_place_is_named_after_the_question(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scenario = small()
    store = tmp_path / "store"
    assert str(keep_run(scenario, None, None, store).target) == f"runs/small-{scenario.sha256[:12]}"
    assert keep_run(scenario, None, ["hybrid", "api"], store).target.name.endswith("-api-hybrid")
