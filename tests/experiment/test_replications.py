import json
import math
import threading
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis.backlog import Backlog
from simulator.analysis.levels import Utilisation
from simulator.analysis.metrics import BackendUse, Group, RunSummary
from simulator.compliance.check import refusals
from simulator.experiment import checkpoint, replications
from simulator.experiment.replications import replicate, representatives
from simulator.experiment.tables import Tables
from simulator.performance.clusters import cluster_profile
from tests.experiment.small import small

CONTRACT = {"prompt": "1 USD/1M tokens", "output": "1 USD/1M tokens"}
NAMES = ["api", "rented", "bought", "hybrid"]


def test_patterns_that_differ_in_money_share_a_simulation():
    scenario = small({"hosting_patterns.rented.description": "words"})
    assert representatives(scenario, NAMES) == {
        "api": "api",
        "rented": "rented",
        "bought": "rented",
        "hybrid": "hybrid",
    }
    assert representatives(scenario, ["bought"]) == {"bought": "bought"}


@pytest.mark.parametrize(
    ("setting", "shared"),
    [
        ({"hosting_patterns.bought.cluster.replicas": 2}, False),
        ({"hosting_patterns.bought.cluster.engine.max_num_seqs": 8}, False),
        ({"hosting_patterns.bought.costs.power.price": "1 USD/kWh"}, True),
    ],
)
def test_what_determines_a_simulation(setting, shared):
    found = representatives(small(setting), ["rented", "bought"])
    assert (found["bought"] == "rented") is shared


def test_a_profile_of_ones_own_counts_by_its_content(tmp_path):
    base = small()
    content = cluster_profile(base.hosting_patterns["rented"].cluster)
    for name, profile in {"a": content, "b": content, "slow": content.scaled(1.5)}.items():
        (tmp_path / f"{name}.json").write_text(profile.model_dump_json())

    def shared(first, second):
        keys = {"rented": first, "bought": second}
        given = {
            f"hosting_patterns.{key}.cluster.profile": str(tmp_path / f"{name}.json") for key, name in keys.items()
        }
        return representatives(small(given), ["rented", "bought"])["bought"] == "rented"

    assert shared("a", "b")
    assert not shared("a", "slow")


@pytest.mark.parametrize(
    ("setting", "same"),
    [
        ({"name": "other", "description": "words", "constraints.monthly_cost_at_most": "1 USD/month"}, True),
        ({"experiment.replications": 9, "hosting_patterns.api.api.prices": CONTRACT}, True),
        ({"experiment.seed": 8}, False),
        ({"experiment.warm_up": "1h"}, False),
        ({"constraints.phi_may_leave": False}, False),
        ({"workloads.notes.volume.clinicians": 11}, False),
        ({"horizon.duration": "2d"}, False),
        ({"prices.month": "720h"}, False),
    ],
)
def test_prices_do_not_ask_for_a_new_simulation_but_demand_does(setting, same):
    first, second = (checkpoint.file_name(scenario, "api", 0) for scenario in (small(), small(setting)))
    assert (first == second) is same


def test_the_same_whatever_the_number_of_processes():
    scenario = small()
    alone, together = (replicate(scenario, NAMES, replications=2, jobs=jobs) for jobs in (1, 2))
    assert alone == together
    assert alone["rented"] == alone["bought"]
    assert alone["api"][0] != alone["api"][1]


def test_every_pattern_gets_the_same_demand():
    found = replicate(small(), NAMES, replications=2)
    for number in range(2):
        assert len({found[name][number].total.arrived for name in NAMES}) == 1


def test_more_replications_leave_the_first_ones_alone():
    scenario = small()
    few, many = (replicate(scenario, ["api"], replications=count)["api"] for count in (2, 3))
    assert many[:2] == few


def test_an_interrupted_run_continues(tmp_path, monkeypatch):
    scenario = small()
    whole = replicate(scenario, NAMES, replications=2)
    simulated = []
    simulate = replications.simulate

    def third_time_unlucky(pattern, *arguments, **options):
        if len(simulated) == 2:
            raise KeyboardInterrupt
        simulated.append(pattern)
        return simulate(pattern, *arguments, **options)

    monkeypatch.setattr(replications, "simulate", third_time_unlucky)
    with pytest.raises(KeyboardInterrupt):
        replicate(scenario, NAMES, replications=2, folder=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2
    monkeypatch.setattr(replications, "simulate", lambda *a, **k: simulated.append(0) or simulate(*a, **k))
    assert replicate(scenario, NAMES, replications=2, folder=tmp_path) == whole
    assert len(simulated) == 6
    # A third time there is nothing left to do.
    assert replicate(scenario, NAMES, replications=2, folder=tmp_path) == whole
    assert len(simulated) == 6


def test_a_damaged_checkpoint_is_simulated_again(tmp_path):
    scenario = small()
    whole = replicate(scenario, ["api"], replications=1, folder=tmp_path)
    (kept,) = tmp_path.glob("*.json")
    kept.write_text(kept.read_text()[:-20])
    assert replicate(scenario, ["api"], replications=1, folder=tmp_path) == whole
    json.loads(kept.read_text())


def test_progress_never_goes_back_and_ends_at_one():
    shares = []
    replicate(small(), NAMES, replications=2, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert threading.active_count() == 1 or not any("_watch" in thread.name for thread in threading.enumerate())


def test_nothing_to_simulate():
    assert replicate(small(), [], replications=2) == {}


def test_protected_information_keeps_to_the_site():
    scenario = small({"constraints.phi_may_leave": False})
    hybrid = scenario.hosting_patterns["hybrid"]
    assert checkpoint.permitted(scenario, hybrid) == {"notes": [True, False], "letters": [True, True]}
    assert {name: len(refusals(scenario, name)) for name in scenario.hosting_patterns} == {
        "api": 1, "rented": 0, "bought": 0, "hybrid": 0,
    }  # fmt: skip
    assert refusals(small(), "api") == []


floats = st.floats(0.0, 1e9)
groups = st.builds(
    Group,
    outcomes=st.dictionaries(st.sampled_from(["completed", "rejected"]), st.integers(0, 10**6)),
    failed_over=st.just({"capacity": 1}),
    prompt_tokens=st.integers(0, 10**12),
    cached_prompt_tokens=st.integers(0, 10**12),
    output_tokens=st.integers(0, 10**12),
    latency=st.dictionaries(st.sampled_from(["ttft_s", "e2e_s"]), st.dictionaries(st.just("p99"), floats)),
    share_met=st.none() | st.floats(0.0, 1.0),
    goodput=st.none() | st.floats(0.0, 1.0),
    target_share=st.none() | st.floats(0.0, 1.0),
    backlog=st.none() | st.builds(Backlog, floats, *[st.lists(st.integers(0, 10**9))] * 2, st.lists(floats)),
)
summaries = st.builds(
    RunSummary,
    hours=floats,
    total=groups,
    workloads=st.dictionaries(st.just("notes"), groups),
    utilisation=st.none() | st.builds(Utilisation, floats, floats, floats),
    queued=st.booleans(),
    repeated=st.integers(0, 10**6),
    backends=st.dictionaries(st.just("cluster"), st.builds(BackendUse, st.integers(0, 10**12), st.none())),
    wasted_tokens=st.integers(0, 10**12),
    preemptions=st.integers(0, 10**6),
)


@settings(max_examples=50)
@given(summary=summaries)
def test_a_checkpoint_keeps_every_bit(tmp_path_factory, summary):
    path = tmp_path_factory.mktemp("kept") / "one.json"
    checkpoint.save(path, summary)
    assert checkpoint.load(path) == summary
    assert list(path.parent.iterdir()) == [path]


def test_a_long_horizon_is_simulated_in_parts_and_nothing_is_lost(tmp_path):
    """Two days at a time: as many requests in the table as in the summary, in order, each with one outcome."""
    scenario = small({"horizon.duration": "9d"})
    with patch.multiple("simulator.workload.calendar", _WHOLE_DAYS=2, _STRETCH_DAYS=2):
        found = replicate(scenario, NAMES, replications=1, folder=tmp_path)
        again = replicate(scenario, NAMES, replications=1)
        places = {name: tmp_path / checkpoint.file_name(scenario, name, 0) for name in representatives(scenario, NAMES)}
    assert found == again
    shared = representatives(scenario, NAMES)
    tables = Tables(kept={name: places[name] for name in set(shared.values())}, shared=shared)
    for name in NAMES:
        requests, total = tables.requests(name), found[name][0].total
        assert requests.arrival_s.is_monotonic_increasing
        assert requests.arrival_s.iloc[-1] > 8 * 86_400
        assert len(requests) == total.arrived
        assert requests.outcome.value_counts().to_dict() == total.outcomes
        completed = requests[requests.outcome == "completed"]
        assert int(completed.output_tokens.sum()) == total.output_tokens
        waits = (completed.first_token_s - completed.arrival_s).sort_values().to_numpy()
        assert total.latency["ttft_s"]["p99"] == waits[math.ceil(0.99 * len(waits)) - 1]


def test_more_requests_than_anybody_expected_are_simulated_all_the_same(tmp_path, monkeypatch):
    """Nine weeks are drawn in parts; a run that made room for ten requests counts them and begins again."""
    scenario = small({"horizon.duration": "63d", "workloads.notes.volume.clinicians": 2})
    plain = replicate(scenario, ["rented"], replications=1)
    monkeypatch.setattr("simulator.experiment.replications.room_for", lambda *_: 10)
    assert replicate(scenario, ["rented"], replications=1, folder=tmp_path) == plain
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".parquet", ".parquet"]


@pytest.mark.parametrize(("stretch_days", "draws"), [(None, [0, 1]), (2, [0, 0, 0, 1, 1])], ids=["one part", "parts"])
def test_simulations_of_one_demand_draw_it_once(stretch_days, draws, monkeypatch):
    """Two replications of two patterns, and one of a third; where demand comes in parts, each draws for itself."""
    drawn, synthesise_parts = [], replications.synthesise_parts

    def noted(scenario, replication, calendar):
        drawn.append(replication)
        return synthesise_parts(scenario, replication, calendar)

    scenario, stretch = small({"horizon.duration": "5d"}), stretch_days or 50
    with patch.multiple("simulator.workload.calendar", _WHOLE_DAYS=stretch, _STRETCH_DAYS=stretch):
        alone = replicate(scenario, ["rented"], replications=2, tables=False)
        monkeypatch.setattr(replications, "synthesise_parts", noted)
        found = replicate(scenario, ["api", "rented"], replications=2, once=["hybrid"], tables=False)
    assert drawn == draws
    assert found["rented"] == alone["rented"]
    assert (len(found["api"]), len(found["hybrid"])) == (2, 1)
