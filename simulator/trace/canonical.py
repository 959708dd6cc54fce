"""The canonical trace: a table of requests as CSV or Parquet, with a header beside it that says what it is.

Both are read and written in chunks, so that a trace may be longer than memory. Readers refuse what they do not know.
A message names row and column, never what stands there, because a file in the wrong format may hold text of patients;
for the same reason an unknown column is named by its position.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from simulator.errors import TraceError
from simulator.files import writing_whole
from simulator.trace.checks import NESTED, OPTIONAL, REQUIRED, THINKING, Checks
from simulator.trace.header import TraceHeader, file_sha256, read_header, write_header
from simulator.trace.nesting import written
from simulator.trace.request_table import RequestTable, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import pandas as pd

__all__ = [
    "OPTIONAL",
    "REQUIRED",
    "all_columns",
    "first_rows",
    "read_again",
    "read_chunks",
    "read_trace",
    "trace_suffix",
    "write_chunks",
    "write_trace",
]

#: Requests held at a time, about 20 MB as text.
CHUNK_ROWS: Final = 1 << 18
#: Of each column of a Parquet file, read at a time.
_BUFFER_BYTES: Final = 1 << 20


def write_trace(table: RequestTable, path: Path, *, source: str, licence: str, span_s: float) -> TraceHeader:
    """Write a table as `.csv` or `.parquet` and its header as `.yaml`; each appears whole or not at all.

    Raises:
        TraceError: Neither CSV nor Parquet, or not to be written there.
    """
    columns = all_columns(nested=len(table.nesting) > 0, thinking=bool(table.thinking_tokens.any()))
    return write_chunks([table], path, TraceHeader(source, licence, span_s, 0, columns, ""))


def all_columns(*, nested: bool, thinking: bool = False) -> tuple[str, ...]:
    """The columns of a trace; of thoughts, and of prefixes that begin with others, only where there are any."""
    return (*REQUIRED, *OPTIONAL, *((THINKING,) if thinking else ()), *((NESTED,) if nested else ()))


def write_chunks(
    chunks: Iterable[RequestTable],
    path: Path,
    header: TraceHeader,
    finish: Callable[[TraceHeader], TraceHeader] | None = None,
) -> TraceHeader:
    """Write tables one after the other; nothing appears unless the last of them was written.

    Args:
        chunks: In order of arrival.
        path: A `.csv` or `.parquet` file.
        header: What to say; its `columns` are written, its `rows` and `sha256` are filled in.
        finish: What else is to be said, once the last table was written.

    Raises:
        TraceError: Neither CSV nor Parquet, or not to be written there.
    """
    write = {".csv": _write_csv, ".parquet": _write_parquet}[trace_suffix(path)]
    rows = 0

    def frames() -> Iterator[pd.DataFrame]:
        nonlocal rows
        for chunk in chunks:
            rows += len(chunk)
            yield as_frame(chunk, header.columns)

    with writing_whole(path, fault=TraceError) as file:
        write(frames(), file, header.columns)
        file.seek(0)
        written = replace(header, rows=rows, sha256=hashlib.file_digest(file, "sha256").hexdigest())  # type: ignore[arg-type]
        written = written if finish is None else finish(written)
        # The old header would not fit the new trace, and a trace without a header is still a trace.
        write_header(written, path)
    return written


def read_trace(path: Path) -> RequestTable:
    """The requests of a canonical trace, checked against its header when there is one.

    Absent columns mean: no shared prefix, `max_tokens` of 4096 (or the output where longer), priority 3.

    Raises:
        TraceError: Everything wrong with it, the first row of each kind.
    """
    return joined(list(read_chunks(path)))


def read_chunks(path: Path, at_once: int = CHUNK_ROWS) -> Iterator[RequestTable]:
    """The same a chunk at a time; at least one, and each one's `workloads` begin with those of the one before.

    Raises:
        TraceError: Like `read_trace`, once everything was looked at.
    """
    trace_suffix(path)
    header = read_header(path)
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    if header is not None and header.sha256 != file_sha256(path):
        raise TraceError(f"{path}: its checksum differs from its header's: the trace was changed after it was written")
    yield from _checked(path, at_once, Checks(header))


def read_again(path: Path, at_once: int = CHUNK_ROWS) -> Iterator[RequestTable]:
    """The chunks of a trace that was read before without a fault, but for what their prefixes begin with.

    Raises:
        TraceError: Like `read_trace`; nobody looks whether the file is as its header says.
    """
    yield from _checked(path, at_once, Checks(None), without=NESTED)


def _checked(path: Path, at_once: int, checks: Checks, without: str | None = None) -> Iterator[RequestTable]:
    suffix = trace_suffix(path)
    try:
        for frame in (_csv_frames if suffix == ".csv" else _parquet_frames)(path, at_once, without):
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

    header = read_header(path)
    parts: list[pd.DataFrame] = []
    rows = 0
    for chunk in read_chunks(path):
        if rows < count or not parts:
            nested, thinking = (header is not None and name in header.columns for name in (NESTED, THINKING))
            columns = all_columns(nested=nested, thinking=thinking)
            parts.append(as_frame(chunk, columns).head(count - rows))
            rows += len(parts[-1])
    return pd.concat(parts, ignore_index=True)


def _csv_frames(path: Path, at_once: int, without: str | None) -> Iterator[pd.DataFrame]:
    import pandas as pd

    with pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=at_once) as reader:
        yield from (frame if without is None else frame.drop(columns=without, errors="ignore") for frame in reader)


def _parquet_frames(path: Path, at_once: int, without: str | None) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    from pyarrow import parquet

    schema = parquet.read_schema(path)
    # Names that stand there again and again are made once.
    texts = [one.name for one in schema if one.name == "workload" and pa.types.is_string(one.type)]
    # Unbuffered it would read a row group at a time, which in others' files may be all there is.
    how: dict[str, Any] = {"buffer_size": _BUFFER_BYTES, "pre_buffer": False, "read_dictionary": texts}
    with parquet.ParquetFile(path, **how) as file:
        names = [name for name in file.schema_arrow.names if name != without]
        yield from (batch.to_pandas() for batch in file.iter_batches(at_once, columns=names))
        if not file.metadata.num_rows:
            empty = pa.table({name: pa.array([], file.schema_arrow.field(name).type) for name in names})
            yield empty.to_pandas()


def _unreadable() -> tuple[type[Exception], ...]:
    import pandas as pd
    import pyarrow as pa

    return (ValueError, OSError, pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError)


def as_frame(table: RequestTable, columns: tuple[str, ...]) -> pd.DataFrame:
    """Requests as a table with these columns of a trace."""
    import pandas as pd

    names = np.array(table.workloads, dtype=object)
    made: dict[str, Any] = {name: getattr(table, name) for name in columns if name not in ("workload", NESTED)}
    made["workload"] = names[table.workload]
    if NESTED in columns:
        ids, place = np.unique(table.prefix_id, return_inverse=True)
        made[NESTED] = np.array([written(table.nesting.outer(one)) for one in ids.tolist()], object)[place]
    return pd.DataFrame({name: made[name] for name in columns})


def _write_csv(frames: Iterable[pd.DataFrame], file: BinaryIO, columns: tuple[str, ...]) -> None:
    file.write(",".join(columns).encode() + b"\n")
    for frame in frames:
        frame.to_csv(file, mode="wb", header=False, index=False, lineterminator="\n")


def _write_parquet(frames: Iterable[pd.DataFrame], file: BinaryIO, columns: tuple[str, ...]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types: dict[str, Any] = {"arrival_s": pa.float64(), "priority": pa.int8()}
    types |= {"workload": pa.string(), NESTED: pa.string()}
    schema = pa.schema([(name, types.get(name, pa.int32())) for name in columns])
    # Arrivals never repeat, but their leading bytes do.
    others = [name for name in columns if name != "arrival_s"]
    encoding = {"use_dictionary": others, "column_encoding": {"arrival_s": "BYTE_STREAM_SPLIT"}}
    with parquet.ParquetWriter(file, schema, compression="zstd", **encoding) as writer:
        for frame in frames:
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


def trace_suffix(path: Path) -> str:
    """`.csv` or `.parquet`.

    Raises:
        TraceError: Neither.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise TraceError(f"{path}: a trace is a .csv or a .parquet file")
    return path.suffix
