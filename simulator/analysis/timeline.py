"""What happened when: requests by the time of their arrival, replicas that served, and what broke."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.record import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from simulator.engine.record import RunRecord
    from simulator.workload.request import RequestTable

#: Lengths of an interval; the first that needs no more than so many of them.
_INTERVALS_S = (300.0, 900.0, 3600.0, 21_600.0)
_MOST_INTERVALS = 1000


@dataclass(frozen=True, slots=True)
class BrokenStretch:
    """Something that broke.

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


@dataclass(frozen=True, slots=True)
class WorkloadTimeline:
    """One workload, by interval of arrival.

    Attributes:
        arrived: Requests.
        completed: Of those, answered.
        lost: Of those, rejected or timed out.
        failed_over: Of those, left the backend they were sent to first.
        ttft_p99_s: Of those that were answered; None where none was.
    """

    arrived: list[int]
    completed: list[int]
    lost: list[int]
    failed_over: list[int]
    ttft_p99_s: list[float | None]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run by the clock.

    Attributes:
        interval_s: Length of an interval of the workloads.
        workloads: By name.
        serving_interval_s: Length of an interval of `serving`.
        serving: By cluster, mean number of replicas that served.
        incidents: What broke, by start.
    """

    interval_s: float
    workloads: dict[str, WorkloadTimeline]
    serving_interval_s: float
    serving: dict[str, list[float]]
    incidents: list[BrokenStretch]


def timeline_of(record: RunRecord, table: RequestTable) -> Timeline | None:
    """The timeline of a run in which something could break; None for others."""
    if record.incidents is None:
        return None
    interval_s = next(
        (length for length in _INTERVALS_S if record.horizon_s / length <= _MOST_INTERVALS), _INTERVALS_S[-1]
    )
    bins = max(1, int(np.ceil(record.horizon_s / interval_s)))
    inside = table.arrival_s < record.horizon_s
    interval = np.minimum((table.arrival_s / interval_s).astype(np.int64), bins - 1)
    return Timeline(
        interval_s=interval_s,
        workloads={
            name: _workload(record, table, inside & (table.workload == number), interval, bins)
            for number, name in enumerate(table.workloads)
        },
        serving_interval_s=record.levels[0].interval_s if record.levels else interval_s,
        serving={name: [float(value) for value in values] for name, values in _serving(record).items()},
        incidents=[BrokenStretch(*incident) for incident in record.incidents],
    )


def _workload(
    record: RunRecord, table: RequestTable, members: NDArray[np.bool_], interval: NDArray[np.int64], bins: int
) -> WorkloadTimeline:
    log = record.log
    lost = (log.outcome == Outcome.REJECTED) | (log.outcome == Outcome.TIMED_OUT)
    completed = members & (log.outcome == Outcome.COMPLETED)

    def count(chosen: NDArray[np.bool_]) -> list[int]:
        return [int(number) for number in np.bincount(interval[members & chosen], minlength=bins)]

    ttft_s = (log.first_token_s - table.arrival_s)[completed]
    order = np.argsort(interval[completed], kind="stable")
    edges = np.searchsorted(interval[completed][order], np.arange(bins + 1))
    by_interval = [ttft_s[order[low:high]] for low, high in pairwise(edges)]
    return WorkloadTimeline(
        arrived=count(np.ones_like(members)),
        completed=count(completed),
        lost=count(lost),
        failed_over=count(log.failover != Reason.NONE),
        ttft_p99_s=[
            float(np.quantile(values, 0.99, method="inverted_cdf")) if len(values) else None for values in by_interval
        ],
    )


def _serving(record: RunRecord) -> Mapping[str, NDArray[np.float64]]:
    found: dict[str, NDArray[np.float64]] = {}
    for level in record.levels:
        lengths = np.minimum(level.interval_s, record.horizon_s - np.arange(len(level.busy_s)) * level.interval_s)
        share = np.ones(len(lengths)) if level.up_s is None else level.up_s / lengths
        found[level.cluster] = found.get(level.cluster, np.zeros(len(lengths))) + share
    return found
