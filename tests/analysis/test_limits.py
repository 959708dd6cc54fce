"""Requests held against a limit: what is counted is what a plain loop counts."""

from __future__ import annotations

from math import log, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.limits import API_TIMES, AT_LIMIT, EQUAL_S, FACTORS, LimitTally

latencies = st.lists(st.floats(0.0, 1e6) | st.sampled_from([1.78, 0.89, 3.56, float("inf")]), max_size=60)


def test_the_limit_its_half_and_its_double_are_among_the_factors():
    assert FACTORS[AT_LIMIT] == 1.0
    assert {0.5, 0.25, 2.0, 4.0} <= set(FACTORS.tolist())
    assert (np.diff(FACTORS) > 0.0).all()
    near = FACTORS[(FACTORS >= 0.25) & (FACTORS <= 4.0)]
    assert np.diff(np.log(near)).max() < 0.0055


@given(found=latencies, cut=st.integers(0, 60), number=st.sampled_from([AT_LIMIT, AT_LIMIT - 128, AT_LIMIT + 7]))
def test_counts_are_those_of_a_loop_however_the_requests_are_cut(found, cut, number):
    tally = LimitTally("ttft_s", 1.78, 0.0, 86_400.0)
    arrival_s = np.linspace(0.0, 86_399.0, len(found))
    for part in (slice(cut), slice(cut, None)):
        met = tally.add(arrival_s[part], np.array(found[part], float))
        assert met.tolist() == [one <= 1.78 + EQUAL_S for one in found[part]]
    counts = tally.counts
    assert sum(counts.within[: number + 1]) == sum(one <= 1.78 * FACTORS[number] + EQUAL_S for one in found)
    assert sum(counts.judged) == len(found)
    assert sum(counts.met) == sum(one <= 1.78 + EQUAL_S for one in found)
    assert tally.share == (pytest.approx(sum(counts.met) / len(found)) if found else None)


@pytest.mark.parametrize(("days", "blocks"), [(1, 8), (7, 8), (8, 8), (28, 28), (30.5, 31)])
def test_blocks_are_days_or_eighths(days, blocks):
    tally = LimitTally("e2e_s", 1.0, 3600.0, 3600.0 + days * 86_400.0)
    last = np.array([3600.0, 3600.0 + days * 86_400.0 - 1e-6])
    tally.add(last, np.array([2.0, 0.5]))
    counts = tally.counts
    assert len(counts.judged) == len(counts.met) == blocks
    assert (counts.judged[0], counts.judged[-1], counts.met[0], counts.met[-1]) == (1, 1, 0, 1)


@given(st.floats(0.0, 400 * 86_400.0), st.floats(0.001, 86_400.0), st.integers(1, 3))
def test_law_what_takes_its_limit_exactly_keeps_it_whenever_it_comes(arrival_s, limit_s, stages):
    """A stamp is a sum of doubles, so that the time between two of them is the limit but for some nanoseconds."""
    end_s = arrival_s
    for _ in range(stages):
        end_s += limit_s / stages
    tally = LimitTally("e2e_s", limit_s, 0.0, 400 * 86_400.0)
    late = np.array([end_s - arrival_s, end_s + 1e-5 - arrival_s])
    assert tally.add(np.array([arrival_s, arrival_s]), late).tolist() == [True, False]


def test_the_factors_reach_as_far_as_is_said():
    assert (FACTORS[0], FACTORS[-1], len(FACTORS)) == (2.0**-12, 2.0**12, 160 + 513 + 160)
    assert (API_TIMES[0], API_TIMES[128], API_TIMES[-1], len(API_TIMES)) == (0.25, 1.0, 4.0, 257)


api_answers = st.tuples(st.floats(0.0, 20.0), st.floats(0.01, 20.0), st.booleans())


@given(st.lists(api_answers, max_size=30), st.integers(0, 30))
def test_law_an_answer_of_an_api_is_within_at_the_factors_at_which_it_would_have_been(drawn, cut):
    """So long admission took, and so long the API itself; some were answered by no API."""
    tally, now = LimitTally("e2e_s", 10.0, 0.0, 100.0), 0
    for part in (drawn[:cut], drawn[cut:]):
        waited, own, api = (np.array(column) for column in zip(*part, strict=True)) if part else ([np.zeros(0)] * 3)
        met = tally.add(np.zeros(len(part)), waited + own, np.where(api, own, np.nan) if part else np.zeros(0))
        now += int((met & (api > 0)).sum())
    counts = tally.counts.by_api
    assert counts[128] == now
    assert (np.diff(counts) <= 0).all()
    for factor, count in zip(API_TIMES.tolist(), counts, strict=True):
        # What comes to the limit but for a rounding may fall on either side.
        sure, perhaps = (
            sum(waited + own * factor <= 10.0 + slack for waited, own, api in drawn if api) for slack in (-1e-9, 1e-9)
        )
        assert sure <= count <= perhaps


def test_latencies_of_which_nobody_knows_count_nowhere():
    tally = LimitTally("ttft_s", 2.0, 0.0, 80.0)
    tally.add(np.array([0.0, 15.0, 79.0]), np.array([np.nan, 1.0, np.inf]))
    counts = tally.counts
    assert (counts.judged, counts.met, counts.undecided) == ([0, 1, 0, 0, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0, 0, 0], 1)
    # What got no answer is beyond the last factor.
    assert (sum(counts.within), counts.within[AT_LIMIT - 128]) == (1, 1)
    assert tally.share == 0.5


def test_what_comes_outside_of_its_time_belongs_to_the_first_or_the_last_block():
    tally = LimitTally("ttft_s", 2.0, 10.0, 90.0)
    tally.add(np.array([9.0, 10.0, 19.9, 20.0, 90.0, 95.0]), np.ones(6))
    assert tally.counts.judged == [3, 1, 0, 0, 0, 0, 0, 2]


def test_an_answer_that_would_come_with_its_limit_is_within_it():
    """Six of ten seconds, four of them the API's own: twice those are ten. Ten seconds, all its own: once."""
    tally = LimitTally("e2e_s", 10.0, 0.0, 100.0)
    tally.add(np.zeros(1), np.array([6.0]), np.array([4.0]))
    assert tally.counts.by_api == [int(factor <= 2.0) for factor in API_TIMES]
    tally.add(np.zeros(1), np.array([10.0]), np.array([10.0]))
    assert tally.counts.by_api == [int(factor <= 2.0) + int(factor <= 1.0) for factor in API_TIMES]


@pytest.mark.parametrize("days", [2, 4, 7, 28])
@pytest.mark.parametrize(("median_h", "sigma"), [(20.0, 0.8), (10.0, 0.7), (0.05, 0.3)])
def test_law_the_share_within_a_limit_does_not_hang_on_the_length_of_the_horizon(days, median_h, sigma):
    """Lognormal answers, cut off where the horizon ends; the true share is that of their distribution."""
    rng, limit_s, end_s = np.random.default_rng(1), 2 * 86_400.0, days * 86_400.0
    arrival_s = np.sort(rng.uniform(0.0, end_s, 60_000))
    latency_s = median_h * 3600.0 * np.exp(sigma * rng.standard_normal(len(arrival_s)))
    still_open = arrival_s + latency_s > end_s
    judged = np.where(still_open & (end_s - arrival_s <= limit_s), np.nan, latency_s)
    tally = LimitTally("e2e_s", limit_s, 0.0, end_s)
    for rows in np.array_split(np.arange(len(arrival_s)), 7):
        tally.add(arrival_s[rows], judged[rows], judged[rows])
    counts, truth = tally.counts, NormalDist().cdf(log(limit_s / 3600.0 / median_h) / sigma)
    assert counts.undecided == np.isnan(judged).sum()
    followed = arrival_s.size if median_h < 1.0 else (arrival_s <= end_s - limit_s).sum()
    assert sum(counts.judged) == followed - (counts.undecided if median_h < 1.0 else 0)
    assert counts.by_api[API_TIMES.tolist().index(1.0)] == sum(counts.met)
    if median_h > 1.0 and days == 2:
        # None was followed for two days: nothing is known.
        assert tally.share is None
    else:
        assert tally.share == pytest.approx(truth, abs=4.0 * sqrt(truth * (1.0 - truth) / sum(counts.judged)) + 1e-9)
