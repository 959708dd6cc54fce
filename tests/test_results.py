"""A result as people use it in Python: it survives a pickle, says what it has, and speaks of what it has not."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.errors import RunStoreError, ScenarioError, UnknownName

SETTINGS = {"horizon.duration": "1d", "experiment.replications": 2}


@pytest.fixture(scope="module")
def scenario():
    return simulator.load_scenario("scenarios/ci_small.yaml", settings=SETTINGS)


@pytest.fixture(scope="module")
def results(scenario):
    return simulator.run(scenario, patterns=["api", "self_hosted"])


@pytest.mark.slow
def test_a_pickle_has_requests_and_levels_in_another_process(results, tmp_path):
    (tmp_path / "kept").write_bytes(pickle.dumps(results))
    code = (
        "import pickle, sys; r = pickle.load(open(sys.argv[1], 'rb')); "
        "r.requests.to_pickle(sys.argv[2]); r.levels.to_pickle(sys.argv[3]); sys.stdout.write(r.to_json().decode())"
    )
    places = [str(tmp_path / name) for name in ("kept", "requests", "levels")]
    done = subprocess.run([sys.executable, "-c", code, *places], capture_output=True, check=True)
    assert done.stdout == results.to_json()
    pd.testing.assert_frame_equal(pd.read_pickle(places[1]), results.requests)
    pd.testing.assert_frame_equal(pd.read_pickle(places[2]), results.levels)
    assert len(results.requests) > 500
    assert len(results.levels) == 24


def test_the_document_says_what_the_results_hold_to_nine_digits(results):
    """But for samples and for what nobody asked; held against the standard library's own copy."""

    def rounded(value):
        if isinstance(value, dict):
            return {key: rounded(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [rounded(one) for one in value]
        return float(f"{value:.9g}") if isinstance(value, float | Decimal) else value

    said = results.document()
    assert said["decision"] == rounded(asdict(results.decision))
    for one, held in zip(said["patterns"], map(asdict, results.patterns), strict=True):
        assert one["cost_basis"] == {line["key"]: line["basis"] for line in held.pop("bill")["lines"]}
        for load in held["workloads"].values():
            assert load.pop("samples")
            assert (load.pop("chain"), load.pop("thinking")) == (None, None)
        assert (held.pop("losses"), held.pop("yearly_availability")) == ([], {})
        assert one == rounded(held) | {"cost_basis": one["cost_basis"]}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda kept: pickle.loads(pickle.dumps(kept))])
def test_a_copy_outlives_what_it_was_copied_from(scenario, copied):
    original = simulator.run(scenario, patterns="api", band=False, outlook=False)
    count = len(original.requests)
    assert count > 0
    other = copied(original)
    del original
    assert len(other.requests) == count
    assert len(other.plot.latency().data[0].x) > 2


def test_tables_that_are_gone_are_not_empty(scenario, tmp_path):
    found = simulator.run(scenario, patterns="api", folder=str(tmp_path), band=False, outlook=False)
    assert len(found.requests)
    for path in tmp_path.iterdir():
        path.unlink()
    for look in (lambda: found.requests, lambda: found.levels, lambda: pickle.dumps(found)):
        with pytest.raises(RunStoreError, match="the requests of api are no longer there"):
            look()


def test_latencies_are_those_of_the_summary(results):
    rows = results.requests
    counted = results.summary().set_index(["pattern", "workload"])
    for name in ("api", "self_hosted"):
        done = rows[(rows["pattern"] == name) & (rows["outcome"] == "completed")]
        assert done["e2e_s"].to_numpy() == pytest.approx((done["last_token_s"] - done["arrival_s"]).to_numpy())
        several = done[done["output_tokens"] > 1]
        spent_s = several["ttft_s"] + several["itl_s"] * (several["output_tokens"] - 1)
        assert spent_s.to_numpy() == pytest.approx(several["e2e_s"].to_numpy())
        assert done["itl_s"].isna().equals(done["output_tokens"] <= 1)
        for metric in ("ttft_s", "itl_s", "e2e_s"):
            row = counted.loc[(name, "all")]
            assert row[f"{metric}_p99_low"] <= row[f"{metric}_p99"] <= row[f"{metric}_p99_high"]
    assert np.isnan(counted.loc[("api", "clinical_documentation"), "monthly_cost_usd"])
    assert counted["monthly_cost_usd_low"].notna().sum() == 2


def test_columns_that_are_asked_for_come_in_that_order(results):
    few = results.tables.requests("api", ["e2e_s", "outcome", "ttft_s"])
    assert list(few) == ["pattern", "e2e_s", "outcome", "ttft_s"]
    whole = results.tables.requests("api")
    assert few["ttft_s"].equals(whole["ttft_s"])


def test_a_file_and_one_name_are_enough(results):
    found = simulator.run("scenarios/ci_small.yaml", patterns="api", replications=1, band=False, outlook=False)
    assert [one.name for one in found.patterns] == ["api"]
    assert len(repr(found)) < 200
    assert len(repr(found.scenario)) < 200
    assert "recommends" in repr(results)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda found: found.pattern("apy"), "no hosting pattern 'apy'; did you mean 'api'?"),
        (lambda found: found.plot.latency("nope"), "no workload 'nope'; expected one of: clinical_documentation"),
        (lambda found: found.plot.latency(metric="e2e"), "no metric 'e2e'; did you mean 'e2e_s'?"),
        (lambda found: found.plot.week("api"), "no hosting pattern with a cluster 'api'; expected one of: self_hosted"),
        (lambda found: found.plot.over_time("week"), "expected one of: self_hosted"),
        (lambda found: found.plot.failovers("hybrid"), "no hosting pattern that was simulated 'hybrid'"),
        (lambda found: found.plot.timeline("x"), "expected one of: api, self_hosted"),
        (lambda found: found.plot.loss("api", 3), "no loss of 'api' '3'; expected one of: none"),
        (lambda found: found.tables.requests("hybrid"), "no hosting pattern that was simulated 'hybrid'"),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(results, ask, said):
    with pytest.raises(UnknownName) as fault:
        ask(results)
    assert said in str(fault.value)
    assert isinstance(fault.value, KeyError)
    again = pickle.loads(pickle.dumps(fault.value))
    assert str(again) == str(fault.value)


def test_python_is_told_of_arguments_and_not_of_options(scenario):
    with pytest.raises(ScenarioError) as fault:
        simulator.run(scenario, patterns="clod")
    assert str(fault.value) == "patterns: clod: no such hosting pattern; expected one of api, self_hosted, hybrid"


@pytest.mark.parametrize("kind", ["requests", "levels"])
def test_the_page_has_every_column(results, kind):
    page = Path("docs/python.md").read_text()
    part = page.split(f"## `{kind}`", 1)[1].split("\n## ", 1)[0]
    told = [
        name
        for line in part.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert told == list(getattr(results, kind))


def test_a_latency_that_nothing_has_is_said(results):
    found = results.pattern("api")
    assert found.latency_of("e2e_s") is found.latency["e2e_s"]
    with pytest.raises(UnknownName, match="no latency 'e2e'; did you mean 'e2e_s'"):
        found.latency_of("e2e")
