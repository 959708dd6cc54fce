"""What is kept for a while after its last use: how often it is gone, beside arrivals that are drawn."""

from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.decision.renewal import Renewal

#: A quiet hour, an empty one and a busy one; what each counts is not what comes in it.
HOURLY, WEIGHTS = np.array([0.5, 0.0, 2.5]), np.array([1.0, 2.0, 5.0])


@pytest.mark.parametrize(
    ("kept", "gone"), [(0.0, 1.0), (2.0, (exp(-1) + 2 + 5 * exp(-5)) / 8), (0.4, (exp(-0.2) + 2 + 5 * exp(-1)) / 8)]
)
def test_by_hand(kept, gone):
    assert Renewal(HOURLY, WEIGHTS, kept).gone == pytest.approx(gone)


def test_of_arrivals_that_are_drawn_it_is_the_share_after_a_longer_gap():
    gaps_s = np.random.default_rng(7).exponential(40.0, 200_000)
    flat = np.ones(3)
    found = Renewal.of(float((gaps_s > 60.0).mean()), flat, flat)
    assert found.kept == pytest.approx(1.5, abs=0.02)
    # At three times the volume.
    assert found.missed(3.0) * found.gone == pytest.approx((gaps_s > 180.0).mean(), abs=0.002)


@given(st.floats(0.26, 0.99), st.floats(0.0, 20.0))
def test_law_it_is_told_from_the_share_that_was_gone(gone, factor):
    """The empty hour, two eighths of all, is gone whatever comes in the others."""
    found = Renewal.of(gone, HOURLY, WEIGHTS)
    assert found.gone == pytest.approx(gone, abs=1e-9)
    assert found.missed(1.0) == pytest.approx(1.0)
    assert (found.missed(factor) - 1.0) * (1.0 - factor) >= -1e-9


@pytest.mark.parametrize("gone", [0.0, 1.0])
def test_of_what_was_never_gone_or_always_nothing_is_known(gone):
    assert Renewal.of(gone, HOURLY, WEIGHTS) is None
