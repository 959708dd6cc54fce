"""Recorded requests laid on the horizon of a scenario."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.errors import TraceError
from simulator.scenario.workloads import BEGINS, WEEKDAYS, RecordedWorkload
from simulator.trace.nesting import FLAT
from simulator.trace.request_table import RequestTable, joined
from simulator.units import DAY_S, HOUR_S, MINUTE_S, WEEK_S
from simulator.workload.calendar import real_time
from simulator.workload.recording import recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.workload.calendar import Cells
    from simulator.workload.recording import Recording

    #: When the first of some requests comes at the soonest, see `_Course.laid_s`; and they, when they really come.
    Laid = tuple[float, RequestTable]

_DAY_NUMBER: dict[str, int] = {day: number for number, day in enumerate(WEEKDAYS)}
#: Requests of a short trace that are laid at once, repetitions included.
_AT_ONCE: Final = 2**18


def replay_faults(workload: RecordedWorkload) -> list[tuple[str, str]]:
    """What is wrong with a replay, as (key below `trace`, message)."""
    replay = workload.trace
    try:
        known = recording(replay.file)
    except TraceError as error:
        return [("file", message) for message in str(error).splitlines()]
    faults = [
        ("workloads", f"'{name}' is not in the trace; it has {', '.join(known.workloads) or 'none'}")
        for name in replay.workloads or ()
        if name not in known.workloads
    ]
    if replay.repeat and known.span_s is None:
        faults.append(("repeat", "the trace has no header that says how long it lasts; repeat: false replays it once"))
    elif replay.repeat and replay.align == "week" and not _whole_weeks(known.span_s or 0.0):
        lasts = f"the trace lasts {(known.span_s or 0.0) / HOUR_S:,.1f} h, less than a week"
        faults.append(("repeat", f"{lasts}; give repeat: false, or align: start to repeat it back to back"))
    return faults


@dataclass(frozen=True, slots=True)
class _Course:
    """How the time of a trace lies on a horizon, by the wall clock (see `Cells.wall_s`) or in real seconds.

    A repeated trace is played to its end, then the first `period_s` of it again and again, each repetition a period
    after the one before; what the first, longer pass has played is not played twice.

    Attributes:
        span_s: How long the first pass lasts, in seconds of the trace.
        period_s: The part of it that is repeated; None where nothing is.
        speed: Seconds of the trace in a simulated second.
        offset_s: When it begins.
        by_week: Whether by the wall clock.
        cells: The horizon.
    """

    span_s: float
    period_s: float | None
    speed: float
    offset_s: float
    by_week: bool
    cells: Cells

    @classmethod
    def of(cls, workload: RecordedWorkload, known: Recording, cells: Cells) -> _Course:
        """By the week every request keeps its local hour, else the trace starts with the horizon.

        A repeated trace has no beginning: by the week the horizon starts within its first week, on the right day. One
        that is not repeated waits for the first moment of the horizon at which it fits.
        """
        replay = workload.trace
        span_s, period_s = known.span_s or 0.0, repeated_s(workload, known)
        if replay.align == "start":
            return cls(span_s, period_s, replay.speed, 0.0, False, cells)
        begins_s = in_week(replay.begins) if replay.begins else known.begins_s or 0.0
        first_day_s = cells.weekday[0] * DAY_S
        offset_s = (begins_s - first_day_s) % WEEK_S if period_s is None else -((first_day_s - begins_s) % WEEK_S)
        return cls(span_s, period_s, 1.0, float(offset_s), True, cells)

    def laid_s(self, trace_s: NDArray[np.float64] | float, start_s: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Where moments of a repetition that begins so long after the first one come to lie."""
        return np.asarray((trace_s + start_s) / self.speed + self.offset_s)

    def real_s(self, laid_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds since the start of the horizon."""
        return real_time(self.cells, laid_s) if self.by_week else laid_s

    def end_s(self, stretch: Cells) -> float:
        """What lies here or later really comes after a stretch of the calendar."""
        if not self.by_week:
            return stretch.end_s
        # Where a clock is put back, wall-clock time ends an hour early.
        return float(stretch.wall_s[-1] + stretch.length_s[-1]) + HOUR_S

    def starts_s(self, first: int, count: int) -> NDArray[np.float64]:
        """When repetitions begin after the first one, in seconds of the trace."""
        return np.asarray(np.arange(first, first + count) * (self.period_s or 0.0), np.float64)

    def repetitions(self) -> int:
        """How many begin before the horizon ends, the first pass included."""
        if self.period_s is None:
            return 1
        return max(1, ceil((self.end_s(self.cells) - self.offset_s) * self.speed / self.period_s))

    def played(self, trace_s: NDArray[np.float64], start_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """By repetition and moment of the trace, whether it is played then."""
        again = (trace_s < (self.period_s or 0.0)) & (trace_s + start_s[:, None] >= self.span_s)
        return np.asarray(again | (start_s[:, None] == 0.0))


def replayed(workload: RecordedWorkload, cells: Cells) -> Iterator[RequestTable]:
    """The requests of a trace as they arrive within the horizon, some at a time and roughly in order.

    Raises:
        TraceError: See `recording` and `Recording.parts`.
    """
    yield from (table for _, table in _laid(workload, cells))


def arriving(workload: RecordedWorkload, cells: Cells) -> Iterator[RequestTable]:
    """The same a stretch of the calendar at a time: what arrives in one has come by then, and some that is later.

    Raises:
        TraceError: See `replayed`.
    """
    course, laid = _Course.of(workload, recording(workload.trace.file), cells), _laid(workload, cells)
    ahead = next(laid, None)
    for _, stretch in cells.stretches():
        end_s, found = course.end_s(stretch), []
        while ahead is not None and ahead[0] < end_s:
            found.append(ahead[1])
            ahead = next(laid, None)
        yield joined(found) if found else _NOTHING


def expected_replayed(workload: RecordedWorkload, cells: Cells) -> NDArray[np.float64]:
    """About how many requests of a trace arrive in each cell, known to an hour of the trace.

    Raises:
        TraceError: See `recording`.
    """
    known = recording(workload.trace.file)
    course = _Course.of(workload, known, cells)
    until = known.hours.until(_wanted(known.workloads, workload))

    def before(trace_s: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(trace_s, np.arange(len(until)) * HOUR_S, until)

    def in_all(trace_s: NDArray[np.float64]) -> NDArray[np.float64]:
        first = before(np.minimum(trace_s, course.span_s) if course.period_s else trace_s)
        if course.period_s is None:
            return first
        period = np.array([course.period_s])
        whole, rest = np.divmod(np.maximum(trace_s, course.span_s), course.period_s)
        full, part = np.divmod(course.span_s, course.period_s)
        return np.asarray(first + (whole - full) * before(period) + before(rest) - before(np.array([part])))

    begin_s = cells.wall_s if course.by_week else cells.start_s
    edges_s = [np.maximum((at_s - course.offset_s) * course.speed, 0.0) for at_s in (begin_s, begin_s + cells.length_s)]
    return np.maximum(in_all(edges_s[1]) - in_all(edges_s[0]), 0.0)


def repeated_s(workload: RecordedWorkload, known: Recording) -> float | None:
    """Seconds of the trace that are sent again and again; None where it is not repeated."""
    if not (workload.trace.repeat and known.span_s):
        return None
    return known.span_s if workload.trace.align == "start" else _whole_weeks(known.span_s) * WEEK_S


def wanted_parts(workload: RecordedWorkload) -> Iterator[RequestTable]:
    """The requests of its trace that are sent, each once and when it was recorded, some at a time.

    Raises:
        TraceError: See `replayed`.
    """
    known = recording(workload.trace.file)
    wanted = _wanted(known.workloads, workload)
    for part in known.parts():
        yield part if len(wanted) == len(known.workloads) else part.rows(np.isin(part.workload, wanted))


def _wanted(names: tuple[str, ...], workload: RecordedWorkload) -> NDArray[np.intp]:
    asked = workload.trace.workloads
    return np.array([code for code, name in enumerate(names) if asked is None or name in asked], np.intp)


def _laid(workload: RecordedWorkload, cells: Cells) -> Iterator[Laid]:
    """What is sent within the horizon, in the order in which it lies; of a short trace several repetitions at once."""
    known = recording(workload.trace.file)
    course = _Course.of(workload, known, cells)
    end_s, count, first = course.end_s(cells), course.repetitions(), 0
    while first < count:
        at_once = 1 if known.held is None else min(count - first, max(1, _AT_ONCE // max(1, len(known.held))))
        starts_s = course.starts_s(first, at_once)
        for part in wanted_parts(workload):
            if not len(part):
                continue
            begin_s = float(course.laid_s(part.arrival_s[0], starts_s[0]))
            if begin_s >= end_s:
                break
            repetition, rows = np.nonzero(course.played(part.arrival_s, starts_s))
            arrival_s = course.real_s(course.laid_s(part.arrival_s[rows], starts_s[repetition]))
            inside = (arrival_s >= 0.0) & (arrival_s < cells.end_s)
            yield begin_s, replace(part.rows(rows[inside]), arrival_s=arrival_s[inside], nesting=FLAT)
        first += at_once


def _whole_weeks(span_s: float) -> int:
    """Weeks in a span; one in which clocks are put forward is an hour short."""
    return int((span_s + HOUR_S) // WEEK_S)


def in_week(begins: str) -> float:
    """Wall-clock seconds since Monday 00:00 of a moment such as `mon` or `wed 13:30`.

    Raises:
        TraceError: It is not such a moment.
    """
    if not re.fullmatch(BEGINS, begins):
        raise TraceError(f"'{begins}' is no moment of the week; expected such as 'mon' or 'wed 13:30'")
    day, _, clock = begins.partition(" ")
    hour, _, minute = (clock or "00:00").partition(":")
    return _DAY_NUMBER[day] * DAY_S + int(hour) * HOUR_S + int(minute) * MINUTE_S


_NOTHING: Final = RequestTable((), np.zeros(0), *(np.zeros(0, kind) for kind in (np.int16, *[np.int32] * 5, np.int8)))
