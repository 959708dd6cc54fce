"""What one moved assumption does to a choice, in figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.decision.bar import HALF, TWICE, Bar, margin_usd, winner


def bar(low=None, high=None, flips_at=None):
    """From 10 over 20 to 40, with the margins at its ends."""
    return Bar("price", "USD", 10.0, 20.0, 40.0, low, high, "a", "b", flips_at, "")


@pytest.mark.parametrize(
    ("at", "flips"), [(None, False), (9.99, False), (10.0, True), (25.0, True), (40.0, True), (40.01, False)]
)
def test_it_flips_within_its_range_the_ends_among_it(at, flips):
    assert bar(flips_at=at).flips is flips


@pytest.mark.parametrize(
    ("low", "high", "swing"), [(5.0, -2.0, 7.0), (-2.0, 5.0, 7.0), (5.0, None, 0.0), (None, None, 0.0), (0.0, 3.0, 3.0)]
)
def test_the_swing_is_what_lies_between_the_ends_that_are_known(low, high, swing):
    assert bar(low, high).swing_usd == swing


def test_half_and_twice():
    assert (HALF, TWICE) == (1 / 2, 2)


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(-9, 9), max_size=4))
def test_law_a_margin_is_what_the_next_best_costs_beyond_the_best(costs):
    order = sorted((usd, name) for name, usd in costs.items())
    assert winner(costs) == (order[0][1] if order else None)
    for name in "abcd":
        others = [usd for usd, other in order if other != name]
        margin = margin_usd(name, costs)
        assert margin == (None if name not in costs or not others else others[0] - costs[name])
        # Of the cheapest it is never negative.
        assert margin is None or name != winner(costs) or margin >= 0
