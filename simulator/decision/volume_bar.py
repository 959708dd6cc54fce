"""What another volume would do to a verdict: what each pattern costs there, and whether it keeps its limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from simulator.decision.bar import Bar, margin_usd, winner
from simulator.decision.cost_curve import Cheapest, cheapest
from simulator.decision.plausible import Factors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.decision.cost_curve import CostCurve
    from simulator.decision.plausible import Candidate
    from simulator.decision.ranges import Driver

#: Places at which limits are looked at from each end of the range to the other: 1.4 % apart for half to twice.
_PLACES = 101


@dataclass(frozen=True, slots=True)
class _Kept:
    """Patterns that keep their limits in a range of volumes, in tokens a month."""

    names: frozenset[str]
    from_tokens: float
    to_tokens: float


def volume_bar(best: str, found: Sequence[Candidate], curve: CostCurve, range_: Driver) -> Iterator[Bar]:
    """Half and twice the volume, or what a scenario says of its growth.

    Args:
        best: The pattern that the margins are about.
        found: All that could be chosen.
        curve: What they cost at any volume.
        range_: How far the volume may be from what the scenario says.
    """
    known = {one.name: one for one in found if one.costing is not None}
    today = known[best].costing.tokens_per_month if best in known else 0.0  # type: ignore[union-attr]
    if not today:
        return
    pieces = _pieces(list(known.values()), range_, today)
    low, high = (
        {name: _cost(known[name], times) for name in sorted(piece.names)}
        for piece, times in ((pieces[0], range_.low), (pieces[-1], range_.high))
    )
    flip = _flip(_ranges(curve, pieces), best, today)
    places = sorted({point.factor for one in known.values() for point in one.points})
    simulated = (
        f"limits simulated at {', '.join(f'{place:.3g}' for place in places)} times" if places else "costs alone"
    )
    yield Bar(
        factor="volume",
        unit="tokens a month",
        low=range_.low * today,
        base=today,
        high=range_.high * today,
        margin_low_usd=margin_usd(best, low),
        margin_high_usd=margin_usd(best, high),
        recommended_low=winner(low),
        recommended_high=winner(high),
        flips_at=None if flip is None else float(flip[0]),
        basis=f"{range_.basis}: {range_.source}; {simulated}, derived from the scenario's volume",
        text="" if flip is None else _text(flip, best, today, pieces),
    )


def _cost(one: Candidate, times: float) -> float:
    assert one.costing is not None
    return float(one.costing.bill_at(one.costing.tokens_per_month * times).total_usd)


def _pieces(found: Sequence[Candidate], range_: Driver, today: float) -> list[_Kept]:
    """From nothing without end, who keeps its limits; beyond the range as at its ends."""
    places = np.unique([1.0, *np.geomspace(range_.low, range_.high, _PLACES)])
    kept = np.array([one.keeps(Factors.at_volume(places)) for one in found])
    names = [frozenset(one.name for one, does in zip(found, column, strict=True) if does) for column in kept.T]
    pieces = [_Kept(names[0], 0.0, np.inf)]
    for at, (before, after) in enumerate(pairwise(names)):
        if before != after:
            turn = float(np.sqrt(places[at] * places[at + 1])) * today
            pieces[-1] = replace(pieces[-1], to_tokens=turn)
            pieces.append(_Kept(after, turn, np.inf))
    return pieces


def _ranges(curve: CostCurve, pieces: Sequence[_Kept]) -> list[Cheapest]:
    """Which pattern to choose, range by range; the empty text where none keeps its limits."""
    most = max((one.tokens_per_month[-1] for one in curve.series), default=0)
    found: list[Cheapest] = []
    for piece in pieces:
        start, end = round(piece.from_tokens), round(min(piece.to_tokens, most))
        inside = cheapest([one for one in curve.series if one.pattern in piece.names]) or [Cheapest("", start, end)]
        for one in inside:
            cut = Cheapest(one.pattern, max(one.from_tokens, start), min(one.to_tokens, end))
            if found and found[-1].pattern == cut.pattern and cut.from_tokens <= cut.to_tokens:
                found[-1] = replace(found[-1], to_tokens=max(found[-1].to_tokens, cut.to_tokens))
            elif cut.from_tokens < cut.to_tokens:
                found.append(cut)
    return found


def _flip(ranges: Sequence[Cheapest], best: str, today: float) -> tuple[int, str] | None:
    """The volume nearest to today's from which another pattern is the choice, and which, or none."""
    found = []
    for left, right in pairwise(ranges):
        if best in (left.pattern, right.pattern):
            other = right.pattern if left.pattern == best else left.pattern
            found.append((abs(left.to_tokens - today), left.to_tokens, other))
    return min(found)[1:] if found else None


def _text(flip: tuple[int, str], best: str, today: float, pieces: Sequence[_Kept]) -> str:
    """What happens there, and whether that is for what it costs or for limits."""
    at, other = flip
    turns = [(left, right) for left, right in pairwise(pieces) if round(left.to_tokens) == at]
    names = turns[0][1 if at > today else 0].names if turns else frozenset((best, other))
    digits = next((count for count in range(3) if f"{at / 1e6:.{count}f}" != f"{today / 1e6:.{count}f}"), 3)
    volume = f"{at / 1e6:,.{digits}f}M tokens a month instead of {today / 1e6:,.{digits}f}M"
    if best not in names:
        then = f"{other} is the choice" if other else "no pattern keeps its limits"
        return f"at about {volume}, {best} misses its limits: {then}"
    if turns and other not in turns[0][0 if at > today else 1].names:
        return f"at about {volume}, {other} keeps its limits, and costs least"
    return f"at {volume}, {other} costs least (derived)"
