"""Results of a hosting pattern over all replications, in the shape of the published JSON document."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from simulator.analysis.backlog import Drift
from simulator.cost.allocation import allocate
from simulator.cost.bill import Bill, monthly_bill, one_off_bill, usd_per_million_tokens
from simulator.cost.cash import Cash, cash_of
from simulator.cost.tco import exact, usd_per_million
from simulator.cost.unit_costs import UnitCosts, unit_costs
from simulator.cost.usage import Usage
from simulator.errors import UnknownName
from simulator.experiment.by_replication import by_replication
from simulator.experiment.chains import chain_result
from simulator.experiment.counts import Requests, Tokens, sum_requests, sum_tokens
from simulator.experiment.decisions import DecisionResult, decision_results
from simulator.experiment.losses import yearly_availability
from simulator.experiment.objectives import Answer, joint
from simulator.experiment.step_time_band import StepTimeBandResult
from simulator.experiment.workload_result import Interval, Latency, WorkloadCost, WorkloadResult, interval

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from simulator.analysis.timeline import Timeline
    from simulator.cost.prices import PriceBook
    from simulator.experiment.checks import Unfit
    from simulator.experiment.losses import Loss
    from simulator.experiment.measured import Measured
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario


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
    measured: Measured,
    book: PriceBook,
    month_hours: Decimal,
    *,
    patients: int | None = None,
    units: Mapping[str, str] | None = None,
    chains: Mapping[str, tuple[str, ...]] | None = None,
) -> PatternResult:
    """Price what was measured: each replication, and all of them as one long run.

    Args:
        name: Of the pattern.
        pattern: The pattern.
        measured: What its replications say.
        book: Price book.
        month_hours: Hours of the billed month.
        patients: Of the organisation, for a cost per patient.
        units: What a request of a workload is called, by workload; a request when absent.
        chains: By workload, those whose requests follow one another up to it; none do when absent.
    """
    usage, runs, share = measured.usage, measured.runs, measured.capacity_fraction
    bills = [monthly_bill(pattern, one, book, month_hours) for one in measured.usages]
    mean_bill = monthly_bill(pattern, usage, book, month_hours)
    per_million = usd_per_million_tokens(mean_bill, usage, month_hours)
    shown = mean_bill.rounded()
    owed = allocate(pattern, usage, book, month_hours)
    workloads = {
        load: replace(one, cost=_cost(owed[load], load, usage, month_hours, (units or {}).get(load, "request")))
        for load, one in measured.workloads.items()
    }
    for last, along in (chains or {}).items():
        groups, owed_usd = [run.workloads[last] for run in runs], [float(owed[one]) for one in along]
        chain = chain_result(along, groups, owed_usd, _requests(last, usage, month_hours))
        workloads[last] = replace(workloads[last], chain=chain)
    return PatternResult(
        name=name,
        kind=pattern.kind,
        description=pattern.description,
        feasible=True,
        infeasible_reasons=[],
        monthly_cost_usd=interval([float(bill.total_usd) for bill in bills]),
        cost_lines_usd={line.key: float(shown.usd(line.key)) for line in shown.lines},
        one_off_usd={line.key: float(line.usd) for line in one_off_bill(pattern, book.vat).rounded().lines},
        cash=cash_of(pattern, mean_bill, book.vat),
        usd_per_million_tokens=None if per_million is None else float(per_million),
        unit_costs=unit_costs(pattern, usage, book, month_hours, patients=patients, capacity_share=share),
        utilisation=measured.utilisation,
        requests=sum_requests([result.requests for result in workloads.values()]),
        tokens=sum_tokens([result.tokens for result in workloads.values()]),
        latency=measured.latency,
        workloads=workloads,
        saturation=measured.saturation,
        drift=measured.drift,
        turned_away=measured.turned_away,
        bill=mean_bill,
        usage=usage,
        by_replication=by_replication(runs, bills),
        decisions=decision_results(pattern, runs, book),
        api_share=measured.api_share,
        timeline=runs[0].timeline,
        cannot_tell=measured.cannot_tell,
    )


def refused(name: str, pattern: HostingPattern, unfit: Unfit) -> PatternResult:
    """A pattern that was not simulated: it may not be used, or its model does not fit its GPUs."""
    return PatternResult(name, pattern.kind, pattern.description, False, unfit.reasons, unfit.rule)


def with_losses(result: PatternResult, scenario: Scenario, found: list[Loss]) -> PatternResult:
    """A result with what the loss of its parts does."""
    shares = {}
    for name, part in result.workloads.items():
        objectives = scenario.workloads[name].objectives
        if objectives is not None and objectives.availability is not None:
            answered = 1.0 if part.availability is None else part.availability
            shares[name] = yearly_availability(answered, name, found)
    return replace(result, losses=found, yearly_availability=shares)


def _requests(workload: str, usage: Usage, month_hours: Decimal) -> float:
    done = sum(works[workload].requests for works in usage.work.values())
    return float(done * exact(month_hours) / exact(usage.hours))


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


def published(result: PatternResult) -> dict[str, Any]:
    """What is published of a result, its parts as they are."""
    found = {one.name: getattr(result, one.name) for one in fields(result)}
    for name in ("losses", "yearly_availability"):
        # Nobody asked.
        if not found[name]:
            del found[name]
    found["workloads"] = {name: _workload_document(load) for name, load in result.workloads.items()}
    bill = found.pop("bill")
    found["cost_basis"] = {} if bill is None else {line.key: line.basis for line in bill.lines}
    return found


def _workload_document(load: WorkloadResult) -> dict[str, Any]:
    left_out = {"samples", *(part for part in ("chain", "thinking") if getattr(load, part) is None)}
    return {one.name: getattr(load, one.name) for one in fields(load) if one.name not in left_out}


def document(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Plain data with floats of nine significant digits, the same on every machine."""
    return plain(value, _nine_digits)


def plain(value: Any, number: Callable[[Any], Any] = lambda value: value) -> Any:  # noqa: ANN401 - JSON is anything
    """What a result says as plain data, each fraction as `number` has it; what is in it already is not copied."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (float, Decimal)):
        return number(value)
    if isinstance(value, dict):
        return {key: plain(item, number) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, number) for item in value]
    names = _fields(cast("Hashable", type(value)))
    return {name: plain(getattr(value, name), number) for name in names} if names else value


def _nine_digits(value: float | Decimal) -> float:
    return float(f"{value:.9g}")


@cache
def _fields(kind: Hashable) -> tuple[str, ...]:
    """Names of a dataclass's fields; none of anything else."""
    return tuple(one.name for one in fields(kind)) if isinstance(kind, type) and is_dataclass(kind) else ()
