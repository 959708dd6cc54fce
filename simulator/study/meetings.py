"""Break-evens held against simulations: what a cluster and an API cost at the volume at which their bills meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.decision.screening import cost_of, missed
from simulator.decision.words import usd, volume

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.decision.costing import Costing
    from simulator.decision.crossings import Crossing
    from simulator.experiment.pattern_result import PatternResult

#: A break-even is found where the cluster costs less by no more than this share of its cost, or after so many tries.
CLOSE: Final = 0.01
_TRIES: Final = 5
#: No volume is simulated beyond so many times the one that the bills derive: where overflow keeps the bills nearly
#: parallel, a straight line points at volumes that nobody asks for.
REACH: Final = 3.0


@dataclass(frozen=True, slots=True)
class Meeting:
    """A cluster and an API, simulated at the least volume at which the cluster costs no more.

    Attributes:
        cluster: Pattern with a cluster.
        api: Metered pattern.
        tokens_per_month: The volume; None where the bills never meet.
        cluster_usd: What the cluster costs there.
        api_usd: What the API costs there.
        within_headroom: Whether the cluster meets every objective at that volume.
        text: The same in words.
        replicas: Replicas the cluster has there.
    """

    cluster: str
    api: str
    tokens_per_month: int | None
    cluster_usd: float | None
    api_usd: float | None
    within_headroom: bool
    text: str
    replicas: int = 0


@dataclass(frozen=True, slots=True)
class _Try:
    """Both simulated at one volume."""

    tokens_per_month: int
    replicas: int
    cluster_usd: float
    api_usd: float
    missed: tuple[str, ...]

    @property
    def saved_usd(self) -> float:
        """What the cluster costs less, a month."""
        return self.api_usd - self.cluster_usd


def meeting(row: Crossing, costing: Costing, at: Callable[..., dict[str, PatternResult]]) -> Meeting:
    """Simulate the volume at which the bills meet, and others near it until the cluster costs hardly less.

    Args:
        row: What the bills of one volume say.
        costing: What prices the cluster.
        scenario: The scenario.
        at: Simulates patterns at so many times the scenario's volume, clusters with `larger` times their replicas.
    """
    if not row.tokens_per_month:
        return Meeting(
            row.cluster,
            row.api,
            row.tokens_per_month,
            row.cluster_usd,
            row.api_usd,
            within_headroom=row.tokens_per_month is not None,
            text=row.text,
            replicas=row.replicas,
        )

    def simulate(tokens: int) -> _Try:
        replicas = costing.replicas_at(tokens)
        there = at(tokens / costing.tokens_per_month, row.cluster, row.api, larger=replicas / max(1, costing.replicas))
        failing = tuple(name for name in (row.cluster, row.api) if missed(there[name]))
        return _Try(tokens, replicas, cost_of(there[row.cluster]), cost_of(there[row.api]), failing)

    tried, tokens = [simulate(row.tokens_per_month)], row.tokens_per_month
    while len(tried) < _TRIES and not 0.0 <= tried[-1].saved_usd <= CLOSE * tried[-1].cluster_usd:
        tokens = _next(row, tried)
        if not 0 < tokens <= REACH * row.tokens_per_month or tokens in [one.tokens_per_month for one in tried]:
            break
        tried.append(simulate(tokens))
    cheaper = [one for one in tried if one.saved_usd >= 0.0]
    found = min(cheaper, key=lambda one: one.tokens_per_month) if cheaper else tried[-1]
    return Meeting(
        row.cluster,
        row.api,
        found.tokens_per_month,
        found.cluster_usd,
        found.api_usd,
        within_headroom=row.cluster not in found.missed,
        text=_told(row, found),
        replicas=found.replicas,
    )


def _next(row: Crossing, tried: Sequence[_Try]) -> int:
    """The volume at which the cluster should cost a trifle less, on a straight line."""
    last = tried[-1]
    wanted_usd, slope = 0.5 * CLOSE * last.cluster_usd, row.usd_per_million_tokens / 1e6
    if len(tried) > 1:
        before = tried[-2]
        secant = (last.saved_usd - before.saved_usd) / (last.tokens_per_month - before.tokens_per_month)
        slope = secant if secant > 0.0 else slope
    return round(last.tokens_per_month + (wanted_usd - last.saved_usd) / slope) if slope > 0.0 else 0


def _told(row: Crossing, found: _Try) -> str:
    there = f"{volume(found.tokens_per_month)} a month"
    if found.saved_usd < 0.0:
        more = usd(-found.saved_usd)
        return f"{row.cluster} and {row.api} were to meet near {there}: simulated, {row.cluster} costs {more} USD more"
    last = row.ranges[0].to_tokens
    until = "" if last is None else f", as derived up to {volume(last)}"
    many = f", with {found.replicas} replicas" if found.replicas > 1 else ""
    missed = f", but {' and '.join(found.missed)} misses objectives there" if found.missed else ", at every objective"
    return f"{row.cluster} undercuts {row.api} from {there}{until}{many}{missed}"
