"""Records of JSON lines or of one JSON document, however it is laid out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from simulator.errors import TraceError
from simulator.workload.importers.records import CHUNK, LONGEST, NOT_JSON, Position, Records, look_up, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from simulator.workload.importers.records import Fields, Unpack
    from simulator.workload.importers.tally import Tally


def json_records(
    path: Path, text: TextIO, start: str, at: Position, fields: Fields, tally: Tally, unpack: Unpack | None
) -> Iterator[Records]:
    """Records inside the values; `at.line` is where the value begins.

    Raises:
        TraceError: A document breaks off or is none.
    """
    unpack = unpack or _itself
    paths = {field: [(name, tuple(name.split("."))) for name in names] for field, names in fields.items()}
    lines: list[int] = []
    columns: dict[str, list[Any]] = {field: [] for field in fields}
    for value in _values(path, text, start, at, tally):
        for record in _unpacked(value, unpack):
            tally.rows += 1
            if not isinstance(record, dict):
                tally.reject(path, [at.line], "not an object with named values")
                continue
            lines.append(at.line)
            for field, names in paths.items():
                columns[field].append(look_up(record, names))
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


def _values(path: Path, text: TextIO, start: str, at: Position, tally: Tally) -> Iterator[Any]:
    """Values of JSON lines or of one document; `at.line` is where each begins.

    A line that is no JSON is a wrong record; a document that is none is an error.

    Raises:
        TraceError: A document of one value, or of several on many lines, is broken.
    """
    first = parse_json(start)
    if first is not NOT_JSON and not (isinstance(first, list) and not start.strip()):
        yield first
        for number, line in enumerate(iter(lambda: text.readline(LONGEST), ""), 2):
            at.line = number
            if not line.strip():
                continue
            value = parse_json(line)
            if value is NOT_JSON:
                tally.rows += 1
                tally.reject(path, [number], "not JSON")
            else:
                yield value
        return
    yield from _document(path, text, start, at)


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
