"""The shape of a week: what recurs is kept, what strays once is not."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.units import DAY_S, HOUR_S, WEEK_S
from simulator.workload.hours import Hours, dispersion, shape, strays
from tests.parts import TRACES

DAY = 50.0 + 40.0 * np.sin(np.arange(24) / 24 * 2 * np.pi)
WEEKEND_DAY = np.roll(DAY, 6)
BUSY = np.array([1.2, 1.1, 1.0, 0.9, 0.8, 0.4, 0.3])
TRUTH = BUSY[:, None] * np.array([DAY] * 5 + [WEEKEND_DAY] * 2)


def seen(counts):
    counts = np.asarray(counts, np.float64)
    return Hours(counts, np.ones_like(counts), np.arange(len(counts)) % 7)


@given(
    begins_s=st.floats(0, WEEK_S - 1), span_s=st.floats(60.0, 3 * WEEK_S), at=st.lists(st.floats(0, 0.999), max_size=50)
)
def test_every_second_and_request_has_its_hour(begins_s, span_s, at):
    arrival_s = np.sort(np.array(at)) * span_s
    hours = Hours.of(arrival_s, span_s, begins_s)
    counts, shares = hours.week
    assert counts.sum() == len(at)
    assert shares.sum() * HOUR_S == pytest.approx(span_s)
    assert hours.seen.min() >= 0.0
    assert hours.seen.max() <= 1.0 + 1e-9
    assert (hours.seen[hours.counts > 0] > 0).all()
    assert hours.weekday[0] == int(begins_s // DAY_S) % 7


@given(st.integers(0, 99), st.integers(1, 3))
def test_days_stay_as_busy_as_they_were(seed, weeks):
    counts = np.random.default_rng(seed).poisson(np.tile(TRUTH, (weeks, 1)))
    hours = seen(counts)
    found = shape(hours, dispersion(hours))
    assert found.min() >= 0.0
    if weeks == 1:
        np.testing.assert_allclose(found.sum(axis=1), counts.sum(axis=1))


def test_weekends_keep_hours_of_their_own():
    hours = seen(np.random.default_rng(1).poisson(20 * TRUTH))
    assert dispersion(hours) == pytest.approx(1.0, abs=0.3)
    found = shape(hours, dispersion(hours)) / 20
    assert np.abs(found - TRUTH).sum() / TRUTH.sum() < 0.03


def test_an_hour_that_strays_once_is_chance_and_one_that_strays_every_week_is_not():
    odd = TRUTH.copy()
    odd[2, 4] *= 5.0
    rng = np.random.default_rng(2)
    once, twice = seen(rng.poisson(odd)), seen(rng.poisson(np.tile(odd, (4, 1))))
    assert shape(once, dispersion(once))[2, 4] < 0.5 * once.counts[2, 4]
    assert shape(twice, dispersion(twice))[2, 4] > 4.0 * TRUTH[2, 4]


def test_clumps_swings_and_days_are_in_the_strays():
    rng = np.random.default_rng(3)
    triple = seen(3.0 * rng.poisson(np.tile(TRUTH, (8, 1))))
    assert dispersion(triple) == pytest.approx(3.0, rel=0.1)
    assert (strays(triple, 3.0 * TRUTH) ** 2).mean() == pytest.approx(3.0, rel=0.1)
    days = np.exp(0.3 * rng.standard_normal((56, 1)))
    busy = seen(rng.poisson(np.tile(TRUTH, (8, 1)) * days))
    # How busy a day was as a whole moves no hour against the others.
    assert dispersion(busy) == pytest.approx(1.0, abs=0.15)
    assert (strays(busy, TRUTH).sum(axis=1) ** 2).mean() > 10.0 * (strays(busy, TRUTH) ** 2).mean()


def test_without_two_days_alike_nothing_strays():
    one = seen(TRUTH[:1])
    assert dispersion(one) is None
    assert strays(one, TRUTH) is None
    np.testing.assert_allclose(shape(one, 1.0)[0], TRUTH[0])


@pytest.mark.needs("public traces")
@pytest.mark.parametrize("name", ["language/m-large", "language/m-mid", "language/m-small", "client"])
def test_what_strays_in_one_public_week_does_not_in_the_next(name):
    """ServeGen, two weeks: total of three models and one client, requests per ten minutes.

    That is why the hours of a week seen once are drawn all the way to their day times the hours of its like.
    """
    hourly = servegen(name).reshape(2, 7, 24)
    usual = [np.outer(week.sum(axis=1), week.sum(axis=0)) / week.sum() for week in hourly]
    excess, mean = [week / day - 1.0 for week, day in zip(hourly, usual, strict=True)], usual[0] + usual[1]
    size = [np.sqrt((mean * one**2).sum()) for one in excess]
    assert abs((mean * excess[0] * excess[1]).sum() / (size[0] * size[1])) < 0.15
    for week, other in (hourly, hourly[::-1]):
        found = shape(seen(week), dispersion(seen(week)))
        assert apart(found, other) < 0.92 * apart(week, other)


def servegen(name):
    """Requests of each hour of two weeks."""
    if name == "client":
        rates = np.loadtxt(TRACES / "servegen_m-large_chunk-48-trace.csv", delimiter=",", usecols=1)
    else:
        with (TRACES / "servegen_aggregate_600s.csv").open(encoding="utf-8") as file:
            rates = np.array([float(row["total_req_per_s"]) for row in csv.DictReader(file) if row["model"] == name])
    return 600.0 * rates.reshape(-1, 6).sum(axis=1)


def apart(first, second):
    return 0.5 * np.abs(first / first.sum() - second / second.sum()).sum()
