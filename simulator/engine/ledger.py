"""The requests of a run and what becomes of them, each in a row of its own from first to last.

Of a long run only a stretch is in memory: rows that are settled have given theirs back, rows to come have none yet. A
row keeps its number, so nobody who holds one need know.
"""

from __future__ import annotations

import mmap
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.engine.record import RequestLog
from simulator.trace.request_table import COLUMNS, RequestTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike, NDArray

    from simulator.trace.nesting import Nesting


class OutOfRoom(RuntimeError):
    """More requests have come than a run made room for."""


class KnownPrefixes:
    """Which prefixes of the requests written last, and of those before them, begin with another one.

    By itself, because whoever the ledger tells of new requests must not hold the ledger.
    """

    __slots__ = ("before", "nesting")

    def __init__(self, nesting: Nesting) -> None:
        self.nesting = self.before = nesting

    def outer(self, prefix_id: int) -> tuple[tuple[int, int], ...]:
        """What a prefix begins with, see `Nesting.outer`."""
        return self.nesting.outer(prefix_id) or self.before.outer(prefix_id)


class Ledger:
    """Requests by row, and their log.

    Args:
        table: The requests, or the first of them.
        room: How many there may be in all; room that is not written to takes no memory. Just those when absent.

    Attributes:
        table: The requests; rows from `known` on are not yet written.
        log: What becomes of them.
        known: Requests written so far.
        prefixes: Which prefixes of the requests written last begin with another one.
        settled: Requests whose rows are no longer needed and hold nothing any more.
    """

    def __init__(self, table: RequestTable, room: int | None = None) -> None:
        self._room = room
        self._maps: list[tuple[mmap.mmap, int]] = []
        self._followers: list[Callable[[slice], None]] = []
        self.settled = 0
        self.prefixes = KnownPrefixes(table.nesting)
        if room is None:
            self.table, self.log, self.known = table, RequestLog.empty(len(table)), len(table)
            return
        self.table = RequestTable(table.workloads, *(self.column(getattr(table, name).dtype) for name in COLUMNS))
        self.log = RequestLog(*(self.column(getattr(_BLANK, one.name).dtype) for one in fields(RequestLog)))
        self.known = 0
        self.add(table)

    def column(self, dtype: DTypeLike) -> NDArray[Any]:
        """Room for something else about each request."""
        if self._room is None:
            return np.empty(len(self.table), dtype)
        itemsize = np.dtype(dtype).itemsize
        # Shared memory would keep what is given back; Windows has no other, and none is given back before the end.
        private = {} if sys.platform == "win32" else {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}
        memory = mmap.mmap(-1, max(1, self._room * itemsize), **private)
        self._maps.append((memory, itemsize))
        return np.frombuffer(memory, dtype, self._room)

    def prompts(self, image_tokens: NDArray[np.int32] | None) -> NDArray[np.int32]:
        """Prompt tokens by row, as a backend counts them that has so many more for the images of each workload."""
        table = self.table
        if image_tokens is None or not image_tokens.any():
            return table.prompt_tokens
        found = self.column(np.int32)

        def expect(rows: slice) -> None:
            found[rows] = table.prompt_tokens[rows] + image_tokens[table.workload[rows]]

        self.follow(expect)
        return found

    def follow(self, expect: Callable[[slice], None]) -> None:
        """Have somebody told of the rows that are written, now and whenever more are."""
        self._followers.append(expect)
        expect(slice(0, self.known))

    def close(self) -> None:
        """No more requests will come: nobody is told any more."""
        self._followers.clear()

    def add(self, part: RequestTable) -> None:
        """Write the next requests.

        Raises:
            OutOfRoom: There are more than there is room for.
        """
        rows = slice(self.known, self.known + len(part))
        if rows.stop > len(self.table):
            raise OutOfRoom(f"there is room for {len(self.table):,} requests, and {rows.stop:,} have come")
        for name in COLUMNS:
            getattr(self.table, name)[rows] = getattr(part, name)
        for one in fields(RequestLog):
            blank = getattr(_BLANK, one.name)
            # What is mapped begins as zeros; memory that nobody writes to is none.
            if blank != 0:
                getattr(self.log, one.name)[rows] = blank
        self.known = rows.stop
        self.prefixes.nesting, self.prefixes.before = part.nesting, self.prefixes.nesting
        for expect in self._followers:
            expect(rows)

    def unsettled(self, below: int) -> tuple[RequestTable, RequestLog]:
        """Views of the rows that are not settled, up to this one."""
        rows = slice(self.settled, below)
        return self.table.rows(rows), self.log.rows(rows)

    def first_pending(self, now_s: float) -> int:
        """The first row that has not ended by now, or the first that is not known."""
        ended = self.log.ended_s[self.settled : self.known] <= now_s
        return self.known if ended.all() else self.settled + int(ended.argmin())

    def begin_of_interval(self, row: int, interval_s: float) -> int:
        """The first unsettled row of the interval in which a row arrives, or the last one where it is not known."""
        arrival_s = self.table.arrival_s[self.settled : min(row + 1, self.known)]
        begin_s = arrival_s[-1] // interval_s * interval_s if len(arrival_s) else 0.0
        return self.settled + int(np.searchsorted(arrival_s, begin_s))

    def settle(self, below: int) -> None:
        """The rows below this one are no longer needed."""
        self.settled = below
        for memory, itemsize in self._maps:
            whole = below * itemsize // mmap.PAGESIZE * mmap.PAGESIZE
            if whole and hasattr(mmap, "MADV_DONTNEED"):
                memory.madvise(mmap.MADV_DONTNEED, 0, whole)


_BLANK = RequestLog.empty(1)
