"""What rules of thumb ask about a site and its workloads, as a result knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.workload.volume import month_hours

if TYPE_CHECKING:
    from simulator.cost.usage import Usage
    from simulator.decision.rules import Measures
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario


def site_measures(scenario: Scenario, result: PatternResult | None, payback_months: float | None) -> Measures:
    """Of all workloads together; what is not known is left out.

    Args:
        scenario: The scenario.
        result: A pattern that was simulated; None where there is none.
        payback_months: Of the purchase that would be made, where there is one.
    """
    found: Measures = {}
    if result is not None and result.usage is not None:
        found["tokens_per_month"] = sum(_tokens_per_month(scenario, result.usage).values())
    if payback_months is not None:
        found["payback_months"] = payback_months
    if scenario.constraints.team is not None:
        found["ml_engineers"] = scenario.constraints.team.ml_engineers
    return found


def workload_measures(scenario: Scenario, result: PatternResult | None) -> dict[str, Measures]:
    """Of each workload; what is not known is left out. Variation is that from day to day."""
    found: dict[str, Measures] = {}
    monthly = _tokens_per_month(scenario, result.usage) if result and result.usage else {}
    for name, tokens in monthly.items():
        load = scenario.workloads[name]
        known = {"tokens_per_month": tokens}
        variation = getattr(load, "day_variation", None)
        if variation is not None:
            known["variation"] = float(variation)
        if load.objectives is not None and load.objectives.ttft is not None:
            known["ttft_limit_s"] = load.objectives.ttft
        found[name] = known
    return found


def _tokens_per_month(scenario: Scenario, usage: Usage) -> dict[str, float]:
    """Prompt and output tokens served in the billed month, by workload."""
    months = usage.hours / month_hours(scenario)
    works = list(usage.work.values())
    return {
        name: sum(one[name].prompt_tokens + one[name].output_tokens for one in works) / months
        for name in scenario.workloads
    }
