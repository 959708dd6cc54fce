"""What the replications of a hosting pattern say of the billed month before anything of it is priced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.analysis.saturation import drifts, saturation_of, turned_away
from simulator.cost.usage import Usage, pooled
from simulator.experiment.drawn import cannot_tell
from simulator.experiment.monthly_usage import monthly_usages
from simulator.experiment.objectives import is_steady
from simulator.experiment.workload_result import Latency, WorkloadResult, latency, workload_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from simulator.analysis.backlog import Drift
    from simulator.analysis.metrics import RunSummary
    from simulator.scenario.patterns import HostingPattern
    from simulator.workload.demand import Demand


@dataclass(frozen=True, slots=True)
class Measured:
    """One hosting pattern; whatever a price is put on, and whatever has none. `PatternResult` explains most of it.

    Attributes:
        runs: Its replications.
        usages: What the bill of a month charges for, by replication.
        usage: All of them as one long run.
        workloads: By name, without their part of the bill.
        capacity_fraction: Requests that its clusters answer over those they could; None where that is not known.
    """

    runs: Sequence[RunSummary]
    usages: list[Usage]
    usage: Usage
    workloads: dict[str, WorkloadResult]
    latency: dict[str, Latency | None]
    capacity_fraction: float | None
    utilisation: dict[str, float | None] | None
    saturation: str
    drift: Drift
    turned_away: float
    api_share: float | None
    cannot_tell: str | None


def measured(
    pattern: HostingPattern,
    runs: Sequence[RunSummary],
    month_hours: Decimal,
    demand: Mapping[str, Demand],
    capacity_requests_per_s: float | None = None,
    timetable: Mapping[str, float] | None = None,
) -> Measured:
    """Combine replications.

    Args:
        pattern: The pattern; its prices do not matter.
        runs: Its replications.
        month_hours: Hours of the billed month.
        demand: What each workload asks of the month.
        capacity_requests_per_s: What its clusters can serve; None without one.
        timetable: See `monthly_usages`.
    """
    usages = monthly_usages(pattern, runs, demand, month_hours, timetable)
    usage, going, steady = pooled(usages), drifts(runs), is_steady(pattern)
    fraction = _capacity_fraction(pattern, usage, capacity_requests_per_s)
    return Measured(
        runs=runs,
        usages=usages,
        usage=usage,
        workloads={
            name: workload_result([run.workloads[name] for run in runs], going[name], steady=steady)
            for name in runs[0].workloads
        },
        latency=latency([run.total for run in runs]),
        capacity_fraction=fraction,
        utilisation=_utilisation(runs, fraction),
        saturation=saturation_of(runs),
        drift=going[None],
        turned_away=turned_away(runs),
        api_share=_api_share(pattern, usage),
        cannot_tell=cannot_tell(runs, demand, float(month_hours)),
    )


def _capacity_fraction(pattern: HostingPattern, usage: Usage, requests_per_s: float | None) -> float | None:
    if requests_per_s is None:
        return None
    done = sum(work.requests for name in pattern.hosted for work in usage.work[name].values())
    return done / (usage.hours * 3600.0 * requests_per_s)


def _api_share(pattern: HostingPattern, usage: Usage) -> float | None:
    answers = {name: sum(work.requests for work in works.values()) for name, works in usage.work.items()}
    if not (pattern.hosted and pattern.metered and any(answers.values())):
        return None
    return sum(answers[name] for name in pattern.metered) / sum(answers.values())


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
