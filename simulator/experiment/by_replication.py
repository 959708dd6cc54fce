"""Figures of each replication, for whoever wants to know how they vary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.analysis.waits import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.analysis.metrics import Group, RunSummary
    from simulator.cost.bill import Bill


def by_replication(runs: Sequence[RunSummary], bills: Sequence[Bill]) -> dict[str, dict[str, list[float | None]]]:
    """By workload (`all` for the pattern as a whole) and figure, its value in each replication."""
    whole: dict[str, list[float | None]] = {"monthly_cost_usd": [float(bill.total_usd) for bill in bills]}
    whole |= _figures([run.total for run in runs])
    whole["busy_fraction"] = [run.utilisation.busy_fraction if run.utilisation else None for run in runs]
    return {"all": whole} | {name: _figures([run.workloads[name] for run in runs]) for name in runs[0].workloads}


def _figures(groups: Sequence[Group]) -> dict[str, list[float | None]]:
    def share(count: Callable[[Group], int]) -> list[float | None]:
        return [count(group) / group.arrived if group.arrived else None for group in groups]

    figures: dict[str, list[float | None]] = {
        f"{metric.removesuffix('_s')}_p99_s": [group.latency[metric].get("p99") for group in groups]
        for metric in METRICS
    }
    figures["requests_arrived"] = [float(group.arrived) for group in groups]
    figures["unserved_share"] = share(lambda group: group.arrived - group.outcomes["completed"])
    figures["failed_over_share"] = share(lambda group: sum(group.failed_over.values()))
    return figures
