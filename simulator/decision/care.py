"""What deserves care in a verdict, though it rules nothing out."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from simulator.cost.own_lines import lost_usd
from simulator.decision.resilience import single_points
from simulator.decision.staffing import paid_fte, shortages
from simulator.decision.words import usd
from simulator.extensions import GROUPS, place
from simulator.scenario.apis import Batch
from simulator.scenario.costs import Purchase, Rental
from simulator.scenario.customs import customs
from simulator.units import DAY_S
from simulator.wording import agreeing, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario

#: Share of a day's requests that may be left waiting at the end of so many days or more before it is said.
_LEFT: Final = 0.05
_FEWEST_DAYS: Final = 7
_CENT: Final = Decimal("0.01")


def take_care(scenario: Scenario, results: Sequence[PatternResult]) -> list[str]:
    """Each thing once, with the patterns it is about.

    Args:
        scenario: The scenario.
        results: Its patterns that were simulated.
    """
    about: dict[str, list[str]] = {}
    own = list(_own_code(scenario))
    for result in results:
        if result.requests is None:
            continue
        ours = [text for name, text in own if name in (None, result.name)]
        of_it = _of(scenario, scenario.hosting_patterns[result.name])
        for text in (*of_it, *_left_waiting(scenario, result), *_lost_credits(result), *ours):
            about.setdefault(text, []).append(result.name)
    return [f"{', '.join(names)}: {agreeing(text, len(names))}" for text, names in about.items()]


def _of(scenario: Scenario, pattern: HostingPattern) -> Iterator[str]:
    """What is to be said of a pattern, and `{of one|of several}` where the same is to be said of others."""
    team = scenario.constraints.team
    if team is not None and not team.rules_out:
        yield from (one.said for one in shortages(team, pattern))
    yield from _unpaid(pattern)
    yield from _adapters(scenario, pattern)
    yield from _later_prices(scenario, pattern)
    yield from single_points(scenario, pattern)


def _left_waiting(scenario: Scenario, result: PatternResult) -> Iterator[str]:
    """What more came at the end than was started, where that is too short a time to call it overloaded."""
    if any(isinstance(api.deployment, Batch) for api in scenario.hosting_patterns[result.name].metered.values()):
        # What is collected for the next file is meant to wait.
        return
    days = (scenario.horizon.duration_s - scenario.experiment.warm_up) / DAY_S
    if result.drift is None or result.requests is None or result.saturation == "overloaded" or days < _FEWEST_DAYS:
        return
    waiting, a_day = result.drift.waiting, result.requests.arrived / days
    if waiting > _LEFT * a_day:
        left = f"{counted(round(waiting), 'request')} left waiting at the end, of {a_day:,.0f} a day"
        late = "more came of late than was started, and a longer horizon would tell whether {it keeps|they keep} up"
        yield f"{left}: {late}"


def _lost_credits(result: PatternResult) -> Iterator[str]:
    """Credits beyond what there is to pay, by code of one's own: a wrong sign may look so."""
    for line in result.bill.lines if result.bill else ():
        lost = lost_usd(line)
        if lost >= _CENT:
            yield f"{line.key} gives back more than there is to pay: {usd(float(lost))} USD a month are lost"


def _own_code(scenario: Scenario) -> Iterator[tuple[str | None, str]]:
    """Whose figures rest on code of others, which nobody here has looked at: a pattern, or None for all of them."""
    for key, group, one in customs(scenario):
        about = key[1] if key[0] == "hosting_patterns" else None
        yield (
            about,
            f"{'.'.join(key[2:] if about else key)} is code of one's own ({GROUPS[group]} {place(group, one.name)})",
        )


def _unpaid(pattern: HostingPattern) -> Iterator[str]:
    """What a cluster takes and its bill leaves out."""
    if pattern.hosted and not paid_fte(pattern):
        yield "{its bill pays|their bills pay} nobody to run {it|them} (costs.staff)"
    bought = [one.costs for one in pattern.hosted.values() if isinstance(one.costs.compute, Purchase)]
    if any(cost.power is None for cost in bought):
        yield "{its bill has|their bills have} no electricity for hardware of {its|their} own (costs.power)"


def _later_prices(scenario: Scenario, pattern: HostingPattern) -> Iterator[str]:
    """Prices that do not hold yet on the first simulated day, whose prices a bill has."""
    first = str(scenario.horizon.start_local.date())
    days = {key: str(changes.get("holds_from", first)) for key, changes in scenario.prices.overrides.items()}
    contracts = {api.model: str(api.prices.holds_from or first) for api in pattern.metered.values() if api.prices}
    rents = (one.costs.compute for one in pattern.hosted.values())
    offers = {str(rent.offer) for rent in rents if isinstance(rent, Rental) and rent.offer is not None}
    for key, day in sorted((days | contracts).items()):
        if day > first and key in offers | {api.model for api in pattern.metered.values()}:
            yield f"other prices of {key} hold from {day}: the {{bill has|bills have}} those of the first day, {first}"


def _adapters(scenario: Scenario, pattern: HostingPattern) -> Iterator[str]:
    """Adapters that requests ask for and no API has."""
    asked = {name: load.adapter for name, load in scenario.workloads.items() if load.adapter is not None}
    if pattern.metered and asked:
        told = ", ".join(f"{adapter} of {name}" for name, adapter in asked.items())
        yield f"no API gets an adapter ({told}): its model and price must be those of the fine-tuned model"
