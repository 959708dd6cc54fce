"""What each hosting pattern costs at any volume, with the volumes at which a replica is added.

Derived from one simulated volume, see `simulator.decision.costing`; a break-even near a step deserves a simulation at
that volume (`simulator rollout`, or a sweep).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import pairwise
from math import floor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulator.decision.costing import Costing

#: The curve reaches at least this far, in tokens a month, with so many points between.
REACH_TOKENS: Final = 2_000_000_000
_POINTS: Final = 40
#: How much farther than its last break-even it reaches.
_BEYOND: Final = 1.15
BASIS: Final = (
    "derived: the bill of the simulated tokens, scaled; a replica is added where the busiest hour of the expected "
    "demand exceeds what a full batch serves"
)


@dataclass(frozen=True, slots=True)
class Series:
    """One hosting pattern; a step has two points at one volume.

    Attributes:
        pattern: Its name.
        kind: Its kind.
        tokens_per_month: Prompt plus output tokens, ascending.
        monthly_cost_usd: At each of them.
        replicas: At each of them, over all clusters; 0 for an API.
    """

    pattern: str
    kind: str
    tokens_per_month: list[int]
    monthly_cost_usd: list[float]
    replicas: list[int]


@dataclass(frozen=True, slots=True)
class Cheapest:
    """A range of volumes in which one of the patterns that may be chosen costs least."""

    pattern: str
    from_tokens: int
    to_tokens: int


@dataclass(frozen=True, slots=True)
class CostCurve:
    """Cost against volume.

    Attributes:
        basis: How the figures came about.
        today_tokens_per_month: The volume of the scenario.
        series: One per simulated pattern.
        cheapest: Which pattern costs least, range by range, from nothing to the end of the curve.
    """

    basis: str
    today_tokens_per_month: int
    series: list[Series]
    cheapest: list[Cheapest]


def cost_curve(
    costings: Mapping[str, Costing], choosable: Sequence[str], basis: str = BASIS, meets: Sequence[float] = ()
) -> CostCurve:
    """Cost of every pattern from nothing to two billion tokens a month, twice today's volume, or beyond all of `meets`.

    Args:
        costings: By pattern.
        choosable: Patterns that may be chosen; only these can be the cheapest.
        basis: How what the clusters can serve came about.
        meets: Volumes that are to be on it, each with a point of its own: where patterns cost the same.
    """
    today = max((one.tokens_per_month for one in costings.values()), default=0.0)
    most = max(float(REACH_TOKENS), 2.0 * today, *(_BEYOND * volume for volume in meets))
    series = [_series(name, one, most, meets) for name, one in costings.items()]
    return CostCurve(basis, round(today), series, cheapest([one for one in series if one.pattern in choosable]))


def _series(name: str, costing: Costing, most: float, meets: Sequence[float]) -> Series:
    grid = (*(most * number / _POINTS for number in range(_POINTS + 1)), *meets)
    points = [(volume, costing.replicas_at(volume)) for volume in grid]
    for number, volume in enumerate(costing.steps(most)):
        before = costing.replicas + number * costing.unit
        points += [(volume, before), (volume, before + costing.unit)]
    points += [(volume, costing.replicas_at(volume)) for volume in costing.kinks(most)]
    points += [(end, costing.replicas) for step in costing.unit_steps(most) for end in (floor(step), floor(step) + 1)]
    points = sorted(set(points))
    bills = [float(costing.bill_at(volume, replicas).total_usd) for volume, replicas in points]
    return Series(
        name, costing.pattern.kind, [round(volume) for volume, _ in points], bills, [count for _, count in points]
    )


def cost_at(series: Series, tokens_per_month: float) -> float:
    """Cost on the line between the neighbouring points; before a step, the cost before it."""
    xs, ys = series.tokens_per_month, series.monthly_cost_usd
    at = bisect_left(xs, tokens_per_month)
    if at == 0:
        return ys[0]
    if at == len(xs):
        return ys[-1]
    share = (tokens_per_month - xs[at - 1]) / (xs[at] - xs[at - 1])
    return ys[at - 1] + share * (ys[at] - ys[at - 1])


def cheapest(series: Sequence[Series]) -> list[Cheapest]:
    """The lower envelope of these lines."""
    if not series:
        return []
    edges = sorted({x for one in series for x in one.tokens_per_month})
    found: list[Cheapest] = []
    for left, right in pairwise(edges):
        for start, end in _pieces(series, left, right):
            best = min(series, key=lambda one: (_inside(one, left, right, 0.5 * (start + end)), one.pattern)).pattern
            if found and found[-1].pattern == best:
                found[-1] = replace(found[-1], to_tokens=round(end))
            else:
                found.append(Cheapest(best, round(start), round(end)))
    return found


def _pieces(series: Sequence[Series], left: int, right: int) -> Iterator[tuple[float, float]]:
    """An interval without points, cut where two of its straight lines cross."""
    ends = [(_inside(one, left, right, left), _inside(one, left, right, right)) for one in series]
    cuts = {float(left), float(right)}
    for number, (a0, a1) in enumerate(ends):
        for b0, b1 in ends[number + 1 :]:
            if (a0 - b0) * (a1 - b1) < 0.0:
                cuts.add(left + (right - left) * (a0 - b0) / ((a0 - b0) - (a1 - b1)))
    ordered = sorted(cuts)
    return pairwise(ordered)


def _inside(one: Series, left: int, right: int, at: float) -> float:
    """Cost within an open interval that has no point of any line: after a step at its left, before one at its right."""
    xs, ys = one.tokens_per_month, one.monthly_cost_usd
    after = max(index for index, x in enumerate(xs) if x <= left)
    before = min(index for index, x in enumerate(xs) if x >= right)
    share = (at - xs[after]) / (xs[before] - xs[after])
    return ys[after] + share * (ys[before] - ys[after])
