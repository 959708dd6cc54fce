"""Break-evens held against simulations."""

import json

import pytest

from simulator.results import run
from simulator.scenario.scaling import scaled
from simulator.study.headroom import PRECISION, break_even
from simulator.study.meetings import CLOSE
from tests.cli.command import run as command
from tests.experiment.small import small

#: A cluster of one sequence at a time, which a few more users would overload, beside an API it undercuts.
GIVEN = {
    "experiment.replications": 1,
    "workloads.notes.objectives": {"end_to_end": "60s", "share": 0.95},
    "hosting_patterns.rented.cluster.engine.max_num_seqs": 1,
    "hosting_patterns.rented.costs.compute.gpu_hour": "0.02 USD/h",
    "hosting_patterns.bought": None,
    "hosting_patterns.hybrid": None,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def found(store):
    return break_even(small(GIVEN), store=store)


def missed(factor):
    answered = run(scaled(small(GIVEN), factor), patterns=["rented"], band=False, outlook=False, tables=False)
    return not answered.pattern("rented").objectives_met or answered.pattern("rented").saturation == "overloaded"


def test_the_headroom_is_where_objectives_begin_to_be_missed(found):
    (room,) = found.headroom
    assert room.pattern == "rented"
    assert room.times_today > 1.0
    assert 0.0 < room.capacity_share < 1.0
    assert not missed(room.times_today)
    assert missed(room.times_today * (1.0 + 2 * PRECISION))
    assert room.missed


def test_costs_meet_where_the_bills_say(found):
    (row,) = found.meetings
    assert (row.cluster, row.api, row.replicas) == ("rented", "api", 1)
    # 14.60 USD of rent at 0.72 USD per million; the simulated demand is drawn anew at each volume.
    assert row.tokens_per_month == pytest.approx(14.6 / 0.72e-6, rel=0.1)
    # Simulated at that volume, with its own random numbers of requests and tokens.
    assert row.cluster_usd <= row.api_usd <= row.cluster_usd * (1 + 2 * CLOSE)
    assert row.within_headroom is (row.tokens_per_month <= found.headroom[0].tokens_per_month)
    assert row.text.startswith(f"rented undercuts api from {row.tokens_per_month / 1e6:.3g}M tokens a month")


SITES = {
    # Two thirds of the prompt cached, and an engineer at the API.
    "cached": {
        "workloads.notes.prompt_tokens": {"kind": "constant", "tokens": 2100},
        "workloads.notes.shared_prefix": {"tokens": 1408, "variants": 1},
        "hosting_patterns.api.api.model": "azure/gpt-4.1",
        "hosting_patterns.api.api.prompt_cache": {"kept": "1h"},
        "hosting_patterns.api.api.costs": {"on_call": "5 USD/month", "compliance": "10 %"},
    },
    # A replica is full long before a cluster of one breaks even.
    "replicas": {
        "hosting_patterns.rented.costs.monitoring": "800 USD/month",
        "hosting_patterns.rented.cluster.step_time_factor": 3.0,
        "hosting_patterns.api.api.model": "azure/gpt-4.1",
    },
    "hybrid": {
        "hosting_patterns.hybrid": {
            "kind": "hybrid",
            "cluster": {"model": "llama-3.1-8b", "gpu": "l40s", "engine": {"max_num_seqs": 1}},
            "costs": {"compute": {"kind": "rental", "gpu_hour": "0.02 USD/h"}},
            "api": {
                "model": "azure/gpt-4.1",
                "ttft": {"median": "700ms"},
                "output_tokens_per_s": {"median": 50},
            },
            "routing": {"kind": "overflow", "max_in_flight": 1},
        },
        "hosting_patterns.api.api.model": "azure/gpt-4.1",
    },
}


@pytest.mark.parametrize("site", SITES)
def test_law_no_row_says_undercuts_beside_costs_that_do_not(site, tmp_path):
    answer = break_even(small(GIVEN | SITES[site]), store=tmp_path)
    assert answer.meetings
    for row in answer.meetings:
        if "never" in row.text:
            assert row.cluster_usd is None
        else:
            assert ("undercuts" in row.text) is (row.cluster_usd <= row.api_usd), row
    if site == "replicas":
        assert answer.meetings[0].replicas > 1


def test_a_replica_is_added_for_every_headroom(found):
    (rented,) = [one for one in found.cost_curve.series if one.pattern == "rented"]
    at = rented.replicas.index(2)
    assert rented.tokens_per_month[at] == pytest.approx(found.headroom[0].tokens_per_month, rel=1e-6)
    assert "simulated" in found.cost_curve.basis


def test_a_cluster_that_never_meets_its_objectives_has_no_headroom(tmp_path):
    found = break_even(small(GIVEN | {"workloads.notes.objectives": {"ttft": "1ms"}}), store=tmp_path)
    (room,) = found.headroom
    assert (room.tokens_per_month, room.capacity_share) == (None, None)
    assert "notes" in room.missed
    assert not found.meetings[0].within_headroom


def test_the_command_says_the_same(found, store, tmp_path, monkeypatch, capsys):
    from ruamel.yaml import YAML

    monkeypatch.chdir(tmp_path)
    with open("small.yaml", "w", encoding="utf-8") as stream:
        YAML().dump(small(GIVEN).resolved, stream)
    code, out, err = command(["break-even", "small.yaml", "--json", "--quiet", "--store", str(store)], capsys)
    plain = json.loads(out)
    assert (code, err) == (0, "")
    assert plain["headroom"][0]["tokens_per_month"] == found.headroom[0].tokens_per_month
    assert {"meetings", "cost_curve", "price_book"} <= set(plain)
    code, out, _ = command(["break-even", "small.yaml", "--quiet", "--store", str(store)], capsys)
    assert "rented undercuts api" in " ".join(out.split())
