"""Which hosting pattern to choose: what is allowed, then what meets the objectives, then what costs least."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from simulator.decision.care import take_care
from simulator.decision.crossings import crossings, headline
from simulator.decision.limit_bars import near_misses
from simulator.decision.measures import site_measures, workload_measures
from simulator.decision.nearest import nearest
from simulator.decision.purchase import cash_flows
from simulator.decision.resilience import stands
from simulator.decision.retirement import retirements
from simulator.decision.rules import advice, contradictions
from simulator.decision.screening import Screening, cost_of, lost_share, screen
from simulator.decision.unloaded import too_slow_alone
from simulator.decision.words import percent, usd
from simulator.experiment.model_length import longer_requests
from simulator.scenario.rules import shipped_tables
from simulator.wording import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.cost.prices import PriceBook
    from simulator.decision.chance import Undecided
    from simulator.decision.confidence import Confidence
    from simulator.decision.cost_curve import CostCurve
    from simulator.decision.costing import Costing
    from simulator.decision.crossings import Crossing
    from simulator.decision.nearest import Nearest
    from simulator.decision.purchase import CashFlow
    from simulator.decision.retirement import Retirement
    from simulator.decision.rules import Advice, Contradiction
    from simulator.decision.tornado import Tornado
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict; see the field names of the published JSON document.

    Attributes:
        recommended: The pattern to choose; None where nothing passes every rule, and where nobody can tell.
        runner_up: The next cheapest.
        reasons: Why, and why not the others.
        break_even_tokens_per_month: Of the cheapest cluster with the cheapest API; None where it never costs less.
        payback_months: Of the cheapest purchase against the cheapest API; None when it never pays.
        rules_fired: Rules that decided something, in their order.
        capacity_advice: About the cluster that is recommended, or the first there is.
        what_would_change_it: In words, the nearest first.
        runner_up_costs_usd_more: Price a month of choosing the runner-up.
        break_even: Every cluster with every API it is compared with.
        break_even_by_model: Every cluster with every model of the price book.
        cash_flow: Purchases beside what they replace.
        rule_tables: What rules of thumb say, and whether the verdict agrees.
        rule_contradictions: Where those contradict themselves and each other.
        not_assessed: What the rules could not look at, for want of facts.
        retirements: Models that stop answering within the horizon or three years of it, by pattern.
        nearest: Where nothing passes every rule, the pattern that comes nearest, and what would help.
        take_care: What deserves care, though it rules nothing out.
        cost_curve: Cost against volume.
        tornado: What each assumption, moved by itself, does to the margin of the recommended pattern.
        confidence: In how many replications, and at how many plausible prices, volumes and speeds, it is the choice.
        verdict: Whether there is a choice, none is left, or these replications cannot tell.
        undecided: What they cannot tell.
    """

    recommended: str | None
    runner_up: str | None
    reasons: list[str]
    break_even_tokens_per_month: int | None
    payback_months: float | None
    rules_fired: list[str]
    capacity_advice: str | None
    what_would_change_it: list[str]
    runner_up_costs_usd_more: float | None = None
    break_even: list[Crossing] = field(default_factory=list)
    break_even_by_model: list[Crossing] = field(default_factory=list)
    cash_flow: list[CashFlow] = field(default_factory=list)
    rule_tables: list[Advice] = field(default_factory=list)
    rule_contradictions: list[Contradiction] = field(default_factory=list)
    not_assessed: list[str] = field(default_factory=list)
    retirements: list[Retirement] = field(default_factory=list)
    nearest: Nearest | None = None
    take_care: list[str] = field(default_factory=list)
    cost_curve: CostCurve | None = None
    tornado: Tornado | None = None
    confidence: Confidence | None = None
    verdict: Literal["chosen", "none", "cannot_tell"] = "none"
    undecided: Undecided | None = None

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def decide(
    scenario: Scenario,
    results: Sequence[PatternResult],
    book: PriceBook,
    costings: Mapping[str, Costing],
    screening: Screening | None = None,
    *,
    break_evens: bool = True,
) -> Decision:
    """Judge the patterns of a scenario.

    Args:
        scenario: The scenario.
        results: Its patterns, simulated and priced.
        book: Price book.
        costings: What prices them at other volumes, by name.
        screening: What the rules left of them, where that is known.
        break_evens: Whether also to find the volumes at which clusters and APIs cost the same, which takes most of
            the time.
    """
    found = screening or screen(scenario, results, book)
    ranked, allowed, on_offer = found.ranked, found.left["compliance"], found.left["availability"]
    untold = next((result.cannot_tell for result in allowed if result.cannot_tell), None)
    if untold is not None:
        return _no_verdict(scenario, untold, results, found, book)
    rules = [*dict.fromkeys(one.rule for one in found.out), *(["cost"] if found.winner else [])]
    rows = crossings(scenario, allowed, book, costings) if break_evens else []
    first = headline(rows, on_offer) or headline(rows, allowed)
    bought = cash_flows(scenario, on_offer)
    tables = shipped_tables() | scenario.rules
    simulated = next((result for result in [*ranked, *results] if result.tokens is not None), None)
    site = site_measures(scenario, simulated, _payback(bought))
    kind = ranked[0].kind if found.winner else None
    runner_up = ranked[1] if found.winner and len(ranked) > 1 else None
    close = nearest(scenario, results, found)
    going = retirements(scenario, [result.name for result in results], book)
    return Decision(
        recommended=found.winner,
        verdict="chosen" if found.winner else "cannot_tell" if found.doubt else "none",
        undecided=found.doubt,
        runner_up=runner_up.name if runner_up else None,
        reasons=[
            *_dated(_why(scenario, found, close), found.winner, going),
            *(text for result in ranked[:1] if found.winner for text in stands(scenario, result)),
            *found.reasons,
        ],
        break_even_tokens_per_month=first.tokens_per_month if first else None,
        payback_months=_payback(bought),
        rules_fired=rules,
        capacity_advice=_capacity_advice(scenario, [*ranked[:1], *allowed]),
        what_would_change_it=[*_changes(ranked if found.winner else [], rows, found), *_doubts(allowed)],
        runner_up_costs_usd_more=cost_of(runner_up) - cost_of(ranked[0]) if runner_up else None,
        break_even=rows,
        cash_flow=bought,
        rule_tables=advice(tables, site, workload_measures(scenario, simulated), kind),
        rule_contradictions=contradictions(tables, site),
        not_assessed=_not_assessed(scenario),
        retirements=going,
        nearest=close,
        take_care=take_care(scenario, results),
    )


def _no_verdict(
    scenario: Scenario, why: str, results: Sequence[PatternResult], found: Screening, book: PriceBook
) -> Decision:
    """No verdict: nothing that was measured would carry one."""
    others = Screening(out=[one for one in found.out if one.rule != "demand"]).reasons
    rules = [*dict.fromkeys(one.rule for one in found.out)]
    return Decision(
        recommended=None,
        verdict="cannot_tell",
        runner_up=None,
        reasons=[why, *others],
        break_even_tokens_per_month=None,
        payback_months=None,
        rules_fired=rules,
        capacity_advice=None,
        what_would_change_it=[],
        not_assessed=_not_assessed(scenario),
        retirements=retirements(scenario, [result.name for result in results], book),
        take_care=take_care(scenario, results),
    )


def _not_assessed(scenario: Scenario) -> list[str]:
    if scenario.constraints.team is not None:
        return []
    return ["staffing: the scenario does not say who would run a cluster (constraints.team)"]


def _why(scenario: Scenario, found: Screening, close: Nearest | None) -> list[str]:
    ranked = found.ranked
    if not ranked:
        staffed = "staffed, " if scenario.constraints.team and scenario.constraints.team.rules_out else ""
        text = f"no hosting pattern is allowed, on offer, {staffed}meets every objective and stays within the budget"
        return [f"{text}; {close.text}" if close else text]
    if found.doubt is not None:
        return [found.doubt.text]
    best = ranked[0]
    meets = "meets every objective and " if any(load.objectives for load in scenario.workloads.values()) else ""
    text = f"{best.name} {meets}costs least, {usd(cost_of(best))} USD a month"
    if len(ranked) == 1:
        return [_with_near_miss(f"{text}; it is the only one left", found)]
    other = ranked[1]
    more = cost_of(other) - cost_of(best)
    dearer = "which costs the same" if _as_dear(best, other) else f"for {usd(more)} USD more"
    sure = "" if other.answer == "met" else ", should it meet its objectives"
    reasons = [_with_near_miss(f"{text}; next is {other.name}, {dearer}{sure}", found)]
    ours, theirs = (_models(scenario.hosting_patterns[result.name]) for result in (best, other))
    if ours != theirs:
        stop = ";" if max(len(ours), len(theirs)) > 1 else ","
        reasons.append(f"{best.name} serves {listed(ours)}{stop} {other.name} {listed(theirs)}: compare quality too")
    return reasons


def _dated(reasons: list[str], winner: str | None, going: Sequence[Retirement]) -> list[str]:
    """The verdict with the day on which what it chooses is gone."""
    soon = [one.clause for one in going if one.pattern == winner]
    return ["; ".join([reasons[0], *soon]), *reasons[1:]]


def _with_near_miss(text: str, found: Screening) -> str:
    """The verdict, and what would be cheaper if a limit were a little longer."""
    near = near_misses(found)
    return "; ".join([text, *near])


def _models(pattern: HostingPattern) -> list[str]:
    """Models of a pattern, whoever serves them."""
    own = {one.cluster.model for one in pattern.hosted.values()}
    return sorted(own | {api.model.rpartition("/")[2] for api in pattern.metered.values()})


def _payback(flows: Sequence[CashFlow]) -> float | None:
    """Of the purchase that costs least, against the cheapest API; see `cash_flows` for what is compared."""
    ours = [flow for flow in flows if flow.against == "metered_api"]
    return ours[0].payback_months if ours else None


def _capacity_advice(scenario: Scenario, results: Sequence[PatternResult]) -> str | None:
    for result in results:
        if result.utilisation is None:
            continue
        share = result.utilisation["capacity_fraction"] or 0.0
        if result.saturation == "overloaded":
            return f"{result.name} needs another replica: its queue does not drain"
        if (refused := lost_share(result, "too_long")) > 0.01:
            return (
                f"{result.name} refuses {percent(refused)} of its requests as longer than its model takes: no replica "
                f"helps, {longer_requests(scenario.hosting_patterns[result.name])} does"
            )
        if slow := too_slow_alone(scenario.hosting_patterns[result.name], result, scenario.workloads):
            return slow
        if share < 0.05:
            return (
                f"{result.name} serves {percent(share)} of what it could: the demand does not need a cluster of its own"
            )
        if result.answer == "met":
            return f"{result.name} serves {percent(share)} of what it could, at every objective: no replica is missing"
        if result.answer == "cannot_tell":
            continue
        return f"{result.name} serves {percent(share)} of what it could and still misses objectives: look at its peaks"
    return None


def _changes(ranked: Sequence[PatternResult], crossings: Sequence[Crossing], found: Screening) -> list[str]:
    # Where costs meet changes nothing for a pattern that no volume makes eligible.
    barred = {one.pattern for one in found.out if one.rule != "objectives"}
    changes = [row.text for row in crossings if barred.isdisjoint((row.cluster, row.api))]
    if len(ranked) > 1:
        best, other = ranked[:2]
        ratio = cost_of(other) / cost_of(best) if cost_of(best) else float("inf")
        if _as_dear(best, other):
            changes.insert(0, f"{other.name} costs as much as {best.name}: the least difference in a price decides")
        else:
            changes.insert(0, f"{best.name} would have to cost {_times(ratio)} before {other.name} is cheaper")
    return changes


def _as_dear(one: PatternResult, other: PatternResult) -> bool:
    """Whether no invoice would tell what two patterns cost apart."""
    return abs(cost_of(one) - cost_of(other)) < 0.005


def _doubts(results: Sequence[PatternResult]) -> list[str]:
    """Clusters whose objectives hang on how well their step times are known."""
    found = []
    for result in results:
        band = result.step_time_band
        if band is None:
            continue
        for end in (band.low, band.high):
            if end.missed and result.answer == "met":
                change = f"miss objectives for {', '.join(end.missed)}"
            elif result.answer == "missed" and not end.missed and not end.cannot_tell:
                change = "meet every objective"
            else:
                continue
            found.append(
                f"{result.name} would {change} if its steps lasted {end.factor:.2f} times as long as its "
                f"{band.label} profile says, which may be ({band.source})"
            )
    return found


def _times(ratio: float) -> str:
    return f"{percent(ratio - 1.0)} more" if ratio < 3.0 else f"{ratio:,.0f} times as much"
