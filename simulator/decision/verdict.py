"""Which hosting pattern to choose: what is allowed, then what meets the objectives, then what costs least."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.cost.bill import token_rates, upfront_usd
from simulator.decision.break_even import NoBreakEven, blended_price, break_even, payback_months
from simulator.decision.words import kept_share, percent, usd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.cost.prices import PriceBook
    from simulator.experiment.results import PatternResult
    from simulator.scenario.patterns import HostingPattern
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
    patterns, budget = scenario.hosting_patterns, scenario.constraints.monthly_cost_at_most
    out: list[tuple[str, str]] = []
    fit = _keep("feasibility", results, lambda result: _refusal(result, api=False), out)
    allowed = _keep("compliance", fit, lambda result: _refusal(result, api=True), out)
    # A model that is gone stays in the comparison, but nobody can choose it.
    on_offer = _keep("availability", allowed, lambda result: _retired(patterns[result.name], book), out)
    able = _keep("objectives", on_offer, missed, out)
    affordable = _keep("budget", able, lambda result: _over(result, budget), out)
    ranked = sorted(affordable, key=lambda result: (_cost(result), result.name))
    rules = [*dict.fromkeys(rule for rule, _ in out), *(["cost"] if ranked else [])]
    crossings = _crossings(scenario, allowed, book, capacity_tokens_per_month)
    first = _headline(crossings, on_offer) or _headline(crossings, allowed)
    return Decision(
        recommended=ranked[0].name if ranked else None,
        runner_up=ranked[1].name if len(ranked) > 1 else None,
        reasons=[*_why(scenario, ranked), *(reason for _, reason in out)],
        break_even_tokens_per_month=first.tokens_per_month if first and first.within_capacity else None,
        payback_months=_payback(scenario, on_offer),
        rules_fired=rules,
        capacity_advice=_capacity_advice([*ranked[:1], *allowed]),
        what_would_change_it=[*_changes(ranked, crossings), *_doubts(allowed)],
        crossings=crossings,
    )


def _keep(
    rule: str,
    candidates: Sequence[PatternResult],
    why_not: Callable[[PatternResult], str | None],
    out: list[tuple[str, str]],
) -> list[PatternResult]:
    """Candidates that nothing speaks against; for the others, the rule and the reason go to `out`."""
    verdicts = [(result, why_not(result)) for result in candidates]
    out += [(rule, f"{result.name} is out: {reason}") for result, reason in verdicts if reason is not None]
    return [result for result, reason in verdicts if reason is None]


def _refusal(result: PatternResult, *, api: bool) -> str | None:
    """Why a pattern was not simulated: an API because it may not see the prompts, a cluster for want of memory."""
    return "; ".join(result.infeasible_reasons) or None if (result.kind == "metered_api") is api else None


def _cost(result: PatternResult) -> float:
    return result.monthly_cost_usd.mean if result.monthly_cost_usd else 0.0


def _retired(pattern: HostingPattern, book: PriceBook) -> str | None:
    """Why an API of a pattern cannot be had any more, as of the price book."""
    entries = {api.model: book.api_prices.get(api.model) for api in pattern.metered.values()}
    gone = [(model, entry.retires_on) for model, entry in entries.items() if entry and entry.retired(book.date)]
    return "; ".join(f"{model} was shut down on {day}" for model, day in gone) or None


def missed(result: PatternResult) -> str | None:
    """Why a pattern that was simulated will not do; None where it will."""
    if result.saturation == "overloaded":
        return "it is overloaded: it turns requests away, or keeps more waiting than it serves"
    shares = ", ".join(
        f"{name} ({kept_share(load.share_met or 0.0)} of its requests)"
        for name, load in result.workloads.items()
        if load.objective_met is False
    )
    return f"objectives not met for {shares}" if shares else None


def _over(result: PatternResult, budget: Decimal | None) -> str | None:
    if budget is None or _cost(result) <= budget:
        return None
    return f"{usd(_cost(result))} USD a month exceed the budget of {usd(budget)} USD"


def _why(scenario: Scenario, ranked: Sequence[PatternResult]) -> list[str]:
    if not ranked:
        return ["no hosting pattern is allowed, on offer, meets every objective and stays within the budget"]
    best = ranked[0]
    meets = "meets every objective and " if any(load.objectives for load in scenario.workloads.values()) else ""
    text = f"{best.name} {meets}costs least, {usd(_cost(best))} USD a month"
    if len(ranked) == 1:
        return [f"{text}; it is the only one left"]
    other = ranked[1]
    more = _cost(other) - _cost(best)
    reasons = [f"{text}; next is {other.name}, for {usd(more)} USD more"]
    if more <= _half_width(best) + _half_width(other):
        reasons.append(f"the costs of {best.name} and {other.name} differ by no more than their intervals")
    ours, theirs = (_models(scenario.hosting_patterns[result.name]) for result in (best, other))
    if ours != theirs:
        reasons.append(
            f"{best.name} serves {' and '.join(ours)}, {other.name} {' and '.join(theirs)}: compare quality too"
        )
    return reasons


def _half_width(result: PatternResult) -> float:
    interval = result.monthly_cost_usd.ci95 if result.monthly_cost_usd else None
    return (interval[1] - interval[0]) / 2.0 if interval else 0.0


def _models(pattern: HostingPattern) -> list[str]:
    """Models of a pattern, whoever serves them."""
    own = {one.cluster.model for one in pattern.hosted.values()}
    return sorted(own | {api.model.rpartition("/")[2] for api in pattern.metered.values()})


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
            if pattern.hosted or len(pattern.metered) > 1 or api.tokens is None or not api.tokens.output:
                continue
            (metered,) = pattern.metered.values()
            rates = token_rates(metered, book)
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
    known = [row for row in crossings if row.cluster in cost and row.api in cost]
    return min(known, key=lambda row: (cost[row.cluster], cost[row.api]), default=None)


def _payback(scenario: Scenario, results: Sequence[PatternResult]) -> float | None:
    """Months in which the cheapest purchase pays for itself against the cheapest API; None when it never does."""
    apis = [_cost(result) for result in results if result.kind == "metered_api"]
    bought = [result for result in results if upfront_usd(scenario.hosting_patterns[result.name])]
    best = min(bought, key=_cost, default=None)
    if best is None or best.bill is None or not apis:
        return None
    upfront = upfront_usd(scenario.hosting_patterns[best.name])
    months = payback_months(upfront, Decimal(str(round(min(apis), 2))), best.bill.running_usd)
    return None if months is None else float(months)


def _capacity_advice(results: Sequence[PatternResult]) -> str | None:
    for result in results:
        if result.utilisation is None:
            continue
        share = result.utilisation["capacity_fraction"] or 0.0
        if result.saturation == "overloaded":
            return f"{result.name} needs another replica: its queue does not drain"
        if share < 0.05:
            return (
                f"{result.name} serves {percent(share)} of what it could: the demand does not need a cluster of its own"
            )
        if result.objectives_met:
            return f"{result.name} serves {percent(share)} of what it could, at every objective: no replica is missing"
        return f"{result.name} serves {percent(share)} of what it could and still misses objectives: look at its peaks"
    return None


def _changes(ranked: Sequence[PatternResult], crossings: Sequence[Crossing]) -> list[str]:
    changes = [row.text for row in crossings]
    if len(ranked) > 1:
        best, other = ranked[:2]
        ratio = _cost(other) / _cost(best) if _cost(best) else float("inf")
        changes.insert(0, f"{best.name} would have to cost {_times(ratio)} before {other.name} is cheaper")
    return changes


def _doubts(results: Sequence[PatternResult]) -> list[str]:
    """Clusters whose objectives hang on how well their step times are known."""
    found = []
    for result in results:
        band = result.step_time_band
        if band is None:
            continue
        for end in (band.low, band.high):
            meets = not end.missed
            if meets == result.objectives_met:
                continue
            change = "meet every objective" if meets else f"miss objectives for {', '.join(end.missed)}"
            found.append(
                f"{result.name} would {change} if its steps lasted {end.factor:.2f} times as long as its "
                f"{band.label} profile says, which may be ({band.source})"
            )
    return found


def _times(ratio: float) -> str:
    return f"{percent(ratio - 1.0)} more" if ratio < 3.0 else f"{ratio:,.0f} times as much"
