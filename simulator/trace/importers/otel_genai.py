"""OpenTelemetry spans or events with the GenAI semantic conventions, or those of instrumentations before them.

Names of the GenAI conventions 0.1.0 of 2026 and older ones, whose event `gen_ai.client.inference.operation.details` has
what a span has; of OpenInference (Arize, `llm.token_count.*`), OpenLLMetry
(Traceloop, `llm.usage.*`), Sentry (`gen_ai.usage.input_tokens.cached`) and Vercel's AI SDK (`ai.usage.*`). Messages,
instructions, tools and users are not among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.log_analytics import PORTAL_TIME
from simulator.trace.importers.records import is_absent
from simulator.trace.importers.spans import (
    counted,
    failed,
    mark_sums,
    once,
    shape_of_spans,
    summed,
    table_names,
    told,
    unpack_spans,
)
from simulator.trace.importers.table import Table

if TYPE_CHECKING:
    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records

#: Spans that sum up others or call no language model.
_NO_GENERATION: Final = frozenset(
    {"create_agent", "embeddings", "execute_tool", "invoke_agent", "invoke_workflow", "retrieval"}
)
_FIELDS: Final = {
    "prompt_tokens": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens",
        "ai.usage.inputTokens", "ai.usage.promptTokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "llm.usage.completion_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens",
    ),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached", "gen_ai.usage.details.cache_read_tokens",
        "llm.token_count.prompt_details.cache_read", "llm.usage.cache_read_input_tokens", "ai.usage.cachedInputTokens",
    ),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.input_tokens.cache_write",
        "gen_ai.usage.details.cache_write_tokens", "llm.token_count.prompt_details.cache_write",
        "llm.usage.cache_creation_input_tokens",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning", "gen_ai.usage.details.reasoning_tokens",
        "llm.token_count.completion_details.reasoning", "ai.usage.reasoningTokens",
    ),
    "max_tokens": ("gen_ai.request.max_tokens",),
    "session": ("gen_ai.conversation.id",),
    "model": ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "ai.model.id"),
    "operation": ("gen_ai.operation.name",),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider"),
    "kind": ("openinference.span.kind", "traceloop.span.kind", "span_kind"),
    "output_type": ("gen_ai.output.type",),
    "error": ("error.type",),
}  # fmt: skip


def _operation(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return "not a generation" if value in _NO_GENERATION else None


def _kind(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return None if not isinstance(value, str) or value.upper() in ("", "LLM") else "not a generation"


def _output_type(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "not a generation" if value in ("image", "speech", "video") else None


def _error(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return None if is_absent(value) else "failed"


def _prepare(records: Records, context: Context) -> None:
    once(records, context)
    mark_sums(records, context, _NO_GENERATION)
    records.columns["counted"] = records.columns["prompt_tokens"]


_OWN: Final = ("time", "span", "parent", "trace", "identity", "service", "failed", "event")
_TABLE = Table(
    fields=table_names(_FIELDS),
    unpacked={name: (name,) for name in (*_FIELDS, *_OWN)},
    labels=("model", "operation", "service"),
    leave_out={
        "operation": _operation,
        "kind": _kind,
        "output_type": _output_type,
        "failed": failed,
        "error": _error,
        "counted": counted,
        "told": told,
        "sum": summed,
    },
    unpack=unpack_spans(_FIELDS),
    shape=shape_of_spans(_FIELDS),
    prepare=_prepare,
    time_form=PORTAL_TIME,
)

FORMATS = (Format(name="otel-genai", read=_TABLE.read, source="OpenTelemetry GenAI spans"),)
