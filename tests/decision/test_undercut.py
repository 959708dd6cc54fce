"""Where one bill is below another, of bills whose crossings are known by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor, log10
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.decision.undercut import Bills, Range, nearest, undercuts

MOST = 1_000_000


@dataclass
class Drawn:
    """A bill that is told point by point; straight between them, and a step up behind each of its steps."""

    usd: object
    stairs: list[int] = field(default_factory=list)
    units: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    proportional: bool = False
    renewal: dict[str, object] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def bill_at(self, volume):
        self.asked.append(volume)
        return SimpleNamespace(total_usd=self.usd(volume))

    def steps(self, most):
        return [step for step in self.stairs if step < most]

    def unit_steps(self, most):
        return [step for step in self.units if step < most]

    def bends(self, most):
        return [bend for bend in self.turns if bend < most]


def bills(usd, **more):
    return Bills(Drawn(usd, **more))


FLAT = bills(lambda volume: 100.0)


def test_from_a_crossing_on_and_up_to_one():
    slope = bills(lambda volume: 0.001 * volume)
    assert undercuts(slope, FLAT, MOST) == (Range(0, 100_000),)
    assert undercuts(FLAT, slope, MOST) == (Range(100_000, None),)
    # Between two whole tokens.
    odd = bills(lambda volume: 0.001 * volume + 0.0005)
    assert undercuts(odd, FLAT, MOST) == (Range(0, 99_999),)
    assert undercuts(FLAT, odd, MOST) == (Range(100_000, None),)


def test_what_costs_the_same_at_nothing_and_less_beyond_does_so_from_nothing_on():
    one, other = bills(lambda volume: 0.001 * volume), bills(lambda volume: 0.002 * volume)
    assert undercuts(one, other, MOST) == (Range(0, None),)
    assert undercuts(other, one, MOST) == undercuts(one, one, MOST) == ()


@pytest.mark.parametrize("kind", ["stairs", "units"])
def test_a_step_ends_a_range_with_the_last_volume_before_it(kind):
    """90 USD up to 300,000 tokens, 110 up to 300,007, 90 again: steps are told as floats."""
    steps = bills(lambda volume: 110.0 if 300_000 < volume <= 300_007 else 90.0, **{kind: [300_000.9, 300_007.2]})
    assert undercuts(steps, FLAT, MOST) == (Range(0, 300_000), Range(300_008, None))
    assert undercuts(FLAT, steps, MOST) == (Range(300_001, 300_007),)


def test_a_bend_is_looked_at():
    """Cheaper by a dollar at its bend alone, and by nothing a hundred tokens aside."""
    sharp = bills(lambda volume: 99.0 + 0.01 * abs(volume - 333_333), turns=[333_333])
    assert undercuts(sharp, FLAT, MOST) == (Range(333_233, 333_433),)


def test_what_is_dearer_right_behind_a_step_and_cheaper_soon_after_is_seen():
    """Ten dollars cheaper up to 300,000 tokens; ten dearer from there, and cheaper again from 320,000 on."""
    own = bills(lambda volume: 90.0 if volume <= 300_000 else 110.0 - 0.0005 * (volume - 300_000), stairs=[300_000])
    assert undercuts(own, FLAT, MOST) == (Range(0, 300_000), Range(320_000, None))


def test_a_turn_between_two_places_two_tokens_apart():
    own = bills(lambda volume: 100.0 + 10.0 * (volume - 300_000.5), turns=[300_000, 300_002])
    assert undercuts(own, FLAT, MOST) == (Range(0, 300_000),)


@given(
    st.lists(st.integers(1, MOST - 1), max_size=4, unique=True).map(sorted),
    st.lists(st.integers(0, 200).filter(lambda usd: usd != 100), min_size=5, max_size=5),
)
def test_law_of_stairs_each_volume_is_inside_exactly_where_it_costs_less(stairs, heights):
    def usd(volume):
        return float(heights[sum(step < volume for step in stairs)])

    own = bills(usd, stairs=stairs)
    for ranges, below in ((undercuts(own, FLAT, MOST), True), (undercuts(FLAT, own, MOST), False)):
        for volume in {0, MOST, *stairs, *(step + 1 for step in stairs)}:
            inside = any(
                one.from_tokens <= volume <= (MOST if one.to_tokens is None else one.to_tokens) for one in ranges
            )
            assert inside is ((usd(volume) < 100.0) is below)


def test_each_volume_is_priced_once_and_a_line_twice():
    own = Drawn(lambda volume: 100.0 + volume)
    kept = Bills(own)
    assert [kept.at(volume) for volume in (5, 7, 5, 5)] == [105.0, 107.0, 105.0, 105.0]
    assert own.asked == [5, 7]
    straight = Drawn(lambda volume: 100.0 + 0.002 * volume, proportional=True)
    line = Bills(straight)
    assert [line.at(volume) for volume in (0, 1000, 1_000_000)] == pytest.approx([100.0, 102.0, 2100.0])
    assert len(straight.asked) == 2


def test_the_nearest_is_where_least_is_missing():
    """A cluster of 150 USD beside an API that costs up to 140, with a step that makes it dearer beyond 400,000."""
    own = bills(lambda volume: 150.0 if volume <= 400_000 else 300.0, stairs=[400_000])
    other = bills(lambda volume: 0.00014 * volume)
    found = nearest(own, other, MOST)
    assert (found.tokens_per_month, found.more_usd) == (400_000, pytest.approx(150.0 - 56.0))


def test_a_range_among_few_tokens_is_seen_however_far_the_bills_go():
    """Cheaper from 10^3.4 to 10^4.2 tokens, and nothing told there; of 10^6 that is looked at by factors."""
    own = bills(lambda volume: 99.6 + abs(log10(max(volume, 1)) - 3.8))
    (found,) = undercuts(own, FLAT, MOST)
    assert (found.from_tokens, found.to_tokens) == (ceil(10**3.4), floor(10**4.2))


def test_what_is_paid_for_whole_tokens_alone_is_told_by_exact_shares():
    """A third of the tokens are cached, and paid in whole: three tokens of ten are no third."""
    own = Bills(Drawn(lambda volume: 2e-6 * round(volume / 3), proportional=True))
    for volume in (10, 1_000_003, 10**10):
        assert own.at(volume) == pytest.approx(2e-6 * volume / 3, rel=1e-9)
