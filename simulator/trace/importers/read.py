"""Reading a log of records, whatever kind of file it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from simulator.errors import TraceError
from simulator.trace.importers.read_csv import csv_records
from simulator.trace.importers.read_json import json_records
from simulator.trace.importers.read_parquet import parquet_records
from simulator.trace.importers.records import CONTAINER, LONGEST, PREFIX, Position
from simulator.trace.importers.source import BROKEN, is_parquet, open_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.records import Fields, Records, Unpack
    from simulator.trace.importers.shape import Shape
    from simulator.trace.importers.tally import Tally

#: How a spreadsheet may begin a table.
SEPARATOR: Final = re.compile(r"\ufeff?sep=[,;\t|]?", re.IGNORECASE)


def read_records(
    path: Path,
    fields: Fields,
    required: tuple[str, ...],
    tally: Tally,
    unpack: Unpack | None = None,
    unpacked: Fields | None = None,
    shape: Shape | None = None,
) -> Iterator[Records]:
    """Records of a CSV, JSON or Parquet file, whichever it is by its first bytes; packed or not.

    Args:
        path: Of the file.
        fields: What each is called in a table, or in a record where `unpacked` does not say otherwise.
        required: Fields that a table must have.
        tally: Counts what is read.
        unpack: Records inside one JSON value.
        unpacked: What each is called in these.
        shape: What `unpack` looks at; None for all of a value, or without it for what `fields` look at.

    Raises:
        TraceError: It breaks off, is corrupt, or lacks a column.
    """
    if is_parquet(path):
        yield from parquet_records(path, fields, required, tally)
        return
    with open_text(path) as text:
        at = Position()
        try:
            start = text.readline(LONGEST)
            # Blank lines above the first record, and a spreadsheet's line that says what parts the values.
            while start and (not start.strip() or SEPARATOR.fullmatch(start.strip())):
                at.line += 1
                start = text.readline(LONGEST)
            if start.lstrip()[:1] in ("{", "[") or PREFIX.match(start) or CONTAINER.match(start):
                yield from json_records(path, text, start, at, unpacked or fields, tally, unpack, shape)
            else:
                yield from csv_records(path, text, start, at, fields, required, tally)
        except BROKEN:
            raise TraceError(f"{path}:{at.line}: the file breaks off or is corrupt from here on") from None
