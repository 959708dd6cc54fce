"""vLLM's own OpenTelemetry spans, one for each request; those of its start and of its HTTP server are left out.

Names of `vllm/tracing` (vllm-project/vllm, `SpanAttributes`); a span begins when the request arrived. Since 2026 vLLM
also writes spans of imports and of loading a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.log_analytics import PORTAL_TIME
from simulator.trace.importers.spans import counted, failed, shape_of_spans, table_names, unpack_spans
from simulator.trace.importers.table import Table

if TYPE_CHECKING:
    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records

_FIELDS: Final = {
    "prompt_tokens": ("gen_ai.usage.prompt_tokens",),
    "output_tokens": ("gen_ai.usage.completion_tokens",),
    "max_tokens": ("gen_ai.request.max_tokens",),
    "model": ("gen_ai.response.model",),
}


def _prepare(records: Records, context: Context) -> None:  # noqa: ARG001 - as `Table` calls it
    records.columns["counted"] = records.columns["prompt_tokens"]


_TABLE = Table(
    fields=table_names(_FIELDS),
    unpacked={name: (name,) for name in (*_FIELDS, "time", "identity", "service", "failed")},
    labels=("model", "service"),
    leave_out={"failed": failed, "counted": counted},
    unpack=unpack_spans(_FIELDS),
    shape=shape_of_spans(_FIELDS),
    prepare=_prepare,
    time_form=PORTAL_TIME,
)

FORMATS = (Format(name="vllm-otel", read=_TABLE.read, source="vLLM OpenTelemetry spans"),)
