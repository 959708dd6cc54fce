import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis.sample import Sample, ranks

SHARES = (0.50, 0.90, 0.95, 0.99)
# So many are held in memory: next to none, all, and some of them at first.
HELD = (1, 2**20, 30)

# Ties, zero, neighbours that differ in the last bit, and all magnitudes.
values = st.one_of(st.sampled_from([0.0, 0.25, float(np.nextafter(0.25, 1.0)), 1.0]), st.floats(0.0, 1e300))
parts = st.lists(st.lists(values, max_size=40), max_size=6)


def sample(parts, held):
    found = Sample(held)
    for part in parts:
        found.add(np.array(part))
    return found


@given(parts.filter(any), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5))
def test_law_a_sample_in_a_file_has_the_quantiles_that_numpy_finds(parts, shares):
    whole = np.concatenate([np.array(part) for part in parts])
    expected = np.quantile(whole, shares, method="inverted_cdf").tolist()
    for held in HELD:
        assert sample(parts, held).quantiles(shares) == expected


@given(st.lists(values, min_size=1, max_size=300))
def test_quantiles_are_observed_and_ordered(values):
    found = sample([values], 2**20).quantiles(SHARES)
    assert set(found) <= set(values)
    assert found == sorted(found)
    assert sum(value <= found[-1] for value in values) >= 0.99 * len(values)


@pytest.mark.parametrize("held", HELD)
def test_p99_of_one_to_a_hundred_is_ninety_nine(held):
    assert sample([np.arange(1.0, 101.0)], held).quantiles([0.99]) == [99.0]


@settings(max_examples=300)
@given(st.integers(1, 20_000), st.one_of(st.sampled_from(SHARES), st.floats(0.0, 1.0)))
def test_a_rank_is_that_of_the_value_that_numpy_finds(count, share):
    assert ranks(count, share) == np.quantile(np.arange(count), share, method="inverted_cdf")


@pytest.mark.parametrize("held", HELD)
def test_the_mean_of_one_part_is_that_of_numpy_and_of_several_is_as_good(held):
    rng = np.random.default_rng(1)
    some, more = rng.lognormal(size=1000), rng.lognormal(size=500)
    assert sample([some], held).mean == some.mean()
    assert sample([some, more], held).mean == pytest.approx(np.concatenate([some, more]).mean(), rel=1e-12)


def test_a_large_sample_needs_no_more_memory_than_a_small_one():
    def peak(size):
        tracemalloc.start()
        found = Sample(1000)
        for _ in range(size):
            found.add(np.ones(20_000))
        found.quantiles(SHARES)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(50) < 1.1 * peak(10)


def test_the_file_of_a_sample_that_is_forgotten_is_closed():
    found = sample([np.ones(10)], 1)
    file = found._file
    del found
    gc.collect()
    assert file.closed
