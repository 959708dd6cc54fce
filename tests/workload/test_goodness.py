"""Two draws of one demand agree as often as they should; demands that differ do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from simulator.trace.nesting import Nesting
from simulator.units import WEEK_S
from simulator.workload.goodness import Observed, compare, seen_before
from simulator.workload.synthesis import synthesise
from tests.workload.clinic import scenario, source

NOTES = {
    "volume": {"requests_per_month": 12_000},
    "profile": "radiology_anomaly",
    "arrivals": {"kind": "poisson", "burst_mean": 2, "burst_spacing": "20s"},
    "prompt_tokens": {"kind": "lognormal", "median": 900, "sigma": 0.6},
    "output_tokens": {"kind": "lognormal", "median": 300, "sigma": 0.6},
    "shared_prefix": {"tokens": 200, "variants": 8},
    "correlation": 0.4,
}


def seen(seed, weeks=1, **changes):
    demand = scenario({"start": "2027-03-01", "duration": f"{weeks}w"}, seed, notes=source(**(NOTES | changes)))
    return Observed(synthesise(demand, 0), weeks * WEEK_S, 0.0)


@pytest.fixture(scope="module")
def alike():
    return [compare([seen(2 * number)], [seen(2 * number + 1)]) for number in range(12)]


def test_differences_of_one_demand_are_chance_nineteen_times_in_twenty(alike):
    judged = [one.within for goodness in alike for one in goodness.statistics if one.within is not None]
    assert len(judged) > 12 * 15
    # Statistics of one pair go together, so the share itself strays.
    assert np.mean(judged) > 0.88
    hours = [goodness.hour_of_week for goodness in alike]
    assert {hour.hours for hour in hours} == {168}
    assert sum(hour.within for hour in hours) >= 9


def test_a_demand_is_no_further_from_itself_than_nothing():
    one = seen(1)
    goodness = compare([one], [one])
    assert all(stat.first == stat.second for stat in goodness.statistics)
    assert set(goodness.distances.values()) == {0.0}
    assert goodness.hour_of_week.distance == 0.0
    assert goodness.block_s == 86_400


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"prompt_tokens": {"kind": "lognormal", "median": 1100, "sigma": 0.6}}, "prompt tokens, p50"),
        ({"arrivals": {"kind": "poisson", "burst_mean": 6, "burst_spacing": "20s"}}, "dispersion of counts, 10 min"),
        ({"correlation": 0.0}, "correlation of prompt and output"),
        ({"shared_prefix": None}, "prompt tokens seen before"),
        ({"volume": {"requests_per_month": 24_000}}, "requests per hour"),
    ],
)
def test_a_difference_is_found(changes, named):
    goodness = compare([seen(1)], [seen(2, **changes), seen(3, **changes)])
    assert {one.name: one.within for one in goodness.statistics}[named] is False


def test_what_a_prompt_begins_with_was_seen_before_though_its_own_prefix_is_new():
    # 3 and 4 begin with 100 tokens of 1; 5 with 250 of 3.
    nesting = Nesting.of(np.array([3, 4, 5]), np.array([1, 1, 3]), np.array([100, 100, 250]))
    prefix = np.array([3, 4, 5, -1, 1, 3, 5], np.int32)
    tokens = np.array([300, 300, 400, 0, 120, 300, 400], np.int32)
    table = dataclasses.replace(seen(1).table.rows(slice(7)), prefix_id=prefix, prefix_tokens=tokens).nested(nesting)
    # New; 100 of 1; 250 of 3; none; of the 120 of 1 those that were sent; all of 3; all of 5.
    assert seen_before(table).tolist() == [0, 100, 250, 0, 100, 300, 400]


def test_a_model_is_no_surer_than_what_it_was_learned_from():
    week, lesson, drawn = seen(1), seen(4), [seen(2), seen(3), seen(5)]
    unaware = compare([week], drawn)
    aware = compare([week], [dataclasses.replace(one, learned_from=lesson) for one in drawn])
    # The recording is one of the kind, so its blocks' variance comes on top, as it does of two weeks: Welch.
    apart = {one.name: one.error for one in compare([week], [lesson]).statistics}
    for before, after in zip(unaware.statistics, aware.statistics, strict=True):
        assert (before.first, before.second) == (after.first, after.second)
        assert max(before.error, 0.85 * apart[before.name]) < after.error < 1.3 * apart[before.name]
    assert unaware.hour_of_week.chance < aware.hour_of_week.chance
    assert unaware.hour_of_week.distance == aware.hour_of_week.distance


def test_another_profile_is_found():
    hours = compare([seen(1)], [seen(2, profile="clinical_documentation")]).hour_of_week
    assert not hours.within


def test_hours_are_compared_where_both_have_them_at_the_hour_they_are():
    one = seen(1, weeks=2)
    later = one.table.arrival_s >= 5.5 * 86_400
    table = one.table.rows(later)
    moved = dataclasses.replace(table, arrival_s=table.arrival_s - 5.5 * 86_400)
    cut = Observed(moved, 7 * 86_400.0, 5.5 * 86_400)
    hours = compare([cut], [one]).hour_of_week
    assert hours.hours == 168
    assert hours.within
    assert compare([cut], [dataclasses.replace(one, begins_s=None)]).hour_of_week is None
