"""What a verdict looks like from further away: at other volumes, other prices, other luck."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.decision.confidence import confidence
from simulator.decision.cost_curve import cost_curve
from simulator.decision.costing import Costing, hourly_shape
from simulator.decision.tornado import changes, tornado

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from simulator.cost.prices import PriceBook
    from simulator.decision.screening import Screening
    from simulator.decision.verdict import Decision
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario


def costings_of(
    scenario: Scenario,
    results: Sequence[PatternResult],
    book: PriceBook,
    month_hours: Decimal,
    capacity_tokens_per_month: Mapping[str, int],
) -> dict[str, Costing]:
    """What prices each of these patterns at other volumes, by name; see `with_outlook`."""
    hourly = hourly_shape(scenario)
    return {
        result.name: Costing(
            scenario.hosting_patterns[result.name],
            result.usage,
            book,
            month_hours,
            hourly,
            capacity_tokens_per_month.get(result.name, 0),
        )
        for result in results
        if result.usage is not None
    }


def with_outlook(
    decision: Decision,
    scenario: Scenario,
    screening: Screening,
    each: Sequence[Screening],
    book: PriceBook,
    month_hours: Decimal,
    capacity_tokens_per_month: Mapping[str, int],
) -> Decision:
    """The decision with its cost curve, what would change it, and how sure it is.

    Args:
        decision: From `decide`.
        scenario: The scenario.
        screening: What the rules left of its patterns.
        each: The same for each replication alone.
        book: Price book.
        month_hours: Length of the month that is billed.
        capacity_tokens_per_month: What each cluster could serve, by pattern.
    """
    known = screening.left["compliance"]
    costings = costings_of(scenario, known, book, month_hours, capacity_tokens_per_month)
    choosable = [result.name for result in screening.left["availability"]]
    curve = cost_curve(costings, choosable)
    found = tornado(scenario, screening, costings, curve)
    return replace(
        decision,
        cost_curve=curve,
        tornado=found,
        confidence=confidence(scenario, screening, each),
        what_would_change_it=[*(changes(found) if found else ()), *decision.what_would_change_it],
    )
