"""What each pattern costs, and whether it keeps its limits, where prices, volume and speeds are not what is said.

Nothing is simulated here: a bill is proportional to its prices; at other volumes it is that of `Costing`; longer steps
were simulated at both ends of their band, other volumes at some places (`volumes`), and between those figures lie on a
line; an API that takes longer is late with those answers that had less time to spare. A pattern that no place was
simulated of keeps at any volume what it keeps today.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.cost.bill import Bill
from simulator.cost.lines import BillLine
from simulator.decision.ranges import API_TIME, STEP_TIME, VOLUME, Driver, api_time_range, fixed_lines, split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from simulator.decision.costing import Costing
    from simulator.decision.screening import Screening
    from simulator.experiment.objectives import LimitSample
    from simulator.experiment.pattern_result import PatternResult
    from simulator.experiment.step_time_band import BandEnd
    from simulator.scenario.schema import Scenario

#: Between the ends of the range of volumes, so many places at which a bill is worked out where it may bend.
_PLACES: Final = 8


@dataclass(frozen=True)
class Factors:
    """Draws, as factors on what the scenario says (each of shape: draws).

    Attributes:
        prices: By price (shape: draws, prices + 1; the last is always 1).
        api_time: On the time that APIs take.
        volume: On the volume.
        step_time: On step times, of the cluster with the widest band; others are as far along theirs.
    """

    prices: NDArray[np.float64]
    api_time: NDArray[np.float64]
    volume: NDArray[np.float64]
    step_time: NDArray[np.float64]

    @classmethod
    def of(cls, given: Sequence[Driver], drawn: NDArray[np.float64]) -> Factors:
        """Columns by their driver; 1 for whatever is not among them."""
        column = {one.id: drawn[:, at] for at, one in enumerate(given)}
        ones = np.ones(len(drawn))
        prices = [column[one.id] for one in given if one.lines]
        rest = (column.get(name, ones) for name in (API_TIME, VOLUME, STEP_TIME))
        return cls(np.column_stack([*prices, ones]), *rest)

    @classmethod
    def at_api_time(cls, times: NDArray[np.float64]) -> Factors:
        """APIs taking so many times as long, all else as the scenario says."""
        ones = np.ones(len(times))
        return cls(ones[:, np.newaxis], times, ones, ones)

    @classmethod
    def at_volume(cls, volume: NDArray[np.float64]) -> Factors:
        """So many times the volume, all else as the scenario says."""
        ones = np.ones(len(volume))
        return cls(ones[:, np.newaxis], ones, volume, ones)


@dataclass(frozen=True)
class VolumePoint:
    """A pattern at another volume, in the first replication.

    Attributes:
        factor: How many times the volume.
        overloaded: Whether a queue grows.
        times_as_long: By workload and limit, how many times as long as at today's volume the wanted share of the
            requests takes; None where fewer are answered.
        samples: By workload, its requests held against each limit.
    """

    factor: float
    overloaded: bool
    times_as_long: Mapping[str, Mapping[str, float | None]]
    samples: Mapping[str, Sequence[LimitSample]] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A pattern that would be chosen, did it meet its limits and cost least.

    Attributes:
        result: What was measured.
        costing: What prices it at other volumes; None where it served nothing.
        given: What is unsure.
        unheld: Whether it counts as keeping limits that as measured it just misses: it is the choice for want of a
            better one.
        fixed: Lines of its bill that are what they are, see `fixed_lines`.
        measured_apis: Whether the speed of all its APIs was measured, and so stays what it is.
        points: What becomes of it at other volumes, as far as they were simulated, in their order.
    """

    result: PatternResult
    costing: Costing | None
    given: Sequence[Driver]
    unheld: bool = False
    fixed: frozenset[str] = frozenset()
    measured_apis: bool = False
    points: Sequence[VolumePoint] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.result.name

    def costs(self, factors: Factors) -> NDArray[np.float64]:
        """USD a month at each draw."""
        position = self._position(factors.step_time)
        amounts = self._at_volume(factors.volume)
        for end, part in ((self._longer[0], -position), (self._longer[1], position)):
            amounts = amounts + np.outer(np.maximum(part, 0.0) * factors.volume, end)
        return np.asarray((amounts * factors.prices).sum(axis=1))

    def keeps(self, factors: Factors) -> NDArray[np.bool_]:
        """Whether it keeps every limit at each draw, as far as was measured."""
        position = self._position(factors.step_time)
        kept = np.ones(len(position), np.bool_)
        band = self.result.step_time_band
        for end, part in ((band.low, -position), (band.high, position)) if band else ():
            if end.overloaded:
                kept &= part <= 0.5
        nearest = self._nearest(factors.volume)
        kept &= ~np.array([point.overloaded for point in self._known])[nearest]
        api_time = np.ones_like(position) if self.measured_apis else factors.api_time
        for name, load in self.result.workloads.items():
            if load.objective is None:
                continue
            target = load.objective.target_share
            for sample in load.samples:
                measured = sample.sample.share if sample.sample.requests else 0.0
                wanted = min(target, measured) if self.unheld else target
                slower = self._times_as_long(name, sample.metric, position)
                share = self._share_at(name, sample, factors.volume, (api_time, slower))
                kept &= share >= wanted - 1e-12
        return kept

    def crossing(self, left: float, right: float) -> float | None:
        """The volume between two that were simulated at which a share is as great as wanted, where it is at only one.

        The normal quantile of a share is taken to lie on a line over the logarithm of the volume. Of several limits it
        is the one that turns first on the way from where all are kept.

        Returns:
            Factor on the volume; None where no share says, as where only a queue grows.
        """
        ends = {point.factor: point for point in self._known}
        found = []
        for name, load in self.result.workloads.items():
            target = load.objective.target_share if load.objective else 1.0
            for sample in load.samples if target < 1.0 else ():
                before, after = (self._share_seen(ends[factor], name, sample) for factor in (left, right))
                if before is not None and after is not None and (before >= target) is not (after >= target):
                    low, high = map(NormalDist().inv_cdf, (before, after))
                    found.append((NormalDist().inv_cdf(target) - low) / (high - low))
        if not found:
            return None
        kept_left = bool(self.keeps(Factors.at_volume(np.array([left])))[0])
        return float(left * (right / left) ** (min(found) if kept_left else max(found)))

    @staticmethod
    def _share_seen(point: VolumePoint, workload: str, today: LimitSample) -> float | None:
        """Share within a limit at a place that was simulated, half a request off none and all; None without any."""
        seen = today if point.factor == 1.0 else None
        for own in point.samples.get(workload, ()):
            seen = own if own.metric == today.metric else seen
        if seen is None or not seen.sample.requests:
            return None
        half = 0.5 / seen.sample.requests
        return min(max(seen.sample.share, half), 1.0 - half)

    def _position(self, step_time: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far along its band: -1 at the low end, 1 at the high one; 0 where it has none."""
        widest = self._unsure(STEP_TIME)
        if widest is None or self.result.step_time_band is None:
            return np.zeros(len(step_time))
        ends = np.log([widest.low, 1.0, widest.high])
        return np.interp(np.log(step_time), ends, [-1.0, 0.0, 1.0])

    def _share_at(
        self,
        workload: str,
        sample: LimitSample,
        volume: NDArray[np.float64],
        times: tuple[NDArray[np.float64], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        """Share of a workload within a limit at each draw."""
        api_time, slower = times
        if not self._overloaded:
            longer = self._longer_at(workload, sample.metric, volume)
            answered = np.isfinite(longer)
            longer = np.where(answered, longer, 1.0)
            return np.where(answered, sample.share_at(api_time * longer, slower * longer), -1.0)
        # Nothing lies on a line from an overload: the nearest place speaks for itself.
        shares, nearest = sample.share_at(api_time, slower), self._nearest(volume)
        for at, point in enumerate(self._known):
            for own in point.samples.get(workload, ()):
                if own.metric == sample.metric:
                    shares = np.where(nearest == at, own.share_at(api_time, slower), shares)
        return shares

    def _longer_at(self, workload: str, metric: str, volume: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many times as long requests take at a volume; without end where too few are answered at the nearest."""
        known = [point.times_as_long.get(workload, {}).get(metric, 1.0) for point in self._known]
        nearest, found = self._nearest(volume), np.ones(len(volume))
        for stretch, at in self._stretches(volume):
            # A place at which too few are answered says nothing about the way there.
            answered = [number for number in at if known[number] is not None]
            if answered:
                factors, longer = zip(
                    *((self._known[number].factor, known[number]) for number in answered), strict=True
                )
                ends = np.interp(np.log(volume[stretch]), np.log(factors), np.log(np.array(longer, np.float64)))
                found[stretch] = np.exp(ends)
        return np.where(np.array([one is None for one in known])[nearest], np.inf, found)

    def _nearest(self, volume: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which known volume is nearest to each, of those with as many replicas; today's of two that are as near."""
        found = np.zeros(len(volume), np.int64)
        for stretch, at in self._stretches(volume):
            away = np.abs(np.log(volume[stretch])[:, np.newaxis] - np.log([self._known[one].factor for one in at]))
            away += [1e-9 * (self._known[one].factor != 1.0) for one in at]
            found[stretch] = np.array(at)[away.argmin(axis=1)]
        return found

    def _stretches(self, volume: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
        """Draws with as many replicas, and the known volumes that have as many, or all where none has."""
        steps = self._replica_steps
        draws, places = (np.searchsorted(steps, each) for each in (volume, [one.factor for one in self._known]))
        for count in np.unique(draws):
            yield draws == count, np.flatnonzero(places == count).tolist() or list(range(len(self._known)))

    @cached_property
    def _overloaded(self) -> bool:
        """Whether a queue grows today."""
        return self.result.saturation == "overloaded"

    @cached_property
    def _known(self) -> list[VolumePoint]:
        """All volumes that were simulated, today's among them, ascending."""
        today = VolumePoint(1.0, self._overloaded, {})
        return sorted([*self.points, today], key=lambda one: one.factor)

    @cached_property
    def _replica_steps(self) -> NDArray[np.float64]:
        """Factors on the volume at which it has as many requests as its replicas are priced for."""
        if self.costing is None or not self.points or not self.costing.tokens_per_month:
            return np.zeros(0)
        today = self.costing.tokens_per_month
        # A place at a step itself is before it, whatever rounding says.
        return np.array(self.costing.steps(max(one.factor for one in self.points) * today)) / today * (1.0 + 1e-12)

    def _times_as_long(self, workload: str, metric: str, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many times as long requests take; half-way to an end at which too few are answered, none is."""
        band = self.result.step_time_band
        if band is None:
            return np.ones(len(position))
        low, high = (end.times_as_long.get(workload, {}).get(metric, 1.0) for end in (band.low, band.high))
        ends = np.log([low or 1.0, 1.0, high or 1.0])
        found = np.exp(np.interp(position, [-1.0, 0.0, 1.0], ends))
        for end, part in ((low, -position), (high, position)):
            if end is None:
                found[part > 0.5] = np.inf
        return found

    def _unsure(self, name: str) -> Driver | None:
        return next((one for one in self.given if one.id == name), None)

    def _split(self, bill: Bill) -> NDArray[np.float64]:
        """USD of a bill by price, and last what follows none."""
        return split(bill, [one for one in self.given if one.lines], self.fixed)

    @cached_property
    def _longer(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each end of the band costs more, by price."""
        band = self.result.step_time_band
        bill = self.result.bill or Bill(())
        usual = self._split(bill)
        ends = (band.low, band.high) if band else ()
        low, high = [self._split(_with(bill, end)) - usual for end in ends] or [np.zeros_like(usual)] * 2
        return low, high

    def _at_volume(self, volume: NDArray[np.float64]) -> NDArray[np.float64]:
        """USD by price at each of these factors on the volume."""
        usual = self._split(self.result.bill or Bill(()))
        if self.costing is None or not self.costing.tokens_per_month:
            return np.tile(usual, (len(volume), 1))
        places, amounts = self._places
        return np.column_stack([np.interp(volume, places, column) for column in amounts.T])

    @cached_property
    def _places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Factors on the volume, ascending, between which the bill is a line, and the bill at each by price."""
        assert self.costing is not None
        usual = self._split(self.result.bill or Bill(()))
        one = self._unsure(VOLUME)
        if one is None or one.low == one.high:
            return np.array([1.0]), usual[np.newaxis]
        today, most = self.costing.tokens_per_month, one.high * self.costing.tokens_per_month
        steps = [step for step in (*self.costing.steps(most), *self.costing.unit_steps(most)) if step > one.low * today]
        bends = [bend for bend in self.costing.bends(most) if bend > one.low * today]
        even = (
            []
            if self.costing.proportional and not self.costing.renewal
            else np.geomspace(one.low, one.high, _PLACES).tolist()
        )
        known = {1.0, one.low, one.high, *even, *((bend / today) for bend in bends)}
        # The last token that today's replicas serve, and the first that takes another.
        known |= {(step + more) / today for step in steps for more in (0, 1)}
        places = sorted(known)
        amounts = [usual if place == 1.0 else self._split(self.costing.bill_at(place * today)) for place in places]
        return np.array(places), np.array(amounts)


def candidates(
    scenario: Scenario,
    screening: Screening,
    costings: Mapping[str, Costing],
    given: Sequence[Driver],
    points: Mapping[str, Sequence[VolumePoint]] | None = None,
) -> list[Candidate]:
    """All that could be chosen where what is unsure is not what the scenario says."""
    best, points = screening.leading, points or {}
    return [
        Candidate(
            result=one,
            costing=costings.get(one.name),
            given=given,
            unheld=one is best and not one.met_as_measured,
            fixed=fixed_lines(scenario.hosting_patterns[one.name]),
            measured_apis=api_time_range(scenario, [one.name]) is None,
            points=points.get(one.name, ()),
        )
        for one in rivals(screening, points)
    ]


def rivals(screening: Screening, points: Mapping[str, Sequence[VolumePoint]]) -> list[PatternResult]:
    """Patterns that could be chosen but for their limits; those overloaded today too, where they are not elsewhere."""
    relieved = [one for one in screening.overloaded if any(not point.overloaded for point in points.get(one.name, ()))]
    return [*screening.contenders, *relieved]


def winners(candidates: Sequence[Candidate], factors: Factors, budget: float | None) -> list[str]:
    """The cheapest pattern that keeps its limits at each draw; the empty text where none does, or none is affordable.

    Args:
        candidates: The patterns.
        factors: The draws.
        budget: Most that may be spent a month.
    """
    ordered = sorted(candidates, key=lambda one: one.name)
    costs = np.array([np.where(one.keeps(factors), one.costs(factors), np.inf) for one in ordered])
    best, least = costs.argmin(axis=0), costs.min(axis=0)
    afforded = np.isfinite(least) & (least <= (np.inf if budget is None else budget))
    return [ordered[at].name if fine else "" for at, fine in zip(best, afforded, strict=True)]


def _with(bill: Bill, end: BandEnd) -> Bill:
    """The bill at an end of the band."""
    more = dict(end.cost_more_usd)
    lines = [replace(line, usd=line.usd + Decimal(str(more.pop(line.key, 0.0)))) for line in bill.lines]
    return Bill((*lines, *(BillLine(key, "", Decimal(str(usd)), "") for key, usd in more.items())))
