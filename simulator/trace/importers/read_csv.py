"""Records of a table as text: commas, semicolons, tabs or bars between its values."""

from __future__ import annotations

import csv
import re
from functools import partial
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from simulator.errors import TraceError
from simulator.trace.importers.records import CHUNK, LONGEST, Position, Records, step_into
from simulator.trace.importers.source import BROKEN
from simulator.trace.importers.wrapping import LINES, MOMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    from simulator.trace.importers.records import Fields
    from simulator.trace.importers.tally import Tally

#: Rows held as lists: few, so that they stay where the processor finds them at once.
_SLICE: Final = 1 << 11
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")
#: A column, and the steps into the JSON that stands in it.
Place: TypeAlias = "tuple[int, tuple[str, ...]]"


def csv_records(
    path: Path, text: TextIO, start: str, at: Position, fields: Fields, required: tuple[str, ...], tally: Tally
) -> Iterator[Records]:
    """Records below a line of names; `at.line` is the last line read.

    Raises:
        TraceError: A column is missing, or a quoted value never ends.
    """
    csv.field_size_limit(LONGEST)
    if "\0" in start or start.count("\ufffd") > len(start) / 8:
        raise TraceError(
            f"{path}:1: no text: binary, or packed in a way that is not known (gz, bz2, xz, zst, lz4, zip are)"
        )
    header, delimiter = _header(start, fields)
    places = {field: _places(header, names) for field, names in fields.items()}
    line = next((name for name in LINES if name in header), None)
    if line is not None and "time" in places and not any(places[field] for field in required if field != "time"):
        # What a collector gives out: a whole record in one column, and its own moment.
        places = {field: [(header.index(line), tuple(name.split("."))) for name in fields[field]] for field in fields}
        places["time"] += [(header.index(name), ()) for name in MOMENTS if name in header]
    if missing := [" or ".join(fields[field]) for field in required if not places[field]]:
        raise TraceError("\n".join(f"{path}:{at.line}: no column {name}" for name in missing))
    # A line without an end would otherwise be read into memory whole.
    reader = csv.reader(iter(partial(text.readline, LONGEST), ""), delimiter=delimiter, strict=True)
    width, more, above = len(header), True, at.line
    lines: list[int] = []
    columns: dict[str, list[Any]] = {field: [] for field in fields}
    while more:
        rows, starts, more = _some(reader, above, at, path, tally)
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


def _some(
    reader: Any,  # noqa: ANN401 - csv has no public type
    above: int,
    at: Position,
    path: Path,
    tally: Tally,
) -> tuple[list[list[str]], list[int], bool]:
    """Some rows, the line at which each begins, and whether there may be more; a row of a blank line is empty.

    The names stand `above`, at this line.
    """
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
        at.line, more = reader.line_num + above, True
    else:
        starts = _starts(rows, before, reader.line_num + above)[:-1]
        at.line = reader.line_num + above
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
    return next((value for at, steps in places if (value := step_into(row[at], steps)) not in (None, "")), None)
