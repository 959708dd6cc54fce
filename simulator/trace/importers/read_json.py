"""Records of JSON lines or of one JSON document, however it is laid out."""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import TraceError
from simulator.trace.importers.records import CHUNK, LONGEST, NOT_JSON, Position, Records, look_up_all
from simulator.trace.importers.shape import parser, under
from simulator.trace.importers.shape import paths as looked_at

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
#: Records that are kept whole.
_BATCH: Final = 256
#: Under which an answer has its records.
LISTS: Final = ("data", "value", "items")
#: What collectors write before the record: CloudWatch's export to S3 a moment, Kubernetes a moment and a stream.
PREFIX: Final = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?(?: std(?:out|err) [FP])?\s+(?=[{\[])")


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
    lines: list[int] = []
    numbers: list[int] = []
    number = 0
    columns: dict[str, list[Any]] = {field: [] for field in fields}
    whole: list[dict[str, Any]] = []
    read = 0
    for value in _values(path, text, start, at, tally, parser(shape)):
        for record in (value,) if alone and _is_record(value) else _unpacked(value, unpack):
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


def _take(whole: list[dict[str, Any]], paths: _Paths, columns: dict[str, list[Any]], tally: Tally) -> None:
    """Move what is asked for of these records into the columns."""
    tally.rows += len(whole)
    here: set[str] = set().union(*whole)
    for field, names in paths.items():
        columns[field] += look_up_all(whole, names, here)
    whole.clear()


def _some(path: Path, lines: list[int], columns: dict[str, list[Any]], numbers: list[int]) -> Records:
    """With the numbers of the records where several stand in one line."""
    return Records(path, lines, columns, None if len(set(lines)) == len(lines) else numbers)


def _unpacked(value: Any, unpack: Unpack) -> Iterable[Any]:  # noqa: ANN401 - whatever the file holds
    try:
        return list(unpack(value))
    except (TypeError, AttributeError, KeyError, ValueError, IndexError, RecursionError):
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
    has_prefix = PREFIX.match(start) is not None
    first = _of_line(start, parse) if has_prefix else parse(start)
    if has_prefix or first is not NOT_JSON:
        for number, line in enumerate(chain([start], iter(partial(text.readline, LONGEST), "")), 1):
            at.line = number
            at.read += len(line)
            if line.isspace():
                continue
            value = first if number == 1 else _of_line(line, parse) if has_prefix else parse(line)
            if value is NOT_JSON:
                tally.rows += 1
                tally.reject(path, [number], "not JSON")
            else:
                yield value
        return
    yield from _document(path, text, start, at)


def _of_line(line: str, parse: Callable[[str], Any]) -> Any:  # noqa: ANN401 - whatever the file holds
    prefix = PREFIX.match(line)
    return parse(line[prefix.end() :] if prefix else line)


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
