"""Chains of workloads, counted by how and where they ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.record import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simulator.engine.record import ChainLog


@dataclass(frozen=True, slots=True)
class ChainCounts:
    """Chains up to one workload that began after the warm-up.

    Attributes:
        begun: How many.
        completed: Those whose last request was answered.
        unfinished: Those that were under way at the horizon.
        ended_in: Those that ended before, for a request was refused or given up, by the workload of that request.

    Each chain is one of these: they add up to `begun`.
    """

    begun: int
    completed: int
    unfinished: int
    ended_in: dict[str, int]


def count_chains(log: ChainLog, rows: NDArray[np.bool_], workloads: tuple[str, ...]) -> ChainCounts:
    """Count some of the chains."""
    outcome, ended_in = log.outcome[rows], log.ended_in[rows]
    completed, unfinished = outcome == Outcome.COMPLETED, outcome == Outcome.UNFINISHED
    failed = ended_in[~completed & ~unfinished]
    by_workload = {name: int((failed == number).sum()) for number, name in enumerate(workloads)}
    return ChainCounts(
        begun=len(outcome),
        completed=int(completed.sum()),
        unfinished=int(unfinished.sum()),
        ended_in={name: count for name, count in by_workload.items() if count},
    )
