"""At which volumes one hosting pattern costs less than another: told from their bills, replicas added where needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.decision.costing import Costing

#: Between so many volumes, evenly spaced and by equal factors, bills are taken to bend no more than once.
_POINTS: Final = 20
#: Costs that differ by less are the same.
_NOTHING_USD: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Range:
    """Volumes at which a pattern costs no more than another.

    Attributes:
        from_tokens: The least, in tokens a month; 0 where it does from nothing on.
        to_tokens: The most; None where it does as far as was looked.
    """

    from_tokens: int
    to_tokens: int | None


@dataclass(frozen=True, slots=True)
class Nearest:
    """Where a pattern that never undercuts another comes nearest to it."""

    tokens_per_month: int
    more_usd: float


class Bills:
    """Monthly bills of one pattern by volume in whole tokens a month, each worked out once."""

    def __init__(self, costing: Costing) -> None:
        self.costing = costing
        self._known: dict[int, float] = {}

    def at(self, tokens_per_month: int) -> float:
        """USD a month at this volume, with the replicas it needs."""
        if self.costing.proportional and len(self.costing.renewal) <= 1:
            start_usd, slope_usd, found_usd = self._line
            return start_usd + (slope_usd + found_usd * self._found(tokens_per_month)) * tokens_per_month
        if tokens_per_month not in self._known:
            self._known[tokens_per_month] = float(self.costing.bill_at(tokens_per_month).total_usd)
        return self._known[tokens_per_month]

    @cached_property
    def _line(self) -> tuple[float, float, float]:
        """USD a month at no volume, and for each token, and more of each if a cache lacked nothing.

        All that tokens alone cost lies on one line, as long as the same share of them is cached.
        """
        caches = bool(self.costing.renewal)
        as_measured = replace(self.costing, shared=False) if caches else self.costing
        nothing, much = (float(as_measured.bill_at(volume).total_usd) for volume in (0, _MUCH))
        slope_usd = (much - nothing) / _MUCH
        if not caches:
            return nothing, slope_usd, 0.0
        apis = {name: use.missing(0.0) for name, use in self.costing.usage.apis.items()}
        all_found = replace(as_measured, usage=replace(self.costing.usage, apis=apis))
        return nothing, slope_usd, (float(all_found.bill_at(_MUCH).total_usd) - much) / _MUCH

    def _found(self, tokens_per_month: int) -> float:
        """How much of what the cache lacks at the simulated volume it has at this one; less than nothing below it."""
        if not self.costing.renewal:
            return 0.0
        factor = tokens_per_month / self.costing.tokens_per_month
        return sum(1.0 - one.missed(factor) for one in self.costing.renewal.values())


#: A volume whose tokens, as whole numbers, are as good as exact shares of it.
_MUCH: Final = 10**12


def undercuts(own: Bills, other: Bills, most: int) -> tuple[Range, ...]:
    """Volumes up to `most` tokens a month at which `own` costs no more than `other`; none where it never costs less."""

    def more(volume: int) -> float:
        return own.at(volume) - other.at(volume)

    places = [(volume, more(volume)) for volume in _places(own, other, most)]
    if all(more_usd > -_NOTHING_USD for _, more_usd in places):
        return ()
    edges = [0] if places[0][1] <= 0.0 else []
    for (left, before_usd), (right, after_usd) in pairwise(places):
        if (before_usd <= 0.0) is not (after_usd <= 0.0):
            edges.append(_turn(more, left, right))
    ends: list[int | None] = [turn - 1 for turn in edges[1::2]]
    return tuple(Range(start, end) for start, end in zip(edges[::2], [*ends, None][: len(edges[::2])], strict=True))


def nearest(own: Bills, other: Bills, most: int) -> Nearest:
    """Where `own` costs least beyond `other`, up to `most` tokens a month."""
    more_usd, volume = min((own.at(volume) - other.at(volume), volume) for volume in _places(own, other, most))
    return Nearest(volume, more_usd)


def _places(own: Bills, other: Bills, most: int) -> list[int]:
    """Volumes in whole tokens, ascending, between neighbours of which costs change steadily.

    Where a replica or a unit is added, the last volume without it and the first with it are neighbours; where clusters
    are full and the rest goes to an API, the bill bends.
    """
    even = (most * number / _POINTS for number in range(1, _POINTS + 1))
    by_factors = (most * 10.0 ** (-6.0 * number / _POINTS) for number in range(1, _POINTS + 1))
    both = (own.costing, other.costing)
    steps = {int(step) for one in both for step in (*one.steps(most), *one.unit_steps(most))}
    bends = (bend for one in both for bend in one.bends(most))
    return sorted({0} | {round(place) for place in (*even, *by_factors, *bends)} | steps | {step + 1 for step in steps})


def _turn(more: Callable[[int], float], low: int, high: int) -> int:
    """The first volume on the side of `high`, of a difference whose sign changes once between two whole numbers.

    By straight lines, which costs are between steps, and by halving where they are not.
    """
    side = more(high) <= 0.0
    while high - low > 1:
        start, end = more(low), more(high)
        guess = low + round((high - low) * start / (start - end)) if start != end else low
        for volume in (guess, guess + 1, guess - 1, (low + high) // 2):
            if low < volume < high:
                if (more(volume) <= 0.0) is side:
                    high = volume
                else:
                    low = volume
    return high
