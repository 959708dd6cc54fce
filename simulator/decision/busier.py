"""Whether patterns keep their limits at the greatest plausible volume: what to simulate, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.decision.band import times_as_long
from simulator.decision.costing import with_replicas, with_units
from simulator.decision.ranges import volume_range
from simulator.scenario.scaling import scaled
from simulator.scenario.workloads import SyntheticWorkload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.analysis.metrics import RunSummary
    from simulator.decision.costing import Costing
    from simulator.decision.screening import Screening
    from simulator.scenario.schema import Scenario
    from simulator.workload.demand import Demand


@dataclass(frozen=True, slots=True)
class Busier:
    """The scenario at another volume.

    Attributes:
        factor: How many times the volume.
        scenario: With as many replicas and provisioned units as that volume is priced with.
        names: Patterns to simulate.
    """

    factor: float
    scenario: Scenario
    names: list[str]


@dataclass(frozen=True, slots=True)
class VolumeEnd:
    """A pattern at the most that the volume may plausibly be, in the first replication.

    Attributes:
        factor: How many times the volume.
        overloaded: Whether a queue grows.
        times_as_long: By workload and limit, how many times as long as at today's volume the wanted share of the
            requests takes; None where fewer are answered.
    """

    factor: float
    overloaded: bool
    times_as_long: dict[str, dict[str, float | None]]


def busier(
    scenario: Scenario, screening: Screening, costings: Mapping[str, Costing], demand: Mapping[str, Demand]
) -> Busier | None:
    """What is to be simulated; None where nothing could follow from it.

    That is where no two patterns are left to choose from, none of them has a limit, or a trace has the volume it has.
    """
    able = [one for one in screening.contenders if one.name in costings]
    limited = any(load.samples for one in able for load in one.workloads.values())
    synthetic = all(isinstance(load, SyntheticWorkload) for load in scenario.workloads.values())
    factor = volume_range(scenario, demand).high
    if len(screening.contenders) < 2 or not (limited and synthetic) or factor <= 1.0:
        return None
    patterns = {}
    for one in able:
        costing, pattern = costings[one.name], scenario.hosting_patterns[one.name]
        count = costing.replicas_at(factor * costing.tokens_per_month)
        grown = with_replicas(pattern, count / costing.replicas) if count != costing.replicas else pattern
        patterns[one.name] = with_units(grown, factor)
    wider = scenario.model_copy(update={"hosting_patterns": patterns, "rollout": None})
    return Busier(factor, scaled(wider, factor), [*patterns])


def volume_ends(
    asked: Busier, usual: Mapping[str, Sequence[RunSummary]], found: Mapping[str, Sequence[RunSummary]]
) -> dict[str, VolumeEnd]:
    """By pattern, what came of it.

    Args:
        asked: What was simulated.
        usual: All replications at today's volume.
        found: The first at the other one.
    """
    return {
        name: VolumeEnd(asked.factor, run.saturation == "overloaded", times_as_long(usual[name][0], run))
        for name, (run, *_) in found.items()
    }
