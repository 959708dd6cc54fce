"""Records of JSON lines or of one JSON document, however it is laid out."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import TraceError
from simulator.trace.importers.records import (
    CHUNK,
    CONTAINER,
    LONGEST,
    NOT_JSON,
    PREFIX,
    Position,
    Records,
    look_up_all,
)
from simulator.trace.importers.shape import parser, under
from simulator.trace.importers.shape import paths as looked_at
from simulator.trace.importers.wrapping import MOMENT, SIGNS, is_wrapped, unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import TextIO

    from simulator.trace.importers.records import Fields, Unpack
    from simulator.trace.importers.shape import Shape
    from simulator.trace.importers.tally import Tally

    _Paths = Mapping[str, list[tuple[str, tuple[str, ...]]]]

#: What stands before a value, and what between those of a list.
_BEFORE: Final = re.compile(r"\s*")
_BETWEEN: Final = re.compile(r"[\s,]*")
_STEP: Final = 1 << 16
#: A moment among what stands before a record.
_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.,]+\d(?:Z|[+-]\d\d:?\d\d)?")
#: Records that are kept whole.
_BATCH: Final = 256
#: Why a line of a server's own is no request.
NO_RECORD: Final = "a line of text that is no record"
#: Under which an answer has its records.
LISTS: Final = ("data", "value", "items")


def json_records(
    path: Path,
    text: TextIO,
    start: str,
    at: Position,
    fields: Fields,
    tally: Tally,
    unpack: Unpack | None,
    shape: Shape | None = None,
) -> Iterator[Records]:
    """Records inside the values; `at.line` is where the value begins; of each only what `shape` looks at.

    Raises:
        TraceError: A document breaks off or is none.
    """
    if unpack is None and shape is None:
        shape = under(looked_at(chain.from_iterable(fields.values())), LISTS)
    alone, unpack = unpack is None, unpack or _itself
    paths = {field: [(name, tuple(name.split("."))) for name in names] for field, names in fields.items()}
    if "time" in paths:
        paths["time"].append((MOMENT, (MOMENT,)))
    wrapped = is_wrapped(_of_line(start, parser(SIGNS)))
    lines: list[int] = []
    numbers: list[int] = []
    number = 0
    columns: dict[str, list[Any]] = {field: [] for field in fields}
    whole: list[dict[str, Any]] = []
    read = 0
    for value in _values(path, text, start, at, tally, parser(None if wrapped else shape)):
        # Of a document on many lines the first value tells.
        wrapped = wrapped or (number == 0 and is_wrapped(value))
        for record in _records(value, wrapped, alone, unpack, tally):
            number += 1
            if isinstance(record, dict):
                lines.append(at.line)
                numbers.append(number)
                whole.append(record)
            else:
                tally.rows += 1
                tally.reject(path, [at.line], "not an object with named values, or not laid out as this format is")
        # Only what is asked for is kept of many; of a few, which may be long, all of it.
        if len(whole) >= _BATCH or at.read - read > LONGEST:
            _take(whole, paths, columns, tally)
            read = at.read
            if len(lines) >= CHUNK:
                yield _some(path, lines, columns, numbers)
                lines, numbers, columns = [], [], {field: [] for field in fields}
    _take(whole, paths, columns, tally)
    if lines:
        yield _some(path, lines, columns, numbers)


def _records(
    value: Any,  # noqa: ANN401 - whatever the file holds
    wrapped: bool,
    alone: bool,
    unpack: Unpack,
    tally: Tally,
) -> Iterable[Any]:
    """Those in a value, or in what a collector wrapped in it."""
    if not wrapped:
        return (value,) if alone and _is_record(value) else _unpacked(value, unpack)
    found: list[Any] = []
    for one in _unpacked(value, unwrapped):
        if one is NOT_JSON:
            tally.rows += 1
            tally.leave_out(NO_RECORD, 1)
        else:
            found += _unpacked(one, unpack)
    return found


def _take(whole: list[dict[str, Any]], paths: _Paths, columns: dict[str, list[Any]], tally: Tally) -> None:
    """Move what is asked for of these records into the columns."""
    tally.rows += len(whole)
    here: set[str] = set().union(*whole)
    inside: dict[str, set[str] | None] = {}
    for field, names in paths.items():
        columns[field] += look_up_all(whole, names, here, inside)
    whole.clear()


def _some(path: Path, lines: list[int], columns: dict[str, list[Any]], numbers: list[int]) -> Records:
    """With the numbers of the records where several stand in one line."""
    return Records(path, lines, columns, None if len(set(lines)) == len(lines) else numbers)


def _unpacked(value: Any, unpack: Unpack) -> Iterable[Any]:  # noqa: ANN401 - whatever the file holds
    try:
        return list(unpack(value))
    except (TypeError, AttributeError, KeyError, ValueError, IndexError, RecursionError, OverflowError):
        return [None]  # not the shape that this format has: one wrong record


def _is_record(value: Any) -> bool:  # noqa: ANN401 - whatever the file holds
    """Whether this is a record on its own for `_itself`."""
    return type(value) is dict and not ("data" in value or "value" in value or "items" in value)


def _itself(value: Any) -> Iterable[Any]:  # noqa: ANN401 - whatever the file holds
    """A record on its own, a list of them, or the list in an answer that has one (`data`, `value`, `items`)."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        for key in LISTS:
            if key in value and isinstance(value[key], list):
                return list(value[key])
    return [value]


def _values(
    path: Path, text: TextIO, start: str, at: Position, tally: Tally, parse: Callable[[str], Any]
) -> Iterator[Any]:
    """Values of JSON lines or of one document; `at.line` is where each begins.

    A line that is no JSON is a wrong record; a document that is none is an error.

    Raises:
        TraceError: A document of one value, or of several on many lines, is broken.
    """
    prefix = PREFIX.match(start)
    has_prefix = bool(prefix and prefix[0].strip()) or CONTAINER.match(start) is not None
    first = _of_line(start, parse) if has_prefix else parse(start)
    if not has_prefix and first is NOT_JSON:
        yield from _document(path, text, start, at)
        return
    begin = at.line
    for number, line in enumerate(chain([start], iter(partial(text.readline, LONGEST), "")), begin):
        at.line = number
        at.read += len(line)
        if line.isspace():
            continue
        value = first if number == begin else _of_line(line, parse) if has_prefix else parse(line)
        if value is not NOT_JSON:
            yield value
            continue
        tally.rows += 1
        if has_prefix and '{"' not in line:
            tally.leave_out(NO_RECORD, 1)
        else:
            tally.reject(path, [number], "not JSON")


def _of_line(line: str, parse: Callable[[str], Any]) -> Any:  # noqa: ANN401 - whatever the file holds
    """The value behind a prefix, with the moment that stands in it."""
    prefix = PREFIX.match(line)
    value = parse(line[prefix.end() :] if prefix else line)
    if type(value) is dict and prefix and (moment := _DATED.search(prefix[0])):
        value.setdefault(MOMENT, moment[0])
    return value


def _document(path: Path, text: TextIO, start: str, at: Position) -> Iterator[Any]:
    """Values one after the other on as many lines as they like; those of an outermost list one by one."""
    decoder, buffer, place, step, inside = json.JSONDecoder(), start, 0, _STEP, False
    while True:
        blank = (_BETWEEN if inside else _BEFORE).match(buffer, place)
        begin = blank.end() if blank else place
        at.line += buffer.count("\n", place, begin)
        place = begin
        if buffer[place : place + 1] == ("]" if inside else "["):
            inside, place = not inside, place + 1
            continue
        try:
            value, end = decoder.raw_decode(buffer, place)
        except (ValueError, RecursionError):
            end = 0
        # A number may go on in what was not yet read.
        if end and (end < len(buffer) or not _is_scalar(value)):
            at.read += end - place
            yield value
            at.line += buffer.count("\n", place, end)
            place, step = end, _STEP
            continue
        more = text.read(step)
        if not more:
            if place < len(buffer) or inside:
                raise TraceError(f"{path}:{at.line}: the JSON that begins here breaks off or is broken")
            return
        buffer, place, step = buffer[place:] + more, 0, min(2 * step, LONGEST)
        if len(buffer) > 16 * LONGEST:
            raise TraceError(f"{path}:{at.line}: the JSON that begins here does not end within 256 MB")


def _is_scalar(value: Any) -> bool:  # noqa: ANN401 - whatever the file holds
    return not isinstance(value, (dict, list, str))
