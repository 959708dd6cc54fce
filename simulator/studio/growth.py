"""What a scenario says of the months to come: its rollout, or else the trends of its workloads."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from simulator.scenario.workloads import RecordedWorkload
from simulator.study.adoption import adoption_curve
from simulator.study.rollout import months_of
from simulator.workload.demand import demands
from simulator.workload.trend import day_trend

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario

#: How far a trend is followed where no rollout says.
_MONTHS: Final = 36


def grows(scenario: Scenario) -> bool:
    """Whether its volume changes from month to month."""
    return scenario.rollout is not None or any(
        not isinstance(load, RecordedWorkload) and load.trend is not None for load in scenario.workloads.values()
    )


def months_ahead(scenario: Scenario) -> list[tuple[str, float]]:
    """Calendar months such as 2027-01 and the tokens of each; none where the volume stays what it is."""
    asked, plan = demands(scenario), scenario.rollout
    if plan is not None:
        total = sum(one.tokens for one in asked.values())
        shares = adoption_curve(plan.adoption, plan.months).shares
        return [(month, total * share) for month, share in zip(months_of(scenario, plan), shares, strict=True)]
    if not grows(scenario):
        return []
    first = scenario.horizon.start_local.date()
    days = [first + timedelta(days=number) for number in range(_days(first))]
    months = list(dict.fromkeys(f"{day:%Y-%m}" for day in days))
    found = dict.fromkeys(months, 0.0)
    for name, load in scenario.workloads.items():
        one = asked[name]
        trend = None if isinstance(load, RecordedWorkload) else load.trend
        # A month at the level that the volume states; the trend is a factor on that.
        plain = one.tokens * one.asked / one.billed if one.billed else one.tokens
        factors = [1.0] * len(days) if trend is None else day_trend(trend, days).tolist()
        for month in months:
            inside = [factor for day, factor in zip(days, factors, strict=True) if f"{day:%Y-%m}" == month]
            found[month] += (one.tokens if trend is None else plain) * sum(inside) / len(inside)
    return [*found.items()]


def _days(first: date) -> int:
    """Days until so many calendar months have ended."""
    number = first.month - 1 + _MONTHS
    return (date(first.year + number // 12, number % 12 + 1, 1) - first).days
