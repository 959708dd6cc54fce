"""Break-evens held against simulations: how much a cluster serves at its objectives, and what is paid where costs meet.

The break-even of a verdict is worked out from one volume. Here the clusters are simulated at other volumes: until they
miss an objective, and where the formula says that they cost as much as an API.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from simulator.decision.cost_curve import cost_curve
from simulator.decision.costing import hourly_shape
from simulator.decision.outlook import costings_of
from simulator.decision.screening import cost_of, missed_beyond_chance, screen
from simulator.experiment.pattern_result import document
from simulator.results import run
from simulator.scenario.scaling import scaled
from simulator.version import package_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from simulator.decision.cost_curve import CostCurve
    from simulator.decision.crossings import Crossing
    from simulator.experiment.pattern_result import PatternResult
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


@dataclass(frozen=True, slots=True)
class Meeting:
    """A cluster and an API, simulated at the volume at which the formula says that they cost the same.

    Attributes:
        cluster: Pattern with a fixed monthly cost.
        api: Metered pattern.
        tokens_per_month: The volume.
        cluster_usd: What the cluster costs there.
        api_usd: What the API costs there.
        within_headroom: Whether the cluster meets every objective at that volume.
        text: The same in words.
    """

    cluster: str
    api: str
    tokens_per_month: int | None
    cluster_usd: float | None
    api_usd: float | None
    within_headroom: bool
    text: str


@dataclass(frozen=True, slots=True)
class BreakEvens:
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


def break_evens(
    scenario: Scenario,
    *,
    jobs: int = 1,
    store: Path | None = None,
    on_simulated: Callable[[str], None] = lambda _: None,
) -> BreakEvens:
    """Find what each self-hosted pattern can serve, and simulate every break-even.

    Args:
        scenario: The scenario.
        jobs: Processes, for the scenario's own volume.
        store: Where finished simulations are kept, and found again.
        on_simulated: Called with a few words before each simulation.

    Raises:
        ScenarioError: The scenario cannot be simulated, or its volume cannot be scaled.
    """
    on_simulated("the scenario's own volume")
    results = run(scenario, jobs=jobs, folder=store, tables=False, band=False, outlook=False)

    def at(factor: float, *names: str) -> dict[str, PatternResult]:
        on_simulated(f"{', '.join(names)} at {factor:.3g} times the volume")
        other = scaled(scenario, factor)
        found = run(other, patterns=names, replications=1, folder=store, tables=False, band=False, outlook=False)
        return {one.name: one for one in found.patterns}

    clusters = [one.name for one in results.patterns if one.kind == "self_hosted" and one.feasible]
    found = {name: _headroom(name, results, scenario, at) for name in clusters}
    meetings = [_meeting(row, results, found[row.cluster], at) for row in results.decision.break_even]
    return BreakEvens(results, list(found.values()), meetings, _curve(results, found))


def _curve(results: Results, headroom: Mapping[str, Headroom]) -> CostCurve:
    """The cost curve with steps where a replica has all it can serve at its objectives."""
    capacity = dict(results.capacity_tokens_per_month)
    peak = float(hourly_shape(results.scenario).max())
    for name, room in headroom.items():
        if room.tokens_per_month is not None:
            # What a costing compares with the busiest hour.
            capacity[name] = round(room.tokens_per_month * peak)
    screening = screen(results.scenario, results.patterns, results.book)
    known = screening.left["compliance"]
    costings = costings_of(results.scenario, known, results.book, results.month_hours, capacity)
    return cost_curve(costings, [one.name for one in screening.left["availability"]], BASIS)


def _headroom(name: str, results: Results, scenario: Scenario, at: Callable[..., dict[str, PatternResult]]) -> Headroom:
    """By halving, between a volume that is served well and what a full batch could serve."""
    today, capacity = _tokens_per_month(results, name), results.capacity_tokens_per_month[name]
    if not today or not capacity:
        return Headroom(name, None, None, None, "nothing was served")

    def misses(factor: float) -> str | None:
        return missed_beyond_chance(at(factor, name)[name], scenario)

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


def _meeting(row: Crossing, results: Results, room: Headroom, at: Callable[..., dict[str, PatternResult]]) -> Meeting:
    tokens, today = row.tokens_per_month, _tokens_per_month(results, row.cluster)
    if tokens is None or not row.within_capacity or not today or not tokens:
        return Meeting(row.cluster, row.api, tokens, None, None, within_headroom=False, text=row.text)
    within = room.tokens_per_month is not None and tokens <= room.tokens_per_month
    there = at(tokens / today, row.cluster, row.api)
    cluster_usd, api_usd = cost_of(there[row.cluster]), cost_of(there[row.api])
    text = f"{row.text}, at every objective" if within else f"{row.text}, but misses objectives there"
    return Meeting(row.cluster, row.api, tokens, cluster_usd, api_usd, within_headroom=within, text=text)


def _tokens_per_month(results: Results, name: str) -> float:
    usage = results.pattern(name).usage
    if usage is None:
        return 0.0
    return (usage.served_prompt_tokens + usage.served_output_tokens) * float(results.month_hours) / usage.hours
