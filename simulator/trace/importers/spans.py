"""OpenTelemetry spans in the layouts that stores give them out in: of each only times, outcome and what is asked for.

Layouts: OTLP's JSON (opentelemetry-proto, `trace.proto`), the Python SDK's `to_json`, Tempo's answers (`batches`,
`trace.resourceSpans`: grafana/tempo, HTTP API), Jaeger's (`data[].spans[].tags`: jaegertracing/jaeger, `model/json`),
Zipkin's list (`tags`), rows of the ClickHouse exporter (`SpanAttributes`: opentelemetry-collector-contrib,
`clickhouseexporter`), of Application Insights (`customDimensions`: Azure Monitor, table `dependencies`) and of Phoenix
(`data[]` with a `context`, a `span_kind` and flat or nested `attributes`: Arize-ai/phoenix, REST API; its data frames).
Events of calls lie in OTLP's `logs.proto` (`resourceLogs`), or in rows with `LogAttributes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.records import is_absent, parse_json, step_into
from simulator.trace.importers.shape import Shape, a_list, an_object, paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records

#: Where a span itself keeps things, in any of the layouts, best name first; tables have the same names.
OWN: Final = {
    "time": (
        "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "Timestamp", "timestamp",
        "timestamp [UTC]", "TimeGenerated", "TimeGenerated [UTC]", "timeUnixNano", "observedTimeUnixNano",
    ),
    "span": ("spanId", "span_id", "spanID", "SpanId", "context.span_id", "id", "Id"),
    "parent": (
        "parentSpanId", "parent_span_id", "parent_id", "ParentSpanId", "parentId", "operation_ParentId", "ParentId",
    ),
    "trace": ("traceId", "trace_id", "traceID", "TraceId", "context.trace_id", "operation_Id", "OperationId"),
    "status": ("StatusCode", "status_code", "success", "Success", "otel.status_code"),
    "event": ("eventName", "event_name", "EventName"),
}  # fmt: skip
#: Where its attributes lie.
_ATTRIBUTES: Final = ("attributes", "tags", "SpanAttributes", "LogAttributes", "customDimensions", "Properties")
#: Of what nested attributes begin with.
_NESTED: Final = frozenset({"llm", "gen_ai", "openinference", "ai"})
#: A status that is an error, in capitals.
_FAILED: Final = ("2", "STATUS_CODE_ERROR", "ERROR")
_EVENTS: Final = "an event has the time at which it was written, which is when the answer ended"
_SERVICES: Final = ("ServiceName", "cloud_RoleName", "AppRoleName")
#: Sums are told from what they sum up across so many spans of other chunks.
_REMEMBERED: Final = 1 << 20


def table_names(attributes: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The columns of tables in which these fields and those of a span itself stand."""
    places = ("", *(f"{name}." for name in _ATTRIBUTES))
    found = {field: tuple(f"{at}{name}" for name in names for at in places) for field, names in attributes.items()}
    return found | OWN | {"service": ("service.name", *_SERVICES), "identity": OWN["span"], "failed": OWN["status"]}


def shape_of_spans(attributes: Mapping[str, tuple[str, ...]]) -> Callable[[Shape], Shape]:
    """What `unpack_spans` looks at."""
    pairs = a_list(an_object({"key": None, "value": None}))

    def among(names: Iterable[str]) -> Shape:
        return Shape(paths(names).names, pairs.entries)

    wanted = [name for names in attributes.values() for name in names]
    own = [name for names in OWN.values() for name in names]
    sender = {"resource": an_object({"attributes": among(["service.name"])}), **dict.fromkeys(_SERVICES)}
    span = an_object(
        dict.fromkeys([*wanted, *own, "processID", "success", "Success", "span_kind"])
        | dict.fromkeys(_ATTRIBUTES, among([*wanted, "error", "otel.status_code"]))
        | sender
        | {"context": an_object(dict.fromkeys(own)), "references": a_list(an_object({"spanID": None})),
           "status": an_object({"code": None, "status_code": None})}
    )  # fmt: skip
    scope = an_object({"spans": a_list(span)})
    logs = an_object({"logRecords": a_list(span)})
    batch = an_object(
        sender
        | dict.fromkeys(("scopeSpans", "instrumentationLibrarySpans"), a_list(scope))
        | {"scopeLogs": a_list(logs)}
    )
    layouts = dict.fromkeys(("resourceSpans", "batches", "resourceLogs"), a_list(batch))
    found = an_object({"trace": None, "data": None, "spans": a_list(span), "processes": None} | layouts).also(span)
    for _ in range(2):  # a trace in an answer, a list of them in an answer; what lies deeper is looked at whole
        inner = Shape(found.names, found)
        around = an_object(dict(found.names or ()) | {"trace": inner, "data": a_list(inner)})
        found = Shape(around.names, inner)
    return lambda _: found


def unpack_spans(attributes: Mapping[str, tuple[str, ...]]) -> Callable[[Any], Iterator[Any]]:
    """What takes a JSON value apart into spans with these fields alone, out of attributes of these names."""
    wanted = frozenset(name for names in attributes.values() for name in names)
    places = _places(attributes)
    nothing: dict[str, Any] = dict.fromkeys((*attributes, *OWN))

    def flat(span: Any, service: object) -> dict[str, Any] | None:  # noqa: ANN401 - whatever the file holds
        if not isinstance(span, dict):
            return None
        kept: dict[str, Any] = {}
        for place in _ATTRIBUTES:
            if place in span:
                kept |= _attributes(span[place], wanted)
        if not kept:
            kept = {name: span[name] for name in wanted & span.keys()}
        found = nothing.copy()
        _put(found, kept, places)
        own = {name: value for name, value in span.items() if value and name in _OWN_PLACES}
        _put(found, own, _OWN_PLACES)
        if isinstance(context := span.get("context"), dict):
            left = {field for field, names in OWN.items() if not any(name in own for name in names)}
            own = {name: value for name, value in context.items() if value and name in _OWN_PLACES}
            _put(found, own, {name: [one for one in at if one[0] in left] for name, at in _OWN_PLACES.items()})
        if found["parent"] is None and isinstance(span.get("references"), list):
            found["parent"] = next((one.get("spanID") for one in span["references"] if isinstance(one, dict)), None)
        found["identity"] = found["span"]
        if "kind" in found and found["kind"] is None:
            found["kind"] = span.get("span_kind")
        found["service"] = service if service is not None else _service(span)
        found["failed"] = "ERROR" if _has_failed(span) else None
        return found

    def unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
        for span, service in _spans(value):
            yield flat(span, service)

    return unpack


def _places(fields: Mapping[str, tuple[str, ...]]) -> dict[str, list[tuple[str, int]]]:
    """By name, the fields that it is a name of, and how good a one."""
    found: dict[str, list[tuple[str, int]]] = {}
    for field, names in fields.items():
        for rank, name in enumerate(names):
            found.setdefault(name, []).append((field, rank))
    return found


_OWN_PLACES: Final = _places(OWN)


def _put(found: dict[str, Any], kept: dict[str, Any], places: dict[str, list[tuple[str, int]]]) -> None:
    """Set each field that is there under some name to what stands under its best."""
    best: dict[str, int] = {}
    for name, value in kept.items():
        for field, rank in places[name]:
            if rank <= best.get(field, rank):
                best[field], found[field] = rank, value


def _spans(value: Any) -> Iterator[tuple[Any, object]]:  # noqa: ANN401 - whatever the file holds
    """Spans with the service that sent them, whichever layout they lie in."""
    if isinstance(value, list):
        for one in value:
            yield from _spans(one)
        return
    if not isinstance(value, dict):
        yield value, None
        return
    if isinstance(value.get("trace"), dict):
        yield from _spans(value["trace"])
        return
    for batch in value.get("resourceSpans") or value.get("batches") or value.get("resourceLogs") or ():
        service = _service(batch)
        for scope in batch.get("scopeSpans") or batch.get("instrumentationLibrarySpans") or ():
            yield from ((span, service) for span in scope.get("spans") or ())
        for scope in batch.get("scopeLogs") or ():
            # Without a name of its own, what has counts is an event all the same.
            yield from (({"eventName": "a record"} | one, service) for one in scope.get("logRecords") or ())
    if "resourceSpans" in value or "batches" in value or "resourceLogs" in value:
        return
    if isinstance(value.get("data"), list):
        yield from _spans(value["data"])
    elif isinstance(value.get("spans"), list):
        processes = value["processes"] if isinstance(value.get("processes"), dict) else {}
        for span in value["spans"]:
            process = processes.get(span.get("processID")) if isinstance(span, dict) else None
            yield span, process.get("serviceName") if isinstance(process, dict) else None
    else:
        yield value, None


def _service(holder: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the file holds
    about = holder.get("resource")
    if isinstance(about, dict):
        return _attributes(about.get("attributes"), frozenset({"service.name"})).get("service.name")
    return next((holder[name] for name in _SERVICES if name in holder), None)


def _has_failed(span: dict[str, Any]) -> bool:
    status = span.get("status")
    code = (
        status.get("code", status.get("status_code"))
        if isinstance(status, dict)
        else span.get("StatusCode", span.get("status_code"))
    )
    error = _attributes(span.get("tags"), frozenset({"error", "otel.status_code"})).values()
    success = span.get("success", span.get("Success"))
    return any(str(one).upper() in (*_FAILED, "TRUE") for one in (code, *error)) or str(success).upper() == "FALSE"


def _attributes(given: Any, wanted: frozenset[str]) -> dict[str, Any]:  # noqa: ANN401 - whatever the file holds
    """Those that are wanted, of a list of keys and typed values, or of a plain object, perhaps as text."""
    if isinstance(given, str):
        given = parse_json(given)
    if isinstance(given, dict):
        flat = {name: given[name] for name in wanted & given.keys()}
        if _NESTED.isdisjoint(given):
            return flat
        steps = {name: step_into(given, tuple(name.split("."))) for name in wanted}
        return {name: value for name, value in steps.items() if value is not None} | flat
    found = {}
    for entry in given if isinstance(given, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("key"), str) and entry["key"] in wanted:
            value = entry.get("value")
            found[entry["key"]] = next(iter(value.values()), None) if isinstance(value, dict) else value
    return found


def failed(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    """Why a failed span is no request that was served."""
    return "failed" if str(value).upper() in (*_FAILED, "FALSE") else None


def counted(value: Any) -> str | None:  # noqa: ANN401 - likewise
    """Why a span without counts is no request: it loads a model, serves HTTP, or calls a tool."""
    return "a span without token counts" if is_absent(value) else None


def told(value: Any) -> str | None:  # noqa: ANN401 - likewise
    """Why an event is no request of its own."""
    return "an event of a call, or its span, that was counted already" if value is True else None


def summed(value: Any) -> str | None:  # noqa: ANN401 - likewise
    """Why a span that sums up others is no request of its own."""
    return "a sum over the spans below it" if value is True else None


def once(records: Records, context: Context) -> None:
    """Set the field `told` of what tells of a call again: its span and its event may both be logged.

    Whichever comes first counts. That an event was written when the answer ended is said.
    """
    columns = records.columns
    events = [not is_absent(name) for name in columns["event"]]
    seen: dict[str, set[int]] = context.kept.setdefault("calls", {"span": set(), "event": set()})
    calls = [
        "" if is_absent(span) or is_absent(prompt) else f"{trace}\0{span}"
        for trace, span, prompt in zip(columns["trace"], columns["span"], columns["prompt_tokens"], strict=True)
    ]
    columns["told"] = [False] * len(calls)
    for at, (key, event) in enumerate(zip(context.identities(calls).tolist(), events, strict=True)):
        if event:
            context.assume(_EVENTS)
        if key:
            columns["told"][at] = key in seen["span" if event else "event"]
            seen["event" if event else "span"].add(key)
    for known in seen.values():
        if len(known) > _REMEMBERED:
            known.clear()


def mark_sums(records: Records, context: Context, no_generation: frozenset[str]) -> None:
    """Set the field `sum` of spans that have token counts while spans below them have some too.

    An agent's span counts what its calls count, and a gateway's what the server behind it does: only the innermost is
    a request (OpenTelemetry GenAI agent spans; pydantic-ai and others wrote them without an operation's name).
    """
    columns = records.columns
    traces, spans = columns["trace"], columns["span"]
    keys = context.identities([f"{trace}\0{span}" for trace, span in zip(traces, spans, strict=True)]).tolist()
    parents = context.identities(
        [f"{trace}\0{one}" if one else "" for trace, one in zip(traces, columns["parent"], strict=True)]
    ).tolist()
    row_of = {key: at for at, key in enumerate(keys)}
    above = context.ancestors
    sums = [False] * len(keys)
    for at in range(len(keys)):
        if is_absent(columns["prompt_tokens"][at]) or columns["operation"][at] in no_generation:
            continue
        parent = parents[at]
        for _ in range(len(keys)):
            if not parent:
                break
            place = row_of.get(parent)
            if place is None:
                above.add(parent)
                break
            if sums[place] or place == at:
                break
            sums[place] = True
            parent = parents[place]
    for key, place in row_of.items():
        if not sums[place] and key in above:
            sums[place] = True
            if parents[place]:
                above.add(parents[place])
    if len(above) > _REMEMBERED:
        above.clear()
    columns["sum"] = list(sums)
