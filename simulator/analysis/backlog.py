"""Whether a queue keeps up with its demand: what arrives, beside what is started while somebody waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.analysis.output_analysis import student
from simulator.engine.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from simulator.engine.record import RequestLog

    Times = NDArray[np.int64]

_DAY_S: Final = 86_400.0
_WEEK: Final = 7
#: Blocks of a run of less than a week, and how much they may vary beyond chance where they are to speak for a week.
_BLOCKS: Final = 10
_EVEN: Final = 0.1
#: What must arrive where they do not: twice what is started, so that as much waits as could be served in the whole run.
_BEYOND_DOUBT: Final = 2.0
#: Times are whole microseconds: they add up to the same in whatever parts they come.
_TICKS: Final = 1e6
#: The start of what still waits.
_NEVER: Final = -1
#: What must arrive for each request that is started while somebody waits; and the utilisation that must be seen to be
#: exceeded, with the chance that a queue so busy is called overloaded all the same.
_FULL: Final = 0.995
_AMPLE: Final = 0.95
_CHANCE: Final = 0.01
#: Share of the arrivals of the last block of which more must wait throughout: what fails and is sent again is no queue.
_SOME: Final = 0.005
#: Least share of the time in which somebody must wait for the rate of starts to say what can be served.
_SEEN: Final = 1.0 / 3.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Requests that waited to be started in one run, wherever they were, by block of time; the last ends with the run.

    A block is a day, and there are whole weeks of them; a run of less than a week has ten blocks.

    Attributes:
        block_s: Length of a block.
        arrived: Requests that arrived.
        started: Requests that were started, or given up, while another or they themselves had waited.
        waited_s: Seconds in which somebody waited.
        least: Fewest requests that waited at any time.
        waiting: Requests that wait at the end.
    """

    block_s: float
    arrived: list[int] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)
    least: list[int] = field(default_factory=list)
    waiting: int = 0

    @property
    def phases(self) -> int:
        """Blocks after which the demand is alike: a week of days, or the whole run."""
        return _WEEK if self.whole_weeks else len(self.arrived)

    @property
    def whole_weeks(self) -> bool:
        """Whether it speaks for every week."""
        return len(self.arrived) % _WEEK == 0


@dataclass(frozen=True, slots=True)
class Drift:
    """Where a queue is going, all replications together.

    Attributes:
        load: Requests that arrive for each that is started while somebody waits; None where nobody waits, or nothing is
            started.
        waiting: Mean requests that wait at the end.
        may_grow: Whether some waited all through the last block, and more arrives than is started while somebody waits.
        grows: Whether that is beyond chance.
    """

    load: float | None
    waiting: float
    may_grow: bool
    grows: bool


class BacklogTally:
    """Follows the requests that wait, a part of the run at a time."""

    def __init__(self, begin_s: float, end_s: float) -> None:
        """Begin with nobody.

        Args:
            begin_s: End of the warm-up.
            end_s: End of the run.
        """
        span_s = end_s - begin_s
        weeks = int(span_s / _DAY_S + 1e-9) // _WEEK
        blocks, self._block_s = (weeks * _WEEK, _DAY_S) if weeks else (_BLOCKS, span_s / _BLOCKS)
        self._edges = _ticks(end_s - self._block_s * np.arange(blocks, -1, -1.0))
        self._edges[-1] = _ticks(np.array([end_s]))[0]
        # What is left out before is a block of its own.
        self._arrived, self._started, self._waited = (np.zeros(blocks + 1, np.int64) for _ in range(3))
        self._least = np.full(blocks + 1, np.iinfo(np.int64).max)
        self._arrivals: Times = np.zeros(0, np.int64)
        self._starts: Times = np.zeros(0, np.int64)
        self._now, self._level = 0, 0

    def add(self, arrivals: Times, starts: Times) -> None:
        """Take the next requests in order of arrival, by what `ticks_of` says of them."""
        if not len(arrivals):
            return
        self._arrivals = np.concatenate([self._arrivals, arrivals])
        self._starts = np.concatenate([self._starts, starts[starts != _NEVER]])
        # The next part may begin at the moment of the last arrival.
        self._follow(min(int(arrivals[-1]), int(self._edges[-1])))

    def finish(self) -> Backlog:
        """What there was."""
        self._follow(int(self._edges[-1]))
        return Backlog(
            block_s=self._block_s,
            arrived=self._arrived[1:].tolist(),
            started=self._started[1:].tolist(),
            waited_s=(self._waited[1:] / _TICKS).tolist(),
            least=np.where(self._waited[1:] > 0, self._least[1:], 0).tolist(),
            waiting=self._level,
        )

    def _follow(self, until: int) -> None:
        """Count all that happens before a moment."""
        if until <= self._now:
            return
        # All but sorted, as they come: a stable sort merges what is in order.
        self._starts.sort(kind="stable")
        (arrivals, self._arrivals), (starts, self._starts) = (
            np.split(times, np.searchsorted(times, [until])) for times in (self._arrivals, self._starts)
        )
        edges = self._edges[:-1][(self._edges[:-1] > self._now) & (self._edges[:-1] < until)]
        # A block begins with its edge.
        begins, ends = np.append(self._now, edges), np.append(edges, until)
        which = np.searchsorted(self._edges[:-1], self._now, side="right") + np.arange(len(begins))
        # As many wait at any time as if the one who came first were always started first: the n-th start ends the wait
        # of the n-th who came, and of those who waited before.
        came = np.concatenate([np.full(self._level, self._now - 1), arrivals]) if self._level else arrivals
        waited = np.diff(_waited_until(came, starts, ends, self._now, until), prepend=0)
        self._arrived[which] += np.diff(np.searchsorted(arrivals, ends), prepend=0)
        self._started[which] += np.diff(_waiters_started_until(came, starts, ends), prepend=0)
        self._waited[which] += waited
        least = np.zeros(len(begins), np.int64)
        for number in np.flatnonzero(waited == ends - begins).tolist():
            # Somebody always waits: fewest right after a start, or in the beginning.
            inside = slice(*np.searchsorted(starts, (begins[number], ends[number])))
            moments = np.append(begins[number], starts[inside])
            least[number] = np.min(
                np.searchsorted(came, moments, side="right") - np.searchsorted(starts, moments, side="right")
            )
        self._least[which] = np.minimum(self._least[which], least)
        self._now, self._level = until, len(came) - len(starts)


def _waited_until(came: Times, starts: Times, moments: Times, begin: int, end: int) -> Times:
    """By moment, how long somebody has waited since the beginning."""
    went = np.append(starts, end) if len(came) > len(starts) else starts
    begun = came[: len(went)].copy()
    begun[:1] = np.maximum(begun[:1], begin)
    np.maximum(begun[1:], went[:-1], out=begun[1:])
    # Of those that are not over the first alone has begun.
    place = np.searchsorted(went, moments, side="right")
    under_way = np.maximum(moments - np.append(begun, end)[place], 0)
    np.subtract(went, begun, out=begun)
    found: Times = _sums_until(begun, place) + under_way
    return found


def _waiters_started_until(came: Times, starts: Times, moments: Times) -> NDArray[np.int64]:
    """By moment, how many were started before when somebody had waited: at one moment all, or none."""
    waited, place = came[: len(starts)] < starts, np.searchsorted(starts, moments)
    again = starts[1:] == starts[:-1]
    if again.any():
        heads = np.flatnonzero(np.append(True, ~again))
        waited = np.repeat(waited[heads], np.diff(np.append(heads, len(starts))))
    return _sums_until(waited, place)


def _sums_until(values: NDArray[np.generic], places: NDArray[np.intp]) -> NDArray[np.int64]:
    """Sum of the values before each place, of which the next is never before the last."""
    begins = np.append(0, places[:-1]).tolist()
    parts = [int(values[begin:end].sum()) for begin, end in zip(begins, places.tolist(), strict=True)]
    return np.cumsum(parts, dtype=np.int64)


def ticks_of(arrival_s: NDArray[np.float64], start_s: NDArray[np.float64]) -> tuple[Times, Times]:
    """When requests came and were started, for `BacklogTally.add`; NaN for one that still waits.

    Whoever was started before it came did not wait.
    """
    arrivals, starts = _ticks(arrival_s), np.fmax(start_s, arrival_s)
    waits_still = np.isnan(start_s)
    # None of them is cast: what an integer makes of NaN depends on the machine.
    starts[waits_still] = 0.0
    ticks = _ticks(starts)
    ticks[waits_still] = _NEVER
    return arrivals, ticks


def _ticks(times_s: NDArray[np.float64]) -> Times:
    found: Times = np.rint(times_s * _TICKS).astype(np.int64)
    return found


def starts_s(log: RequestLog) -> NDArray[np.float64]:
    """When each request stopped waiting: when it was scheduled or admitted, or was given up before that.

    One that is over and has no such stamp never waited.
    """
    found: NDArray[np.float64] = np.where(np.isnan(log.scheduled_s), log.ended_s, log.scheduled_s)
    found[np.isnan(found) & (log.outcome != Outcome.UNFINISHED)] = -np.inf
    return found


def drift_of(runs: Sequence[Backlog], groups: int = 1) -> Drift:
    """Judge a queue by its replications: over the whole run, and of several weeks by the last one too.

    A demand that grows, or another season, may leave a queue that kept up for weeks growing at the end.

    Args:
        runs: One for each replication, of the same blocks.
        groups: Queues that are judged so; their chances of a false alarm add up to that of one.
    """
    blocks = len(runs[0].arrived)
    if not runs[0].whole_weeks or blocks == _WEEK:
        return _drift(runs, groups, blocks)
    whole, last = _drift(runs, 2 * groups, blocks), _drift(runs, 2 * groups, _WEEK)
    return last if last.grows and not whole.grows else whole


def _drift(runs: Sequence[Backlog], groups: int, last: int) -> Drift:
    """The same of so many last blocks."""
    every, all_started, all_waited_s = (
        np.array([getattr(run, name) for run in runs], float) for name in ("arrived", "started", "waited_s")
    )
    arrived, started, waited_s = (one[:, -last:] for one in (every, all_started, all_waited_s))
    waiting = sum(run.waiting for run in runs) / len(runs)
    came, began, seen_s = arrived.sum(), started.sum(), waited_s.sum()
    if seen_s == 0.0:
        return Drift(None, waiting, may_grow=False, grows=False)
    # Seconds over those in which somebody waited.
    stretch = runs[0].block_s * arrived.size / seen_s
    load = float(came / (began * stretch)) if began else None
    always = sum(run.least[-1] > _SOME * run.arrived[-1] for run in runs)
    if 2 * always <= len(runs) or stretch * _SEEN > 1.0 or (load is not None and load <= _FULL):
        return Drift(load, waiting, may_grow=False, grows=False)
    # What days alike differ by is known from all of them.
    of_all, freedom = _variance(every, runs[0].phases)
    of_arrivals = of_all * arrived.size / every.size
    of_starts = float(((started - began * waited_s / seen_s) ** 2).sum())
    error = sqrt(max(came, of_arrivals) + (_AMPLE * stretch) ** 2 * max(began, 1.0, of_starts))
    excess = came - _AMPLE * began * stretch
    grows = excess > student(freedom, 1.0 - 2.0 * _CHANCE / groups) * error
    if not (runs[0].whole_weeks or _is_even(arrived)):
        grows = grows and (load is None or load >= _BEYOND_DOUBT)
    return Drift(load, waiting, may_grow=True, grows=bool(grows))


def _is_even(arrived: NDArray[np.float64]) -> bool:
    """Whether demand is the same all the time, but for chance: part of a day's or week's course is not."""
    mean = float(arrived.mean())
    return float(arrived.var(ddof=1)) - mean <= (_EVEN * mean) ** 2


def _variance(arrived: NDArray[np.float64], phases: int) -> tuple[float, int]:
    """Of the sum over all blocks, and its degrees of freedom: each block beside those of the same phase.

    Those are the same block of other replications, and the same day of other weeks. A single run of less than two weeks
    has nothing alike: all its blocks are compared.
    """
    alike = arrived.reshape(-1, phases) if arrived.size > phases else arrived.reshape(-1, 1)
    members = len(alike)
    if members < 2:
        return 0.0, 1
    squares = float(((alike - alike.mean(axis=0)) ** 2).sum())
    return squares * members / (members - 1), alike.shape[1] * (members - 1)
