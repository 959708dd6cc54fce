"""What a finished run leaves behind: one row per request, hourly levels per replica, counters."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.trace.request_table import RequestTable


class Outcome(IntEnum):
    """How a request ended; each ends in exactly one."""

    UNFINISHED = 0
    COMPLETED = 1
    REJECTED = 2
    TIMED_OUT = 3
    CANCELLED = 4


class Reason(IntEnum):
    """Why a request left the backend it was first sent to: no room, too slow, refused, or it broke down.

    BREAKER: it had failed too often; HEDGE: another answered first; TOO_LONG: it is more than the model takes.
    """

    NONE = 0
    CAPACITY = 1
    TIMEOUT = 2
    ERROR = 3
    FAULT = 4
    BREAKER = 5
    HEDGE = 6
    TOO_LONG = 7


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that broke, for people.

    Attributes:
        start_s: When it began.
        end_s: When it was over.
        cause: Kind of the fault.
        backend: What it befell.
        what: How much of that, in words.
    """

    start_s: float
    end_s: float
    cause: str
    backend: str
    what: str


class Loss(NamedTuple):
    """A request that a backend did not serve.

    Attributes:
        at_s: When.
        row: Of the request.
        reason: Why.
        sent: Whether it had been sent to the backend at all.
    """

    at_s: float
    row: int
    reason: Reason
    sent: bool


class Charge(NamedTuple):
    """What an API charges for a call that answered nobody.

    Attributes:
        at_s: When the call ended.
        row: Of the request.
        backend: Index into `RunRecord.backends`.
        prompt_tokens: Prompt tokens charged, cached ones included.
        cached_tokens: Of those, tokens at the price of cached ones.
        output_tokens: Output tokens charged.
        workload: Of the request, index into its table's workloads.
        written_tokens: Of the prompt tokens, those that are written to the API's cache.
    """

    at_s: float
    row: int
    backend: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    workload: int
    written_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RequestLog:
    """Stamps and counts per request, in arrival order; NaN marks a stamp that never came.

    Attributes:
        enqueued_s: When the backend that ended it took it.
        scheduled_s: When it was first scheduled, when the API admitted it, or when it was first handed in with a batch.
        first_token_s: When its first token reached the client.
        first_answer_s: When the first token of its answer did, of one that thought before and that a cluster answered;
            0 for all others, see `answers_s`.
        last_token_s: When its last token reached the client.
        ended_s: When its outcome was decided.
        outcome: `Outcome`.
        failover: `Reason` it left the first backend, NONE if it did not.
        lost: `Reason` nobody served it, NONE if it was not rejected or timed out.
        backend: int8 index into `RunRecord.backends`, -1 if none took it.
        target: int8 index of the backend it was sent to first, -1 if none.
        decision: int8 index into `RunRecord.decisions`: why there; -1 if it did not arrive.
        cached_tokens: Prompt tokens found in the prefix cache at first admission.
        written_tokens: Prompt tokens that an API wrote to its cache for the answer.
        preemptions: Times it lost its KV blocks.
        attempts: Calls made to the API.
        retries: Times it was sent again from the start, after a cluster had lost it to a fault.
        billed_prompt_tokens: Prompt tokens an API charged for the answer; `RunRecord.burnt` has the other calls.
        billed_output_tokens: Output tokens an API charged for the answer.
        wasted_tokens: Tokens a cluster computed for it in vain (given up or failed over).
    """

    enqueued_s: NDArray[np.float64]
    scheduled_s: NDArray[np.float64]
    first_token_s: NDArray[np.float64]
    first_answer_s: NDArray[np.float64]
    last_token_s: NDArray[np.float64]
    ended_s: NDArray[np.float64]
    outcome: NDArray[np.int8]
    failover: NDArray[np.int8]
    lost: NDArray[np.int8]
    backend: NDArray[np.int8]
    target: NDArray[np.int8]
    decision: NDArray[np.int8]
    cached_tokens: NDArray[np.int32]
    written_tokens: NDArray[np.int32]
    preemptions: NDArray[np.int16]
    attempts: NDArray[np.int16]
    retries: NDArray[np.int16]
    billed_prompt_tokens: NDArray[np.int32]
    billed_output_tokens: NDArray[np.int32]
    wasted_tokens: NDArray[np.int32]

    @classmethod
    def empty(cls, size: int) -> RequestLog:
        """A log of `size` requests to which nothing has happened yet."""

        def stamps() -> NDArray[np.float64]:
            return np.full(size, np.nan)

        return cls(
            enqueued_s=stamps(),
            scheduled_s=stamps(),
            first_token_s=stamps(),
            # Memory that nobody writes to is none; few requests think.
            first_answer_s=np.zeros(size),
            last_token_s=stamps(),
            ended_s=stamps(),
            outcome=np.zeros(size, np.int8),
            failover=np.zeros(size, np.int8),
            lost=np.zeros(size, np.int8),
            backend=np.full(size, -1, np.int8),
            target=np.full(size, -1, np.int8),
            decision=np.full(size, -1, np.int8),
            cached_tokens=np.zeros(size, np.int32),
            written_tokens=np.zeros(size, np.int32),
            preemptions=np.zeros(size, np.int16),
            attempts=np.zeros(size, np.int16),
            retries=np.zeros(size, np.int16),
            billed_prompt_tokens=np.zeros(size, np.int32),
            billed_output_tokens=np.zeros(size, np.int32),
            wasted_tokens=np.zeros(size, np.int32),
        )

    def rows(self, some: slice) -> RequestLog:
        """Some of the requests, in the same memory."""
        return RequestLog(*(getattr(self, column.name)[some] for column in fields(self)))


def answers_s(table: RequestTable, log: RequestLog) -> NDArray[np.float64]:
    """When the first answer token of each request reached its client: its first token, unless it thought before.

    An API sends its tokens evenly, so the first of the answer comes after as large a part of them as are thoughts. NaN
    where there was none: not yet, or because all it said were thoughts.
    """
    thinking, gaps = table.thinking_tokens, table.output_tokens - 1
    if not thinking.any():
        return log.first_token_s
    thought, answers = thinking > 0, thinking <= gaps
    share = np.divide(thinking, gaps, out=np.zeros(len(table)), where=thought & answers)
    even_s = log.first_token_s + share * (log.last_token_s - log.first_token_s)
    stamped_s = np.where(log.first_answer_s > 0.0, log.first_answer_s, np.nan)
    found_s = np.where(thought, np.where(log.billed_prompt_tokens > 0, even_s, stamped_s), log.first_token_s)
    return np.where(thought & ~answers, np.nan, found_s)


def write_loss(log: RequestLog, loss: Loss) -> None:
    """End a request that no other backend takes."""
    log.outcome[loss.row] = Outcome.TIMED_OUT if loss.reason is Reason.TIMEOUT else Outcome.REJECTED
    log.lost[loss.row] = loss.reason
    log.ended_s[loss.row] = loss.at_s


@dataclass(frozen=True, slots=True)
class ReplicaLevels:
    """Time integrals of one replica in equal intervals of the horizon.

    Attributes:
        interval_s: Length of an interval.
        busy_s: Seconds in which a step was executing.
        sequence_s: Running sequences x seconds.
        waiting_s: Waiting sequences x seconds.
        kv_block_s: Used KV blocks x seconds.
        steps: Engine steps executed in the whole run.
        preemptions: Preemptions in the whole run.
        kv_blocks: Usable KV blocks.
        max_num_seqs: Most sequences in one step.
        cluster: Name of its cluster.
        up_s: Seconds in which it served, by interval; None for always.
        paid_s: Seconds for which its GPUs were paid, by interval; None for always.
    """

    interval_s: float
    busy_s: NDArray[np.float64]
    sequence_s: NDArray[np.float64]
    waiting_s: NDArray[np.float64]
    kv_block_s: NDArray[np.float64]
    steps: int
    preemptions: int
    kv_blocks: int
    max_num_seqs: int
    cluster: str = "cluster"
    up_s: NDArray[np.float64] | None = None
    paid_s: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class ChainLog:
    """Chains of workloads: one row for each request that follows another workload, whether it was sent or not.

    A chain begins with its first request, and is looked at up to one workload of it: what follows that is another row.

    Attributes:
        workload: int16 index of the workload at its end.
        begun_s: When its first request arrived.
        ended_s: When its last token came; NaN where it is not completed.
        outcome: int8, `Outcome`: that of the first request that was not completed, unfinished where the next was still
            to come.
        ended_in: int16 index of the workload whose request that was; of the last where all were completed.
        by_api_s: What APIs took for its requests once they had let them in; NaN unless they answered all of them.
    """

    workload: NDArray[np.int16]
    begun_s: NDArray[np.float64]
    ended_s: NDArray[np.float64]
    outcome: NDArray[np.int8]
    ended_in: NDArray[np.int16]
    by_api_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One replication of one hosting pattern.

    Attributes:
        backends: Names that `log.backend` indexes.
        horizon_s: Simulated seconds.
        log: One row per request of the table that was simulated.
        levels: One entry per replica, in order.
        decisions: What `log.decision` indexes.
        incidents: What broke, by start; None where nothing could.
        burnt: Charges for calls that answered nobody, in the order in which they were made.
        chains: Chains of workloads that began; None without any.
    """

    backends: tuple[str, ...]
    horizon_s: float
    log: RequestLog
    levels: tuple[ReplicaLevels, ...]
    decisions: tuple[str, ...] = ()
    incidents: tuple[Incident, ...] | None = None
    burnt: tuple[Charge, ...] = ()
    chains: ChainLog | None = None
