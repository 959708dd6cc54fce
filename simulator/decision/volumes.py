"""Whether patterns keep their limits at other plausible volumes: what to simulate, and what came of it.

Simulated are both ends of the range, each with those patterns of which it could say otherwise than today: at the upper
end all that could be chosen; at the lower those that do not do today, and those that fewer requests may slow, since
their replicas come and go. A cluster that grows on the way is simulated with the last request before its next replica
too, where it is fullest. Where a pattern does at one place and not at the next, so is the middle between them; and then
the place at which the share within its limit is as great as wanted, should its normal quantile lie on a line between
both: how long requests take does not, where a few take twenty times as long, as beyond a usage tier.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from simulator.decision.band import times_as_long
from simulator.decision.costing import with_replicas, with_units
from simulator.decision.plausible import Factors, VolumePoint, candidates
from simulator.decision.ranges import volume_range
from simulator.experiment.objectives import limit_samples
from simulator.scenario.apis import Batch, Provisioned, Reserved
from simulator.scenario.scaling import scaled
from simulator.scenario.workloads import SyntheticWorkload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from simulator.analysis.metrics import RunSummary
    from simulator.decision.costing import Costing
    from simulator.decision.plausible import Candidate
    from simulator.decision.screening import Screening
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.workload.demand import Demand

    #: Simulates these patterns of a scenario once.
    Simulate = Callable[[Scenario, list[str]], Mapping[str, Sequence[RunSummary]]]
    Points = dict[str, list[VolumePoint]]


#: How often a place is looked for that is nearer; volumes that are no farther apart than by this factor are one.
_CLOSER, _NEAR = 2, 1.02


@dataclass(frozen=True)
class Volumes:
    """What other volumes of a scenario are held against.

    Attributes:
        scenario: The scenario.
        screening: What the rules left of its patterns.
        costings: What prices them at other volumes.
        usual: All replications at today's volume.
        simulate: Simulates patterns of a scenario once.
    """

    scenario: Scenario
    screening: Screening
    costings: Mapping[str, Costing]
    usual: Mapping[str, Sequence[RunSummary]]
    simulate: Simulate

    def at(self, factor: float, names: list[str]) -> Iterator[tuple[str, VolumePoint]]:
        """These patterns at so many times the volume, with the replicas and units that it is priced with."""
        if not names:
            return
        grown = {name: self._grown(self.scenario.hosting_patterns[name], name, factor) for name in names}
        wider = self.scenario.model_copy(update={"hosting_patterns": grown, "rollout": None})
        for name, (run, *_) in self.simulate(scaled(wider, factor), names).items():
            yield (
                name,
                VolumePoint(
                    factor=factor,
                    overloaded=run.saturation == "overloaded",
                    times_as_long=times_as_long(self.usual[name][0], run),
                    samples={load: limit_samples([group]) for load, group in run.workloads.items()},
                ),
            )

    def _grown(self, pattern: HostingPattern, name: str, factor: float) -> HostingPattern:
        costing = self.costings[name]
        count = costing.replicas_at(factor * costing.tokens_per_month)
        if count != costing.replicas:
            pattern = with_replicas(pattern, count / costing.replicas)
        return with_units(pattern, max(1.0, factor))

    def between(self, found: Points) -> dict[float, list[str]]:
        """By factor, the patterns that do at one of the places around it and not at the other."""
        middles: dict[float, list[str]] = {}
        for one, left, right in self._turns(found):
            middles.setdefault(sqrt(left * right), []).append(one.name)
        return middles

    def nearer(self, found: Points) -> dict[float, list[str]]:
        """By factor, the patterns whose share within a limit is thought to be as great as wanted there."""
        places: dict[float, list[str]] = {}
        for one, left, right in self._turns(found):
            at = one.crossing(left, right)
            if at is not None and min(at / left, right / at) > _NEAR:
                places.setdefault(at, []).append(one.name)
        return places

    def _turns(self, found: Points) -> Iterator[tuple[Candidate, float, float]]:
        """Patterns with two neighbouring places, of which it does at one and not at the other."""
        for one in candidates(self.scenario, self.screening, self.costings, (), found):
            places = np.array(sorted({1.0, *(point.factor for point in one.points)}))
            kept = one.keeps(Factors.at_volume(places)).tolist()
            for (left, before), (right, after) in pairwise(zip(places.tolist(), kept, strict=True)):
                if before is not after:
                    yield one, left, right


def volume_points(
    scenario: Scenario,
    screening: Screening,
    costings: Mapping[str, Costing],
    demand: Mapping[str, Demand],
    usual: Mapping[str, Sequence[RunSummary]],
    simulate: Simulate,
) -> Points | None:
    """By pattern, what becomes of it at other volumes; none where they do nothing to it.

    Nothing is simulated where nothing could follow from it: no two patterns are left to choose from, or none of them
    has a limit.

    Args:
        scenario: The scenario.
        screening: What the rules left of its patterns.
        costings: What prices them at other volumes, by name.
        demand: What each workload asks of the month.
        usual: All replications at today's volume.
        simulate: Simulates these patterns of a scenario once.

    Returns:
        Points in the order of their volumes; None where a trace has the volume it has.
    """
    if not all(isinstance(load, SyntheticWorkload) for load in scenario.workloads.values()):
        return None
    able = [one for one in (*screening.contenders, *screening.overloaded) if one.name in costings]
    limited = any(load.samples for one in able for load in one.workloads.values())
    if len(able) < 2 or not limited:
        return {}
    range_, asked = volume_range(scenario, demand), Volumes(scenario, screening, costings, usual, simulate)
    patterns = scenario.hosting_patterns
    more = [one.name for one in able if one in screening.contenders and crowded(patterns[one.name])]
    late = [one for one in able if one in screening.overloaded or not one.met_as_measured]
    less = [
        one.name for one in able if comes_and_goes(patterns[one.name]) or (one in late and crowded(patterns[one.name]))
    ]
    places = {range_.high: more, range_.low: less}
    for name in more:
        costing = costings[name]
        today = costing.tokens_per_month
        for step in [step for step in costing.steps(range_.high * today) if step > today][:1]:
            places.setdefault(step / today, []).append(name)
    found: Points = {}
    _add(found, asked, places)
    _add(found, asked, asked.between(found))
    for _ in range(_CLOSER):
        _add(found, asked, asked.nearer(found))
    return found


def _add(found: Points, asked: Volumes, places: Mapping[float, list[str]]) -> None:
    for factor, names in places.items():
        for name, point in asked.at(factor, names):
            found[name] = sorted([*found.get(name, []), point], key=lambda one: one.factor)


def crowded(pattern: HostingPattern) -> bool:
    """Whether what a request takes depends on how many there are: not of APIs that let in whatever comes."""
    return bool(pattern.hosted) or any(_bounded(api) for api in pattern.metered.values())


def _bounded(api: MeteredApi) -> bool:
    """Whether it lets in only so much, or is slower beyond."""
    limits, deployment = api.limits, api.deployment
    quotas = limits.tokens_per_minute, limits.requests_per_minute, limits.tokens_per_day, limits.requests_per_day
    queued = deployment.queued_tokens if isinstance(deployment, Batch) else None
    bought = isinstance(deployment, Provisioned | Reserved)
    return bought or any(one is not None for one in (*quotas, queued, api.usage_tier))


def comes_and_goes(pattern: HostingPattern) -> bool:
    """Whether fewer requests may wait longer: replicas are sent away that they then wait for."""
    return any(one.cluster.autoscaling is not None for one in pattern.hosted.values())
