"""How much a cluster serves at its objectives, and with that many tokens for each replica, where its costs meet others.

A verdict knows one volume. Here the clusters are simulated at other volumes: until they miss an objective, and where
their bills say that they cost as much as an API.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.decision.chance import untold
from simulator.decision.cost_curve import cost_curve
from simulator.decision.costing import costings_of, hourly_shape, with_replicas
from simulator.decision.crossings import crossings
from simulator.decision.screening import missed, screen
from simulator.experiment.checks import as_scenario
from simulator.experiment.pattern_result import document
from simulator.experiment.summary import Tabular
from simulator.results import run
from simulator.scenario.scaling import scaled
from simulator.study.meetings import Meeting, meeting
from simulator.version import package_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    import pandas as pd

    from simulator.decision.cost_curve import CostCurve
    from simulator.decision.costing import Costing
    from simulator.experiment.pattern_result import PatternResult
    from simulator.experiment.workers import Jobs
    from simulator.plots.figure import Figure
    from simulator.results import Results
    from simulator.scenario.schema import Scenario

BASIS: Final = (
    "simulated: self-hosted patterns get another replica for each volume that those of the scenario serve at every "
    "objective; more replicas together would serve a little more"
)
#: A headroom is known to within this share of itself.
PRECISION: Final = 0.05


@dataclass(frozen=True, slots=True)
class Headroom:
    """The largest volume at which a pattern meets every objective.

    Attributes:
        pattern: Its name.
        tokens_per_month: That volume, simulated; None where even the smallest one tried misses.
        times_today: The same, as a factor on the scenario's volume.
        capacity_share: The same, as a share of what its clusters could serve, never short of work.
        missed: What is missed at the next larger volume that was tried; None where the capacity was reached.
    """

    pattern: str
    tokens_per_month: int | None
    times_today: float | None
    capacity_share: float | None
    missed: str | None


@dataclass(frozen=True, slots=True, repr=False)
class BreakEvens(Tabular):
    """The answer.

    Attributes:
        results: The scenario at its own volume.
        headroom: One for each self-hosted pattern.
        meetings: Each of them with each metered pattern.
        cost_curve: Cost against volume, another replica for every headroom.
    """

    results: Results
    headroom: list[Headroom]
    meetings: list[Meeting]
    cost_curve: CostCurve

    def summary(self) -> pd.DataFrame:
        """One row per cluster and API: the volume at which they cost the same, both costs there, and the headroom.

        `headroom_tokens_per_month` is what the cluster serves at every objective, `capacity_share` the share of its
        capacity that this is.
        """
        import pandas as pd

        room = {one.pattern: one for one in self.headroom}
        rows = []
        for row in self.meetings:
            own = room.get(row.cluster)
            serves = {
                "headroom_tokens_per_month": own and own.tokens_per_month,
                "capacity_share": own and own.capacity_share,
            }
            rows.append(asdict(row) | serves)
        return pd.DataFrame(rows)

    def plot(self) -> Figure | None:
        """What a month costs at other volumes, with the break-evens; None where nothing could be compared."""
        from simulator.plots.cost import by_volume
        from simulator.plots.style import colours_of

        found = self.document()
        drawn = {"decision": {"cost_curve": found["cost_curve"], "break_even": found["meetings"]}}
        return by_volume(drawn, colours_of([one.name for one in self.results.patterns]))

    def __repr__(self) -> str:
        return f"<BreakEvens of {self.results.scenario.name}: {'; '.join(row.text for row in self.meetings) or 'none'}>"

    def document(self) -> dict[str, Any]:
        """The published JSON document as plain data."""
        scenario, book = self.results.scenario, self.results.book
        plain = {
            "schema_version": 1,
            "simulator_version": package_version(),
            "scenario": {"name": scenario.name, "sha256": scenario.sha256},
            "seed": scenario.experiment.seed,
            "price_book": {"id": book.id, "date": str(book.date), "sha256": book.sha256},
            "headroom": [asdict(one) for one in self.headroom],
            "meetings": [asdict(one) for one in self.meetings],
            "cost_curve": asdict(self.cost_curve),
        }
        return dict(document(plain))


def break_even(
    scenario: Scenario | str | PathLike[str],
    *,
    jobs: Jobs = 1,
    store: str | PathLike[str] | None = None,
    on_simulated: Callable[[str], None] = lambda _: None,
) -> BreakEvens:
    """Find what each self-hosted pattern can serve, and simulate every break-even.

    Args:
        scenario: The scenario, or the file it stands in.
        jobs: Processes, or a cluster.
        store: Where finished simulations are kept, and found again.
        on_simulated: Called with a few words before each simulation.

    Raises:
        ScenarioError: The scenario cannot be simulated, or its volume cannot be scaled.
    """
    scenario = as_scenario(scenario)
    folder = None if store is None else Path(store)
    on_simulated("the scenario's own volume")
    results = run(scenario, jobs=jobs, folder=folder, tables=False, band=False, outlook=False)

    def at(factor: float, *names: str, larger: float = 1.0) -> dict[str, PatternResult]:
        on_simulated(f"{', '.join(names)} at {factor:.3g} times the volume")
        grown = {
            name: with_replicas(pattern, larger) if name in names and pattern.hosted and larger != 1.0 else pattern
            for name, pattern in scenario.hosting_patterns.items()
        }
        other = scaled(scenario.model_copy(update={"hosting_patterns": grown}), factor)
        found = run(
            other, patterns=names, replications=1, jobs=jobs, folder=folder, tables=False, band=False, outlook=False
        )
        return {one.name: one for one in found.patterns}

    clusters = [one.name for one in results.patterns if one.kind == "self_hosted" and one.feasible]
    found = {name: _headroom(name, results, at) for name in clusters}
    screening = screen(results.scenario, results.patterns, results.book)
    allowed, on_offer = (screening.left[rule] for rule in ("compliance", "availability"))
    costings = _costings(results, allowed, found)
    rows = crossings(results.scenario, allowed, results.book, costings)
    meetings = [meeting(row, costings[row.cluster], at) for row in rows]
    curve = cost_curve(costings, [one.name for one in on_offer], BASIS)
    return BreakEvens(results, list(found.values()), meetings, curve)


def _costings(
    results: Results, allowed: Sequence[PatternResult], headroom: Mapping[str, Headroom]
) -> dict[str, Costing]:
    """What prices these patterns, each replica serving what it can at every objective."""
    capacity = dict(results.capacity_tokens_per_month)
    peak = float(hourly_shape(results.scenario).max())
    for name, room in headroom.items():
        if room.tokens_per_month is not None:
            # What a costing compares with the busiest hour.
            capacity[name] = round(room.tokens_per_month * peak)
    return costings_of(results.scenario, allowed, results.book, results.month_hours, capacity)


def _headroom(name: str, results: Results, at: Callable[..., dict[str, PatternResult]]) -> Headroom:
    """By halving, between a volume that is served well and what a full batch could serve."""
    today, capacity = _tokens_per_month(results, name), results.capacity_tokens_per_month[name]
    if not today or not capacity:
        return Headroom(name, None, None, None, "nothing was served")

    def misses(factor: float) -> str | None:
        found = at(factor, name)[name]
        # What is still open in the end, and may yet be late, is no promise kept.
        still_open = any(load.objective_met is None and load.undecided for load in found.workloads.values())
        return missed(found) or (untold(found) if still_open else None)

    high, why = capacity / today, misses(capacity / today)
    if why is None:
        return Headroom(name, capacity, high, 1.0, None)
    low = min(1.0, 0.5 * high)
    while (reason := misses(low)) is not None:
        high, why, low = low, reason, 0.25 * low
        if low * today < 1e-3 * capacity:
            return Headroom(name, None, None, None, why)
    while high / low > 1.0 + PRECISION:
        middle = (low * high) ** 0.5
        reason = misses(middle)
        low, high, why = (middle, high, why) if reason is None else (low, middle, reason)
    return Headroom(name, round(low * today), low, low * today / capacity, why)


def _tokens_per_month(results: Results, name: str) -> float:
    usage = results.pattern(name).usage
    if usage is None:
        return 0.0
    return (usage.served_prompt_tokens + usage.served_output_tokens) * float(results.month_hours) / usage.hours
