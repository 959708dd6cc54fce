"""The canonical trace: a table of requests as CSV or Parquet, with a header beside it that says what it is.

Both are read and written in chunks, so that a trace may be longer than memory. Readers refuse what they do not know.
A message names row and column, never what stands there, because a file in the wrong format may hold text of patients;
for the same reason an unknown column is named by its position.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import TraceError
from simulator.workload.request import RequestTable
from simulator.workload.trace_header import TraceHeader, file_sha256, read_header, replacing, write_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

REQUIRED: Final = ("arrival_s", "workload", "prompt_tokens", "output_tokens")
OPTIONAL: Final = ("prefix_id", "prefix_tokens", "max_tokens", "priority")

#: Lowest and highest value of each whole-number column.
BOUNDS: Final = {
    "prompt_tokens": (1, 10**7), "output_tokens": (1, 10**7), "prefix_id": (-1, 2**31 - 1),
    "prefix_tokens": (0, 10**7), "max_tokens": (1, 10**7), "priority": (1, 3),
}  # fmt: skip
DEFAULT_MAX_TOKENS: Final = 4096
DEFAULT_PRIORITY: Final = 3
#: Requests held at a time, about 20 MB as text.
CHUNK_ROWS: Final = 1 << 18
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def is_workload_name(name: object) -> bool:
    """Lower-case letters, digits and underscores, at most 64."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def write_trace(table: RequestTable, path: Path, *, source: str, licence: str, span_s: float) -> TraceHeader:
    """Write a table as `.csv` or `.parquet` and its header as `.yaml`; each appears whole or not at all.

    Raises:
        TraceError: Neither CSV nor Parquet, or not to be written there.
    """
    return write_chunks([table], path, TraceHeader(source, licence, span_s, 0, (*REQUIRED, *OPTIONAL), ""))


def write_chunks(chunks: Iterable[RequestTable], path: Path, header: TraceHeader) -> TraceHeader:
    """Write tables one after the other; nothing appears unless the last of them was written.

    Args:
        chunks: In order of arrival.
        path: A `.csv` or `.parquet` file.
        header: What to say; its `columns` are written, its `rows` and `sha256` are filled in.

    Raises:
        TraceError: Neither CSV nor Parquet, or not to be written there.
    """
    write = {".csv": _write_csv, ".parquet": _write_parquet}[trace_suffix(path)]
    rows = 0

    def frames() -> Iterator[pd.DataFrame]:
        nonlocal rows
        for chunk in chunks:
            rows += len(chunk)
            yield _as_frame(chunk, header.columns)

    with replacing(path) as draft:
        write(frames(), draft, header.columns)
        written = replace(header, rows=rows, sha256=file_sha256(draft))
        # The old header would not fit the new trace, and a trace without a header is still a trace.
        write_header(written, path)
    return written


def read_trace(path: Path) -> RequestTable:
    """The requests of a canonical trace, checked against its header when there is one.

    Absent columns mean: no shared prefix, `max_tokens` of 4096 (or the output where longer), priority 3.

    Raises:
        TraceError: Everything wrong with it, the first row of each kind.
    """
    parts = list(read_chunks(path))
    columns = (np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(RequestTable)[1:])
    return RequestTable(parts[-1].workloads, *columns)


def read_chunks(path: Path) -> Iterator[RequestTable]:
    """The same a chunk at a time; at least one, and each one's `workloads` begin with those of the one before.

    Raises:
        TraceError: Like `read_trace`, once everything was looked at.
    """
    suffix, header = trace_suffix(path), read_header(path)
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    if header is not None and header.sha256 != file_sha256(path):
        raise TraceError(f"{path}: its checksum differs from its header's: the trace was changed after it was written")
    checks = _Checks(header)
    try:
        for frame in (_csv_frames if suffix == ".csv" else _parquet_frames)(path):
            table = checks.table(frame)
            if not checks.faults:
                yield table
    except _unreadable():  # the library's message may quote the file
        broken = f"not readable as {suffix[1:]}" + (f" after row {checks.rows:,}" if checks.rows else "")
        checks.faults.setdefault("file", broken)
    checks.end()
    if checks.faults:
        raise TraceError("\n".join(f"{path}: {fault}" for fault in checks.faults.values()))


def first_rows(path: Path, count: int) -> pd.DataFrame:
    """The first requests with the columns that the trace has.

    Raises:
        TraceError: Like `read_trace`; nothing wrong is shown.
    """
    import pandas as pd

    parts: list[pd.DataFrame] = []
    rows = 0
    for chunk in read_chunks(path):
        if rows < count or not parts:
            parts.append(_as_frame(chunk, (*REQUIRED, *OPTIONAL)).head(count - rows))
            rows += len(parts[-1])
    return pd.concat(parts, ignore_index=True)


class _Checks:
    """Turns frames into tables and remembers the first fault of each kind."""

    def __init__(self, header: TraceHeader | None) -> None:
        self.header = header
        self.faults: dict[str, str] = {}
        self.rows = 0
        self._names: dict[str, int] = {}
        self._last_s = 0.0
        self._columns: list[str] = []

    def table(self, frame: pd.DataFrame) -> RequestTable:
        self._columns = list(map(str, frame.columns))
        if not self._known(frame):
            self.rows += len(frame)
            return _empty()
        columns = {name: self._numbers(frame, name) for name in frame.columns if name != "workload"}
        workload = self._workloads(frame)
        if not self.faults:
            self._relations(columns, len(frame))
        self.rows += len(frame)
        return _empty() if self.faults else _table(tuple(self._names), workload, columns)

    def end(self) -> None:
        """What only the whole trace can show."""
        if self.header is None or self.faults:
            return
        if self.header.rows != self.rows:
            self.faults["rows"] = f"{self.rows} rows, but its header says {self.header.rows}"
        elif set(self.header.columns) != set(self._columns):
            self.faults["columns"] = "its columns differ from its header's"

    def _known(self, frame: pd.DataFrame) -> bool:
        import pandas as pd

        known = (*REQUIRED, *OPTIONAL)
        unknown = [str(position) for position, name in enumerate(frame.columns, 1) if name not in known]
        faults = {f"missing {name}": f"missing column {name}" for name in REQUIRED if name not in frame.columns}
        if not isinstance(frame.index, pd.RangeIndex):  # what pandas makes of rows longer than the first
            faults["long"] = f"row {self.rows + 1}: more values than columns"
        if unknown:
            position = ", ".join(unknown)
            faults["unknown"] = f"unknown column at position {position}; allowed are {', '.join(known)}"
        if len(set(frame.columns)) < len(frame.columns):
            faults["twice"] = "a column stands there twice"
        self.faults = faults | self.faults
        return not faults

    def _fault(self, column: str, bad: NDArray[np.bool_], what: str) -> None:
        if bad.any():
            row = self.rows + int(np.argmax(bad)) + 1
            self.faults.setdefault(f"{column}: {what}", f"row {row}, column {column}: {what}")

    def _numbers(self, frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
        import pandas as pd

        column = frame[name]
        if not (pd.api.types.is_string_dtype(column) or pd.api.types.is_numeric_dtype(column)):
            self.faults.setdefault(name, f"column {name}: expected numbers")
            return np.zeros(len(frame))
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        if name == "arrival_s":
            self._fault(name, ~(np.isfinite(values) & (values >= 0)), "expected seconds, 0 or more")
        else:
            low, high = BOUNDS[name]
            bad = ~((values >= low) & (values <= high) & (values == np.floor(values)))
            self._fault(name, bad, f"expected a whole number from {low:,} to {high:,}")
        return values

    def _workloads(self, frame: pd.DataFrame) -> NDArray[np.int16]:
        import pandas as pd

        codes, names = pd.factorize(frame["workload"])
        wrong = [code for code, name in enumerate(names) if not is_workload_name(name)]
        expected = "expected lower-case letters, digits and underscores"
        self._fault("workload", np.isin(codes, [-1, *wrong]), expected)
        if wrong or (codes < 0).any():
            return np.zeros(len(frame), np.int16)
        places = [self._names.setdefault(str(name), len(self._names)) for name in names]
        if len(self._names) > np.iinfo(np.int16).max:
            self.faults["names"] = f"column workload: more than {np.iinfo(np.int16).max:,} names"
        return np.array(places, np.int64)[codes].astype(np.int16) if places else codes.astype(np.int16)

    def _relations(self, columns: dict[str, NDArray[np.float64]], rows: int) -> None:
        arrival_s = columns["arrival_s"]
        self._fault("arrival_s", np.diff(arrival_s, prepend=self._last_s) < 0, "arrivals must ascend")
        if "max_tokens" in columns:
            beyond = columns["output_tokens"] > columns["max_tokens"]
            self._fault("output_tokens", beyond, "expected no more than max_tokens")
        shared = columns.get("prefix_tokens", np.zeros(rows))
        self._fault("prefix_tokens", shared > columns["prompt_tokens"], "expected no more than prompt_tokens")
        nameless = (columns.get("prefix_id", np.full(rows, -1.0)) < 0) & (shared > 0)
        self._fault("prefix_tokens", nameless, "expected 0 without a prefix_id")
        if self.header is not None:
            beyond = arrival_s >= self.header.span_s
            self._fault("arrival_s", beyond, "expected less than the header's span_s")
        self._last_s = float(arrival_s[-1]) if rows else self._last_s


def _csv_frames(path: Path) -> Iterator[pd.DataFrame]:
    import pandas as pd

    with pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=CHUNK_ROWS) as reader:
        yield from reader


def _parquet_frames(path: Path) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        yield from (batch.to_pandas() for batch in file.iter_batches(CHUNK_ROWS))
        if not file.metadata.num_rows:
            empty = pa.table({name: pa.array([], file.schema_arrow.field(name).type) for name in names})
            yield empty.to_pandas()


def _unreadable() -> tuple[type[Exception], ...]:
    import pandas as pd
    import pyarrow as pa

    return (ValueError, OSError, pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError)


def _as_frame(table: RequestTable, columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    names = np.array(table.workloads, dtype=object)
    return pd.DataFrame(
        {name: names[table.workload] if name == "workload" else getattr(table, name) for name in columns}
    )


def _write_csv(frames: Iterable[pd.DataFrame], path: Path, columns: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(columns) + "\n")
        for frame in frames:
            frame.to_csv(file, header=False, index=False, lineterminator="\n")


def _write_parquet(frames: Iterable[pd.DataFrame], path: Path, columns: tuple[str, ...]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types: dict[str, Any] = {"arrival_s": pa.float64(), "workload": pa.string(), "priority": pa.int8()}
    schema = pa.schema([(name, types.get(name, pa.int32())) for name in columns])
    # Arrivals never repeat, but their leading bytes do.
    others = [name for name in columns if name != "arrival_s"]
    encoding = {"use_dictionary": others, "column_encoding": {"arrival_s": "BYTE_STREAM_SPLIT"}}
    with parquet.ParquetWriter(path, schema, compression="zstd", **encoding) as writer:
        for frame in frames:
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


def _table(
    workloads: tuple[str, ...], workload: NDArray[np.int16], columns: dict[str, NDArray[np.float64]]
) -> RequestTable:
    rows = len(workload)
    defaults = {
        "prefix_id": np.full(rows, -1.0),
        "prefix_tokens": np.zeros(rows),
        "max_tokens": np.maximum(columns["output_tokens"], DEFAULT_MAX_TOKENS),
        "priority": np.full(rows, float(DEFAULT_PRIORITY)),
    }
    kinds = dict.fromkeys(BOUNDS, np.int32) | {"priority": np.int8}
    whole: dict[str, Any] = {name: (defaults | columns)[name].astype(kind) for name, kind in kinds.items()}
    return RequestTable(workloads=workloads, arrival_s=columns["arrival_s"], workload=workload, **whole)


def _empty() -> RequestTable:
    nothing: dict[str, NDArray[np.float64]] = {name: np.zeros(0) for name in ("arrival_s", *BOUNDS)}
    return _table((), np.zeros(0, np.int16), nothing)


def trace_suffix(path: Path) -> str:
    """`.csv` or `.parquet`.

    Raises:
        TraceError: Neither.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise TraceError(f"{path}: a trace is a .csv or a .parquet file")
    return path.suffix
