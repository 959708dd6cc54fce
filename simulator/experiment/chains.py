"""Chains of workloads over all replications: how they ended, and what one of them costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.analysis.metrics import Group


@dataclass(frozen=True, slots=True)
class ChainResult:
    """Chains that lead up to one workload: mean counts of a replication.

    Attributes:
        workloads: Whose requests follow one another, the first first.
        begun: Chains whose first request arrived.
        completed: Those whose last request was answered.
        unfinished: Those that were under way at the end.
        ended_in: Those that ended before, by the workload whose request was refused or given up.
        usd: What one that is completed costs: the bills of all its workloads over as many; None without any, or where
            the pattern was not priced.
    """

    workloads: tuple[str, ...]
    begun: int
    completed: int
    unfinished: int
    ended_in: dict[str, int]
    usd: float | None = None


def chain_result(
    workloads: tuple[str, ...], groups: Sequence[Group], monthly_usd: Sequence[float], requests_a_month: float
) -> ChainResult:
    """The chains up to a workload that follows another.

    Args:
        workloads: Those of the chain, this one last.
        groups: This one in each replication.
        monthly_usd: Their parts of the bill.
        requests_a_month: Completed requests of this one in a month.
    """
    counts, often = [group.chains for group in groups if group.chains is not None], len(groups)
    means = {"completed": sum(one.completed for one in counts) / often}
    means["unfinished"] = sum(one.unfinished for one in counts) / often
    failed = [name for name in workloads if any(name in one.ended_in for one in counts)]
    means |= {f"in {name}": sum(one.ended_in.get(name, 0) for one in counts) / often for name in failed}
    whole, begun = {name: int(mean) for name, mean in means.items()}, round(sum(means.values()))
    # The largest remainders take what rounding down has left.
    for name in sorted(means, key=lambda name: whole[name] - means[name])[: begun - sum(whole.values())]:
        whole[name] += 1
    return ChainResult(
        workloads=workloads,
        begun=begun,
        completed=whole["completed"],
        unfinished=whole["unfinished"],
        ended_in={name: whole[f"in {name}"] for name in failed},
        usd=sum(monthly_usd) / requests_a_month if requests_a_month else None,
    )
