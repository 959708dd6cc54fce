"""Nginx access logs, as lines with names or as JSON: no tokens stand there, so bytes must do.

A call is a POST to a path that generates: of OpenAI's interface and Anthropic's, of TGI (`/generate`,
`/generate_stream`), Ollama (`/api/chat`, `/api/generate`), Bedrock (`/invoke`, `/converse`) and Vertex
(`:generateContent`). A browser asks before each with OPTIONS, and lists are read with GET. A streamed answer has a
frame of JSON around each token, so its bytes say more of frames than of tokens.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import TraceError
from simulator.trace.importers.context import Format
from simulator.trace.importers.records import CHUNK, LONGEST, NOT_JSON, Records, parse_json
from simulator.trace.importers.source import BROKEN, open_text
from simulator.trace.importers.table import Table
from simulator.trace.importers.values import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

#: Characters of clinical English for each token (cl100k, measured 2026-11 on public clinical text: 4.2 to 4.4).
BYTES_PER_TOKEN: Final = 4.3
#: Of a stream: one `chat.completion.chunk` is 200 to 350 bytes (counted on the examples of OpenAI's API reference, "The
#: chat completion chunk object", 2026-11).
BYTES_PER_STREAMED_TOKEN: Final = 240.0
#: An answer that would have come faster than this was a stream: assumed, servers of one stream reach some 200.
_FASTEST_TOKENS_PER_S: Final = 250.0
_PATH: Final = re.compile(
    r"(?:/(?:chat/completions|completions|responses|messages|generate|generate_stream|api/chat|invoke|converse|"
    r"invoke-with-response-stream|converse-stream)/?|:(?:generateContent|streamGenerateContent|rawPredict|"
    r"streamRawPredict))$"
)
_STREAM_TYPES: Final = ("event-stream", "eventstream", "ndjson")
_STREAMS: Final = re.compile(r"stream", re.IGNORECASE)
_REQUEST: Final = re.compile(r"([A-Z]{3,10}) (\S*)")
#: Variables that are looked at, by their names in nginx and in common formats of logs.
_NAMES: Final = {
    "time": ("msec", "time_iso8601", "time_local", "@timestamp", "timestamp", "time", "ts"),
    "request_time": ("request_time", "rt"),
    "request_length": ("request_length", "rl"),
    "sent": ("body_bytes_sent", "bytes_sent"),
    "status": ("status",),
    "request": ("request",),
    "method": ("request_method", "method"),
    "address": ("request_uri", "uri"),
    "content_type": ("sent_http_content_type", "upstream_http_content_type", "response_content_type"),
}
_KNOWN: Final = {name: field for field, names in _NAMES.items() for name in names}
_NAMED: Final = re.compile(rf"(?<![\w@$])({'|'.join(map(re.escape, _KNOWN))})=(?:\"([^\"]*)\"|([\w.:+/-]+))")
COMBINED: Final = re.compile(r"\[([^\]]{1,40})\]\s+\"([A-Z]{3,10} [^\"]*)\"\s+(\d{3})\s+(\d+|-)")
_QUOTED: Final = re.compile(r"(?<!=)\"[^\"]*\"")
_TABLE: Final = Table(
    fields={
        name: (name,) for name in ("time", "prompt_tokens", "output_tokens", "duration", "status", "call", "method")
    },
    ends=True,
    time_form="%d/%b/%Y:%H:%M:%S %z",
    assumed=(
        f"tokens are bytes of request and answer over {BYTES_PER_TOKEN}: headers and JSON make them too many",
        f"a streamed answer has a token in {BYTES_PER_STREAMED_TOKEN:.0f} bytes; where the log has no content type, "
        f"one that would have come at more than {_FASTEST_TOKENS_PER_S:.0f} tokens a second is taken to be streamed",
        "a line is written at the end of a call; where it has no request_time the end is taken for the start",
    ),
)


def _call(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if value else "not a call of a language model"


def _method(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return None if value in (None, "POST") else "no POST: a browser's question, a list, a page"


def _status(value: Any) -> str | None:  # noqa: ANN401 - likewise
    text = str(value)
    if text == "499":
        return "cancelled by the client (499)"
    return None if text[:1] == "2" else "refused or failed"


_RULES: Final = replace(_TABLE, leave_out={"call": _call, "method": _method, "status": _status})


def read(path: Path, context: Context) -> Iterator[Rows]:
    """Calls of one log; every line is a row.

    Raises:
        TraceError: It breaks off, or no line has the length of its request.
    """
    context.assume(*_RULES.assumed)
    with open_text(path) as text:
        start, calls, lengths = 1, 0, 0
        try:
            while lines := _some(text):
                records = _records(path, lines, start, context)
                calls += sum(records.columns["call"])
                lengths += sum(one is not None for one in records.columns["request_length"])
                yield _RULES.rows(records, context)
                start += len(lines)
        except BROKEN:
            raise TraceError(f"{path}:{start}: the file breaks off or is corrupt from here on") from None
        if calls and not lengths:
            raise TraceError(
                f"{path}: no line says how long its request was: add request_length=$request_length to the log_format"
            )


def _some(text: Any) -> list[str]:  # noqa: ANN401 - a stream of text
    return [line for _, line in zip(range(CHUNK), iter(lambda: text.readline(LONGEST), ""), strict=False)]


def _records(path: Path, lines: list[str], start: int, context: Context) -> Records:
    found = [(start + number, _variables(line)) for number, line in enumerate(lines) if line.strip()]
    context.tally.rows += len(found)
    columns: dict[str, list[Any]] = {
        name: [one.get(name) for _, one in found]
        for name in ("time", "request_time", "request_length", "sent", "status", "content_type", "call", "method")
    }
    columns["duration"] = columns["request_time"]
    columns["prompt_tokens"] = _tokens(numbers(columns["request_length"]), BYTES_PER_TOKEN)
    columns["output_tokens"] = _tokens(numbers(columns["sent"]), _bytes_per_token(columns))
    return Records(path, [line for line, _ in found], columns)


def _bytes_per_token(columns: dict[str, list[Any]]) -> NDArray[np.float64]:
    """Of each answer: more of a stream's, whether its content type or its speed says that it was one."""
    kinds = columns["content_type"]
    streamed = np.array([any(word in str(kind) for word in _STREAM_TYPES) for kind in kinds], np.bool_)
    unknown = np.array([kind in (None, "", "-") for kind in kinds], np.bool_)
    lasted_s = numbers(columns["request_time"])
    too_fast = numbers(columns["sent"]) / BYTES_PER_TOKEN > _FASTEST_TOKENS_PER_S * np.maximum(lasted_s, 0.1)
    return np.where(streamed | (unknown & too_fast), BYTES_PER_STREAMED_TOKEN, BYTES_PER_TOKEN)


def _tokens(sizes: NDArray[np.float64], bytes_per_token: NDArray[np.float64] | float) -> list[Any]:
    """At least one, so that an empty answer of a call that was served is not taken for a failure."""
    count = np.maximum(np.round(sizes / bytes_per_token), 1.0)
    return [None if np.isnan(one) else float(one) for one in count]


def _variables(line: str) -> dict[str, Any]:
    """The variables of one line; of its address only whether it is a call, and nothing of who made it."""
    found: dict[str, Any] = {}
    value = parse_json(line) if line.lstrip()[:1] == "{" else NOT_JSON
    if isinstance(value, dict):
        for field, names in _NAMES.items():
            found[field] = next((value[name] for name in names if value.get(name) not in (None, "")), None)
    else:
        if match := COMBINED.search(line):
            found |= {"time": match[1], "request": match[2], "status": match[3], "sent": match[4]}
        # What somebody else wrote, such as the name of a browser, stands in quotes of its own.
        for name, quoted, plain in _NAMED.findall(_QUOTED.sub("", line)):
            field = _KNOWN[name]
            if field != "time" or "time" not in found or name in ("msec", "time_iso8601"):
                found[field] = quoted or plain
    request = _REQUEST.match(found["request"]) if isinstance(found.get("request"), str) else None
    address = request[2] if request else found.get("address")
    found["method"] = request[1] if request else found.get("method")
    known = _PATH.search(address.partition("?")[0]) if isinstance(address, str) else None
    found["call"] = known is not None
    if known is not None and _STREAMS.search(known[0]):
        found["content_type"] = "text/event-stream"
    return found


FORMATS = (
    Format(name="nginx", read=read, source="Nginx access log", patterns=("*.log", "*.log.*", "*.json", "*.jsonl")),
)
