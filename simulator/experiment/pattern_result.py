"""Results of a hosting pattern over all replications, in the shape of the published JSON document."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from simulator.analysis.backlog import Drift
from simulator.analysis.output_analysis import estimate
from simulator.analysis.saturation import drifts, saturation_of, turned_away
from simulator.analysis.waits import METRICS, QUANTILES
from simulator.cost.allocation import allocate
from simulator.cost.bill import Bill, Cash, cash_of, monthly_bill, one_off_bill, usd_per_million_tokens
from simulator.cost.tco import exact, usd_per_million
from simulator.cost.unit_costs import UnitCosts, unit_costs
from simulator.cost.usage import Usage, pooled
from simulator.errors import UnknownName
from simulator.experiment.by_replication import by_replication
from simulator.experiment.counts import Requests, Tokens, mean_of, mean_requests, sum_requests, sum_tokens
from simulator.experiment.decisions import DecisionResult, decision_results
from simulator.experiment.drawn import cannot_tell
from simulator.experiment.monthly_usage import monthly_usages
from simulator.experiment.objectives import (
    Answer,
    LimitSample,
    ObjectiveResult,
    is_steady,
    joint,
    limit_samples,
    objective_result,
)
from simulator.experiment.step_time_band import StepTimeBandResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.analysis.metrics import Group, RunSummary
    from simulator.analysis.timeline import Timeline
    from simulator.cost.prices import PriceBook
    from simulator.experiment.losses import Loss
    from simulator.scenario.patterns import HostingPattern
    from simulator.workload.demand import Demand


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
        goodput: The same for every limit at once.
        objective_met: Whether the objectives are met; None where nobody can tell, see `objective`.
        cost: Its part of the bill; None where the pattern was not priced.
        availability: Share of the requests that have ended which were answered; of all, where the queue grows.
        undecided: Mean requests of a replication that `share_met` leaves out: open at the end, their limit not run out.
        drift: Where its queue is going.
        objective: The answer with its intervals.
        samples: What was counted, by limit; not published.

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


@dataclass(frozen=True, slots=True)
class PatternResult:
    """One hosting pattern.

    Attributes:
        saturation: stable, backlogged or overloaded; see `simulator.analysis.saturation.saturation_of`.
        cash: What is really paid, and when; None where the pattern was not priced.
        drift: Where the queue of all workloads together is going.
        turned_away: Share of the requests that were refused for want of room, or gave up waiting.
        usage: What the bill charges for: a month for each replication, all as one long run, enough to price it again.
        by_replication: By workload (`all` for the pattern as a whole) and figure (such as `monthly_cost_usd` and
            `e2e_p99_s`), its value in each replication; None where there is none.
        decisions: Where requests were sent first, and why.
        api_share: Share of the answers that came from an API; None for a pattern without both.
        timeline: What happened when in the first replication; None where nothing could break.
        losses: What the loss of each of its parts did in the busiest hour; none unless the scenario asks.
        yearly_availability: By workload that asks for it, the share answered over a year in which things fail.
        cannot_tell: Why its replications say nothing of the month; None where they do.
    """

    name: str
    kind: str
    description: str
    feasible: bool
    infeasible_reasons: list[str]
    infeasible_by: str | None = None
    monthly_cost_usd: Interval | None = None
    cost_lines_usd: dict[str, float] = field(default_factory=dict)
    one_off_usd: dict[str, float] = field(default_factory=dict)
    cash: Cash | None = None
    usd_per_million_tokens: float | None = None
    unit_costs: UnitCosts | None = None
    utilisation: dict[str, float | None] | None = None
    requests: Requests | None = None
    tokens: Tokens | None = None
    latency: dict[str, Latency | None] = field(default_factory=dict)
    workloads: dict[str, WorkloadResult] = field(default_factory=dict)
    saturation: str | None = None
    drift: Drift | None = None
    turned_away: float = 0.0
    step_time_band: StepTimeBandResult | None = None
    bill: Bill | None = None
    usage: Usage | None = None
    by_replication: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    decisions: list[DecisionResult] = field(default_factory=list)
    api_share: float | None = None
    timeline: Timeline | None = None
    losses: list[Loss] = field(default_factory=list)
    yearly_availability: dict[str, float] = field(default_factory=dict)
    cannot_tell: str | None = None

    def latency_of(self, metric: str) -> Latency:
        """What was waited: `ttft_s`, `itl_s` or `e2e_s`.

        Raises:
            UnknownName: There is no such figure, or no request that has one was answered.
        """
        found = self.latency.get(metric)
        if found is None:
            raise UnknownName("latency", metric, [name for name, one in self.latency.items() if one])
        return found

    @property
    def cost_usd(self) -> float:
        """USD a month; nothing for a pattern that was not simulated."""
        return self.monthly_cost_usd.mean if self.monthly_cost_usd else 0.0

    @property
    def replications(self) -> int:
        """How many there are; one of a pattern that was not simulated."""
        return max(1, len(self.by_replication.get("all", {}).get("monthly_cost_usd", [])))

    @property
    def answer(self) -> Answer:
        """Whether every workload with objectives meets them."""
        return (
            "cannot_tell"
            if self.cannot_tell
            else joint(load.objective.answer for load in self.workloads.values() if load.objective)
        )

    @property
    def objectives_met(self) -> bool | None:
        """The same as true, false, or None where these replications cannot tell."""
        return None if self.answer == "cannot_tell" else self.answer == "met"

    @property
    def met_as_measured(self) -> bool:
        """Whether every workload meets its objectives, chance left aside."""
        return all(load.objective.as_measured for load in self.workloads.values() if load.objective)


def pattern_result(
    name: str,
    pattern: HostingPattern,
    runs: Sequence[RunSummary],
    book: PriceBook,
    month_hours: Decimal,
    demand: Mapping[str, Demand],
    *,
    capacity_requests_per_s: float | None = None,
    patients: int | None = None,
    units: Mapping[str, str] | None = None,
) -> PatternResult:
    """Combine replications, and price each.

    Args:
        name: Of the pattern.
        pattern: The pattern.
        runs: Its replications.
        book: Price book.
        month_hours: Hours of the billed month.
        demand: What each workload asks of the month.
        capacity_requests_per_s: What its clusters can serve; None without one.
        patients: Of the organisation, for a cost per patient.
        units: What a request of a workload is called, by workload; a request when absent.
    """
    usages = monthly_usages(pattern, runs, demand, month_hours)
    bills = [monthly_bill(pattern, usage, book, month_hours) for usage in usages]
    usage = pooled(usages)
    capacity_fraction = _capacity_fraction(pattern, usage, capacity_requests_per_s)
    mean_bill = monthly_bill(pattern, usage, book, month_hours)
    per_million = usd_per_million_tokens(mean_bill, usage, month_hours)
    shown = mean_bill.rounded()
    owed = allocate(pattern, usage, book, month_hours)
    going = drifts(runs)
    workloads = {
        workload: replace(
            _workload([run.workloads[workload] for run in runs], going[workload], steady=is_steady(pattern)),
            cost=_cost(owed[workload], workload, usage, month_hours, (units or {}).get(workload, "request")),
        )
        for workload in runs[0].workloads
    }
    return PatternResult(
        name=name,
        kind=pattern.kind,
        description=pattern.description,
        feasible=True,
        infeasible_reasons=[],
        monthly_cost_usd=_interval([float(bill.total_usd) for bill in bills]),
        cost_lines_usd={line.key: float(shown.usd(line.key)) for line in shown.lines},
        one_off_usd={line.key: float(line.usd) for line in one_off_bill(pattern, book.vat).rounded().lines},
        cash=cash_of(pattern, mean_bill, book.vat),
        usd_per_million_tokens=None if per_million is None else float(per_million),
        unit_costs=unit_costs(pattern, usage, book, month_hours, patients=patients, capacity_share=capacity_fraction),
        utilisation=_utilisation(runs, capacity_fraction),
        requests=sum_requests([result.requests for result in workloads.values()]),
        tokens=sum_tokens([result.tokens for result in workloads.values()]),
        latency=_latency([run.total for run in runs]),
        workloads=workloads,
        saturation=saturation_of(runs),
        drift=going[None],
        turned_away=turned_away(runs),
        bill=mean_bill,
        usage=usage,
        by_replication=by_replication(runs, bills),
        decisions=decision_results(pattern, runs, book),
        api_share=_api_share(pattern, usage),
        timeline=runs[0].timeline,
        cannot_tell=cannot_tell(runs, demand, float(month_hours)),
    )


def _capacity_fraction(pattern: HostingPattern, usage: Usage, requests_per_s: float | None) -> float | None:
    """Requests that clusters answer over those they could."""
    if requests_per_s is None:
        return None
    done = sum(work.requests for name in pattern.hosted for work in usage.work[name].values())
    return done / (usage.hours * 3600.0 * requests_per_s)


def _cost(owed: Decimal, workload: str, usage: Usage, month_hours: Decimal, unit: str) -> WorkloadCost:
    done = [works[workload] for works in usage.work.values()]
    scale = exact(month_hours) / exact(usage.hours)
    requests = sum(work.requests for work in done) * scale
    tokens = sum(work.prompt_tokens + work.output_tokens for work in done) * scale
    return WorkloadCost(
        monthly_usd=float(owed),
        unit=unit,
        usd_per_unit=float(exact(owed) / requests) if requests else None,
        usd_per_million_tokens=float(usd_per_million(owed, tokens)) if tokens else None,
    )


def _api_share(pattern: HostingPattern, usage: Usage) -> float | None:
    answers = {name: sum(work.requests for work in works.values()) for name, works in usage.work.items()}
    if not (pattern.hosted and pattern.metered and any(answers.values())):
        return None
    return sum(answers[name] for name in pattern.metered) / sum(answers.values())


def _interval(values: Sequence[float]) -> Interval:
    found = estimate(values)
    return Interval(found.mean, None if found.low is None or found.high is None else (found.low, found.high))


def _utilisation(runs: Sequence[RunSummary], capacity_fraction: float | None) -> dict[str, float | None] | None:
    levels = [run.utilisation for run in runs if run.utilisation]
    if not levels:
        return None
    return {
        "busy_fraction": sum(level.busy_fraction for level in levels) / len(levels),
        "batch_occupancy": sum(level.batch_occupancy for level in levels) / len(levels),
        "kv_occupancy": sum(level.kv_occupancy for level in levels) / len(levels),
        "capacity_fraction": capacity_fraction,
    }


def _latency(groups: Sequence[Group]) -> dict[str, Latency | None]:
    found: dict[str, Latency | None] = {}
    for metric in METRICS:
        rows = [group.latency[metric] for group in groups if group.latency[metric]]
        if not rows:
            found[metric] = None
            continue
        means = {name: sum(row[name] for row in rows) / len(rows) for name in ("mean", *QUANTILES)}
        found[metric] = Latency(**means, ci95=_interval([row["p99"] for row in rows]).ci95)
    return found


def _workload(groups: Sequence[Group], drift: Drift, *, steady: bool) -> WorkloadResult:
    samples = limit_samples(groups, steady=steady)
    objective = objective_result(samples, groups[0].target_share)
    undecided = sum(group.undecided for group in groups)
    known = undecided <= sum(group.decided for group in groups)
    return WorkloadResult(
        latency=_latency(groups),
        requests=mean_requests(groups),
        tokens=Tokens(
            round(mean_of(groups, lambda group: group.prompt_tokens)),
            round(mean_of(groups, lambda group: group.cached_prompt_tokens)),
            round(mean_of(groups, lambda group: group.output_tokens)),
        ),
        share_met=objective.hardest.share if objective else None,
        goodput=_share(groups, "goodput"),
        objective_met=objective.met if objective and known else None,
        availability=_availability(groups, grows=drift.grows),
        drift=drift,
        undecided=round(undecided / len(groups)),
        objective=objective,
        samples=samples,
    )


def _availability(groups: Sequence[Group], *, grows: bool) -> float | None:
    """An answer that is still to come is no failure, unless the queue grows and it may never come."""
    ended = sum(group.arrived - (0 if grows else group.outcomes["unfinished"]) for group in groups)
    return sum(group.outcomes["completed"] for group in groups) / ended if ended else None


def _share(groups: Sequence[Group], name: str) -> float | None:
    """A share of the requests of all replications; None where no replication has it."""
    found = [(share, group.decided) for group in groups if (share := getattr(group, name)) is not None]
    return sum(share * count for share, count in found) / sum(count for _, count in found) if found else None


def document(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Plain data with floats of nine significant digits, the same on every machine."""
    if isinstance(value, (float, Decimal)):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: document(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [document(item) for item in value]
    return value
