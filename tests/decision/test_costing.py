"""Bills at other volumes, by hand: of two clusters, of two APIs, of a hybrid whose API answered some requests."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest

from simulator.cost.usage import ApiUse, ClusterUse
from simulator.decision.costing import costings_of, with_units
from simulator.decision.undercut import Bills
from simulator.results import run
from simulator.workload.work import Work
from tests.decision.test_cost_curve import BOOK, MONTH, costing, usd
from tests.decision.test_verdict import result
from tests.experiment.small import small

FLAT = {"workloads.letters": None, "workloads.notes.profile": [[1.0] * 24] * 7}
#: USD of a million tokens of the API of `small`, prompt or output.
MILLION = 0.72


def hybrid(capacity, settings=None, **usage):
    """800M tokens a month, the same at any hour, of which the API answered a tenth; the cluster is 20 % busy."""
    one = costing("hybrid", capacity, scenario=small(FLAT | (settings or {})))
    (api,), (cluster,) = one.pattern.metered, one.pattern.hosted
    work = {
        api: {"notes": Work(1, 60_000_000, 0, 20_000_000)},
        cluster: {"notes": Work(9, 540_000_000, 0, 180_000_000)},
    }
    return replace(one, usage=replace(one.usage, work=work, **usage))


@pytest.mark.parametrize(
    ("capacity", "factor", "sent"),
    [
        # Far from full: the tenth that was sent.
        (10**12, 0.5, 0.1), (10**12, 1.0, 0.1), (10**12, 3.0, 0.1),
        # Of 1,600M a month a cluster of 1,000M has 600M too much, 37.5 %: 0.1 + 0.9 × 0.375.
        (1_000_000_000, 1.0, 0.1), (1_000_000_000, 2.0, 0.4375),
        # Half was too much before, three quarters are now: half of what was served is beyond it. 0.1 + 0.9 × 0.5.
        (400_000_000, 1.0, 0.1), (400_000_000, 2.0, 0.55), (400_000_000, 0.75, 0.1),
    ],
)  # fmt: skip
def test_a_hybrid_sends_what_it_sent_and_what_an_hour_has_too_much_of_beyond_that(capacity, factor, sent):
    one = hybrid(capacity)
    bill = one.bill_at(800e6 * factor)
    api = sum(float(line.usd) for line in bill.lines if line.key.startswith("api_"))
    assert api == pytest.approx(MILLION * 800 * factor * sent, rel=1e-6)
    assert float(bill.usd("rental")) == pytest.approx(730.0)


@pytest.mark.parametrize(("factor", "kept"), [(0.5, 0.5), (1.0, 1.0), (2.0, 1.25)])
def test_a_cluster_is_as_busy_and_carries_as_much_as_it_keeps(factor, kept):
    """A kilowatt more when busy, at a dollar a kilowatt-hour: 730 USD for each unit of busy time; a byte is a cent."""
    settings = {
        "hosting_patterns.hybrid.costs.power": {
            "gpu_idle_w": 0, "gpu_busy_w": 1000, "host_w": 0, "pue": 1.0, "price": "1 USD/kWh",
        },
        "hosting_patterns.hybrid.costs.egress": {"bytes_per_token": 1, "price": "1 USD/GB"},
    }  # fmt: skip
    one = hybrid(1_000_000_000, settings, clusters={"cluster": ClusterUse(0.2, 720_000_000)})
    bill = one.bill_at(800e6 * factor)
    assert float(bill.usd("power")) == pytest.approx(730 * 0.2 * kept, rel=1e-6)
    assert float(bill.usd("egress")) == pytest.approx(0.72 * kept, rel=1e-6)


def test_more_replicas_are_busy_for_the_same_tokens():
    """One replica that is 80 % busy at 800M; twice the tokens on two, and no more than busy all the time on one."""
    power = {"gpu_idle_w": 0, "gpu_busy_w": 1000, "host_w": 0, "pue": 1.0, "price": "1 USD/kWh"}
    scenario = small(FLAT | {"hosting_patterns.rented.costs.power": power})
    one = costing("rented", 1_000_000_000, scenario=scenario, busy=0.8)
    found = [float(one.bill_at(800e6 * factor).usd("power")) for factor in (1.0, 0.5, 2.0)]
    assert found == pytest.approx([730 * 0.8, 730 * 0.4, 730 * 1.6], rel=1e-6)
    assert float(one.bill_at(1600e6, 1).usd("power")) == pytest.approx(730.0)
    assert float(one.bill_at(1600e6, 2).usd("rental")) == pytest.approx(1460.0)


def test_what_no_api_answered_yet_goes_to_the_first_and_lost_hedges_are_charged():
    """A cluster of 1,000M keeps all of 800M; of 2,000M half goes to the first API, at its price, not the second's."""
    given = small().resolved["hosting_patterns"]["hybrid"]
    dear = {"prompt": "10 USD/1M tokens", "output": "10 USD/1M tokens"}
    two = {"apis": {"first": given["api"], "second": given["api"] | {"prices": dear}}, "api": None, "cluster": None}
    clusters = {"own": {"cluster": given["cluster"], "costs": given["costs"]}}
    scenario = small(FLAT | {"hosting_patterns.hybrid": given | two | {"clusters": clusters, "costs": None}})
    one = costing("hybrid", 1_000_000_000, scenario=scenario)
    one = replace(one, usage=replace(one.usage, apis={"first": ApiUse(0, 0, 0), "second": ApiUse(10**6, 0, 0)}))

    def paid(volume, name):
        return sum(float(line.usd) for line in one.bill_at(volume).lines if line.key.startswith(f"{name}.api_"))

    assert (paid(800e6, "first"), paid(800e6, "second")) == pytest.approx((0.0, 10.0))
    assert (paid(2000e6, "first"), paid(2000e6, "second")) == pytest.approx((MILLION * 1000, 25.0), rel=1e-6)


def two_clusters(capacity):
    given = small().resolved["hosting_patterns"]["rented"]
    cluster, costs = given["cluster"], given["costs"]
    clusters = {
        "large": {"cluster": cluster | {"replicas": 2}, "costs": costs},
        "small": {"cluster": cluster, "costs": costs},
    }
    pattern = {"kind": "self_hosted", "clusters": clusters, "routing": {"kind": "least_loaded"}}
    return costing("rented", capacity, scenario=small({"hosting_patterns.rented": pattern}))


def test_several_clusters_grow_together():
    """Three replicas that serve 3,000M at their peak: beyond it six, then nine; two thirds of them of the large one."""
    one = two_clusters(3_000_000_000)
    peak = float(one.hourly.max())
    assert one.unit == 3
    assert [one.replicas_at(volume / peak) for volume in (0, 2.9e9, 3.1e9, 5.9e9, 6.1e9)] == [3, 3, 6, 6, 9]
    assert one.steps(7e9 / peak) == pytest.approx([3e9 / peak, 6e9 / peak])
    bill = one.bill_at(3.1e9 / peak)
    assert [float(bill.usd(f"{name}.rental")) for name in ("large", "small")] == pytest.approx([4 * 730, 2 * 730])


def test_steps_end_where_nobody_looks_and_begin_with_what_is_there():
    one = costing("rented", 1_000_000_000, scenario=small(FLAT | {"hosting_patterns.rented.cluster.replicas": 2}))
    peak = float(one.hourly.max())
    assert one.steps(1e9 / peak * 0.999) == one.steps(0.0) == []
    assert one.steps(1.6e9 / peak) == pytest.approx([1e9 / peak, 1.5e9 / peak])
    # No more than 64 are told.
    assert len(one.steps(1e15)) == 64
    assert costing("api").steps(1e12) == costing("rented", 0).steps(1e12) == []


def test_units_are_added_where_each_of_the_present_ones_is_full():
    units = {"kind": "provisioned", "units": 4, "unit_hour": "1 USD/h", "tokens_per_unit": 3000, "output_ratio": 4}
    one = costing("api", scenario=small({"hosting_patterns.api.api.deployment": units}))
    assert one.unit_steps(1300e6) == pytest.approx([800e6, 1000e6, 1200e6])
    assert one.unit_steps(800e6) == costing("api").unit_steps(1e12) == []
    assert len(one.unit_steps(1e15)) == 64
    assert usd(one, 1001e6) - usd(one, 999e6) == pytest.approx(730.0)
    pattern = small({"hosting_patterns.api.api.deployment": units | {"units": 100}}).hosting_patterns["api"]
    # 100 × 1.1 is 110, whatever the floats say.
    assert [with_units(pattern, factor).api.deployment.units for factor in (0.5, 1.0, 1.1, 1.101)] == [
        50,
        100,
        110,
        111,
    ]


def test_which_bills_go_by_tokens_alone():
    reserved = {"kind": "provisioned", "units": 4, "unit_hour": "1 USD/h", "tokens_per_unit": 3000, "output_ratio": 4}
    units = costing("api", scenario=small({"hosting_patterns.api.api.deployment": reserved}))
    names = ("api", "rented", "bought", "hybrid")
    assert [costing(name).proportional for name in names] + [units.proportional] == [True, False, False, False, False]
    assert [costing(name).grows for name in names] == [False, True, True, False]


def test_a_month_of_tokens_is_that_of_the_hours_that_were_measured():
    one = costing("rented")
    assert replace(one, usage=replace(one.usage, hours=73.0)).tokens_per_month == pytest.approx(8e9)


def test_each_pattern_that_served_has_its_own_costing():
    scenario, usage = small(), costing("rented").usage
    results = [replace(result("rented", 1), usage=usage), result("api", 1), replace(result("hybrid", 1), usage=usage)]
    found = costings_of(scenario, results, BOOK, MONTH, {"rented": 7, "api": 8})
    assert {name: one.capacity_tokens_per_month for name, one in found.items()} == {"rented": 7, "hybrid": 0}
    assert all(one.pattern == scenario.hosting_patterns[name] for name, one in found.items())


CACHING = {
    "model": "azure/gpt-4.1",
    "ttft": {"median": "700ms"},
    "output_tokens_per_s": {"median": 50},
    "prompt_cache": {"kept": "5min"},
}


def caching(requests, profile, **workload):
    notes = {
        "volume": {"requests_per_month": requests},
        "profile": profile,
        "prompt_tokens": 3000,
        "output_tokens": 100,
        "shared_prefix": {"tokens": 2560, "variants": 1},
        **workload,
    }
    return small(
        {
            "horizon.duration": "7d",
            "workloads": {"notes": notes},
            "hosting_patterns": {"api": {"kind": "metered_api", "api": CACHING}},
            "experiment.replications": 4 if requests < 10_000 else 1,
        }
    )


def priced_at(scenario):
    """The API's bill of a month, what prices it at other volumes, and its cached tokens over those it could have."""
    results = run(scenario, tables=False, outlook=False)
    (api,) = results.patterns
    (one,) = costings_of(scenario, [api], BOOK, MONTH, {}).values()
    (use,) = api.usage.apis.values()
    return api.cost_usd, one, use.cached_prompt_tokens / (use.cached_prompt_tokens + use.cache_write_tokens)


@pytest.mark.parametrize(
    ("profile", "factor"),
    [
        ("flat", 20),
        pytest.param("clinical_documentation", 12, marks=pytest.mark.slow),
        pytest.param("flat", 0.2, marks=pytest.mark.slow),
    ],
)
def test_a_cache_that_is_used_more_often_finds_more_at_other_volumes(profile, factor):
    """What one volume says of another is what that costs when it is simulated; by today's share it would not be."""
    now_usd, one, _ = priced_at(caching(2_000, profile))
    then_usd, _, _ = priced_at(caching(round(2_000 * factor), profile))
    volume = one.tokens_per_month * factor
    assert float(one.bill_at(volume).total_usd) == pytest.approx(then_usd, rel=0.03)
    assert Bills(one).at(round(volume)) == pytest.approx(float(one.bill_at(volume).total_usd), rel=1e-6)
    assert abs(now_usd * factor / then_usd - 1.0) > 0.05
    assert float(one.bill_at(one.tokens_per_month).total_usd) == pytest.approx(now_usd, rel=1e-6)


def test_a_prefix_is_there_unless_nobody_came_while_it_was_kept():
    """By hand: the prefix comes every 1,314 s or so, and is kept 300 s: 1 - exp(-300 / 1,314) are found."""
    _, one, found = priced_at(caching(2_000, "flat"))
    gap_s = 730 * 3600 / 2_000
    assert found == pytest.approx(1.0 - exp(-300.0 / gap_s), abs=0.02)
    (renewal,) = one.renewal.values()
    assert 1.0 - renewal.gone == pytest.approx(found, abs=1e-6)
    assert renewal.missed(10.0) * renewal.gone == pytest.approx(exp(-3_000.0 / gap_s), abs=0.02)


def test_the_turns_of_a_conversation_come_no_faster_where_there_are_more_conversations():
    turns = {"turns": {"mean": 3, "think": {"median": "60s", "sigma": 0.5}}, "shared_prefix": None}
    _, one, _ = priced_at(caching(1_000, "flat", **turns))
    assert not one.renewal
    twice = float(one.bill_at(2.0 * one.tokens_per_month).total_usd)
    assert twice == pytest.approx(2.0 * float(one.bill_at(one.tokens_per_month).total_usd), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "factor"), [("flat", 6.0), ("flat", 0.2), ("clinical_documentation", 6.0)])
def test_a_replica_that_is_given_back_when_idle_is_up_as_long_as_others_came(profile, factor):
    """What one volume says of another is what that costs when it is simulated, to a tenth: starts take their time."""

    def asked(requests):
        notes = {
            "volume": {"requests_per_month": requests},
            "profile": profile,
            "prompt_tokens": 600,
            "output_tokens": 50,
        }
        scaling = {"kind": "queue", "at_least": 0, "node_start": "30s", "idle_for": "5min"}
        cluster = {"model": "llama-3.1-8b", "gpu": "l40s", "autoscaling": scaling}
        return small(
            {"horizon.duration": "7d", "workloads": {"notes": notes}, "hosting_patterns.rented.cluster": cluster}
        )

    def run_of(requests):
        results = run(asked(requests), patterns="rented", replications=2, tables=False, outlook=False, band=False)
        (one,) = costings_of(asked(requests), results.patterns, BOOK, MONTH, {"rented": 10**12}).values()
        return results.pattern("rented").cost_usd, one

    (now_usd, one), (then_usd, _) = run_of(2_000), run_of(round(2_000 * factor))
    found = float(one.bill_at(one.tokens_per_month * factor).total_usd)
    assert found == pytest.approx(then_usd, rel=0.1)
    assert abs(found - then_usd) < 0.5 * abs(min(730.0, now_usd * max(1.0, factor)) - then_usd)
    assert float(one.bill_at(one.tokens_per_month).total_usd) == pytest.approx(now_usd, rel=1e-3)


@pytest.mark.parametrize(("factor", "busier"), [(0.5, 0.5), (1.0, 1.0), (3.0, 3.0), (20.0, 20.0)])
def test_a_replica_that_is_given_back_when_idle_is_paid_unless_nobody_came(factor, busier):
    """Nobody comes for as long as it is kept with probability 0.3, and 0.3^n at n times the volume."""
    scaling = {"kind": "queue", "at_least": 0, "node_start": "30s", "idle_for": "5min"}
    one = costing("rented", 10**13, scenario=small(FLAT | {"hosting_patterns.rented.cluster.autoscaling": scaling}))
    one = replace(one, usage=replace(one.usage, clusters={"cluster": ClusterUse(0.01, paid_share=0.7)}))
    found = float(one.bill_at(factor * one.tokens_per_month).usd("rental"))
    assert found == pytest.approx(730.0 * (1.0 - 0.3**busier), rel=1e-6)
