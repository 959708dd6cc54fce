"""Calls of models as tracers keep them: Datadog's LLM Observability, LangSmith and Weave.

Names by their makers' references, 2026-11: Datadog "HTTP API Reference" and "List LLM Observability spans", with the
metrics that `ddtrace` sends (`llmobs/_constants.py`); LangSmith "Run (span) data format", which its bulk export has;
Weave "Call schema", whose `summary.usage` has an entry a model, in the provider's own names, and at a caller the sum
of all that it called. All of them nest: a chain's counts repeat its calls', of which only the innermost is a request.
Inputs, outputs, tags, users and metadata but the model's name are not among them.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.records import is_absent, parse_json
from simulator.trace.importers.shape import under
from simulator.trace.importers.spans import mark_sums, summed
from simulator.trace.importers.table import Table
from simulator.trace.importers.values import as_number
from simulator.trace.importers.wanted import plain, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records

_LISTS: Final = ("runs", "calls", "data", "items")
_SEVERAL: Final = "the sum of several calls, none of which is known alone"


def _kind(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    """Why a step of this kind is no generation; one of no kind is taken to be."""
    return None if plain(value) in ("", "llm", "generation") else "a step that is no call of a language model"


def _error(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return None if is_absent(value) else "failed"


def _several(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return _SEVERAL if value is True else None


def _prepare(records: Records, context: Context) -> None:
    """Mark what repeats the counts of what it called."""
    columns = records.columns
    columns["operation"] = [None if _kind(kind) is None else "other" for kind in columns["kind"]]
    mark_sums(records, context, frozenset({"other"}))


def _unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - likewise
    """Spans of an answer, of what is sent, or on their own; each may lie in `attributes`."""
    if isinstance(value, list):
        for one in value:
            yield from _unpack(one)
    elif not isinstance(value, dict):
        yield value
    elif isinstance(value.get("data"), (list, dict)):
        yield from _unpack(value["data"])
    elif isinstance(value.get("spans"), list):
        yield from value["spans"]
    elif isinstance(value.get("attributes"), dict) and "span_id" not in value:
        yield from _unpack(value["attributes"])
    else:
        yield value


def _runs(value: Any) -> Any:  # noqa: ANN401 - likewise
    """Runs or calls of an answer, a list of them, or one."""
    for name in _LISTS:
        if isinstance(value, dict) and isinstance(value.get(name), list):
            return value[name]
    return value if isinstance(value, list) else [value]


_DATADOG: Final = Table(
    fields={
        "time": ("start_ns", "start_ms", "start", "timestamp"),
        "prompt_tokens": ("metrics.input_tokens", "metrics.prompt_tokens"),
        "output_tokens": ("metrics.output_tokens", "metrics.completion_tokens"),
        "cache_read": ("metrics.cache_read_input_tokens",), "cache_write": ("metrics.cache_write_input_tokens",),
        "reasoning": ("metrics.reasoning_output_tokens",), "identity": ("span_id",), "session": ("session_id",),
        "kind": ("span_kind", "meta.kind", "meta.span.kind"), "status": ("status",), "span": ("span_id",),
        "parent": ("parent_id",), "trace": ("trace_id",), "model": ("model_name", "meta.model_name"),
        "provider": ("model_provider", "meta.model_provider"), "service": ("ml_app", "service"),
    },
    labels=("model", "provider", "service"),
    leave_out={"kind": _kind, "status": served, "sum": summed},
    unpack=_unpack,
    prepare=_prepare,
)  # fmt: skip
_METADATA: Final = "extra.metadata."
_LANGSMITH: Final = Table(
    fields={
        "time": ("start_time",), "prompt_tokens": ("prompt_tokens", "usage_metadata.input_tokens",
                                                   f"{_METADATA}usage_metadata.input_tokens"),
        "output_tokens": ("completion_tokens", "usage_metadata.output_tokens",
                          f"{_METADATA}usage_metadata.output_tokens"),
        "cache_read": ("prompt_token_details.cache_read", "usage_metadata.input_token_details.cache_read"),
        "cache_write": ("prompt_token_details.cache_creation", "usage_metadata.input_token_details.cache_creation"),
        "reasoning": ("completion_token_details.reasoning", "usage_metadata.output_token_details.reasoning"),
        "identity": ("id",), "session": ("thread_id", f"{_METADATA}thread_id", f"{_METADATA}session_id"),
        "kind": ("run_type",), "status": ("status",), "error": ("error",), "span": ("id",),
        "parent": ("parent_run_id",), "trace": ("trace_id",), "model": (f"{_METADATA}ls_model_name",),
        "provider": (f"{_METADATA}ls_provider",), "service": ("session_name", "project_name"),
    },
    labels=("model", "provider", "service"),
    leave_out={"kind": _kind, "status": served, "error": _error, "sum": summed},
    unpack=_runs,
    shape=partial(under, names=_LISTS),
    prepare=_prepare,
)  # fmt: skip


def _prepare_weave(records: Records, context: Context) -> None:
    """Counts out of the usage of a call, and the model's name; what several calls add up to is marked."""
    columns = records.columns
    names = ("prompt_tokens", "output_tokens", "cache_read", "cache_write", "reasoning", "model", "several")
    columns |= {name: [None] * len(records.lines) for name in names}
    for at, usage in enumerate(columns["usage"]):
        found = parse_json(usage) if isinstance(usage, str) else usage
        if not isinstance(found, dict) or not found:
            continue
        models = {name: one for name, one in found.items() if isinstance(one, dict)}
        columns["several"][at] = len(models) > 1 or any(as_number(one.get("requests")) > 1 for one in models.values())
        if models:
            columns["model"][at], counts = next(iter(models.items()))
            _counts(columns, at, counts, context)
    columns["kind"] = [None] * len(records.lines)
    _prepare(records, context)


def _counts(columns: dict[str, list[Any]], at: int, counts: dict[str, Any], context: Context) -> None:
    """The counts of one call, in the names of OpenAI's interfaces or of Anthropic's, which counts the cache apart."""
    prompt_parts = _first_object(counts, "prompt_tokens_details", "input_tokens_details")
    output_parts = _first_object(counts, "completion_tokens_details", "output_tokens_details")
    prompt = counts.get("prompt_tokens") or counts.get("input_tokens")
    output = counts.get("completion_tokens") or counts.get("output_tokens")
    read = counts.get("cache_read_input_tokens") or prompt_parts.get("cached_tokens")
    written = counts.get("cache_creation_input_tokens") or None
    if "cache_read_input_tokens" in counts and is_absent(counts.get("total_tokens")):
        apart = sum(one for one in map(as_number, (read or 0, written or 0)) if not math.isnan(one))
        if apart > 0 and not math.isnan(as_number(prompt or 0)):
            context.assume("what a prompt cache gave and took was added to the prompts of Anthropic's answers")
            prompt = as_number(prompt or 0) + apart
    made = (prompt, output, read, written, output_parts.get("reasoning_tokens"))
    for name, value in zip(("prompt_tokens", "output_tokens", "cache_read", "cache_write", "reasoning"), made,
                           strict=True):  # fmt: skip
        columns[name][at] = value


def _first_object(counts: dict[str, Any], *names: str) -> dict[str, Any]:
    return next((counts[name] for name in names if isinstance(counts.get(name), dict)), {})


_WEAVE: Final = Table(
    fields={
        "time": ("started_at",), "usage": ("summary.usage",), "identity": ("id",), "span": ("id",),
        "parent": ("parent_id",), "trace": ("trace_id",), "error": ("exception",), "session": ("thread_id",),
        # `prepare` makes them of the usage; the names are said where nothing is found.
        "prompt_tokens": ("summary.usage",), "output_tokens": ("summary.usage",),
    },
    labels=("model",),
    leave_out={"error": _error, "sum": summed, "several": _several},
    required=("time", "usage"),
    unpack=_runs,
    shape=partial(under, names=_LISTS),
    prepare=_prepare_weave,
)  # fmt: skip

FORMATS = (
    Format(name="datadog-llm", read=_DATADOG.read, source="Datadog LLM Observability spans"),
    Format(name="langsmith", read=_LANGSMITH.read, source="LangSmith runs"),
    Format(name="weave", read=_WEAVE.read, source="Weave calls"),
)
