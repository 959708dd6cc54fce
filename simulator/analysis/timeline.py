"""What happened when: requests by the time of their arrival, replicas that served, and what broke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.analysis.sample import ranks
from simulator.analysis.tally import GIVEN_UP
from simulator.engine.record import Incident, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from simulator.engine.record import RequestLog, RunRecord
    from simulator.trace.request_table import RequestTable

#: Lengths of an interval; the first that needs no more than so many of them.
_INTERVALS_S = (300.0, 900.0, 3600.0, 21_600.0)
_MOST_INTERVALS = 1000


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
    incidents: list[Incident]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Requests by workload and interval of arrival, in two axes; those of the parts of a run add up.

    Attributes:
        arrived: Requests.
        completed: Of those, answered.
        lost: Of those, rejected or timed out.
        failed_over: Of those, left the backend they were sent to first.
        ttft_p99_s: Of those that were answered; NaN where none was. It adds up because no part ends in an interval.
    """

    arrived: NDArray[np.int64]
    completed: NDArray[np.int64]
    lost: NDArray[np.int64]
    failed_over: NDArray[np.int64]
    ttft_p99_s: NDArray[np.float64]

    def __add__(self, other: Intervals) -> Intervals:
        return Intervals(
            arrived=self.arrived + other.arrived,
            completed=self.completed + other.completed,
            lost=self.lost + other.lost,
            failed_over=self.failed_over + other.failed_over,
            ttft_p99_s=np.fmax(self.ttft_p99_s, other.ttft_p99_s),
        )


def count_intervals(table: RequestTable, log: RequestLog, workloads: int, horizon_s: float) -> Intervals:
    """Count the requests of a part of a run, in which there are so many workloads, by interval.

    A part ends with the run, or a multiple of 21,600 s after its start.
    """
    interval_s, bins = _grid(horizon_s)
    shape = (workloads, bins)
    inside = table.arrival_s < horizon_s
    interval = np.minimum((table.arrival_s / interval_s).astype(np.int64), bins - 1)
    cell = np.ravel_multi_index((table.workload, interval), shape)
    completed = inside & (log.outcome == Outcome.COMPLETED)

    def count(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(cell[chosen], minlength=workloads * bins).reshape(shape)

    return Intervals(
        arrived=count(inside),
        completed=count(completed),
        lost=count(inside & np.isin(log.outcome, GIVEN_UP)),
        failed_over=count(inside & (log.failover != Reason.NONE)),
        ttft_p99_s=_p99(cell[completed], (log.first_token_s - table.arrival_s)[completed], workloads * bins).reshape(
            shape
        ),
    )


def _p99(cell: NDArray[np.int64], values: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """By cell, the p99 of its values; NaN where there are none."""
    counts = np.bincount(cell, minlength=cells)
    in_cell = np.split(values[np.argsort(cell, kind="stable")], counts.cumsum()[:-1])
    wanted = zip(in_cell, ranks(counts, 0.99), strict=True)
    return np.array([np.partition(some, rank)[rank] if len(some) else np.nan for some, rank in wanted])


def timeline_of(intervals: Intervals, record: RunRecord, workloads: tuple[str, ...]) -> Timeline:
    """The timeline of a run, of which the levels and incidents are read, from its requests by interval."""
    interval_s, _ = _grid(record.horizon_s)
    return Timeline(
        interval_s=interval_s,
        workloads={
            name: WorkloadTimeline(
                arrived=intervals.arrived[number].tolist(),
                completed=intervals.completed[number].tolist(),
                lost=intervals.lost[number].tolist(),
                failed_over=intervals.failed_over[number].tolist(),
                ttft_p99_s=[None if np.isnan(p99_s) else float(p99_s) for p99_s in intervals.ttft_p99_s[number]],
            )
            for number, name in enumerate(workloads)
        },
        serving_interval_s=record.levels[0].interval_s if record.levels else interval_s,
        serving={name: [float(value) for value in values] for name, values in _serving(record).items()},
        incidents=[*(record.incidents or ())],
    )


def _grid(horizon_s: float) -> tuple[float, int]:
    """Length and number of the intervals."""
    interval_s = next((length for length in _INTERVALS_S if horizon_s / length <= _MOST_INTERVALS), _INTERVALS_S[-1])
    return interval_s, max(1, int(np.ceil(horizon_s / interval_s)))


def _serving(record: RunRecord) -> Mapping[str, NDArray[np.float64]]:
    found: dict[str, NDArray[np.float64]] = {}
    for level in record.levels:
        lengths = np.minimum(level.interval_s, record.horizon_s - np.arange(len(level.busy_s)) * level.interval_s)
        share = np.ones(len(lengths)) if level.up_s is None else level.up_s / lengths
        found[level.cluster] = found.get(level.cluster, np.zeros(len(lengths))) + share
    return found
