"""Where nothing will do: the hosting pattern that comes nearest, what it misses, and what would end that."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from simulator.decision.staffing import shortages
from simulator.decision.words import alike, usd
from simulator.experiment.model_length import longer_requests
from simulator.scenario.workloads import SyntheticWorkload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.decision.screening import Screening
    from simulator.experiment.pattern_result import PatternResult
    from simulator.experiment.workload_result import WorkloadResult
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import Objectives

#: Rules whose reasons no size of a pattern ends.
_BARRED: Final = ("feasibility", "compliance", "availability")
#: A first token within this share of the limit on the last one has not waited long for others.
_EARLY: Final = 0.25
#: Quantiles that are known, by the share they are the limit for.
_QUANTILES: Final = {0.5: "p50", 0.9: "p90", 0.95: "p95", 0.99: "p99"}


@dataclass(frozen=True, slots=True)
class Nearest:
    """The pattern that comes nearest to being chosen.

    Attributes:
        pattern: Its name.
        monthly_cost_usd: What it costs; None where it was not simulated.
        misses: Every reason against it.
        would_help: What would end them.
        text: The same in words.
    """

    pattern: str
    monthly_cost_usd: float | None
    misses: list[str]
    would_help: list[str]
    text: str


def nearest(scenario: Scenario, results: Sequence[PatternResult], found: Screening) -> Nearest | None:
    """The pattern against which least speaks; None where one passes every rule, or there is none.

    First those that may be used at all, then by how many rules and workloads they fail, then by how far, then by cost.

    Args:
        scenario: The scenario.
        results: Its patterns, simulated and priced.
        found: What the rules left of them.
    """
    if found.ranked or not found.out:
        return None
    best = min(results, key=lambda result: _distance(scenario, result, found))
    misses = [one.reason for one in found.out if one.pattern == best.name]
    helps = list(dict.fromkeys(_helps(scenario, best, [one.rule for one in found.out if one.pattern == best.name])))
    cost = best.monthly_cost_usd.mean if best.monthly_cost_usd else None
    at = "" if cost is None else f", {usd(cost)} USD a month"
    text = f"nearest is {best.name}{at}: {'; '.join(misses)}; what would help: {', '.join(helps)}"
    return Nearest(best.name, cost, misses, helps, text)


def _distance(scenario: Scenario, result: PatternResult, found: Screening) -> tuple[float, ...]:
    rules = [one.rule for one in found.out if one.pattern == result.name]
    short = [_shortfall(load, objectives) for load, objectives in _missing(scenario, result)]
    cost = result.monthly_cost_usd.mean if result.monthly_cost_usd else 0.0
    return (sum(rule in _BARRED for rule in rules), len(rules), len(short), max(short, default=0.0), cost)


def _missing(scenario: Scenario, result: PatternResult) -> Iterator[tuple[WorkloadResult, Objectives]]:
    for name, load in result.workloads.items():
        objectives = scenario.workloads[name].objectives
        if objectives is not None and load.share_met is not None and load.share_met < objectives.share:
            yield load, objectives


def _shortfall(load: WorkloadResult, objectives: Objectives) -> float:
    return objectives.share - (load.share_met or 0.0)


def _helps(scenario: Scenario, result: PatternResult, rules: Sequence[str]) -> Iterator[str]:
    pattern = scenario.hosting_patterns[result.name]
    if "feasibility" in rules:
        yield "a GPU type, split or weight format that fits (simulator plan)"
    if "compliance" in rules:
        yield "a place that may see the prompts (simulator compliance)"
    if "availability" in rules:
        yield "a model that lasts"
    if "staffing" in rules:
        yield from (one.helps for one in shortages(scenario.constraints.team, pattern))
    if "objectives" in rules:
        yield from _faster(scenario, result)
    if "resilience" in rules:
        yield "a spare of what fails: another replica, machine, site or API (simulator capacity)"
    if "budget" in rules:
        cost = result.monthly_cost_usd.mean if result.monthly_cost_usd else 0.0
        # Rounded down it would not help.
        yield f"a budget of {ceil(100.0 * cost) / 100.0:,.2f} USD a month"


def _failed(scenario: Scenario, result: PatternResult, name: str) -> float:
    """Share of a workload's requests that errors and faults took, of a chain's those of what it follows as well."""
    counts, asked = result.workloads[name].requests, scenario.workloads[name]
    failed = sum(counts.lost.get(reason, 0) for reason in ("error", "fault"))
    share = failed / counts.arrived if counts.arrived else 0.0
    before = asked.follows if isinstance(asked, SyntheticWorkload) else None
    return share if before is None else share + _failed(scenario, result, before.workload)


def _unwaited(
    pattern: HostingPattern, name: str, load: WorkloadResult, objectives: Objectives
) -> Iterator[tuple[str, float]]:
    """What no shorter wait would answer, where it is too much for the objective: its remedy, and its share."""
    refused = load.requests.lost.get("too_long", 0)
    silent = load.thinking.unanswered if load.thinking and objectives.ttfat is not None else 0
    too_many = (1.0 - objectives.share) * load.requests.arrived
    if refused > too_many:
        yield longer_requests(pattern), refused / load.requests.arrived
    if silent > too_many:
        yield f"a longer max_tokens for {name}, whose thoughts use it up", silent / load.requests.arrived


def _faster(scenario: Scenario, result: PatternResult) -> Iterator[str]:
    """More machines where they wait for each other, faster ones where half of the requests take too long alone."""
    hosted = bool(scenario.hosting_patterns[result.name].hosted)
    more = "more replicas (simulator capacity)" if hosted else "more quota (limits)"
    if result.saturation == "overloaded":
        yield more
        return
    for name, load in result.workloads.items():
        objectives = scenario.workloads[name].objectives
        if objectives is None or load.share_met is None or load.share_met >= objectives.share:
            continue
        unwaited = list(_unwaited(scenario.hosting_patterns[result.name], name, load, objectives))
        yield from (told for told, _ in unwaited)
        if unwaited and load.share_met + sum(share for _, share in unwaited) >= objectives.share:
            # Nothing else keeps it from its promise.
            continue
        slow, first = False, load.latency.get("ttft_s")
        kept = {one.metric: one.reached_s or 0.0 for one in load.objective.limits} if load.objective else {}
        for metric, label, limit in (
            ("ttft_s", "to the first token", objectives.ttft),
            ("ttfat_s", "to the first answer token", objectives.ttfat),
            ("e2e_s", "end to end", objectives.end_to_end),
            ("chain_s", "over the whole chain", objectives.chain),
        ):
            found = load.latency.get(metric)
            if limit is None or found is None:
                continue
            # Half of them too late, or the first token early and the last one late: waiting is not what takes the time.
            early = metric == "e2e_s" and first is not None and first.p99 < _EARLY * limit
            slow = slow or found.p50 > limit or (early and found.p99 > limit)
            quantile = _QUANTILES.get(round(objectives.share, 4))
            if quantile and getattr(found, quantile) > limit:
                # A quantile is of what was answered, a promise of all; that time is known to half a per cent.
                answered, every = getattr(found, quantile), kept.get(metric, 0.0)
                shown, asked = alike(1.005 * every if every > 1.01 * answered else answered, limit)
                yield f"a limit of {shown} {label} instead of {asked} for {name}"
        if slow:
            yield "a faster GPU, a wider split or a smaller model" if hosted else "a faster model or deployment"
        elif (failed := _failed(scenario, result, name)) and load.share_met + failed >= objectives.share:
            # No room, and no replica, answers what fails.
            yield "more retries, or another API or cluster to fail over to"
        else:
            yield more
