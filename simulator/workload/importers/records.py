"""Records of a file, with the line each begins at, and of each only the fields that are asked for."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from simulator.errors import TraceError
from simulator.workload.importers.source import BROKEN, open_source, open_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import TextIO

    from simulator.workload.importers.tally import Tally

    #: What a field is called in the file, best name first.
    Fields = Mapping[str, tuple[str, ...]]
    #: The records inside one value of a JSON file.
    Unpack = Callable[[Any], Iterable[Any]]

CHUNK: Final = 1 << 15
#: Rows of a CSV held as lists: few, so that they stay where the processor finds them at once.
_SLICE: Final = 1 << 11
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")
#: Longest value of a CSV file and longest line of JSON: long prompts pass, a missing quote does not eat the file.
LONGEST: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Records:
    """Some records of a file.

    Attributes:
        path: Of the file.
        lines: 1-based line at which each begins; its number where the file has no lines.
        columns: By field, the value of each record as it stood there, None where it has none.
    """

    path: Path
    lines: list[int]
    columns: dict[str, list[Any]]


def read_records(
    path: Path, fields: Fields, required: tuple[str, ...], tally: Tally, unpack: Unpack | None = None
) -> Iterator[Records]:
    """Records of a CSV, JSON or Parquet file, whichever it is by its first bytes; gzipped or not.

    Raises:
        TraceError: It breaks off, is corrupt, or lacks a column.
    """
    with open_source(path) as file:
        try:
            parquet = file.read(4) == b"PAR1"
        except BROKEN:
            raise TraceError(f"{path}: line 1: the compressed data breaks off or is corrupt") from None
    if parquet:
        yield from _parquet_records(path, fields, required, tally)
        return
    with open_text(path) as text:
        at = Position()
        try:
            start = _first_line(text)
            if start.lstrip()[:1] in ("{", "["):
                yield from _json_records(path, text, start, at, fields, tally, unpack or _itself)
            else:
                yield from _csv_records(path, text, start, at, fields, required, tally)
        except BROKEN:
            raise TraceError(f"{path}:{at.line}: the file breaks off or is corrupt from here on") from None


@dataclass(slots=True)
class Position:
    """Where a reader is: the line of the record it is at."""

    line: int = 1


def _first_line(text: TextIO) -> str:
    return text.readline(LONGEST)


def _csv_records(
    path: Path, text: TextIO, start: str, at: Position, fields: Fields, required: tuple[str, ...], tally: Tally
) -> Iterator[Records]:
    csv.field_size_limit(LONGEST)
    header, delimiter = _header(start, fields)
    places = {field: _places(header, names) for field, names in fields.items()}
    if missing := [" or ".join(fields[field]) for field in required if not places[field]]:
        raise TraceError("\n".join(f"{path}:1: no column {name}" for name in missing))
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    width, more = len(header), True
    lines: list[int] = []
    columns: dict[str, list[Any]] = {field: [] for field in fields}
    while more:
        rows, starts, more = _some(reader, at, path, tally)
        tally.rows += sum(map(bool, rows))
        if set(map(len, rows)) - {width}:
            ragged = [line for line, row in zip(starts, rows, strict=True) if row and len(row) != width]
            tally.reject(path, ragged, "more or fewer values than the first line has")
            starts = [line for line, row in zip(starts, rows, strict=True) if len(row) == width]
            rows = [row for row in rows if len(row) == width]
        lines += starts
        for field, found in places.items():
            columns[field] += _first_of(rows, found)
        if lines and (len(lines) >= CHUNK or not more):
            yield Records(path, lines, columns)
            lines, columns = [], {field: [] for field in fields}


def _some(reader: Any, at: Position, path: Path, tally: Tally) -> tuple[list[list[str]], list[int], bool]:  # noqa: ANN401 - csv has no public type
    """Some rows, the line at which each begins, and whether there may be more; a row of a blank line is empty."""
    rows: list[list[str]] = []
    before = at.line
    try:
        rows.extend(islice(reader, _SLICE))
        more = len(rows) == _SLICE
    except (*BROKEN, csv.Error) as error:
        starts = _starts(rows, before, None)
        at.line = starts.pop()
        if not isinstance(error, csv.Error):
            raise
        if "unexpected end" in str(error):
            raise TraceError(f"{path}:{at.line}: a quoted value begins in this row and never ends") from None
        tally.rows += 1
        tally.reject(path, [at.line], "broken quoting, or a value of more than 16 million characters")
        at.line, more = reader.line_num + 1, True
    else:
        starts = _starts(rows, before, reader.line_num + 1)[:-1]
        at.line = reader.line_num + 1
    return rows, starts, more


def _starts(rows: list[list[str]], before: int, after: int | None) -> list[int]:
    """The line at which each row begins, and the next; the last line read was `before`, and now is `after`."""
    if after is not None and after - before == len(rows):
        return list(range(before + 1, after + 2))
    # Some value has line ends of its own.
    taken = [1 + sum(len(_LINE_ENDS.findall(value)) for value in row) for row in rows]
    return list(accumulate(taken, initial=before + 1))


def _header(start: str, fields: Fields) -> tuple[list[str], str]:
    """The names in the first line, and the delimiter with which most of them are known."""
    known = {name for names in fields.values() for name in names}
    best: tuple[list[str], str] = ([], ",")
    for delimiter in (",", ";", "\t", "|"):
        try:
            names = [name.strip() for name in next(csv.reader([start], delimiter=delimiter), [])]
        except csv.Error:
            continue
        if not best[0] or len(known & set(names)) > len(known & set(best[0])):
            best = names, delimiter
    return best


#: A column, and the steps into the JSON that stands in it.
Place: TypeAlias = "tuple[int, tuple[str, ...]]"


def _places(header: list[str], names: tuple[str, ...]) -> list[Place]:
    found: list[Place] = []
    for name in names:
        top, *steps = name.split(".")
        if name in header:
            found.append((header.index(name), ()))
        elif steps and top in header:
            found.append((header.index(top), tuple(steps)))
    return found


def _first_of(rows: list[list[str]], places: list[Place]) -> list[Any]:
    """The value at the first place that is not empty, None where there is none."""
    if len(places) == 1 and not places[0][1]:
        column = places[0][0]
        return [row[column] for row in rows]
    return [_first_filled(row, places) for row in rows]


def _first_filled(row: list[str], places: list[Place]) -> Any:  # noqa: ANN401 - whatever the file holds
    return next((value for at, steps in places if (value := _step(row[at], steps)) not in (None, "")), None)


def _step(value: Any, steps: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever the file holds
    """What lies down these steps; text on the way may be JSON, a list of pairs is a map of Parquet's."""
    for step in steps:
        if isinstance(value, str):
            value = _parsed(value) if value.lstrip()[:1] == "{" else None
        elif isinstance(value, list):
            value = dict(one for one in value if isinstance(one, tuple) and len(one) == 2)
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _json_records(
    path: Path, text: TextIO, start: str, at: Position, fields: Fields, tally: Tally, unpack: Unpack
) -> Iterator[Records]:
    paths = {field: [(name, tuple(name.split("."))) for name in names] for field, names in fields.items()}
    lines: list[int] = []
    columns: dict[str, list[Any]] = {field: [] for field in fields}
    for value in json_values(path, text, start, at, tally):
        for record in _unpacked(value, unpack):
            tally.rows += 1
            if not isinstance(record, dict):
                tally.reject(path, [at.line], "not an object with named values")
                continue
            lines.append(at.line)
            for field, names in paths.items():
                columns[field].append(_look_up(record, names))
        if len(lines) >= CHUNK:
            yield Records(path, lines, columns)
            lines, columns = [], {field: [] for field in fields}
    if lines:
        yield Records(path, lines, columns)


def _unpacked(value: Any, unpack: Unpack) -> Iterable[Any]:  # noqa: ANN401 - whatever the file holds
    try:
        return list(unpack(value))
    except (TypeError, AttributeError, KeyError, ValueError, IndexError):
        return [None]  # not the shape that this format has: one wrong record


def _itself(value: Any) -> Iterable[Any]:  # noqa: ANN401 - whatever the file holds
    """A record on its own, a list of them, or the list in an answer that has one (`data`, `value`, `items`)."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        for key in ("data", "value", "items"):
            if isinstance(value.get(key), list):
                return list(value[key])
    return [value]


def _look_up(record: dict[str, Any], names: list[tuple[str, tuple[str, ...]]]) -> Any:  # noqa: ANN401 - likewise
    for name, steps in names:
        value = record.get(name)
        if value is None and len(steps) > 1:
            value = _step(record, steps)
        if value is not None:
            return value
    return None


def json_values(path: Path, text: TextIO, start: str, at: Position, tally: Tally) -> Iterator[Any]:
    """Values of JSON lines or of one document; `at.line` is where each begins.

    A line that is no JSON is a wrong record; a document that is none is an error.

    Raises:
        TraceError: A document of one value, or of several on many lines, is broken.
    """
    first = _parsed(start)
    if first is not _BROKEN and not (isinstance(first, list) and not start.strip()):
        yield first
        for number, line in enumerate(iter(lambda: text.readline(LONGEST), ""), 2):
            at.line = number
            if not line.strip():
                continue
            value = _parsed(line)
            if value is _BROKEN:
                tally.rows += 1
                tally.reject(path, [number], "not JSON")
            else:
                yield value
        return
    yield from _document(path, text, start, at)


_BROKEN: Final = object()


def _parsed(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN


def _document(path: Path, text: TextIO, start: str, at: Position) -> Iterator[Any]:
    """Values one after the other on as many lines as they like; those of an outermost list one by one."""
    decoder, waiting, step = json.JSONDecoder(), start, 1 << 16
    inside = False
    while True:
        body = waiting.lstrip(" \t\r\n,") if inside else waiting.lstrip()
        at.line += waiting[: len(waiting) - len(body)].count("\n")
        if not inside and body.startswith("["):
            inside, waiting = True, body[1:]
            continue
        if inside and body.startswith("]"):
            inside, waiting = False, body[1:]
            continue
        try:
            value, end = decoder.raw_decode(body) if body else (None, 0)
        except (ValueError, RecursionError):
            end = 0
        # A number may go on in what was not yet read.
        if end and (end < len(body) or not _is_scalar(value)):
            yield value
            at.line += body[:end].count("\n")
            waiting, step = body[end:], 1 << 16
            continue
        more = text.read(step)
        if not more:
            if body or inside:
                raise TraceError(f"{path}:{at.line}: the JSON that begins here breaks off or is broken")
            return
        waiting, step = body + more, min(2 * step, LONGEST)
        if len(waiting) > 16 * LONGEST:
            raise TraceError(f"{path}:{at.line}: the JSON that begins here does not end within 256 MB")


def _is_scalar(value: Any) -> bool:  # noqa: ANN401 - whatever the file holds
    return not isinstance(value, (dict, list, str))


def _parquet_records(path: Path, fields: Fields, required: tuple[str, ...], tally: Tally) -> Iterator[Records]:
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
                yield Records(path, lines, {f: [_look_up(row, names) for row in rows] for f, names in found.items()})
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
