"""Sorting more requests than fit into memory: sorted runs on disk, merged one window of time after the other."""

from __future__ import annotations

import re
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.errors import TraceError
from simulator.files import is_old, left_in, private_folder, remove_tree, writing_whole
from simulator.trace.importers.rows import KINDS, Rows, join_rows, make_rows, take_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

#: Rows sorted in memory at a time, and those of a piece of a run that is read back alone: 45 bytes each.
RUN_ROWS: Final = 1 << 20
PIECE_ROWS: Final = 1 << 16
#: Its folder, and what is in it.
_NAME: Final = "trace-rows"
_OWN: Final = re.compile(r"\d+\.parquet|\.\d+\.parquet\.[0-9a-f]+\.draft")


class Spill:
    """Takes rows in any order and gives them back by time; equal times keep the order in which they came.

    Its folder holds numbers only, is private, and is removed by `close`.

    Raises:
        TraceError: There is no room beside the target.
    """

    def __init__(self, beside: Path) -> None:
        self._stack = ExitStack()
        try:
            for left, _ in left_in(beside, "unfinished", _NAME):
                with suppress(FileNotFoundError):  # another process is at the same
                    if is_old(left) and all(_OWN.fullmatch(entry.name) for entry in left.iterdir()):
                        remove_tree(left)
            self._folder = self._stack.enter_context(private_folder(beside, _NAME))
        except OSError as error:
            raise TraceError(f"{beside}: cannot be written to: {error.strerror}") from None
        self._waiting: list[Rows] = []
        self._pieces: list[tuple[int, int, Path, int]] = []
        self._runs = 0
        self._last_ns: int | None = None
        self.rows = 0
        self.disordered = 0
        self.first_ns = self.last_ns = 0

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was kept."""
        self._stack.close()

    def add(self, rows: Rows) -> None:
        """Keep some more rows."""
        time_ns = rows["time_ns"]
        if not len(time_ns):
            return
        before = time_ns[0] if self._last_ns is None else self._last_ns
        self.disordered += int(np.count_nonzero(np.diff(time_ns, prepend=before) < 0))
        self._last_ns = int(time_ns[-1])
        self.first_ns = int(time_ns.min()) if not self.rows else min(self.first_ns, int(time_ns.min()))
        self.last_ns = int(time_ns.max()) if not self.rows else max(self.last_ns, int(time_ns.max()))
        self.rows += len(time_ns)
        self._waiting.append(rows)
        if sum(len(part["time_ns"]) for part in self._waiting) >= RUN_ROWS:
            self._write_run()

    def sorted(self) -> Iterator[Rows]:
        """All rows by time, about `RUN_ROWS` at a time; rows of one moment are never parted."""
        if not self._pieces:  # few enough never to have been written
            if self._waiting:
                yield _by_time(join_rows(self._waiting))
            return
        self._write_run()
        starts = sorted(first for first, *_ in self._pieces)
        edges = sorted({starts[0], *starts[RUN_ROWS // PIECE_ROWS :: RUN_ROWS // PIECE_ROWS]})
        for low, high in zip(edges, [*edges[1:], self.last_ns + 1], strict=True):
            parts = []
            for first, last, path, place in self._pieces:
                if first < high and last >= low:
                    piece = _read_piece(path, place)
                    inside = (piece["time_ns"] >= low) & (piece["time_ns"] < high)
                    parts.append(piece if inside.all() else take_rows(piece, inside))
            if parts:
                yield _by_time(join_rows(parts))

    def _write_run(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if not self._waiting:
            return
        rows = _by_time(join_rows(self._waiting))
        self._waiting = []
        path = self._folder / f"{self._runs}.parquet"
        self._runs += 1
        table = pa.table(rows)
        with writing_whole(path, fault=TraceError, durable=False) as file:
            parquet.write_table(table, file, row_group_size=PIECE_ROWS, compression="lz4", use_dictionary=False)
        for place, start in enumerate(range(0, len(rows["time_ns"]), PIECE_ROWS)):
            piece = rows["time_ns"][start : start + PIECE_ROWS]
            self._pieces.append((int(piece[0]), int(piece[-1]), path, place))


def _by_time(rows: Rows) -> Rows:
    time_ns: NDArray[np.int64] = rows["time_ns"]
    return rows if (np.diff(time_ns) >= 0).all() else take_rows(rows, np.argsort(time_ns, kind="stable"))


def _read_piece(path: Path, place: int) -> Rows:
    from pyarrow import parquet

    table = parquet.ParquetFile(path).read_row_group(place)
    return make_rows(**{name: table[name].to_numpy() for name in KINDS})
