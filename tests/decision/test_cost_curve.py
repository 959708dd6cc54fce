from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.decision.cost_curve import Series, cheapest, cost_at, cost_curve
from simulator.decision.costing import Costing, hourly_shape, with_units
from simulator.experiment.checks import load_checked
from simulator.results import run
from simulator.workload.synthesis import synthesise
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
MONTH = Decimal(730)
NAMES = ("api", "rented", "bought", "hybrid")
volumes = st.floats(0.0, 4e9)


@pytest.fixture(scope="module")
def results():
    return run(small(), replications=1)


def costing(name, capacity=4_000_000_000, *, scenario=None, sent=0.1, busy=0.2):
    """A pattern that served 600M prompt and 200M output tokens in a month, some of them by the API."""
    scenario = scenario or small()
    pattern = scenario.hosting_patterns[name]
    share = 1.0 if not pattern.hosted else sent if pattern.metered else 0.0
    use = ApiUse(round(6e8 * share), 0, round(2e8 * share))
    usage = Usage(
        730.0,
        dict.fromkeys(pattern.hosted, ClusterUse(busy)),
        dict.fromkeys(pattern.metered, use),
        600_000_000,
        200_000_000,
    )
    return Costing(pattern, usage, BOOK, MONTH, hourly_shape(scenario), capacity if pattern.hosted else 0)


def usd(one, volume):
    return float(one.bill_at(volume).total_usd)


def test_at_the_simulated_volume_it_is_the_bill(results):
    for series in results.decision.cost_curve.series:
        cost = results.pattern(series.pattern).monthly_cost_usd.mean
        assert cost_at(series, results.decision.cost_curve.today_tokens_per_month) == pytest.approx(cost, rel=1e-3)


@given(volumes, st.floats(1.0, 10.0))
def test_an_api_bills_in_proportion(volume, factor):
    api = costing("api")
    assert usd(api, volume * factor) == pytest.approx(factor * usd(api, volume), rel=1e-6, abs=1e-4)


@given(st.sampled_from(NAMES), volumes, volumes)
def test_more_volume_never_costs_less(name, one, other):
    low, high = sorted((one, other))
    assert usd(costing(name), low) <= usd(costing(name), high) + 1e-6


@given(st.integers(10**7, 10**10), st.floats(1e6, 2e10))
def test_replicas_are_as_many_as_the_busiest_hour_needs(capacity, volume):
    one = costing("rented", capacity)
    count, peak = one.replicas_at(volume), volume * float(one.hourly.max())
    assert count * capacity >= peak * (1 - 1e-6)
    assert count == 1 or (count - 1) * capacity < peak * (1 + 1e-6)


def test_replicas_are_for_the_busiest_hour_however_quiet_the_others():
    """All of a day's notes come in two hours, three quarters of them in one: 18 times the mean. A replica that serves
    2,000M tokens a month is full at 2,000M / 18 = 111.1M."""
    day = [0.0] * 24
    day[9], day[10] = 3.0, 1.0
    one = costing(
        "rented", 2_000_000_000, scenario=small({"workloads.letters": None, "workloads.notes.profile": [day] * 7})
    )
    assert [one.replicas_at(volume) for volume in (1e8, 1.1e8, 1.12e8, 2.2e8, 2.3e8)] == [1, 1, 2, 2, 3]
    assert one.steps(3e8) == pytest.approx([2e9 / 18, 4e9 / 18])
    assert usd(one, 1.12e8) - usd(one, 1.1e8) == pytest.approx(730.0)


@pytest.mark.parametrize(("sent", "factor"), [(0.1, 1.0), (0.1, 2.0), (0.25, 0.5), (1.0, 3.0)])
def test_a_hybrid_sends_the_share_it_sent(sent, factor):
    """800M tokens a month at 0.72 USD per million, of which the API had this share; the cluster is far from full."""
    one = costing("hybrid", 10**13, sent=sent)
    assert usd(one, factor * one.tokens_per_month) == pytest.approx(730.0 + 576.0 * sent * factor, abs=0.01)


def test_each_step_adds_one_replica_and_its_rent():
    one = costing("rented", 2_000_000_000)
    steps = one.steps(4e9)
    assert steps
    for number, volume in enumerate(steps, start=1):
        assert (one.replicas_at(volume * 0.999), one.replicas_at(volume * 1.001)) == (number, number + 1)
        assert usd(one, volume * 1.001) - usd(one, volume * 0.999) == pytest.approx(730.0)


def test_a_purchase_grows_with_its_replicas():
    one = costing("bought", 2_000_000_000)
    (step, *_) = one.steps(4e9)
    before, after = (one.bill_at(step, count) for count in (1, 2))
    assert after.usd("purchase") == 2 * before.usd("purchase")


def test_two_replicas_grow_by_one():
    one = costing("rented", 2_000_000_000, scenario=small({"hosting_patterns.rented.cluster.replicas": 2}))
    assert [one.replicas_at(step * 1.001) for step in one.steps(4e9)][:2] == [3, 4]
    assert one.replicas_at(0.0) == 2


def test_a_hybrid_keeps_its_cluster_and_sends_what_an_hour_has_too_much_of():
    one = costing("hybrid", 2_000_000_000, sent=0.0)
    assert {one.replicas_at(volume) for volume in (0.0, 1e9, 4e9)} == {1}
    rent = usd(one, 0.0)
    assert usd(one, 1e8) == pytest.approx(rent)
    # All but what the cluster can serve goes to the API, at 0.72 USD per million.
    assert usd(one, 1e11) - rent == pytest.approx(0.72e-6 * (1e11 - 2e9), rel=0.01)


def test_provisioned_units_grow_with_the_volume():
    units = {"kind": "provisioned", "units": 100, "unit_hour": "1 USD/h", "tokens_per_unit": 3000, "output_ratio": 4}
    one = costing("api", scenario=small({"hosting_patterns.api.api.deployment": units}))
    today = one.tokens_per_month
    assert [usd(one, factor * today) for factor in (0.5, 1.0, 1.001, 3.0)] == pytest.approx(
        [73_000.0, 73_000.0, 73_730.0, 219_000.0]
    )
    given = small().resolved["hosting_patterns"]["api"]["api"] | {"deployment": units}
    several = small({"hosting_patterns.api": {"kind": "metered_api", "apis": {"units": given}}})
    assert usd(costing("api", scenario=several), 2.0 * today) == pytest.approx(146_000.0)


def test_a_reservation_grows_with_the_volume():
    """As many tokens as are due, rounded up; the standard tier beside it has nothing to grow."""
    reserved = {
        "kind": "reserved", "input_tokens_per_minute": 100_000, "output_tokens_per_minute": 20_001,
        "input_price": "4 USD/month", "output_price": "10 USD/month", "spillover": "tokens",
    }  # fmt: skip
    api = small().resolved["hosting_patterns"]["api"]["api"]
    apis = {"reserved": api | {"deployment": reserved}, "tokens": api}
    pattern = small({"hosting_patterns.api": {"kind": "metered_api", "apis": apis}}).hosting_patterns["api"]
    for factor, prompt, output in ((0.5, 50_000, 10_001), (1.0, 100_000, 20_001), (2.5, 250_000, 50_003)):
        found = with_units(pattern, factor).metered
        deployment = found["reserved"].deployment
        assert (deployment.input_tokens_per_minute, deployment.output_tokens_per_minute) == (prompt, output)
        assert found["tokens"] == pattern.metered["tokens"]


def test_replicas_that_come_and_go_are_paid_until_all_are_up():
    one = costing("rented", 10**12)
    part = replace(one.usage, clusters={"cluster": ClusterUse(0.2, 0, 0.4)})
    one = replace(one, usage=part)
    today = one.tokens_per_month
    assert [usd(one, factor * today) for factor in (0.5, 1.0, 2.0, 4.0)] == pytest.approx([292.0, 292.0, 584.0, 730.0])


def test_a_demand_of_nothing_costs_the_fixed_lines():
    assert usd(costing("api"), 0.0) == 0.0
    assert usd(costing("rented"), 0.0) == pytest.approx(730.0)


lines = st.lists(
    st.tuples(
        st.lists(st.integers(0, 100), min_size=0, max_size=5, unique=True), st.lists(st.integers(0, 50), min_size=7)
    ),
    min_size=1,
    max_size=4,
)


@given(lines, st.floats(0.0, 100.0))
def test_the_envelope_is_the_lowest_line(drawn, at):
    series = []
    for number, (inner, costs) in enumerate(drawn):
        xs = sorted({0, 100, *inner})
        series.append(Series(str(number), "", xs, [float(cost) for cost in costs[: len(xs)]], [0] * len(xs)))
    ranges = cheapest(series)
    assert (ranges[0].from_tokens, ranges[-1].to_tokens) == (0, 100)
    assert all(left.to_tokens == right.from_tokens for left, right in pairwise(ranges))
    lowest = min(cost_at(one, at) for one in series)
    # Ends of ranges are whole tokens, so a line may be left or taken up one token late.
    near = [one.pattern for one in ranges if one.from_tokens - 1 <= at <= one.to_tokens + 1]
    assert min(cost_at(one, at) for one in series if one.pattern in near) == pytest.approx(lowest, abs=1e-6)


def test_the_shape_of_the_demand_has_mean_one_and_the_peak_of_its_profile():
    day = [0.0] * 24
    day[9], day[10] = 3.0, 1.0
    busy = {"workloads.letters": None, "workloads.notes.profile": [day] * 7}
    shape = hourly_shape(small(busy))
    assert shape.mean() == pytest.approx(1.0)
    assert (shape[9], shape[10]) == pytest.approx((18.0, 6.0))


def test_the_shape_of_a_recording_is_that_of_its_requests():
    scenario = load_checked("scenarios/recorded_clinic.yaml", settings={"workloads.discharge_summary": None})
    table, shape = synthesise(scenario, 0), hourly_shape(scenario)
    tokens = table.prompt_tokens + table.output_tokens
    by_hour = np.bincount((table.arrival_s // 3600).astype(int), weights=tokens, minlength=len(shape))
    # One week again and again: any 168 hours have the month's mean.
    assert shape == pytest.approx(by_hour / by_hour[:168].mean(), rel=1e-9)


def test_only_what_may_be_chosen_is_the_cheapest():
    costings = {name: costing(name) for name in NAMES}
    curve = cost_curve(costings, ["rented", "hybrid"])
    assert {one.pattern for one in curve.cheapest} <= {"rented", "hybrid"}
    assert [one.pattern for one in curve.series] == list(NAMES)
    assert curve.series[1].tokens_per_month[-1] == 2_000_000_000


@pytest.mark.parametrize("meets", [5_000_000_000.0, 1_234_567_890.0])
def test_it_reaches_beyond_each_volume_it_is_asked_for(meets):
    """With the bill of just that volume there, not one read off between two points."""
    one = costing("rented")
    series = cost_curve({"rented": one}, ["rented"], meets=[meets]).series[0]
    assert max(series.tokens_per_month) >= max(2_000_000_000, 1.1 * meets)
    assert series.monthly_cost_usd[series.tokens_per_month.index(round(meets))] == float(one.bill_at(meets).total_usd)


@pytest.mark.parametrize("iteration", [1, 2.5])
def test_the_break_even_of_the_curve_is_that_of_the_formula(iteration):
    """Where no replica is added, the line of a cluster and that of an API with costs of its own cross where the formula
    says: half of 600M prompt tokens cached at a quarter of the price, an engineer, storage and compliance."""
    given = {
        "hosting_patterns.api.api.prices": {
            "prompt": "2 USD/1M tokens", "cached_prompt": "0.50 USD/1M tokens", "output": "8 USD/1M tokens",
        },
        "hosting_patterns.api.api.costs": {
            "prompt_iteration": iteration, "storage": "30 USD/month", "on_call": "100 USD/month", "compliance": "10 %",
        },
    }  # fmt: skip
    scenario = small(given)
    api = costing("api", scenario=scenario)
    (name,) = api.usage.apis
    api = replace(api, usage=replace(api.usage, apis={name: ApiUse(600_000_000, 300_000_000, 200_000_000)}))
    curve = cost_curve({"api": api, "rented": costing("rented", 10**11, scenario=scenario)}, ["api", "rented"])
    (first, second) = curve.cheapest
    assert (first.pattern, second.pattern) == ("api", "rented")
    million = iteration * (300 * 2 + 300 * 0.5 + 200 * 8) / 800
    assert first.to_tokens == pytest.approx((730.0 / 1.1 - 130.0) / million * 1e6, rel=1e-6)
