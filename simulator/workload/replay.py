"""Recorded requests laid on the horizon of a scenario."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import TraceError
from simulator.scenario.workloads import BEGINS, WEEKDAYS, RecordedWorkload
from simulator.trace.canonical import read_trace
from simulator.trace.header import read_header
from simulator.units import DAY_S, HOUR_S, MINUTE_S, WEEK_S
from simulator.workload.calendar import real_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import Replay
    from simulator.trace.request_table import RequestTable
    from simulator.workload.calendar import Cells

_DAY_NUMBER: dict[str, int] = {day: number for number, day in enumerate(WEEKDAYS)}


@dataclass(frozen=True, slots=True)
class Recording:
    """A trace as it lies on disk.

    Attributes:
        table: Its requests.
        span_s: Seconds it covers; None when no header says so.
        begins_s: Seconds from Monday 00:00 to its beginning; None when no header says so.
        sha256: Checksum of the file.
    """

    table: RequestTable
    span_s: float | None
    begins_s: float | None
    sha256: str


def recording(file: str) -> Recording:
    """A trace; read once as long as it does not change.

    Raises:
        TraceError: It cannot be read, or something is wrong with it.
    """
    path = Path(file)
    try:
        facts = path.stat()
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None
    return _recording(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=8)
def _recording(path: Path, mtime_ns: int, size: int) -> Recording:  # noqa: ARG001 - they tell one content from another
    table, header = read_trace(path), read_header(path)
    if header is not None:
        return Recording(table, header.span_s, header.week_offset_s, header.sha256)
    with path.open("rb") as stream:
        return Recording(table, None, None, hashlib.file_digest(stream, "sha256").hexdigest())


def trace_checksums(scenario: Scenario) -> dict[str, str]:
    """SHA-256 of the trace of each recorded workload, by the workload's name.

    Raises:
        TraceError: See `recording`.
    """
    return {
        name: recording(load.trace.file).sha256
        for name, load in scenario.workloads.items()
        if isinstance(load, RecordedWorkload)
    }


def replay_faults(workload: RecordedWorkload) -> list[tuple[str, str]]:
    """What is wrong with a replay, as (key below `trace`, message)."""
    replay = workload.trace
    try:
        known = recording(replay.file)
    except TraceError as error:
        return [("file", message) for message in str(error).splitlines()]
    faults = [
        ("workloads", f"'{name}' is not in the trace; it has {', '.join(known.table.workloads) or 'none'}")
        for name in replay.workloads or ()
        if name not in known.table.workloads
    ]
    if replay.repeat and known.span_s is None:
        faults.append(("repeat", "the trace has no header that says how long it lasts; repeat: false replays it once"))
    elif replay.repeat and replay.align == "week" and not _whole_weeks(known.span_s or 0.0):
        lasts = f"the trace lasts {(known.span_s or 0.0) / HOUR_S:,.1f} h, less than a week"
        faults.append(("repeat", f"{lasts}; give repeat: false, or align: start to repeat it back to back"))
    return faults


def replayed(workload: RecordedWorkload, cells: Cells) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Which rows of the trace arrive when, a stretch of the calendar at a time.

    Yields:
        Rows, repeated as often as they are sent; seconds since the start of the horizon at which they are, all of
        them within it, in no particular order. All that arrive in a stretch have come by then, and some later ones.

    Raises:
        TraceError: See `recording`.
    """
    replay, known = workload.trace, recording(workload.trace.file)
    rows = _wanted(known.table, replay)
    lay = _by_week if replay.align == "week" else _from_start
    for sent, arrival_s in lay(rows, known, replay, cells):
        inside = (arrival_s >= 0.0) & (arrival_s < cells.end_s)
        yield sent[inside], arrival_s[inside]


def repeated(workload: RecordedWorkload) -> tuple[NDArray[np.intp], float | None]:
    """The rows of the trace that are sent again and again, and the seconds in which all of them are.

    None for a trace that is not repeated.
    """
    replay, known = workload.trace, recording(workload.trace.file)
    rows = _wanted(known.table, replay)
    if not (replay.repeat and known.span_s):
        return rows, None
    if replay.align == "start":
        return rows, known.span_s / replay.speed
    lasts_s = _whole_weeks(known.span_s) * WEEK_S
    return rows[known.table.arrival_s[rows] < lasts_s], lasts_s


def sent_rows(workload: RecordedWorkload) -> RequestTable:
    """The requests of its trace that are sent, each once.

    Raises:
        TraceError: See `recording`.
    """
    table = recording(workload.trace.file).table
    return table.rows(_wanted(table, workload.trace))


def _wanted(table: RequestTable, replay: Replay) -> NDArray[np.intp]:
    wanted = [code for code, name in enumerate(table.workloads) if replay.workloads is None or name in replay.workloads]
    return np.flatnonzero(np.isin(table.workload, wanted))


def _from_start(
    rows: NDArray[np.intp], known: Recording, replay: Replay, cells: Cells
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """The trace starts with the horizon and is repeated back to back."""
    sent = 0
    for _, stretch in cells.stretches():
        copies = int(np.ceil(stretch.end_s * replay.speed / known.span_s)) if replay.repeat and known.span_s else 1
        starts_s = np.arange(sent, copies) * (known.span_s or 0.0)
        arrival_s = (known.table.arrival_s[rows] + starts_s[:, None]) / replay.speed
        yield np.tile(rows, copies - sent), arrival_s.ravel()
        sent = copies


def _by_week(
    rows: NDArray[np.intp], known: Recording, replay: Replay, cells: Cells
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Every request keeps its local hour of the week.

    A repeated trace has no beginning: the horizon starts within its first week, on the right day. Once it has been
    played to its end its whole weeks follow, again and again. A trace that is not repeated waits for the first
    moment of the horizon at which it fits.
    """
    trace_s, span_s, first_day_s = known.table.arrival_s, known.span_s, cells.weekday[0] * DAY_S
    begins_s = in_week(replay.begins) if replay.begins else known.begins_s or 0.0
    if not (replay.repeat and span_s):
        yield rows, real_time(cells, trace_s[rows] + (begins_s - first_day_s) % WEEK_S)
        yield from ((rows[:0], np.zeros(0)) for _ in list(cells.stretches())[1:])
        return
    skipped_s, whole_s = (first_day_s - begins_s) % WEEK_S, _whole_weeks(span_s) * WEEK_S
    sent_rows, sent_s = [rows], [trace_s[rows]]
    again, start_s = rows[trace_s[rows] < whole_s], whole_s
    for _, stretch in cells.stretches():
        # Where a clock is put back, wall-clock time ends an hour early.
        end_s = float(stretch.wall_s[-1] + stretch.length_s[-1]) + HOUR_S + skipped_s
        while start_s < end_s:
            # What the first, longer pass has played is not played twice.
            late = again[trace_s[again] + start_s >= span_s]
            sent_rows.append(late)
            sent_s.append(trace_s[late] + start_s)
            start_s += whole_s
        yield np.concatenate([rows[:0], *sent_rows]), real_time(cells, np.concatenate([[], *sent_s]) - skipped_s)
        sent_rows, sent_s = [], []


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
