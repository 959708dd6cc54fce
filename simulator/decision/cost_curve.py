"""What each hosting pattern costs at any volume, with the volumes at which a replica is added.

Derived from one simulated volume, not simulated at each: the bill is the pattern's own, of the tokens, busy time and
replicas another volume needs. A cluster gets another replica where the busiest hour of the demand asks for more than
a full batch can serve; a hybrid keeps its cluster, and its API takes what an hour has too much of. Queueing makes both
need a little more, so a break-even near a step deserves a simulation at that volume (`simulator rollout`, or a sweep).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.cost.bill import Bill, monthly_bill
from simulator.cost.usage import ApiUse, Usage
from simulator.scenario.costs import Purchase
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.lengths import mean_tokens
from simulator.workload.volume import expected_requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from simulator.cost.prices import PriceBook
    from simulator.scenario.patterns import HostedCluster, HostingPattern
    from simulator.scenario.schema import Scenario

#: Steps drawn; a cluster that needs more of them is far beyond its place.
_MOST_STEPS: Final = 64
#: The curve reaches at least this far, in tokens a month, with so many points between.
REACH_TOKENS: Final = 2_000_000_000
_POINTS: Final = 40
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


@dataclass(frozen=True, eq=False)
class Costing:
    """What is needed to price one hosting pattern at a volume other than the simulated one.

    Attributes:
        pattern: The hosting pattern.
        usage: What was measured.
        book: Price book.
        month_hours: Length of the billed month.
        hourly: Expected tokens of each hour of the horizon over their mean.
        capacity_tokens_per_month: What its clusters could serve of this mix; 0 for an API.
    """

    pattern: HostingPattern
    usage: Usage
    book: PriceBook
    month_hours: Decimal
    hourly: NDArray[np.float64] = field(repr=False)
    capacity_tokens_per_month: int = 0

    @cached_property
    def tokens_per_month(self) -> float:
        """Served tokens at the simulated volume."""
        served = self.usage.served_prompt_tokens + self.usage.served_output_tokens
        return served * float(self.month_hours) / self.usage.hours

    @cached_property
    def replicas(self) -> int:
        """Replicas as configured."""
        return sum(one.cluster.replicas for one in self.pattern.hosted.values())

    @property
    def grows(self) -> bool:
        """Whether more volume means more replicas: nothing else can take what does not fit."""
        return bool(self.pattern.hosted) and not self.pattern.metered

    def replicas_at(self, tokens_per_month: float) -> int:
        """Replicas that the busiest hour of this volume needs; never fewer than configured."""
        if not self.grows or self.capacity_tokens_per_month <= 0:
            return self.replicas
        unit = self.unit
        each = self.capacity_tokens_per_month * unit / self.replicas
        need = ceil(tokens_per_month * float(self.hourly.max()) / each - 1e-9) * unit
        return max(self.replicas, need)

    def steps(self, most: float) -> list[float]:
        """Volumes from which another replica is needed."""
        if not self.grows or self.capacity_tokens_per_month <= 0:
            return []
        # Each replica adds what it can serve in the busiest hour, as tokens of the whole month.
        each = self.capacity_tokens_per_month * self.unit / self.replicas / float(self.hourly.max())
        first = self.replicas // self.unit
        numbers = range(first, min(ceil(most / each), first + _MOST_STEPS))
        return [number * each for number in numbers if number * each < most]

    @property
    def unit(self) -> int:
        """Replicas added at once: one of a single cluster, one more of everything where there are several."""
        return 1 if len(self.pattern.hosted) == 1 else self.replicas

    def bill_at(self, tokens_per_month: float, replicas: int | None = None) -> Bill:
        """The bill of a month at this volume, with as many replicas as it needs unless told."""
        count = self.replicas_at(tokens_per_month) if replicas is None else replicas
        pattern = self.pattern if count == self.replicas else with_replicas(self.pattern, count / self.replicas)
        factor = tokens_per_month / self.tokens_per_month if self.tokens_per_month else 0.0
        return monthly_bill(pattern, self._usage_at(factor, count), self.book, self.month_hours)

    def _usage_at(self, factor: float, replicas: int) -> Usage:
        measured = self._measured_share
        sent = self._sent_at(factor)
        kept = (1.0 - sent) / (1.0 - measured) if measured < 1.0 else 0.0
        busy = factor * kept * (self.replicas / replicas if replicas else 1.0)
        return replace(
            self.usage,
            clusters={
                name: replace(use, busy_fraction=min(1.0, use.busy_fraction * busy))
                for name, use in self.usage.clusters.items()
            },
            apis=self._api_use(factor, sent),
            served_prompt_tokens=round(self.usage.served_prompt_tokens * factor),
            served_output_tokens=round(self.usage.served_output_tokens * factor),
        )

    @cached_property
    def _measured_share(self) -> float:
        """Share of the served tokens that the APIs charged for; a pattern without clusters sends everything."""
        if not self.pattern.hosted:
            return 1.0
        billed = sum(use.prompt_tokens + use.output_tokens for use in self.usage.apis.values())
        served = self.usage.served_prompt_tokens + self.usage.served_output_tokens
        return min(1.0, billed / served) if served else 0.0

    def _sent_at(self, factor: float) -> float:
        """Share that goes to the API: as measured, and what the busy hours have too much of beyond that."""
        if not self.pattern.metered or not self.pattern.hosted:
            return self._measured_share
        now, then = self._excess(1.0), self._excess(factor)
        beyond = max(0.0, then - now) / (1.0 - now) if now < 1.0 else 0.0
        return self._measured_share + (1.0 - self._measured_share) * beyond

    def _excess(self, factor: float) -> float:
        """Share of the expected demand above what the clusters serve in its hour."""
        asked = self.hourly * self.tokens_per_month * factor
        total = float(asked.sum())
        return float(np.maximum(asked - self.capacity_tokens_per_month, 0.0).sum()) / total if total else 0.0

    def _api_use(self, factor: float, sent: float) -> dict[str, ApiUse]:
        if self._measured_share > 0.0:
            more = factor * sent / self._measured_share
            return {name: _times(use, more) for name, use in self.usage.apis.items()}
        # Nothing was sent yet: whatever comes has the mix of the whole, and goes to the first.
        served = ApiUse(self.usage.served_prompt_tokens, 0, self.usage.served_output_tokens)
        return {
            name: _times(served, factor * sent) if number == 0 else use
            for number, (name, use) in enumerate(self.usage.apis.items())
        }


def hourly_shape(scenario: Scenario) -> NDArray[np.float64]:
    """Expected tokens of each cell of the calendar, as a rate over the mean rate."""
    calendar = ClinicalCalendar(scenario.horizon)
    length_s = calendar.cells.length_s
    tokens = np.zeros(len(length_s))
    for load in scenario.workloads.values():
        each = mean_tokens(load.prompt_tokens) + mean_tokens(load.output_tokens, load.max_tokens)
        tokens += each * expected_requests(load, scenario, calendar)
    mean = tokens.sum() / length_s.sum()
    return tokens / length_s / mean if mean else np.ones(len(length_s))


def with_replicas(pattern: HostingPattern, factor: float) -> HostingPattern:
    """The pattern with this many times the replicas; bought hardware costs as many times as much."""
    grown = {name: _grown(one, factor) for name, one in pattern.hosted.items()}
    if pattern.clusters is not None:  # type: ignore[union-attr]
        return pattern.model_copy(update={"clusters": grown})
    (one,) = grown.values()
    return pattern.model_copy(update={"cluster": one.cluster, "costs": one.costs})


def _grown(one: HostedCluster, factor: float) -> HostedCluster:
    cluster = one.cluster.model_copy(update={"replicas": round(one.cluster.replicas * factor)})
    costs, compute = one.costs, one.costs.compute
    if isinstance(compute, Purchase):
        exact = Decimal(str(factor))
        prices = {name: getattr(compute, name) * exact for name in ("gpus", "chassis", "infrastructure")}
        costs = costs.model_copy(update={"compute": compute.model_copy(update=prices)})
    return one.model_copy(update={"cluster": cluster, "costs": costs})


def cost_curve(costings: Mapping[str, Costing], choosable: Sequence[str]) -> CostCurve:
    """Cost of every pattern from nothing to two billion tokens a month, or twice today's volume.

    Args:
        costings: By pattern.
        choosable: Patterns that may be chosen; only these can be the cheapest.
    """
    today = max((one.tokens_per_month for one in costings.values()), default=0.0)
    most = max(float(REACH_TOKENS), 2.0 * today)
    series = [_series(name, one, most) for name, one in costings.items()]
    return CostCurve(BASIS, round(today), series, cheapest([one for one in series if one.pattern in choosable]))


def _series(name: str, costing: Costing, most: float) -> Series:
    grid = (most * number / _POINTS for number in range(_POINTS + 1))
    points = [(volume, costing.replicas_at(volume)) for volume in grid]
    for number, volume in enumerate(costing.steps(most)):
        before = costing.replicas + number * costing.unit
        points += [(volume, before), (volume, before + costing.unit)]
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


def _times(use: Any, factor: float) -> Any:  # noqa: ANN401 - whatever an API meters
    """Every count of a use, times the same."""
    counts = {part.name: getattr(use, part.name) for part in fields(use)}
    return replace(use, **{name: round(count * factor) for name, count in counts.items() if isinstance(count, int)})
