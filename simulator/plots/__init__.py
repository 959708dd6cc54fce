"""Pictures of a result, as Plotly figures: `results.plot.cost()`, `.latency()`, `.week()` and friends.

Each figure is about one thing, names its units on its axes, and has a colour for each hosting pattern that is the same
in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.errors import UnknownName
from simulator.plots import cost, decision, demand, latency, levels, limits, timeline
from simulator.plots.style import colours_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from simulator.experiment.tables import Tables
    from simulator.plots.figure import Figure
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Plots:
    """Figures of one result.

    Attributes:
        scenario: The question.
        document: The published JSON document that answers it.
        tables: Requests and levels of the first replications.
    """

    scenario: Scenario
    document: Mapping[str, Any]
    tables: Tables

    @property
    def simulated(self) -> list[str]:
        """Hosting patterns that were simulated, in the scenario's order."""
        return [row["name"] for row in self.document["patterns"] if row["requests"] is not None]

    @property
    def hosted(self) -> list[str]:
        """Those of them that have a cluster; patterns that differ only in money are there once."""
        own = [name for name in self.simulated if self.tables.shared.get(name, name) == name]
        return [name for name in own if self.scenario.hosting_patterns[name].hosted]

    @property
    def colours(self) -> dict[str, str]:
        """Colour of each hosting pattern."""
        return colours_of([row["name"] for row in self.document["patterns"]])

    def cost(self) -> Figure:
        """What a month costs, by line of the bill."""
        return cost.breakdown(self.document)

    def cost_by_volume(self) -> Figure | None:
        """What a month costs at other volumes, with the break-evens; None where nothing was compared."""
        return cost.by_volume(self.document, self.colours)

    def cost_over_months(self, months: Sequence[tuple[str, float]]) -> Figure | None:
        """What each of these months costs, by its tokens; None where nothing was compared, or there are no months."""
        return cost.over_months(self.document, months, self.colours)

    def tornado(self) -> Figure | None:
        """What would change the verdict; None where nothing is recommended, or there is no alternative."""
        return decision.tornado(self.document)

    def latency(self, workload: str | None = None, metric: str = "e2e_s") -> Figure:
        """Share of requests within a latency, by hosting pattern, with the objective.

        Args:
            workload: Only this one; all together when absent.
            metric: `ttft_s`, `itl_s` or `e2e_s`.

        Raises:
            UnknownName: There is no such workload or metric.
        """
        _check("metric", metric, latency.TITLES)
        if workload is not None:
            _check("workload", workload, self.scenario.workloads)
        return latency.distribution(self.scenario, self.tables, self.simulated, self.colours, workload, metric)

    def limits(self) -> Figure | None:
        """How much of each promised time is taken, by hosting pattern; None where nothing is promised."""
        return limits.taken(self.document, latency.sharing(self.tables, self.simulated), self.colours)

    def week(self, pattern: str | None = None) -> Figure:
        """How busy a pattern's GPUs are, by local hour of the week; the first one with a cluster when absent."""
        return levels.week(self.scenario, self.tables, self._hosted(pattern))

    def over_time(self, pattern: str | None = None) -> Figure:
        """Requests running and waiting, and KV blocks in use, hour by hour; the first with a cluster when absent."""
        return levels.over_time(self.scenario, self.tables, self._hosted(pattern))

    def demand(self) -> Figure:
        """Requests an hour, by workload, over the horizon."""
        return demand.arrivals(self.scenario, self.tables)

    def failovers(self, pattern: str) -> Figure | None:
        """Requests that left their first backend or were lost, by hour and reason; None where there were none."""
        return demand.failovers(self.scenario, self.tables, self._simulated(pattern))

    def timeline(self, pattern: str) -> Figure | None:
        """Requests lost and failed over by the clock, with what was broken; None where nothing could break."""
        return timeline.timeline(self.scenario, self.document, self._simulated(pattern))

    def loss(self, pattern: str, number: int = 0) -> Figure:
        """The day on which the pattern loses one of its parts, as `losses` of its result numbers them."""
        row = next(row for row in self.document["patterns"] if row["name"] == self._simulated(pattern))
        _check(f"loss of '{pattern}'", number, range(len(row.get("losses", []))))
        return timeline.loss(self.scenario, self.document, pattern, number)

    def _simulated(self, pattern: str) -> str:
        _check("hosting pattern that was simulated", pattern, self.simulated)
        return pattern

    def _hosted(self, pattern: str | None) -> str:
        """The pattern that is asked for, or the first that has a cluster."""
        hosted = [name for name in self.simulated if self.scenario.hosting_patterns[name].hosted]
        if pattern is None:
            if not hosted:
                raise ValueError("no hosting pattern of this result has a cluster")
            return hosted[0]
        _check("hosting pattern with a cluster", pattern, hosted)
        return pattern


def _check(what: str, name: object, known: Collection[object]) -> None:
    if name not in known:
        raise UnknownName(what, name, known)
