import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulator.analysis.output_analysis import (
    difference,
    estimate,
    mser5,
    paired_difference,
    replications_needed,
    student,
)

values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


@given(values, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_interval_is_that_of_scipy(sample, level):
    found = estimate(sample, level)
    error = stats.sem(sample)
    if error > 1e-9:
        low, high = stats.t.interval(level, len(sample) - 1, loc=np.mean(sample), scale=error)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-6)


@given(values)
def test_interval_holds_its_mean_and_grows_with_the_level(sample):
    narrow, wide = estimate(sample, 0.90), estimate(sample, 0.99)
    assert wide.low <= narrow.low <= narrow.mean + 1e-9
    assert narrow.mean - 1e-9 <= narrow.high <= wide.high
    assert wide.half_width >= narrow.half_width >= 0.0


@given(values, st.floats(-100, 100), st.floats(0.1, 10))
def test_interval_moves_and_stretches_with_its_sample(sample, shift, factor):
    before, after = estimate(sample), estimate([factor * value + shift for value in sample])
    assert after.low == pytest.approx(factor * before.low + shift, rel=1e-6, abs=1e-3)
    assert after.half_width == pytest.approx(factor * before.half_width, rel=1e-6, abs=1e-3)


@given(values, values)
def test_a_difference_of_pairs_is_the_paired_test_at_95_percent(base, new):
    count = min(len(base), len(new))
    base, new = base[:count], new[:count]
    found = paired_difference(base, new)
    if stats.sem([after - before for before, after in zip(base, new, strict=True)]) > 1e-6:
        low, high = stats.ttest_rel(new, base).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-4)


def test_three_pairs_by_hand():
    """Differences 1, 2, 3: mean 2, deviation 1; t(2) at 97.5 % is 4.302653, over the root of three 2.484138."""
    found = paired_difference([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    assert found.half_width == pytest.approx(2.484138, abs=1e-6)
    assert estimate([1.0, 2.0, 3.0]).half_width == pytest.approx(2.484138, abs=1e-6)
    # Welch: the error of the base is nothing, so that of the new side is all there is.
    assert difference([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]).half_width == pytest.approx(2.484138, abs=1e-6)


def test_one_replication_has_no_interval():
    found = estimate([3.0])
    assert (found.mean, found.low, found.high, found.half_width) == (3.0, None, None, None)


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(20261123)
    found = [estimate(sample) for sample in rng.normal(10.0, 3.0, (2000, 5))]
    covered = sum(interval.low <= 10.0 <= interval.high for interval in found) / len(found)
    # Two thousand draws of a 95 % event: three standard errors are 1.5 %.
    assert covered == pytest.approx(0.95, abs=0.015)


def test_student_quantile_of_the_tables():
    assert student(4) == pytest.approx(2.776, abs=5e-4)
    assert student(9, 0.99) == pytest.approx(3.250, abs=5e-4)


@given(st.lists(st.floats(1.0, 100.0), min_size=3, max_size=20), st.floats(0.005, 0.5))
def test_replications_needed_is_the_least_number_that_does(sample, share):
    count = replications_needed(sample, share)
    spread, mean = np.std(sample, ddof=1), np.mean(sample)

    def half_width(number):
        return student(number - 1) * spread / np.sqrt(number)

    assert half_width(count) <= share * mean * (1 + 1e-9)
    assert count == 2 or half_width(count - 1) > share * mean * (1 - 1e-9)


@pytest.mark.parametrize("sample", [[1.0], [-1.0, 1.0]])
def test_replications_needed_refuses_what_it_cannot_judge(sample):
    with pytest.raises(ValueError, match="at least two replications"):
        replications_needed(sample, 0.1)


def test_mser5_finds_the_end_of_a_transient():
    rng = np.random.default_rng(7)
    transient = 20.0 * np.exp(-np.arange(2000) / 60.0)
    cut = mser5(transient + rng.normal(0.0, 1.0, 2000))
    assert 100 <= cut <= 400
    assert mser5(rng.normal(0.0, 1.0, 2000)) <= 400


@given(st.lists(st.floats(-1e3, 1e3), max_size=200))
def test_mser5_drops_whole_batches_and_at_most_half(sample):
    cut = mser5(np.array(sample))
    assert cut % 5 == 0
    assert 0 <= cut <= len(sample) / 2
