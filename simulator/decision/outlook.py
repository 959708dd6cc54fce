"""What a verdict looks like from further away: at other volumes, other prices, other luck."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.decision.confidence import confidence
from simulator.decision.cost_curve import cost_curve
from simulator.decision.crossings import crossings_by_model
from simulator.decision.tornado import changes, tornado

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.cost.prices import PriceBook
    from simulator.decision.costing import Costing
    from simulator.decision.plausible import VolumePoint
    from simulator.decision.screening import Screening
    from simulator.decision.verdict import Decision
    from simulator.scenario.schema import Scenario
    from simulator.workload.demand import Demand


def with_outlook(
    decision: Decision,
    scenario: Scenario,
    screening: Screening,
    each: Sequence[Screening],
    costings: Mapping[str, Costing],
    book: PriceBook,
    demand: Mapping[str, Demand],
    points: Mapping[str, Sequence[VolumePoint]] | None = None,
) -> Decision:
    """The decision with its cost curve, what would change it, and how sure it is.

    Args:
        decision: From `decide`.
        scenario: The scenario.
        screening: What the rules left of its patterns.
        each: The same for each replication alone.
        costings: What prices its patterns at other volumes, by name.
        book: Price book.
        demand: What each workload asks of the month.
        points: What becomes of its patterns at other volumes, by name; None where that was not simulated.
    """
    allowed = screening.left["compliance"]
    if any(result.cannot_tell for result in allowed):
        return decision
    costings = {result.name: costings[result.name] for result in allowed if result.name in costings}
    choosable = [result.name for result in screening.left["availability"]]
    curve = cost_curve(costings, choosable)
    meets = [row.tokens_per_month for row in decision.break_even if row.tokens_per_month]
    found = tornado(scenario, screening, costings, curve, demand, points)
    return replace(
        decision,
        break_even_by_model=crossings_by_model(scenario, allowed, book, costings),
        cost_curve=cost_curve(costings, choosable, meets=meets) if meets else curve,
        tornado=found,
        confidence=confidence(scenario, screening, each, costings, demand, points),
        what_would_change_it=[*(changes(found) if found else ()), *decision.what_would_change_it],
    )
