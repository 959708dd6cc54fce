"""vLLM's own OpenTelemetry spans, one for each request, as OTLP JSON."""

from __future__ import annotations

from typing import Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.spans import failed, unpack_spans
from simulator.trace.importers.table import Table

# Names of `vllm/tracing.py`; a span begins when the request arrived.
_FIELDS: Final = {
    "prompt_tokens": ("gen_ai.usage.prompt_tokens",),
    "output_tokens": ("gen_ai.usage.completion_tokens",),
    "max_tokens": ("gen_ai.request.max_tokens",),
    "model": ("gen_ai.response.model",),
}
_TABLE = Table(
    fields=_FIELDS | {"time": ("start",), "identity": ("span",), "failed": ("failed",), "service": ("service.name",)},
    labels=("model", "service"),
    leave_out={"failed": failed},
    unpack=unpack_spans(name for names in _FIELDS.values() for name in names),
)

FORMATS = (Format(name="vllm-otel", read=_TABLE.read, source="vLLM OpenTelemetry spans"),)
