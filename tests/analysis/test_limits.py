"""Requests held against a limit: what is counted is what a plain loop counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.limits import AT_LIMIT, FACTORS, LimitTally

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
        assert met.tolist() == [one <= 1.78 for one in found[part]]
    counts = tally.counts
    assert sum(counts.within[: number + 1]) == sum(one <= 1.78 * FACTORS[number] for one in found)
    assert sum(counts.judged) == len(found)
    assert sum(counts.met) == sum(one <= 1.78 for one in found)
    assert tally.share == (pytest.approx(sum(counts.met) / len(found)) if found else None)


@pytest.mark.parametrize(("days", "blocks"), [(1, 8), (7, 8), (8, 8), (28, 28), (30.5, 31)])
def test_blocks_are_days_or_eighths(days, blocks):
    tally = LimitTally("e2e_s", 1.0, 3600.0, 3600.0 + days * 86_400.0)
    last = np.array([3600.0, 3600.0 + days * 86_400.0 - 1e-6])
    tally.add(last, np.array([2.0, 0.5]))
    counts = tally.counts
    assert len(counts.judged) == len(counts.met) == blocks
    assert (counts.judged[0], counts.judged[-1], counts.met[0], counts.met[-1]) == (1, 1, 0, 1)
