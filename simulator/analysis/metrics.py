"""What a run says: counts, tokens, latency quantiles, utilisation, saturation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.analysis.backlog import Backlog, BacklogTally, starts_s, ticks_of
from simulator.analysis.chains import ChainCounts, count_chains
from simulator.analysis.decisions import Decided, added, count_decisions, decided
from simulator.analysis.levels import Utilisation, replica_hours, summed, utilisation
from simulator.analysis.limits import LimitCounts
from simulator.analysis.long_prompts import LongPrompts
from simulator.analysis.saturation import Saturation, saturation_of
from simulator.analysis.tally import (
    BACKEND,
    FAILOVER,
    GIVEN_UP,
    LOST,
    OUTCOME,
    WORKLOAD,
    Tally,
    by,
    in_pieces,
    rows_by_workload,
    tally,
    work_of,
)
from simulator.analysis.timeline import Intervals, Timeline, count_intervals, timeline_of
from simulator.analysis.waits import ANSWER, Waits, latencies
from simulator.engine.record import Outcome, Reason, RequestLog
from simulator.trace.request_table import COLUMNS, RequestTable
from simulator.workload.work import Charged, Work

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from simulator.analysis.tally import Rows
    from simulator.engine.record import ChainLog, Charge, RunRecord
    from simulator.scenario.workloads import Objectives


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one workload, or of all of them, that arrived after the warm-up.

    Attributes:
        outcomes: Requests by `Outcome` name in lower case; they sum to the arrivals.
        failed_over: Requests by `Reason` name in lower case.
        lost: Requests that were rejected or timed out, by `Reason` name in lower case.
        prompt_tokens: Of completed requests.
        cached_prompt_tokens: Of those, found in a prefix cache.
        output_tokens: Of completed requests.
        thinking_tokens, unanswered: Of those, thoughts before the answers; completed requests that had no other output.
        latency: By metric, then `mean`, `p50`, `p90`, `p95`, `p99` in seconds; empty when nothing completed.
        share_met: Share within the limit that the fewest are within, of the requests of which that is known; None
            without objectives, or such a request.
        goodput: The same for every limit at once, see `Waits.jointly`.
        goodput_requests: Requests that it is a share of.
        target_share: Share the objectives ask for; None without objectives.
        failed_over_tokens: Prompt and output tokens of completed requests that failed over, by reason.
        limits: How each limit of the objectives was kept; none without objectives.
        undecided: Requests that `share_met` leaves out: still open at the horizon, their limit not run out.
        backlog: How many waited; None where nobody looked.
        chains: Chains that lead up to this workload; None where it follows no other.

    A request that was given up is within no limit.
    """

    outcomes: dict[str, int]
    failed_over: dict[str, int]
    lost: dict[str, int]
    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: int
    latency: dict[str, dict[str, float]]
    share_met: float | None = None
    goodput: float | None = None
    target_share: float | None = None
    failed_over_tokens: dict[str, int] = field(default_factory=dict)
    limits: list[LimitCounts] = field(default_factory=list)
    undecided: int = 0
    backlog: Backlog | None = None
    chains: ChainCounts | None = None
    goodput_requests: int = 0
    thinking_tokens: int = 0
    unanswered: int = 0

    @property
    def arrived(self) -> int:
        """Requests that arrived."""
        return sum(self.outcomes.values())

    @property
    def decided(self) -> int:
        """Requests of which it is known whether they kept the limit, those that `LimitTally` leaves out among them."""
        return self.arrived - self.undecided

    @property
    def availability(self) -> float | None:
        """Share of the requests that have ended which were answered; None when none has."""
        ended = self.arrived - self.outcomes["unfinished"]
        return self.outcomes["completed"] / ended if ended else None


@dataclass(frozen=True, slots=True)
class BackendUse:
    """What one backend did for the requests that arrived after the warm-up.

    Attributes:
        requests: Requests it took last.
        utilisation: None for an API.
        charged: What it charges for, by workload; nothing for a cluster.
        work: What it completed, by workload.
        replica_hours: Hours for which its replicas were paid, all together; None for an API.
    """

    requests: int
    utilisation: Utilisation | None
    charged: dict[str, Charged] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)
    replica_hours: float | None = None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One replication of one hosting pattern, small enough to travel.

    Attributes:
        hours: Measured hours: the horizon without the warm-up.
        total: All requests.
        workloads: By workload.
        backends: By name, in the order of the record.
        utilisation: Of all clusters together; None for a pattern without one.
        queued: Whether more requests waited in its clusters than ran over some hour.
        repeated: Requests that called an API more than once.
        wasted_tokens: Tokens a cluster computed for requests that were given up.
        preemptions: Preemptions in the whole run.
        decisions: Where requests were sent first, and why.
        timeline: What happened when; None where nothing could break.
    """

    hours: float
    total: Group
    workloads: dict[str, Group]
    backends: dict[str, BackendUse]
    utilisation: Utilisation | None
    queued: bool
    repeated: int
    wasted_tokens: int
    preemptions: int
    decisions: tuple[Decided, ...] = ()
    timeline: Timeline | None = None

    @property
    def saturation(self) -> Saturation:
        """Verdict on the queue by this replication alone."""
        return saturation_of([self])


class Summariser:
    """Summarises a run whose requests come a part at a time, in memory that does not grow with their number."""

    def __init__(
        self,
        workloads: tuple[str, ...],
        backends: tuple[str, ...],
        objectives: Mapping[str, Objectives | None],
        *,
        horizon_s: float,
        warm_up_s: float = 0.0,
        timeline: bool = False,
        apis: Mapping[str, float] | None = None,
        thinking: Collection[str] = (),
    ) -> None:
        """Begin a summary.

        Args:
            workloads: Names that `RequestTable.workload` indexes.
            backends: Names that `RequestLog.backend` and `target` index.
            objectives: By workload name.
            horizon_s: Simulated seconds.
            warm_up_s: Requests that arrived before are left out, and so is that time.
            timeline: Whether something can break. Each part but the last then ends at a multiple of 21,600 s.
            apis: Which of the backends are APIs, each with the seconds that the network takes to it and back.
            thinking: Workloads whose requests think before they answer.
        """
        self._thinking = [name in thinking for name in workloads]
        self._workloads, self._backends = workloads, backends
        # Backend -1 is none, and wraps to the last.
        self._network_s = np.array([*(apis.get(name, np.nan) for name in backends), np.nan]) if apis else None
        self._horizon_s, self._warm_up_s = horizon_s, warm_up_s
        self._waits = [Waits(objectives.get(name), warm_up_s, horizon_s) for name in workloads]
        self._all_waits = Waits(None, warm_up_s, horizon_s)
        self._backlogs = [BacklogTally(warm_up_s, horizon_s) for _ in workloads]
        # A single workload is all there is.
        self._all_backlog = BacklogTally(warm_up_s, horizon_s) if len(workloads) > 1 else None
        none: Any = np.zeros(0, np.int64)
        no_requests = RequestTable(workloads, *(none for _ in COLUMNS)), RequestLog.empty(0)
        self._early = self._counted = self._tally(*no_requests)
        self._sent = self._count_decisions(*no_requests, 0)
        self._long = LongPrompts(len(backends), len(workloads))
        self._intervals = self._count_intervals(*no_requests) if timeline else None

    def add(self, table: RequestTable, log: RequestLog, decisions: tuple[str, ...]) -> None:
        """Take the next requests in order of arrival, about which everything is settled.

        Args:
            table: The requests.
            log: What became of them.
            decisions: What `RequestLog.decision` indexes; those of earlier parts, and any new ones.

        Raises:
            RuntimeError: They break a law of the engine; a fault of ours.
        """
        _check(table, log, int((self._early + self._counted).requests.sum()))
        if self._intervals is not None:
            self._intervals += self._count_intervals(table, log)
        rows = rows_by_workload(table.workload, len(self._workloads))
        self._follow(table, starts_s(log), rows)
        if first := int(np.searchsorted(table.arrival_s, self._warm_up_s)):
            for some in in_pieces(table.rows(slice(first)), log.rows(slice(first))):
                self._early += self._tally(*some)
            table, log = table.rows(slice(first, None)), log.rows(slice(first, None))
            rows = rows_by_workload(table.workload, len(self._workloads))
        for some in in_pieces(table, log):
            self._counted += self._tally(*some)
            self._long.add(*some)
            self._sent = added(self._sent, self._count_decisions(*some, len(decisions)))
        completed = log.outcome == Outcome.COMPLETED
        latency = latencies(table, log, completed, thinking=any(self._thinking))
        self._all_waits.add(latency)
        members = rows if completed.all() else rows_by_workload(table.workload[completed], len(self._workloads))
        for waits, its_rows, its_members, thinks in zip(self._waits, rows, members, self._thinking, strict=True):
            waits.add({name: values[its_members] for name, values in latency.items() if thinks or name != ANSWER})
            if waits.judges:
                waits.judge(table, log, its_rows, self._network_s)

    def finish(self, record: RunRecord) -> RunSummary:
        """The summary of what was added, and of all there is in the record but its log."""
        backlogs = [backlog.finish() for backlog in self._backlogs]
        chains = self._chains(record.chains)
        groups = {
            name: _group(self._counted.of(WORKLOAD, number), self._waits[number], backlogs[number], chains.get(name))
            for number, name in enumerate(self._workloads)
        }
        together = self._all_backlog.finish() if self._all_backlog else backlogs[0]
        waiting, running = summed(record, "waiting_s"), summed(record, "sequence_s")
        return RunSummary(
            hours=(record.horizon_s - self._warm_up_s) / 3600.0,
            total=_group(self._counted, self._all_waits, together),
            workloads=groups,
            backends={name: self._use(record, number) for number, name in enumerate(self._backends)},
            utilisation=utilisation(record, self._warm_up_s),
            queued=bool((waiting > running).any()),
            repeated=int(self._counted.repeated.sum()),
            wasted_tokens=int(self._counted.wasted_tokens.sum()),
            preemptions=sum(level.preemptions for level in record.levels),
            decisions=decided(self._sent, self._mean_answers(), self._backends, record.decisions),
            timeline=None if self._intervals is None else timeline_of(self._intervals, record, self._workloads),
        )

    def _follow(self, table: RequestTable, start_s: NDArray[np.float64], by_workload: Sequence[Rows]) -> None:
        """Take the next requests into the backlogs."""
        arrivals, starts = ticks_of(table.arrival_s, start_s)
        for backlog, rows in zip(self._backlogs, by_workload, strict=True):
            backlog.add(arrivals[rows], starts[rows])
        if self._all_backlog is not None:
            self._all_backlog.add(arrivals, starts)

    def _tally(self, table: RequestTable, log: RequestLog) -> Tally:
        return tally(table, log, len(self._workloads), len(self._backends))

    def _count_decisions(self, table: RequestTable, log: RequestLog, decisions: int) -> NDArray[np.int64]:
        return count_decisions(table, log, len(self._workloads), len(self._backends), decisions)

    def _count_intervals(self, table: RequestTable, log: RequestLog) -> Intervals:
        return count_intervals(table, log, len(self._workloads), self._horizon_s)

    def _mean_answers(self) -> NDArray[np.float64]:
        """By workload, mean output tokens of its completed requests, early ones included; 0 without any."""
        completed = (self._early + self._counted).of(OUTCOME, Outcome.COMPLETED)
        requests, tokens = by(WORKLOAD, completed.requests), by(WORKLOAD, completed.output_tokens)
        return np.divide(tokens, np.maximum(requests, 1))

    def _chains(self, log: ChainLog | None) -> dict[str, ChainCounts]:
        """By workload that follows another, its chains, which are held against their limit."""
        if log is None:
            return {}
        found, late = {}, log.begun_s >= self._warm_up_s
        for number in np.unique(log.workload).tolist():
            rows = (log.workload == number) & late
            self._waits[number].judge_chains(log, rows)
            found[self._workloads[number]] = count_chains(log, rows, self._workloads)
        return found

    def _use(self, record: RunRecord, number: int) -> BackendUse:
        """What one backend did."""
        name, first = self._backends[number], int(self._early.requests.sum())
        taken = self._counted.of(BACKEND, number)
        burnt = [charge for charge in record.burnt if charge.backend == number and charge.row >= first]
        return BackendUse(
            requests=int(taken.requests.sum()),
            utilisation=utilisation(record, self._warm_up_s, name),
            charged=self._charged(number, taken, burnt),
            replica_hours=replica_hours(record, self._warm_up_s, name),
            work=work_of(taken.of(OUTCOME, Outcome.COMPLETED), self._workloads),
        )

    def _charged(self, backend: int, taken: Tally, burnt: Sequence[Charge]) -> dict[str, Charged]:
        """Tokens charged for by workload: of the last attempts, and of those before that answered nobody."""
        kinds = ("billed_prompt_tokens", "billed_cached_tokens", "billed_output_tokens", "billed_written_tokens")
        found = np.array([by(WORKLOAD, getattr(taken, kind)) for kind in kinds], np.int64)
        for one in burnt:
            found[:, one.workload] += (one.prompt_tokens, one.cached_tokens, one.output_tokens, one.written_tokens)
        counts = zip(self._workloads, found.T.tolist(), strict=True)
        return {
            name: Charged(prompt, cached, output, written, self._long.billed(backend, number, burnt))
            for number, (name, (prompt, cached, output, written)) in enumerate(counts)
        }


def summarise(
    record: RunRecord,
    table: RequestTable,
    objectives: Mapping[str, Objectives | None],
    warm_up_s: float = 0.0,
    apis: Mapping[str, float] | None = None,
) -> RunSummary:
    """Summarise a run whose requests are all there.

    Args:
        record: The run.
        table: The requests it was given.
        objectives: By workload name.
        warm_up_s: Requests that arrived before are left out, and so is that time.
        apis: Which of the backends are APIs, each with the seconds that the network takes to it and back.

    Raises:
        RuntimeError: The record breaks a law of the engine; a fault of ours.
    """
    summariser = Summariser(
        table.workloads,
        record.backends,
        objectives,
        horizon_s=record.horizon_s,
        warm_up_s=warm_up_s,
        timeline=record.incidents is not None,
        apis=apis,
        thinking=[table.workloads[number] for number in np.unique(table.workload[table.thinking_tokens > 0])],
    )
    summariser.add(table, record.log, record.decisions)
    return summariser.finish(record)


def _group(counted: Tally, waits: Waits, backlog: Backlog, chains: ChainCounts | None = None) -> Group:
    completed, given_up = counted.of(OUTCOME, Outcome.COMPLETED), counted.of(OUTCOME, *GIVEN_UP)
    share, goodput, undecided = waits.shares(int(counted.requests.sum()))
    return Group(
        outcomes={one.name.lower(): count for one, count in zip(Outcome, by(OUTCOME, counted.requests), strict=True)},
        failed_over=_by_reason(FAILOVER, counted.requests),
        failed_over_tokens=_by_reason(FAILOVER, completed.prompt_tokens + completed.output_tokens),
        lost=_by_reason(LOST, given_up.requests),
        prompt_tokens=int(completed.prompt_tokens.sum()),
        cached_prompt_tokens=int(completed.cached_tokens.sum()),
        output_tokens=int(completed.output_tokens.sum()),
        latency=waits.latency(),
        share_met=share,
        goodput=goodput,
        goodput_requests=waits.jointly[1],
        target_share=None if waits.objectives is None else waits.objectives.share,
        limits=waits.limits,
        undecided=undecided,
        backlog=backlog,
        chains=chains,
        thinking_tokens=int(completed.thinking_tokens.sum()),
        unanswered=int(completed.unanswered.sum()),
    )


def _by_reason(axis: int, counts: NDArray[np.int64]) -> dict[str, int]:
    return {reason.name.lower(): count for reason, count in zip(Reason, by(axis, counts), strict=True) if reason}


def _check(table: RequestTable, log: RequestLog, before: int) -> None:
    """Refuse what would turn into silent nonsense: lost requests, completions without their stamps."""
    if len(log.outcome) != len(table):
        raise RuntimeError(f"{len(table)} requests were given, {len(log.outcome)} are accounted for")
    in_order = (table.arrival_s <= log.first_token_s) & (log.first_token_s <= log.last_token_s)
    odd = (log.outcome == Outcome.COMPLETED) & ~in_order
    if odd.any():
        raise RuntimeError(f"request {before + int(odd.argmax())} completed without its tokens, or before it arrived")
