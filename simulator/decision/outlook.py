"""What a verdict looks like from further away: at other volumes, other prices, other luck."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.cost.usage import pooled
from simulator.decision.cost_curve import Costing, cost_curve, hourly_shape
from simulator.experiment.results import usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from simulator.analysis.metrics import RunSummary
    from simulator.cost.prices import PriceBook
    from simulator.decision.screening import Screening
    from simulator.decision.verdict import Decision
    from simulator.scenario.schema import Scenario


def with_outlook(
    decision: Decision,
    scenario: Scenario,
    screening: Screening,
    runs: Mapping[str, Sequence[RunSummary]],
    book: PriceBook,
    month_hours: Decimal,
    capacity_tokens_per_month: Mapping[str, int],
) -> Decision:
    """The decision with its cost curve.

    Args:
        decision: From `decide`.
        scenario: The scenario.
        screening: What the rules left of its patterns.
        runs: Replications, by pattern.
        book: Price book.
        month_hours: Length of the month that is billed.
        capacity_tokens_per_month: What each cluster could serve, by pattern.
    """
    hourly = hourly_shape(scenario)
    costings = {
        result.name: Costing(
            scenario.hosting_patterns[result.name],
            pooled([usage_of(run) for run in runs[result.name]]),
            book,
            month_hours,
            hourly,
            capacity_tokens_per_month.get(result.name, 0),
        )
        for result in screening.left["compliance"]
    }
    choosable = [result.name for result in screening.left["availability"]]
    return replace(decision, cost_curve=cost_curve(costings, choosable))
