"""What collectors of logs put around a record: its line as text, or the object, with a moment and names of their own.

Loki (HTTP API: answers to a query, what is pushed; `logcli -o jsonl`, Grafana's download), Datadog (answers of the Logs
Search API, archives, what is taken in), Elasticsearch and OpenSearch (`hits.hits[]._source`, elasticdump, Filebeat),
Splunk (export, `_raw`; HTTP event collector), CloudWatch (`events`, `logEvents`), Google's Cloud Logging, Docker's
json-file, Fluent Bit, Vector, journald (`-o json`), Azure's ContainerLogV2. The record is what a format reads; the
collector's moment stands in where it has none of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.records import NOT_JSON, PREFIX, parse_json
from simulator.trace.importers.shape import Shape, an_object, under

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Under which name an unwrapped record has the moment that its collector noted.
MOMENT: Final = "(moment of the collector)"
#: Columns of tables in which a whole record stands as text, and those of the collector's moment.
LINES: Final = ("@message", "Line", "line", "message", "Message", "Content", "log", "LogMessage", "_raw", "MESSAGE")
MOMENTS: Final = ("@timestamp", "tsNs", "timestamp", "_time", "time", "Time", "Date", "TimeGenerated")
#: By names that all stand beside one another in what a collector writes: where the record is, where the moment.
_WRAPPINGS: Final = (
    (("log", "stream"), ("log_processed", "log"), ("time", "@timestamp", "date")),
    (("log", "kubernetes"), ("log_processed", "log"), ("time", "@timestamp", "date")),
    (("line", "labels"), ("line",), ("timestamp",)),
    (("line", "timestamp"), ("line",), ("timestamp",)),
    (("_source", "_index"), ("_source",), ()),
    (("result", "preview"), ("result",), ()),
    (("_raw",), ("_raw",), ("_time",)),
    (("event", "sourcetype"), ("event",), ("time",)),
    (("event", "host", "time"), ("event",), ("time",)),
    (("MESSAGE", "__REALTIME_TIMESTAMP"), ("MESSAGE",), ("__REALTIME_TIMESTAMP",)),
    (("jsonPayload", "insertId"), ("jsonPayload",), ("timestamp",)),
    (("textPayload", "insertId"), ("textPayload",), ("timestamp",)),
    (("LogMessage", "TimeGenerated"), ("LogMessage",), ("TimeGenerated",)),
    (("attributes", "id", "type"), ("attributes",), ()),
    (("attributes", "_id", "date"), ("message", "attributes"), ("date",)),
    (("attributes", "message", "tags"), ("message", "attributes"), ("timestamp",)),
    (("message", "ddsource"), ("message",), ("timestamp", "date")),
    (("message", "ddtags"), ("message",), ("timestamp", "date")),
    (("@message",), ("@message",), ("@timestamp",)),
    (("message", "@timestamp"), ("message",), ("@timestamp",)),
    (("message", "timestamp"), ("message",), ("timestamp",)),
)
#: What has wrapped records in a list, by the names that lead to it.
_LISTS: Final = (("hits", "hits"), ("data", "result"), ("data",), ("streams",), ("events",), ("logEvents",))
_NAMES: Final = {name for signs, inside, _ in _WRAPPINGS for name in (*signs, *inside)}
_DEEPEST: Final = 5


def _shape() -> Shape:
    entry = an_object(dict.fromkeys(_NAMES | {"values", "stream"}, Shape(an_object({}).names, an_object({}))))
    listed = entry.listed()
    holders = {"streams": listed, "events": listed, "logEvents": listed, "hits": an_object({"hits": listed})}
    data = an_object({"result": listed})
    return under(entry.also(an_object(holders | {"data": Shape(data.names, entry)})), ())


#: What `is_wrapped` looks at.
SIGNS: Final = _shape()


def is_wrapped(value: Any) -> bool:  # noqa: ANN401 - whatever the file holds
    """Whether this is a collector's, not a record."""
    if isinstance(value, list):
        return bool(value) and is_wrapped(value[0])
    return isinstance(value, dict) and (_inside(value) is not None or _entries(value) is not None)


def unwrapped(value: Any, depth: int = 0) -> Iterator[Any]:  # noqa: ANN401 - likewise
    """Records in what a collector wrote; `NOT_JSON` for a line of text that is none."""
    if isinstance(value, list):
        for one in value:
            yield from unwrapped(one, depth)
        return
    if not isinstance(value, dict) or depth == _DEEPEST:
        yield value
        return
    if (entries := _entries(value)) is not None:
        if value.get("messageType") != "CONTROL_MESSAGE":  # by which CloudWatch asks whether anybody is there
            yield from unwrapped(entries, depth + 1)
        return
    if _is_stream(value):
        for moment, line, *_ in value["values"]:
            for inner in unwrapped(_record(line), depth + 1):
                yield _timed(inner, moment, None)
        return
    found = _inside(value)
    if found is None:
        yield value
        return
    names, moments = found
    moment = next((value[name] for name in moments if name in value), None)
    # Datadog keeps what it understood of a line apart from its text.
    records = (_record(value.get(name)) for name in names)
    record = next((one for one in records if isinstance(one, (dict, list))), NOT_JSON)
    for inner in unwrapped(record, depth + 1):
        yield _timed(inner, moment, value.get("insertId"))


def _record(line: Any) -> Any:  # noqa: ANN401 - likewise
    if not isinstance(line, str):
        return line
    prefix = PREFIX.match(line)
    return NOT_JSON if prefix is None else parse_json(line[prefix.end() :])


def _timed(record: Any, moment: Any, identity: Any) -> Any:  # noqa: ANN401 - likewise
    """A record with what a collector knows of it; the innermost one knows best."""
    if isinstance(record, dict):
        for name, known in ((MOMENT, moment), ("insertId", identity)):
            if known is not None:
                record.setdefault(name, known)
    return record


def _entries(value: dict[str, Any]) -> list[Any] | None:
    for path in _LISTS:
        inner: Any = value
        for name in path:
            inner = inner.get(name) if isinstance(inner, dict) else None
        first = inner[0] if isinstance(inner, list) and inner else None
        if isinstance(first, dict) and (_is_stream(first) or _inside(first) is not None):
            return list(inner)
    return None


def _is_stream(value: dict[str, Any]) -> bool:
    """Loki's: labels, and pairs of a moment and a line."""
    return isinstance(value.get("values"), list) and isinstance(value.get("stream"), dict)


def _inside(value: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Names under which the record lies, and those of its moment; None where this is no collector's."""
    for signs, names, moments in _WRAPPINGS:
        if all(name in value for name in signs) and any(_holds(name, value.get(name)) for name in names):
            return names, moments
    return None


def _holds(name: str, value: Any) -> bool:  # noqa: ANN401 - likewise
    """Whether a record may lie here: records have a `message` too, which is no text of one."""
    if name in ("message", "@message"):
        return isinstance(value, str) and value.lstrip()[:1] == "{"
    return isinstance(value, (str, dict))
