"""OpenTelemetry spans as JSON: of each only the times, the outcome and the attributes that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: Where a span itself keeps things, in OTLP's JSON and in that of the Python SDK.
_TIMES = {"start": ("startTimeUnixNano", "start_time_unix_nano", "start_time"), "span": ("spanId", "span_id")}


def unpack_spans(
    attributes: Iterable[str], resource: Iterable[str] = ("service.name",)
) -> Callable[[Any], Iterator[Any]]:
    """What takes a JSON value apart into spans: an OTLP export, a list of spans, or one.

    Args:
        attributes: Names of the span attributes that are kept; all others are dropped here.
        resource: Names of the resource attributes that are kept.
    """
    wanted, of_resource = frozenset(attributes), frozenset(resource)

    def flat(span: Any, shared: dict[str, Any]) -> dict[str, Any] | None:  # noqa: ANN401 - whatever the file holds
        if not isinstance(span, dict):
            return None
        found = dict(shared) | _attributes(span.get("attributes"), wanted)
        if isinstance(span.get("resource"), dict):
            found |= _attributes(span["resource"].get("attributes"), of_resource)
        status = span.get("status")
        code = status.get("code", status.get("status_code")) if isinstance(status, dict) else None
        context = span["context"] if isinstance(span.get("context"), dict) else {}
        for key, names in _TIMES.items():
            found[key] = next((place[name] for place in (span, context) for name in names if place.get(name)), None)
        found["failed"] = code in (2, "STATUS_CODE_ERROR", "ERROR")
        return found

    def unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, dict) or "resourceSpans" not in entry:
                yield flat(entry, {})
                continue
            for batch in entry["resourceSpans"]:
                about = batch.get("resource")
                shared = _attributes(about.get("attributes"), of_resource) if isinstance(about, dict) else {}
                for scope in batch.get("scopeSpans") or ():
                    for span in scope.get("spans") or ():
                        yield flat(span, shared)

    return unpack


def _attributes(given: Any, wanted: frozenset[str]) -> dict[str, Any]:  # noqa: ANN401 - whatever the file holds
    """Those that are wanted, of OTLP's list of keys and typed values or of a plain object."""
    if isinstance(given, dict):
        return {name: given[name] for name in wanted & given.keys()}
    found = {}
    for entry in given if isinstance(given, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("key"), str) and entry["key"] in wanted:
            value = entry.get("value")
            found[entry["key"]] = next(iter(value.values()), None) if isinstance(value, dict) else value
    return found


def failed(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    """Why a failed span is no request that was served."""
    return "failed" if value is True else None
