"""Requests and tokens, counted by how they went: what is known of a part of a run adds up to the whole."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.engine.record import Outcome, Reason, RequestLog
from simulator.trace.request_table import RequestTable
from simulator.workload.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    #: Some rows of columns: all of them, by number, or by whether they are among them.
    Rows = slice | NDArray[np.intp] | NDArray[np.bool_]

#: Axes of a tally.
WORKLOAD, BACKEND, OUTCOME, FAILOVER, LOST = range(5)
#: Rows that are counted at once.
_AT_ONCE: Final = 32_768
#: Outcomes of requests that nobody served.
GIVEN_UP: Final = (Outcome.REJECTED, Outcome.TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests by workload, backend, `Outcome`, `Reason` of failing over and `Reason` of loss: int64, those five axes.

    Attributes:
        requests: How many; the last backend is none.
        repeated: Of those, called an API more than once.
        prompt_tokens: Their prompt tokens.
        cached_tokens: Of those, found in a prefix cache.
        output_tokens: Their output tokens.
        thinking_tokens: Of those, what they thought before their answers.
        unanswered: Requests that thought until their output ended, and so got to no answer.
        billed_prompt_tokens: Prompt tokens an API charged for.
        billed_cached_tokens: Of those, at the price of cached ones.
        billed_written_tokens: Of the billed prompt tokens, those written to its cache.
        billed_output_tokens: Output tokens an API charged for.
        wasted_tokens: Tokens a cluster computed in vain.
    """

    requests: Counts
    repeated: Counts
    prompt_tokens: Counts
    cached_tokens: Counts
    output_tokens: Counts
    thinking_tokens: Counts
    unanswered: Counts
    billed_prompt_tokens: Counts
    billed_cached_tokens: Counts
    billed_written_tokens: Counts
    billed_output_tokens: Counts
    wasted_tokens: Counts

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def of(self, axis: int, *some: int) -> Tally:
        """Only the requests of some workloads, backends, outcomes or reasons; there are five axes still."""
        return Tally(*(np.take(getattr(self, field.name), some, axis) for field in fields(self)))


def by(axis: int, counts: Counts) -> list[int]:
    """Counts along one axis, summed over the others."""
    return [int(count) for count in counts.sum(axis=tuple(other for other in range(counts.ndim) if other != axis))]


def tally(table: RequestTable, log: RequestLog, workloads: int, backends: int) -> Tally:
    """Count the requests of a part of a run in which there are so many workloads and backends."""
    shape = (workloads, backends + 1, len(Outcome), len(Reason), len(Reason))
    keys = (table.workload, log.backend, log.outcome, log.failover, log.lost)
    # Backend -1 is none, and wraps to the last.
    ways = np.ravel_multi_index(keys, shape, mode=("raise", "wrap", "raise", "raise", "raise"))
    billed, nothing = log.billed_prompt_tokens > 0, np.zeros(shape, np.int64)

    def count(weights: NDArray[np.generic] | None = None) -> Counts:
        if weights is not None and not weights.any():
            return nothing
        # Sums of integers are exact as float64 up to 2**53.
        return np.bincount(ways, weights, minlength=prod(shape)).astype(np.int64).reshape(shape)

    return Tally(
        requests=count(),
        repeated=count(log.attempts > 1),
        prompt_tokens=count(table.prompt_tokens),
        cached_tokens=count(log.cached_tokens),
        output_tokens=count(table.output_tokens),
        thinking_tokens=count(table.thinking_tokens),
        unanswered=count(table.thinking_tokens >= table.output_tokens),
        billed_prompt_tokens=count(log.billed_prompt_tokens),
        billed_cached_tokens=count(log.cached_tokens * billed),
        billed_written_tokens=count(log.written_tokens * billed),
        billed_output_tokens=count(log.billed_output_tokens),
        wasted_tokens=count(log.wasted_tokens),
    )


def work_of(completed: Tally, workloads: tuple[str, ...]) -> dict[str, Work]:
    """What was completed, by workload."""
    counts = (completed.requests, completed.prompt_tokens, completed.cached_tokens, completed.output_tokens)
    by_workload = zip(*(by(WORKLOAD, count) for count in counts), strict=True)
    return {name: Work(*work) for name, work in zip(workloads, by_workload, strict=True)}


def in_pieces(table: RequestTable, log: RequestLog) -> Iterator[tuple[RequestTable, RequestLog]]:
    """The same, so many at once that what is made of them on the way stays in a processor's cache."""
    for begin in range(0, max(len(table), 1), _AT_ONCE):
        rows = slice(begin, begin + _AT_ONCE)
        yield table.rows(rows), log.rows(rows)


def rows_by_workload(workload: NDArray[np.integer], workloads: int) -> list[Rows]:
    """By workload, which rows are its own, in their order."""
    if workloads == 1:
        return [slice(None)]
    # So few bits are sorted by counting.
    order = np.argsort(workload, kind="stable")
    ends = np.bincount(workload, minlength=workloads).cumsum()
    return [order[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
