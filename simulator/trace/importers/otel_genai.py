"""OpenTelemetry spans with the GenAI semantic conventions, as OTLP JSON or as the SDKs print them."""

from __future__ import annotations

from typing import Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.spans import failed, unpack_spans
from simulator.trace.importers.table import Table

#: Spans that sum up others or call no language model.
_NO_GENERATION: Final = ("create_agent", "embeddings", "execute_tool", "invoke_agent", "invoke_workflow", "retrieval")


def _operation(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return "not a generation" if value in _NO_GENERATION else None


def _counted(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "a span without token counts" if value is None else None


# Names of semantic conventions 0.66b2, and the older ones. Messages, instructions, tools and users are not among them.
_FIELDS: Final = {
    "prompt_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "max_tokens": ("gen_ai.request.max_tokens",),
    "session": ("gen_ai.conversation.id",),
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "operation": ("gen_ai.operation.name",),
}
_TABLE = Table(
    fields=_FIELDS
    | {"time": ("start",), "identity": ("span",), "failed": ("failed",), "service": ("service.name",),
       "counted": _FIELDS["prompt_tokens"]},
    labels=("model", "operation", "service"),
    leave_out={"operation": _operation, "failed": failed, "counted": _counted},
    unpack=unpack_spans(name for names in _FIELDS.values() for name in names),
)  # fmt: skip

FORMATS = (Format(name="otel-genai", read=_TABLE.read, source="OpenTelemetry GenAI spans"),)
