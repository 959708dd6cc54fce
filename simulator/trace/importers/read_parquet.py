"""Records of a Parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.errors import TraceError
from simulator.trace.importers.records import CHUNK, Records, look_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.records import Fields
    from simulator.trace.importers.tally import Tally


def parquet_records(path: Path, fields: Fields, required: tuple[str, ...], tally: Tally) -> Iterator[Records]:
    """Records by number from 1; of columns only those that hold a field.

    Raises:
        TraceError: A column is missing, or the file is corrupt.
    """
    import pyarrow as pa
    from pyarrow import parquet

    start = 1
    try:
        with parquet.ParquetFile(path) as file:
            top = file.schema_arrow.names
            paths = {field: [(n, tuple(n.split("."))) for n in names] for field, names in fields.items()}
            found = {field: [p for p in names if p[0] in top or p[1][0] in top] for field, names in paths.items()}
            if missing := [" or ".join(fields[field]) for field in required if not found[field]]:
                raise TraceError("\n".join(f"{path}: no column {name}" for name in missing))
            wanted = {name if name in top else steps[0] for names in found.values() for name, steps in names}
            for batch in file.iter_batches(CHUNK, columns=sorted(wanted)):
                rows = _plain(batch).to_pylist()
                tally.rows += len(rows)
                lines = list(range(start, start + len(rows)))
                start += len(rows)
                yield Records(path, lines, {f: [look_up(row, names) for row in rows] for f, names in found.items()})
    except (pa.ArrowException, OSError, ValueError, NotImplementedError):
        raise TraceError(f"{path}: row {start}: not readable as Parquet from here on") from None


def _plain(batch: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Moments as text, so that every kind of file has the same."""
    import pyarrow as pa

    for number, kind in enumerate(batch.schema):
        if pa.types.is_timestamp(kind.type):
            # A zone makes it an instant, printed in UTC.
            pattern = "%Y-%m-%dT%H:%M:%SZ" if kind.type.tz else "%Y-%m-%dT%H:%M:%S"
            column = batch.column(number)
            column = column.cast(pa.timestamp(kind.type.unit, "UTC")) if kind.type.tz else column
            batch = batch.set_column(number, kind.name, pa.compute.strftime(column, format=pattern))
    return batch
