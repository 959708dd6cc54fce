"""What a run says: counts, tokens, latency quantiles, utilisation, saturation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from simulator.analysis.decisions import Decided, decided
from simulator.analysis.timeline import Timeline, timeline_of
from simulator.engine.record import Outcome, Reason
from simulator.workload.work import Work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from simulator.engine.record import ReplicaLevels, RunRecord
    from simulator.scenario.workloads import Objectives
    from simulator.workload.request import RequestTable

Saturation = Literal["stable", "backlogged", "overloaded"]

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
METRICS = ("ttft_s", "itl_s", "e2e_s")


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
        latency: By metric, then `mean`, `p50`, `p90`, `p95`, `p99` in seconds; empty when nothing completed.
        share_met: Share of the arrivals within the limit that the fewest are within; None without objectives.
        goodput: Share of the arrivals within every limit at once; None without objectives.
        target_share: Share the objectives ask for; None without objectives.
        failed_over_tokens: Prompt and output tokens of completed requests that failed over, by reason.

    A request that did not complete is within no limit.
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

    @property
    def arrived(self) -> int:
        """Requests that arrived."""
        return sum(self.outcomes.values())

    @property
    def availability(self) -> float | None:
        """Share of the requests that have ended which were answered; None when none has."""
        ended = self.arrived - self.outcomes["unfinished"]
        return self.outcomes["completed"] / ended if ended else None


@dataclass(frozen=True, slots=True)
class Utilisation:
    """How much of a cluster is used, over the measured time, mean over replicas.

    Attributes:
        busy_fraction: Share of the time in which a step is executing.
        batch_occupancy: Running sequences over `max_num_seqs`.
        kv_occupancy: KV blocks in use over all.
    """

    busy_fraction: float
    batch_occupancy: float
    kv_occupancy: float


@dataclass(frozen=True, slots=True)
class BackendUse:
    """What one backend did for the requests that arrived after the warm-up.

    Attributes:
        requests: Requests it took last.
        billed_prompt_tokens: Prompt tokens it charges for, all attempts; none for a cluster.
        billed_cached_tokens: Of those, tokens at the price of cached ones.
        billed_output_tokens: Output tokens it charges for, all attempts.
        utilisation: None for an API.
        work: What it completed, by workload.
        replica_hours: Hours for which its replicas were paid, all together; None for an API.
    """

    requests: int
    billed_prompt_tokens: int
    billed_cached_tokens: int
    billed_output_tokens: int
    utilisation: Utilisation | None
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
        saturation: Verdict on the queue; see `saturation_of`.
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
    saturation: Saturation
    wasted_tokens: int
    preemptions: int
    decisions: tuple[Decided, ...] = ()
    timeline: Timeline | None = None


def quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean and quantiles; each quantile is an observed value (`inverted_cdf`)."""
    if not len(values):
        return {}
    found = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf")
    return {"mean": float(values.mean())} | dict(zip(QUANTILES, map(float, found), strict=True))


def summarise(
    record: RunRecord, table: RequestTable, objectives: Mapping[str, Objectives | None], warm_up_s: float = 0.0
) -> RunSummary:
    """Summarise a run.

    Args:
        record: The run.
        table: The requests it was given.
        objectives: By workload name.
        warm_up_s: Requests that arrived before are left out, and so is that time.

    Raises:
        RuntimeError: The record breaks a law of the engine; a fault of ours.
    """
    _check(record, table)
    counted = table.arrival_s >= warm_up_s
    latency = _latencies(record, table)
    groups = {
        name: _group(record, table, latency, counted & (table.workload == number), objectives.get(name))
        for number, name in enumerate(table.workloads)
    }
    log = record.log
    return RunSummary(
        hours=(record.horizon_s - warm_up_s) / 3600.0,
        total=_group(record, table, latency, counted, None),
        workloads=groups,
        backends=_backends(record, table, counted, warm_up_s),
        utilisation=_utilisation(record, warm_up_s),
        saturation=saturation_of(record, counted),
        wasted_tokens=int(log.wasted_tokens[counted].sum(dtype=np.int64)),
        preemptions=sum(level.preemptions for level in record.levels),
        decisions=decided(record, table, counted),
        timeline=timeline_of(record, table),
    )


def _backends(
    record: RunRecord, table: RequestTable, counted: NDArray[np.bool_], warm_up_s: float
) -> dict[str, BackendUse]:
    log, found = record.log, {}
    for number, name in enumerate(record.backends):
        taken = counted & (log.backend == number)
        burnt = [charge for charge in record.burnt if charge.backend == number and counted[charge.row]]
        found[name] = BackendUse(
            requests=int(taken.sum()),
            billed_prompt_tokens=_tokens(log.billed_prompt_tokens[taken]) + sum(one.prompt_tokens for one in burnt),
            billed_cached_tokens=_tokens(log.cached_tokens[taken & (log.billed_prompt_tokens > 0)])
            + sum(one.cached_tokens for one in burnt),
            billed_output_tokens=_tokens(log.billed_output_tokens[taken]) + sum(one.output_tokens for one in burnt),
            utilisation=_utilisation(record, warm_up_s, name),
            replica_hours=_replica_hours(record, warm_up_s, name),
            work=_work(record, table, taken & (log.outcome == Outcome.COMPLETED)),
        )
    return found


def _work(record: RunRecord, table: RequestTable, completed: NDArray[np.bool_]) -> dict[str, Work]:
    found = {}
    for number, name in enumerate(table.workloads):
        members = completed & (table.workload == number)
        found[name] = Work(
            requests=int(members.sum()),
            prompt_tokens=int(table.prompt_tokens[members].sum(dtype=np.int64)),
            cached_prompt_tokens=int(record.log.cached_tokens[members].sum(dtype=np.int64)),
            output_tokens=int(table.output_tokens[members].sum(dtype=np.int64)),
        )
    return found


def _tokens(counts: NDArray[np.int32]) -> int:
    return int(counts.sum(dtype=np.int64))


def _utilisation(record: RunRecord, warm_up_s: float, cluster: str | None = None) -> Utilisation | None:
    levels = tuple(level for level in record.levels if cluster in (None, level.cluster))
    return utilisation_of(levels, record.horizon_s, warm_up_s) if levels else None


def _replica_hours(record: RunRecord, warm_up_s: float, cluster: str) -> float | None:
    levels = [level for level in record.levels if level.cluster == cluster]
    if not levels:
        return None
    paid_s = 0.0
    for level in levels:
        starts = np.arange(len(level.busy_s)) * level.interval_s
        lengths = np.minimum(level.interval_s, record.horizon_s - starts)
        weight = np.clip((starts + lengths - warm_up_s) / lengths, 0.0, 1.0)
        paid_s += float((weight * (lengths if level.paid_s is None else level.paid_s)).sum())
    return paid_s / 3600.0


def _check(record: RunRecord, table: RequestTable) -> None:
    """Refuse a record that would turn into silent nonsense: lost requests, completions without their stamps."""
    log = record.log
    if len(log.outcome) != len(table):
        raise RuntimeError(f"{len(table)} requests were given, {len(log.outcome)} are accounted for")
    waited_s = log.last_token_s - table.arrival_s
    odd = (log.outcome == Outcome.COMPLETED) & ~((waited_s >= 0.0) & (log.first_token_s <= log.last_token_s))
    if odd.any():
        raise RuntimeError(f"request {int(odd.argmax())} completed without its tokens, or before it arrived")


def _latencies(record: RunRecord, table: RequestTable) -> dict[str, NDArray[np.float64]]:
    """Per request, NaN where it has none: TTFT, mean inter-token time of at least two tokens, end to end."""
    log = record.log
    between = log.last_token_s - log.first_token_s
    gaps = table.output_tokens - 1
    return {
        "ttft_s": log.first_token_s - table.arrival_s,
        "itl_s": np.divide(between, gaps, out=np.full(len(table), np.nan), where=gaps > 0),
        "e2e_s": log.last_token_s - table.arrival_s,
    }


def _group(
    record: RunRecord,
    table: RequestTable,
    latency: dict[str, NDArray[np.float64]],
    members: NDArray[np.bool_],
    objectives: Objectives | None,
) -> Group:
    log = record.log
    outcomes = np.bincount(log.outcome[members], minlength=len(Outcome))
    reasons = np.bincount(log.failover[members], minlength=len(Reason))
    ended = (log.outcome == Outcome.REJECTED) | (log.outcome == Outcome.TIMED_OUT)
    lost = np.bincount(log.lost[members & ended], minlength=len(Reason))
    completed = members & (log.outcome == Outcome.COMPLETED)
    tokens = table.prompt_tokens[completed] + table.output_tokens[completed]
    moved = np.bincount(log.failover[completed], weights=tokens, minlength=len(Reason))
    observed = {name: values[completed] for name, values in latency.items()}
    observed["itl_s"] = observed["itl_s"][~np.isnan(observed["itl_s"])]
    share, goodput = _within(observed, int(members.sum()), objectives) if objectives is not None else (None, None)
    return Group(
        outcomes={outcome.name.lower(): int(outcomes[outcome]) for outcome in Outcome},
        failed_over={reason.name.lower(): int(reasons[reason]) for reason in Reason if reason},
        failed_over_tokens={reason.name.lower(): int(moved[reason]) for reason in Reason if reason},
        lost={reason.name.lower(): int(lost[reason]) for reason in Reason if reason},
        prompt_tokens=int(table.prompt_tokens[completed].sum(dtype=np.int64)),
        cached_prompt_tokens=int(log.cached_tokens[completed].sum(dtype=np.int64)),
        output_tokens=int(table.output_tokens[completed].sum(dtype=np.int64)),
        latency={name: quantiles(values) for name, values in observed.items()},
        share_met=share,
        goodput=goodput,
        target_share=None if objectives is None else objectives.share,
    )


def _within(
    observed: dict[str, NDArray[np.float64]], arrived: int, objectives: Objectives
) -> tuple[float, float] | tuple[None, None]:
    """Shares of the arrivals within the hardest limit, and within all of them; None when nothing arrived."""
    if not arrived:
        return None, None
    limits = (("ttft_s", objectives.ttft), ("e2e_s", objectives.end_to_end))
    within = [observed[metric] <= limit_s for metric, limit_s in limits if limit_s is not None]
    return min(int(met.sum()) for met in within) / arrived, int(np.all(within, axis=0).sum()) / arrived


def utilisation_of(levels: tuple[ReplicaLevels, ...], horizon_s: float, warm_up_s: float) -> Utilisation:
    """Utilisation after the warm-up; an interval that the warm-up ends in counts by its share."""
    busy = batch = blocks = 0.0
    for level in levels:
        starts = np.arange(len(level.busy_s)) * level.interval_s
        ends = np.minimum(starts + level.interval_s, horizon_s)
        weight = np.clip((ends - warm_up_s) / (ends - starts), 0.0, 1.0)
        busy += float((weight * level.busy_s).sum())
        batch += float((weight * level.sequence_s).sum()) / level.max_num_seqs
        blocks += float((weight * level.kv_block_s).sum()) / level.kv_blocks
    measured_s = (horizon_s - warm_up_s) * len(levels)
    return Utilisation(busy / measured_s, batch / measured_s, blocks / measured_s)


def saturation_of(record: RunRecord, counted: NDArray[np.bool_]) -> Saturation:
    """Whether a hosting pattern keeps up with its demand.

    *Overloaded*: more than one request in a hundred is refused or given up, or more requests wait in the cluster
    than run over the last tenth of the horizon, so that latencies grow with the horizon. *Backlogged*: more wait
    than run over some hour, or more than one request in a hundred has to repeat its call to the API. *Stable*
    otherwise.
    """
    log, arrived = record.log, max(1, int(counted.sum()))
    outcome = log.outcome[counted]
    lost = int(((outcome == Outcome.REJECTED) | (outcome == Outcome.TIMED_OUT)).sum())
    waiting, running = _levels(record, "waiting_s"), _levels(record, "sequence_s")
    last = slice(-max(1, len(waiting) // 10), None)
    if lost / arrived > 0.01 or waiting[last].sum() > running[last].sum():
        return "overloaded"
    repeated = int((log.attempts[counted] > 1).sum())
    return "backlogged" if (waiting > running).any() or repeated / arrived > 0.01 else "stable"


def _levels(record: RunRecord, name: str) -> NDArray[np.float64]:
    """A level summed over replicas, by interval; empty without a cluster."""
    rows = [getattr(level, name) for level in record.levels]
    return np.sum(rows, axis=0) if rows else np.zeros(0)
