"""One workload on one hosting pattern, all replications together: what was waited, answered and kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.analysis.output_analysis import estimate
from simulator.analysis.waits import ANSWER, CHAIN, METRICS, QUANTILES
from simulator.experiment.chains import ChainResult
from simulator.experiment.counts import Requests, Tokens, mean_of, mean_requests
from simulator.experiment.objectives import LimitSample, ObjectiveResult, limit_samples, objective_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.analysis.backlog import Drift
    from simulator.analysis.metrics import Group


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean over replications and its 95 % interval; no interval with a single replication."""

    mean: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds; each figure is the mean over replications of that figure, `ci95` is the interval of the p99."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a reasoning model thought before it answered, in a mean replication.

    Attributes:
        tokens: Thinking tokens of the completed requests, which are among their output tokens.
        unanswered: Completed requests whose thoughts used up their output limit: they hold no answer.
    """

    tokens: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class WorkloadCost:
    """A workload's part of the bill, as `simulator.cost.allocation` shares it.

    Attributes:
        monthly_usd: USD a month; those of all workloads add up to the bill.
        unit: What one of its requests is: a note, an appeal, a message, a chart, a report, or just a request.
        usd_per_unit: `monthly_usd` over its completed requests of a month; None where there are none.
        usd_per_million_tokens: `monthly_usd` over their tokens.
    """

    monthly_usd: float
    unit: str
    usd_per_unit: float | None
    usd_per_million_tokens: float | None


@dataclass(frozen=True, slots=True)
class WorkloadResult:
    """One workload on one hosting pattern, all replications together.

    Attributes:
        share_met: Share within the limit that the fewest are within, of the requests of which that is known.
        goodput: Share within every limit at once, of the requests of which that is known; never more than the share
            within any one of them.
        objective_met: Whether the objectives are met; None where nobody can tell, see `objective`.
        cost: Its part of the bill; None where the pattern was not priced.
        availability: Share of the requests that have ended which were answered; of all, where the queue grows.
        undecided: Mean requests of a replication that `share_met` leaves out: open at the end, their limit not run out.
        drift: Where its queue is going.
        objective: The answer with its intervals.
        samples: What was counted, by limit; not published.
        chain: The chains that lead up to it; None where it follows no other workload.
        thinking: What was thought; None where nothing was.

    The first three and `objective` are None where the scenario sets no objectives, or nothing arrived.
    """

    latency: dict[str, Latency | None]
    requests: Requests
    tokens: Tokens
    share_met: float | None
    goodput: float | None
    objective_met: bool | None
    cost: WorkloadCost | None = None
    availability: float | None = None
    undecided: int = 0
    drift: Drift | None = None
    objective: ObjectiveResult | None = None
    samples: list[LimitSample] = field(default_factory=list)
    chain: ChainResult | None = None
    thinking: Thinking | None = None


def interval(values: Sequence[float]) -> Interval:
    """Mean of a figure over replications, with its interval."""
    found = estimate(values)
    return Interval(found.mean, None if found.low is None or found.high is None else (found.low, found.high))


def latency(groups: Sequence[Group]) -> dict[str, Latency | None]:
    """What was waited, by figure; None for one that no request has."""
    found: dict[str, Latency | None] = {}
    answer = [ANSWER] if any(ANSWER in group.latency for group in groups) else []
    for metric in (*METRICS, *answer, *([CHAIN] if any(group.chains for group in groups) else [])):
        rows = [group.latency[metric] for group in groups if group.latency.get(metric)]
        if not rows:
            found[metric] = None
            continue
        means = {name: sum(row[name] for row in rows) / len(rows) for name in ("mean", *QUANTILES)}
        found[metric] = Latency(**means, ci95=interval([row["p99"] for row in rows]).ci95)
    return found


def workload_result(groups: Sequence[Group], drift: Drift, *, steady: bool) -> WorkloadResult:
    """Combine replications.

    Args:
        groups: The workload's requests in each.
        drift: Where its queue is going.
        steady: See `limit_samples`.
    """
    samples = limit_samples(groups, steady=steady)
    objective = objective_result(samples, groups[0].target_share)
    undecided = sum(group.undecided for group in groups)
    known = undecided <= sum(group.decided for group in groups)
    return WorkloadResult(
        latency=latency(groups),
        requests=mean_requests(groups),
        tokens=Tokens(
            round(mean_of(groups, lambda group: group.prompt_tokens)),
            round(mean_of(groups, lambda group: group.cached_prompt_tokens)),
            round(mean_of(groups, lambda group: group.output_tokens)),
        ),
        share_met=objective.hardest.share if objective else None,
        goodput=_goodput(groups, objective),
        objective_met=objective.met if objective and known else None,
        availability=_availability(groups, grows=drift.grows),
        drift=drift,
        undecided=round(undecided / len(groups)),
        objective=objective,
        samples=samples,
        thinking=_thinking(groups),
    )


def _thinking(groups: Sequence[Group]) -> Thinking | None:
    tokens = mean_of(groups, lambda group: group.thinking_tokens)
    unanswered = mean_of(groups, lambda group: group.unanswered)
    return Thinking(round(tokens), round(unanswered)) if tokens else None


def _availability(groups: Sequence[Group], *, grows: bool) -> float | None:
    """An answer that is still to come is no failure, unless the queue grows and it may never come."""
    ended = sum(group.arrived - (0 if grows else group.outcomes["unfinished"]) for group in groups)
    return sum(group.outcomes["completed"] for group in groups) / ended if ended else None


def _goodput(groups: Sequence[Group], objective: ObjectiveResult | None) -> float | None:
    """Share of the requests of all replications within every limit; None where of none it is known.

    Each share is of the requests of which that limit tells; all together are met by no more than one alone.
    """
    judged = sum(group.goodput_requests for group in groups)
    if not judged or objective is None:
        return None
    within = sum((group.goodput or 0.0) * group.goodput_requests for group in groups)
    alone = [limit.share for limit in objective.limits if limit.metric != CHAIN and limit.requests]
    return min(within / judged, *alone) if alone else within / judged
