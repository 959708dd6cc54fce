"""Break-evens held against simulations."""

import json

import pytest

from simulator.results import run
from simulator.scenario.scaling import scaled
from simulator.study.headroom import PRECISION, break_evens
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
    return break_evens(small(GIVEN), store=store)


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


def test_costs_meet_where_the_formula_says(found):
    (row,) = found.meetings
    assert (row.cluster, row.api) == ("rented", "api")
    assert row.tokens_per_month == pytest.approx(14.6 / 0.72e-6, rel=0.01)
    # Simulated at that volume, with its own random numbers of requests and tokens.
    assert row.api_usd == pytest.approx(row.cluster_usd, rel=0.1)
    assert row.within_headroom is (row.tokens_per_month <= found.headroom[0].tokens_per_month)


def test_a_replica_is_added_for_every_headroom(found):
    (rented,) = [one for one in found.cost_curve.series if one.pattern == "rented"]
    at = rented.replicas.index(2)
    assert rented.tokens_per_month[at] == pytest.approx(found.headroom[0].tokens_per_month, rel=1e-6)
    assert "simulated" in found.cost_curve.basis


def test_a_cluster_that_never_meets_its_objectives_has_no_headroom(tmp_path):
    found = break_evens(small(GIVEN | {"workloads.notes.objectives": {"ttft": "1ms"}}), store=tmp_path)
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
