"""What a router decided: where requests were sent first, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.record import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.engine.record import RunRecord
    from simulator.workload.request import RequestTable


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


def decided(record: RunRecord, table: RequestTable, counted: NDArray[np.bool_]) -> tuple[Decided, ...]:
    """Count the decisions about some of the requests, by backend and reason, in the record's order."""
    log = record.log
    answers = _mean_answers(record, table)
    found = []
    for target, name in enumerate((*record.backends, "")):
        sent = counted & (log.target == (target if name else -1)) & (log.decision >= 0)
        for number, reason in enumerate(record.decisions):
            chosen = sent & (log.decision == number)
            if requests := int(chosen.sum()):
                prompt_tokens = int(table.prompt_tokens[chosen].sum(dtype=np.int64))
                outputs = float(answers[table.workload[chosen]].sum())
                found.append(Decided(name, reason, requests, prompt_tokens, outputs))
    return tuple(found)


def _mean_answers(record: RunRecord, table: RequestTable) -> NDArray[np.float64]:
    """By workload, mean output tokens of its completed requests; 0 without any."""
    done = record.log.outcome == Outcome.COMPLETED
    size = len(table.workloads)
    counts = np.bincount(table.workload[done], minlength=size)
    tokens = np.bincount(table.workload[done], weights=table.output_tokens[done], minlength=size)
    return np.divide(tokens, counts, out=np.zeros(size), where=counts > 0)
