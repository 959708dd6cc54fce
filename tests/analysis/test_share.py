"""Intervals of shares: against tables, against other ways to say the same, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from simulator.analysis.share import ShareSample, exceeds

LEVELS = st.sampled_from([0.9, 0.95, 0.99])


@given(total=st.integers(1, 5000), part=st.floats(0.0, 0.2), limit=st.sampled_from([0.01, 0.05]))
def test_a_share_exceeds_a_limit_where_the_binomial_test_says_so(total, part, limit):
    count = round(part * total)
    chance = binomtest(count, total, limit, alternative="greater").pvalue
    assert exceeds([count], [total], limit) is bool(chance < 0.01)


def test_losses_that_come_together_say_less_than_as_many_by_themselves():
    """Of 4,000 requests 60 are lost, where 40 may be: 15 in each replication, or all in one."""
    assert exceeds([15] * 4, [1000] * 4, 0.01)
    assert not exceeds([60, 0, 0, 0], [1000] * 4, 0.01)
    assert exceeds([300, 250, 340, 310], [1000] * 4, 0.01)


@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=6), st.sampled_from([100, 1000]), st.sampled_from([0.01, 0.05])
)
def test_law_of_several_replications_there_are_as_many_fewer_requests_as_they_spread_wider(counts, each, limit):
    """Against the variance of their means, told by numpy, over that of independent requests."""
    runs, total, count = len(counts), each * len(counts), sum(counts)
    share = count / total
    found = exceeds(counts, [each] * runs, limit)
    if share <= limit:
        assert not found
        return
    wider = max(1.0, np.var(np.array(counts) / each, ddof=1) / (share * (1.0 - share) / each))
    assert found is bool(beta.cdf(limit, count / wider, (total - count) / wider + 1.0) < 0.01)


def test_what_all_lose_exceeds_any_limit_and_a_limit_itself_is_not_exceeded():
    assert exceeds([20, 20], [20, 20], 0.5)
    assert not exceeds([50_000, 50_000], [100_000, 100_000], 0.5)


def even(requests, missed, replications=1, blocks=1):
    """The same in every block of every replication."""
    judged = np.full((replications, blocks), requests, np.int64)
    return ShareSample(judged, judged - missed)


@given(requests=st.integers(2, 400), missed=st.integers(0, 400), level=LEVELS)
def test_with_very_many_blocks_all_alike_it_is_the_interval_of_clopper_and_pearson(requests, missed, level):
    missed = min(missed, requests)
    sample = even(requests, missed, replications=2, blocks=5000)
    exact = binomtest(sample.requests - 10_000 * missed, sample.requests).proportion_ci(level, method="exact")
    assert sample.interval(level) == pytest.approx((exact.low, exact.high), abs=2e-5)


def test_of_no_request_nothing_is_known():
    nothing = even(0, 0, replications=3, blocks=4)
    assert nothing.interval(0.95) == (0.0, 1.0)
    assert nothing.replications_to_tell(0.99, 0.95) is None


counts = st.integers(1, 6).flatmap(
    lambda runs: st.integers(1, 8).flatmap(
        lambda blocks: st.lists(
            st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=runs * blocks, max_size=runs * blocks
        ).map(lambda rows: (runs, blocks, rows))
    )
)


@given(given=counts, level=LEVELS)
def test_it_holds_the_share_and_grows_with_the_level(given, level):
    runs, blocks, rows = given
    judged = np.array([max(row) for row in rows], np.int64).reshape(runs, blocks)
    sample = ShareSample(judged, np.array([min(row) for row in rows], np.int64).reshape(runs, blocks))
    low, high = sample.interval(level)
    if not sample.requests:
        return
    assert 0.0 <= low <= sample.share <= high <= 1.0
    wider = sample.interval(0.999)
    assert wider[0] <= low + 1e-12
    assert high <= wider[1] + 1e-12
    # Never narrower than that of independent requests, by the same formula for as many of them.
    met = int(sample.met.sum())
    exact = binomtest(met, sample.requests).proportion_ci(level, method="exact")
    assert low <= exact.low + 1e-9
    assert high >= exact.high - 1e-9


def test_one_burst_counts_as_one_event():
    """Forty late requests spread out, or all in one day of one replication: as many, but not as sure."""
    judged = np.full((4, 10), 100, np.int64)
    spread, burst = judged - 1, judged.copy()
    burst[0, 0] -= 40
    alone, together = ShareSample(judged, spread).interval(0.95), ShareSample(judged, burst).interval(0.95)
    assert ShareSample(judged, burst).share == ShareSample(judged, spread).share == 0.99
    assert together[1] - together[0] > 3.0 * (alone[1] - alone[0])


def test_one_replication_of_four_blocks_by_hand():
    """Nine of ten met, but for six in the last block: off by 1, 1, 1 and -3, of which the squares sum to 12.

    Four thirds of that is 16, where independent requests have 40 x 0.9 x 0.1 = 3.6: 40 requests say as much as 9, less
    what three degrees of freedom leave in doubt, (1.959964 / 3.182446)².
    """
    low, high = ShareSample(np.array([[10, 10, 10, 10]]), np.array([[10, 10, 10, 6]])).interval(0.95)
    count = 40 / (16 / 3.6) * (1.959964 / 3.182446) ** 2
    met = 0.9 * count
    assert low == pytest.approx(beta.ppf(0.025, met, count - met + 1), rel=1e-5)
    assert high == pytest.approx(beta.ppf(0.975, met + 1, count - met), rel=1e-5)


def test_replications_that_differ_as_wholes_are_told_apart_by_nothing_but_their_number():
    """Each replication alike within: between them, a few figures are all there is."""
    judged = np.full((4, 20), 500, np.int64)
    met = judged - np.array([[0], [0], [1], [19]])
    low, high = ShareSample(judged, met).interval(0.95)
    share = met.sum() / judged.sum()
    student = 3.182 * np.std((met.sum(axis=1) / judged.sum(axis=1)), ddof=1) / 2.0
    assert high - low > student
    assert low < share - 0.6 * student


@pytest.mark.parametrize(
    ("shift", "swing", "squares", "degrees"),
    [
        # Within: 1.5 x (20 shift² + 20 swing²). Between: 1.5 x 2 x (10 shift)². F of 2 and 18 degrees is 10, 0.1 %.
        (12, 0, 300 * 12**2, 2),
        # 3.08, 7 %: they differ, and not so clearly that only their number would count.
        (12, 18, 300 * 12**2, 20),
        # 2.60, 10.2 %, and 0.59: alike.
        (32, 54, 30 * (32**2 + 54**2), 20),
        (12, 48, 30 * (12**2 + 48**2), 20),
    ],
)
def test_three_replications_of_ten_blocks_by_hand(shift, swing, squares, degrees):
    """93 % of 1,000 in each block, the first replication a little below, the last above, and swinging from block to
    block, the first and the second against each other."""
    judged = np.full((3, 10), 1000, np.int64)
    sign = np.array([1, -1] * 5)
    off = np.array([-shift + swing * sign, -swing * sign, np.full(10, shift)])
    sample = ShareSample(judged, 930 + off)
    assert sample.share == 0.93
    student = {2: 4.302653, 20: 2.085963}[degrees]
    count = 30_000 / (squares / (30_000 * 0.93 * 0.07)) * (1.959964 / student) ** 2
    low, high = sample.interval(0.95)
    assert low == pytest.approx(beta.ppf(0.025, 0.93 * count, 0.07 * count + 1), rel=1e-5)
    assert high == pytest.approx(beta.ppf(0.975, 0.93 * count + 1, 0.07 * count), rel=1e-5)
    # Another share of as many.
    low, high = sample.interval_at(0.5, 0.95)
    assert (low, high) == pytest.approx((beta.ppf(0.025, 0.5 * count, 0.5 * count + 1), 1.0 - low), rel=1e-5)


@given(missed=st.integers(0, 30), target=st.sampled_from([0.95, 0.99]))
def test_so_many_replications_tell_and_one_fewer_does_not(missed, target):
    sample = even(200, missed, replications=4, blocks=8)
    wanted = sample.replications_to_tell(target, 0.99)
    if wanted is None:
        assert sample.share == pytest.approx(target, abs=3e-4)
        return

    def tells(count):
        low, high = even(200, missed, replications=count, blocks=8).interval(0.99)
        return low >= target or high < target

    assert tells(max(wanted, 4))
    assert wanted <= 4 or not tells(wanted - 1)


# One day in seven may be bad, a whole replication may be, or nothing is.
def independent(rng, share, runs, blocks):
    return np.full((runs, blocks), share)


def bad_days(rng, share, runs, blocks):
    return 1.0 - np.minimum(1.0, (1.0 - share) * rng.gamma(0.5, 2.0, (runs, blocks)))


def bad_weeks(rng, share, runs, blocks):
    return 1.0 - np.minimum(1.0, (1.0 - share) * rng.gamma(2.0, 0.5, (runs, 1)) * np.ones(blocks))


def coverage(kind, share, runs, blocks, requests, level, trials, seed=1):
    """How often the interval holds the truth, and how often it lies above and below it."""
    rng = np.random.default_rng(seed)
    held = above = below = 0
    for _ in range(trials):
        judged = rng.poisson(requests, (runs, blocks))
        met = rng.binomial(judged, kind(rng, share, runs, blocks))
        low, high = ShareSample(judged, met).interval(level)
        held += low <= share <= high
        above += low > share
        below += high < share
    return held / trials, above / trials, below / trials


@pytest.mark.parametrize(
    ("kind", "runs", "requests", "share"),
    [(independent, 1, 300, 0.99), (independent, 4, 260, 0.99), (bad_days, 8, 260, 0.98), (bad_weeks, 8, 260, 0.98)],
)
def test_an_interval_of_95_per_cent_holds_the_truth_as_often(kind, runs, requests, share):
    held, _, _ = coverage(kind, share, runs, 7, requests, 0.95, trials=400)
    assert held > 0.915  # three standard errors below 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", [independent, bad_days, bad_weeks])
@pytest.mark.parametrize(
    ("runs", "blocks", "requests", "share"),
    [(2, 8, 300, 0.99), (4, 8, 260, 0.99), (4, 8, 4, 0.99), (4, 28, 900, 0.99), (8, 8, 260, 0.98), (20, 8, 30, 0.95)],
)
def test_coverage_in_many_settings(kind, runs, blocks, requests, share):
    """Whole weeks that are bad are what two to four of them hardly show."""
    held, above, below = coverage(kind, share, runs, blocks, requests, 0.95, trials=2000)
    print(f"{kind.__name__} {runs} x {blocks} x {requests}, {share}: {held:.3f}, above {above:.3f}, below {below:.3f}")
    assert held > ({2: 0.75, 4: 0.84}.get(runs, 0.92) if kind is bad_weeks else 0.92)


def test_what_is_plain_is_told_by_three_replications():
    """Of 45,000 independent requests 99.5 % are 15 standard errors above 99 %, whichever way they fell on the weeks."""
    rng, missed = np.random.default_rng(3), 0
    for _ in range(500):
        judged = rng.poisson(500, (3, 30))
        missed += ShareSample(judged, rng.binomial(judged, 0.995)).interval(0.99)[0] < 0.99
    assert missed <= 5
