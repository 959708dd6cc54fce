"""What was simulated of a scenario, worked up as far as no price matters: prices are put on it, however often."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from simulator.decision.band import Band, bands_of
from simulator.decision.costing import hourly_shape
from simulator.experiment.drawn import Drawn, drawn
from simulator.experiment.measured import Measured, measured
from simulator.experiment.monthly_usage import monthly_usages
from simulator.experiment.served import mean_tokens, requests_per_s
from simulator.experiment.timetable import beyond_measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    import numpy as np
    from numpy.typing import NDArray

    from simulator.analysis.metrics import RunSummary
    from simulator.cost.usage import Usage
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.workload.demand import Demand


@dataclass(frozen=True)
class Evidence:
    """The same for every scenario that differs from this one in money, words and rules alone.

    Attributes:
        scenario: The scenario, in which every cluster knows how long its requests may be.
        runs: Replications by pattern; of what stands at the ends of a step-time band, the first.
        demand: What each workload asks of the month.
        month_hours: Length of the month that is billed.
    """

    scenario: Scenario = field(repr=False)
    runs: Mapping[str, Sequence[RunSummary]] = field(repr=False)
    demand: Mapping[str, Demand]
    month_hours: Decimal

    @cached_property
    def names(self) -> list[str]:
        """Patterns of the scenario that were simulated."""
        return [name for name in self.scenario.hosting_patterns if name in self.runs]

    @property
    def replications(self) -> int:
        """How many there are of each pattern."""
        return len(self.runs[self.names[0]]) if self.names else 0

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """What all replications say, by pattern."""
        return self._of(slice(None))

    @cached_property
    def each(self) -> list[dict[str, Measured]]:
        """What each replication says by itself."""
        return [self._of(slice(number, number + 1)) for number in range(self.replications)]

    def _of(self, replications: slice) -> dict[str, Measured]:
        return {
            name: measured(
                self.scenario.hosting_patterns[name],
                self.runs[name][replications],
                self.month_hours,
                self.demand,
                self._requests_per_s.get(name),
                beyond_measured(self.scenario, self.scenario.hosting_patterns[name]),
            )
            for name in self.names
        }

    @cached_property
    def bands(self) -> dict[str, Band]:
        """What clusters do at both ends of their step-time bands, by pattern, where that was simulated."""
        return bands_of(self.scenario, self.names, self.runs, self._usage_of)

    def _usage_of(self, pattern: HostingPattern, run: RunSummary) -> Usage:
        timetable = beyond_measured(self.scenario, pattern)
        return monthly_usages(pattern, [run], self.demand, self.month_hours, timetable)[0]

    @cached_property
    def _requests_per_s(self) -> dict[str, float]:
        patterns = self.scenario.hosting_patterns
        return {name: requests_per_s(patterns[name], self.runs[name]) for name in self.names if patterns[name].hosted}

    @cached_property
    def capacity_tokens_per_month(self) -> dict[str, int]:
        """What clusters could serve of this mix, by pattern."""
        hours, rates = float(self.month_hours), self._requests_per_s
        return {name: round(rate * hours * 3600.0 * mean_tokens(self.runs[name])) for name, rate in rates.items()}

    @cached_property
    def hourly(self) -> NDArray[np.float64]:
        """See `hourly_shape`."""
        return hourly_shape(self.scenario)

    @cached_property
    def drawn(self) -> dict[str, Drawn]:
        """What each workload asks of the month beside what was drawn."""
        if not self.names:
            return {}
        return drawn(self.runs[self.names[0]], self.demand, float(self.month_hours))
