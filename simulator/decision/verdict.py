"""Which hosting pattern to choose: what is allowed, then what meets the objectives, then what costs least."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.cost.bill import token_rates, upfront_usd
from simulator.decision.break_even import NoBreakEven, blended_price, break_even, payback_months
from simulator.scenario.patterns import ApiPattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.cost.prices import PriceBook
    from simulator.experiment.results import PatternResult
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a cluster and an API cost the same.

    Attributes:
        cluster: Pattern with a fixed monthly cost.
        api: Metered pattern.
        tokens_per_month: Volume at which they cross; None when the API never costs as much.
        within_capacity: Whether the cluster could serve that volume.
        text: The same in words.
    """

    cluster: str
    api: str
    tokens_per_month: int | None
    within_capacity: bool
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict; see the field names of the published JSON document."""

    recommended: str | None
    runner_up: str | None
    reasons: list[str]
    break_even_tokens_per_month: int | None
    payback_months: float | None
    rules_fired: list[str]
    capacity_advice: str | None
    what_would_change_it: list[str]
    crossings: list[Crossing] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Plain data."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "crossings"}
        plain["break_even"] = [{name: getattr(row, name) for name in row.__slots__} for row in self.crossings]
        return plain


def decide(
    scenario: Scenario,
    results: Sequence[PatternResult],
    book: PriceBook,
    capacity_tokens_per_month: Mapping[str, int],
) -> Decision:
    """Judge the patterns of a scenario.

    Args:
        scenario: The scenario.
        results: Its patterns, simulated and priced.
        book: Price book.
        capacity_tokens_per_month: What each cluster could serve, by pattern.
    """
    rules, reasons = [], []
    allowed = [result for result in results if result.feasible]
    for result in results:
        if not result.feasible:
            rules.append("compliance")
            reasons.append(f"{result.name} is out: {'; '.join(result.infeasible_reasons)}")
    able = [result for result in allowed if result.objectives_met and result.saturation != "overloaded"]
    for result in allowed:
        if result not in able:
            rules.append("objectives")
            reasons.append(f"{result.name} is out: {_missed(result)}")
    budget = scenario.constraints.monthly_cost_at_most
    affordable = [result for result in able if budget is None or _cost(result) <= budget]
    for result in able:
        if result not in affordable:
            rules.append("budget")
            reasons.append(
                f"{result.name} is out: {_usd(_cost(result))} a month exceed the budget of {_usd(budget or 0)}"
            )
    ranked = sorted(affordable, key=lambda result: (_cost(result), result.name))
    if ranked:
        rules.append("cost")
        reasons.insert(0, _why(ranked))
    else:
        reasons.insert(0, "no hosting pattern is allowed, meets every objective and stays within the budget")
    crossings = _crossings(scenario, allowed, book, capacity_tokens_per_month)
    first = _headline(crossings, allowed)
    return Decision(
        recommended=ranked[0].name if ranked else None,
        runner_up=ranked[1].name if len(ranked) > 1 else None,
        reasons=reasons,
        break_even_tokens_per_month=first.tokens_per_month if first and first.within_capacity else None,
        payback_months=_payback(scenario, allowed),
        rules_fired=list(dict.fromkeys(rules)),
        capacity_advice=_capacity_advice(allowed),
        what_would_change_it=_changes(ranked, crossings),
        crossings=crossings,
    )


def _cost(result: PatternResult) -> float:
    return result.monthly_cost_usd.mean if result.monthly_cost_usd else 0.0


def _usd(amount: float | Decimal) -> str:
    return f"{amount:,.0f} USD"


def _missed(result: PatternResult) -> str:
    if result.saturation == "overloaded":
        return "it is overloaded; its latencies grow with the horizon"
    missed = [name for name, load in result.workloads.items() if load.objective_met is False]
    shares = ", ".join(f"{name} ({result.workloads[name].share_met or 0.0:.1%} of its requests)" for name in missed)
    return f"objectives not met for {shares}"


def _why(ranked: Sequence[PatternResult]) -> str:
    best = ranked[0]
    text = f"{best.name} meets every objective and costs least, {_usd(_cost(best))} a month"
    if len(ranked) == 1:
        return text + "; it is the only one that does"
    other = ranked[1]
    return f"{text}; next is {other.name}, for {_usd(_cost(other) - _cost(best))} more"


def _crossings(
    scenario: Scenario,
    results: Sequence[PatternResult],
    book: PriceBook,
    capacity: Mapping[str, int],
) -> list[Crossing]:
    """Every cluster against every API, at the mix of tokens the scenario has."""
    found = []
    for cluster in results:
        if cluster.name not in capacity or cluster.kind != "self_hosted":
            continue
        for api in results:
            pattern = scenario.hosting_patterns[api.name]
            if not isinstance(pattern, ApiPattern) or api.tokens is None or not api.tokens.output:
                continue
            rates = token_rates(pattern.api, book)
            price = blended_price(
                rates.prompt, rates.output, prompt_tokens=api.tokens.prompt, output_tokens=api.tokens.output
            )
            answer = break_even(Decimal(str(round(_cost(cluster), 2))), price, capacity[cluster.name])
            tokens = answer.tokens_per_month
            if isinstance(answer, NoBreakEven):
                text = f"{cluster.name} never undercuts {api.name} within its capacity: {answer.reason}"
            else:
                text = f"{cluster.name} undercuts {api.name} from {answer.tokens_per_month / 1e6:,.0f}M tokens a month"
            found.append(Crossing(cluster.name, api.name, tokens, not isinstance(answer, NoBreakEven), text))
    return found


def _headline(crossings: Sequence[Crossing], results: Sequence[PatternResult]) -> Crossing | None:
    """The crossing of the cheapest cluster with the cheapest API."""
    cost = {result.name: _cost(result) for result in results}
    return min(crossings, key=lambda row: (cost[row.cluster], cost[row.api]), default=None)


def _payback(scenario: Scenario, results: Sequence[PatternResult]) -> float | None:
    """Months in which the first purchase pays for itself against the cheapest API; None when it never does."""
    apis = [_cost(result) for result in results if result.kind == "metered_api"]
    for result in results:
        upfront = upfront_usd(scenario.hosting_patterns[result.name])
        if upfront and apis and result.bill is not None:
            months = payback_months(upfront, Decimal(str(round(min(apis), 2))), result.bill.running_usd)
            return None if months is None else float(months)
    return None


def _capacity_advice(results: Sequence[PatternResult]) -> str | None:
    for result in results:
        if result.utilisation is None:
            continue
        share = result.utilisation["capacity_fraction"] or 0.0
        if result.saturation == "overloaded":
            return f"{result.name} needs another replica: its queue does not drain"
        if share < 0.05:
            return f"{result.name} serves {share:.2%} of what it could: the demand does not need a cluster of its own"
        if result.objectives_met:
            return f"{result.name} serves {share:.1%} of what it could, at every objective: no replica is missing"
        return f"{result.name} serves {share:.1%} of what it could and still misses objectives: look at its peaks"
    return None


def _changes(ranked: Sequence[PatternResult], crossings: Sequence[Crossing]) -> list[str]:
    changes = [row.text for row in crossings]
    if len(ranked) > 1:
        best, other = ranked[:2]
        ratio = _cost(other) / _cost(best) if _cost(best) else float("inf")
        changes.insert(0, f"{best.name} would have to cost {_times(ratio)} before {other.name} is cheaper")
    return changes


def _times(ratio: float) -> str:
    return f"{ratio - 1.0:.0%} more" if ratio < 3.0 else f"{ratio:,.0f} times as much"
