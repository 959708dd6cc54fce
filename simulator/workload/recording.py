"""A trace as it lies on disk: what it is, found once, and its requests, some at a time as often as one likes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.errors import TraceError
from simulator.scenario.workloads import RecordedWorkload
from simulator.trace.canonical import read_again, read_chunks
from simulator.trace.header import file_sha256, read_header
from simulator.trace.nesting import Nesting, together
from simulator.trace.request_table import RequestTable, joined
from simulator.units import HOUR_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.scenario.schema import Scenario

#: A trace of up to so many requests, some 35 MB, stays in memory; a longer one is read anew whenever it is needed.
_HELD_ROWS: Final = 2**20
#: Requests read at a time.
_AT_ONCE: Final = 2**16


@dataclass(frozen=True, slots=True)
class Hours:
    """Requests of a trace by workload and hour, those that have any; one array entry each.

    Attributes:
        workload: int64, its number in the trace.
        hour: int64, hours since the trace began.
        requests: int64, at least 1.
    """

    workload: NDArray[np.int64]
    hour: NDArray[np.int64]
    requests: NDArray[np.int64]

    @classmethod
    def of(cls, table: RequestTable) -> Hours:
        """Those of some requests."""
        hour = (table.arrival_s // HOUR_S).astype(np.int64)
        # An hour is less than 2^32.
        both, requests = np.unique((table.workload.astype(np.int64) << 32) + hour, return_counts=True)
        return cls(both >> 32, both & 0xFFFF_FFFF, requests)

    def until(self, workloads: NDArray[np.intp]) -> NDArray[np.int64]:
        """Requests of these workloads before each full hour, from the first; those of all of them last."""
        some = np.isin(self.workload, workloads)
        by_hour = np.zeros(int(self.hour.max(initial=0)) + 2, np.int64)
        np.add.at(by_hour, self.hour[some] + 1, self.requests[some])
        return np.cumsum(by_hour)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A trace as it lies on disk.

    Attributes:
        path: Its file.
        changed_ns: When that was written, nanoseconds since the epoch.
        workloads: Names of its workloads.
        span_s: Seconds it covers; None when no header says so.
        begins_s: Seconds from Monday 00:00 to its beginning; None when no header says so.
        sha256: Checksum of the file.
        nesting: Which of its prefixes begin with another one.
        identities: How many prefixes its numbers could tell apart: one more than the greatest of them.
        hours: When its requests come.
        held: All of them, in memory; None where they are too many for that.
    """

    path: Path
    changed_ns: int
    workloads: tuple[str, ...]
    span_s: float | None
    begins_s: float | None
    sha256: str
    nesting: Nesting
    identities: int
    hours: Hours
    held: RequestTable | None

    def parts(self) -> Iterator[RequestTable]:
        """Its requests in order, some at a time, without what their prefixes begin with; at least one part.

        Raises:
            TraceError: The file was changed, or cannot be read any more.
        """
        if self.held is not None:
            yield self.held
            return
        if _changed_ns(self.path) != self.changed_ns:
            raise TraceError(f"{self.path}: was changed while it was replayed")
        yield from read_again(self.path, _AT_ONCE)


def recording(file: str) -> Recording:
    """A trace; looked through once as long as it does not change.

    Raises:
        TraceError: It cannot be read, or something is wrong with it.
    """
    path = Path(file)
    return _recording(path, _changed_ns(path), path.stat().st_size)


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


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None


@lru_cache(maxsize=8)
def _recording(path: Path, changed_ns: int, size: int) -> Recording:  # noqa: ARG001 - tells one content from another
    held: list[RequestTable] = []
    nestings, hours = [], []
    names: tuple[str, ...] = ()
    rows, most = 0, -1
    for part in read_chunks(path, _AT_ONCE):
        rows, names = rows + len(part), part.workloads
        most = max(most, int(part.prefix_id.max(initial=-1)), int(part.nesting.outer_id.max(initial=-1)))
        hours.append(Hours.of(part))
        if len(part.nesting):
            nestings.append(part.nesting)
        held = [*held, part] if rows <= _HELD_ROWS else []
    header = read_header(path)
    return Recording(
        path,
        changed_ns,
        names,
        None if header is None else header.span_s,
        None if header is None else header.week_offset_s,
        file_sha256(path) if header is None else header.sha256,
        together(nestings),
        most + 1,
        Hours(*(np.concatenate([getattr(one, name) for one in hours]) for name in Hours.__slots__)),
        joined(held) if held else None,
    )
