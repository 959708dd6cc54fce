"""What a router decided: where requests were sent first, and why."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.engine.record import RequestLog
    from simulator.trace.request_table import RequestTable


@dataclass(frozen=True, slots=True)
class Decided:
    """Requests that were sent to one backend for one reason.

    Attributes:
        target: Name of the backend; empty for none.
        reason: Why there.
        requests: How many.
        prompt_tokens: Of their prompts.
        expected_output_tokens: Of their answers, each taken as the mean answer of its workload: nobody knows the true
            one when deciding.
    """

    target: str
    reason: str
    requests: int
    prompt_tokens: int
    expected_output_tokens: float


def count_decisions(
    table: RequestTable, log: RequestLog, workloads: int, backends: int, decisions: int
) -> NDArray[np.int64]:
    """Count the decisions of a part of a run; those of its parts add up.

    Returns:
        Requests and prompt tokens, each by backend they were sent to first, the last for none, decision and workload.
    """
    shape = (backends + 1, decisions + 1, workloads)
    # -1 wraps to the last: no backend, and no decision, which is left out.
    ways = np.ravel_multi_index((log.target, log.decision, table.workload), shape, mode=("wrap", "wrap", "raise"))
    counts = [np.bincount(ways, weights, minlength=prod(shape)) for weights in (None, table.prompt_tokens)]
    return np.reshape(counts, (2, *shape)).astype(np.int64)[:, :, :-1]


def added(before: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts of two parts together; the later one may know more reasons."""
    total = counts.copy()
    total[:, :, : before.shape[2]] += before
    return total


def decided(
    counts: NDArray[np.int64], answers: NDArray[np.float64], backends: tuple[str, ...], decisions: tuple[str, ...]
) -> tuple[Decided, ...]:
    """What was decided, by backend and reason, in their order.

    Args:
        counts: From `count_decisions`.
        answers: By workload, mean output tokens of its completed requests; 0 without any.
        backends: Names.
        decisions: Reasons.
    """
    requests, prompt_tokens = counts.sum(axis=-1)
    outputs = counts[0] @ answers
    return tuple(
        Decided(name, reason, int(requests[at]), int(prompt_tokens[at]), float(outputs[at]))
        for target, name in enumerate((*backends, ""))
        for number, reason in enumerate(decisions)
        if requests[at := (target, number)]
    )
