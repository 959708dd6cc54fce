"""Nginx access logs, as lines with names or as JSON: no tokens stand there, so bytes must do."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import TraceError
from simulator.trace.importers.context import Format
from simulator.trace.importers.records import CHUNK, LONGEST, Records
from simulator.trace.importers.source import BROKEN, open_text
from simulator.trace.importers.table import Table
from simulator.trace.importers.values import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

#: Characters of clinical English for each token (cl100k, measured 2026-11 on public clinical text: 4.2 to 4.4).
BYTES_PER_TOKEN: Final = 4.3
_CALLS: Final = re.compile(r"/(chat/completions|completions|responses|messages|generate)(?:[?\s\"]|$)")
#: A variable, as `name=value` or `"name": value`; a combined line has time, request, status and bytes without names.
_NAMED: Final = re.compile(
    r"\b(msec|time_iso8601|request_time|request_length|body_bytes_sent|status|rt|rl)\"?[=:]\s*\"?([\w.:+-]+)"
)
_COMBINED: Final = re.compile(r"\[([^\]]{1,40})\]\s+\"(?:[A-Z]+ )([^\"]*)\"\s+(\d{3})\s+(\d+)")
_SHORT: Final = {"rt": "request_time", "rl": "request_length"}
_TABLE: Final = Table(
    fields={name: (name,) for name in ("time", "prompt_tokens", "output_tokens", "duration", "status", "call")},
    leave_out={},
    ends=True,
    time_form="%d/%b/%Y:%H:%M:%S %z",
    assumed=(
        f"tokens are bytes of request and answer over {BYTES_PER_TOKEN}: headers, JSON and a stream's frames make them "
        "too many",
        "a line is written at the end of a call; where it has no request_time the end is taken for the start",
    ),
)


def _call(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if value else "not a call of a language model"


def _status(value: Any) -> str | None:  # noqa: ANN401 - likewise
    text = str(value)
    if text == "499":
        return "cancelled by the client (499)"
    return None if text[:1] == "2" else "refused or failed"


_RULES: Final = replace(_TABLE, leave_out={"call": _call, "status": _status})


def read(path: Path, context: Context) -> Iterator[Rows]:
    """Calls of one log; every line is a row."""
    context.assume(*_RULES.assumed)
    with open_text(path) as text:
        start = 1
        try:
            while lines := _some(text):
                yield _RULES.rows(_records(path, lines, start, context), context)
                start += len(lines)
        except BROKEN:
            raise TraceError(f"{path}:{start}: the file breaks off or is corrupt from here on") from None


def _some(text: Any) -> list[str]:  # noqa: ANN401 - a stream of text
    return [line for _, line in zip(range(CHUNK), iter(lambda: text.readline(LONGEST), ""), strict=False)]


def _records(path: Path, lines: list[str], start: int, context: Context) -> Records:
    found = [(start + number, _variables(line)) for number, line in enumerate(lines) if line.strip()]
    context.tally.rows += len(found)

    def column(*names: str) -> list[Any]:
        return [next((one[name] for name in names if name in one), None) for _, one in found]

    def tokens(name: str) -> list[Any]:
        # At least one, so that an empty answer of a call that was served is not taken for a failure.
        count = np.maximum(np.round(numbers(column(name)) / BYTES_PER_TOKEN), 1.0)
        return [None if np.isnan(one) else float(one) for one in count]

    columns = {
        "time": column("msec", "time_iso8601", "time_local"), "prompt_tokens": tokens("request_length"),
        "output_tokens": tokens("body_bytes_sent"), "duration": column("request_time"), "status": column("status"),
        "call": column("call"),
    }  # fmt: skip
    return Records(path, [line for line, _ in found], columns)


def _variables(line: str) -> dict[str, Any]:
    """The variables of one line; of its address only whether it is a call, and nothing of who made it."""
    found: dict[str, Any] = {}
    if match := _COMBINED.search(line):
        found |= {"time_local": match[1], "status": match[3], "body_bytes_sent": match[4]}
    for name, value in _NAMED.findall(line):
        found.setdefault(_SHORT.get(name, name), value)
    found["call"] = _CALLS.search(line) is not None
    return found


FORMATS = (
    Format(name="nginx", read=read, source="Nginx access log", patterns=("*.log", "*.log.*", "*.json", "*.jsonl")),
)
