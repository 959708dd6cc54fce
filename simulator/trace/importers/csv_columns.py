"""Any table with a row for each request, whose columns the user names; and Azure diagnostics, which vary like one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from simulator.errors import TraceError
from simulator.trace.importers.context import Format
from simulator.trace.importers.log_analytics import PORTAL_TIME, unpack_azure
from simulator.trace.importers.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

_PLAIN: Final = Table(
    fields={
        "time": ("time",), "prompt_tokens": ("prompt_tokens",), "output_tokens": ("output_tokens",),
        "max_tokens": ("max_tokens",), "identity": ("identity",), "session": ("session",), "duration": ("duration",),
        "label": ("label",), "arrival_s": ("arrival_s",),
    },
    labels=("label",),
)  # fmt: skip
# Public queries disagree on where the counts stand, and no schema is published; hence --column.
_DIAGNOSTICS: Final = Table(
    fields={
        "time": ("TimeGenerated", "TimeGenerated [UTC]", "time"),
        "prompt_tokens": (
            "properties_s.usage.prompt_tokens", "properties_s.promptTokens", "properties.usage.prompt_tokens",
            "properties.promptTokens", "properties_s.responseBody.usage.prompt_tokens",
        ),
        "output_tokens": (
            "properties_s.usage.completion_tokens", "properties_s.completionTokens",
            "properties.usage.completion_tokens", "properties.completionTokens",
            "properties_s.responseBody.usage.completion_tokens",
        ),
        "identity": ("CorrelationId", "correlationId"),
        "label": ("properties_s.modelDeploymentName", "properties.modelDeploymentName"),
        "duration": ("duration",),
    },
    labels=("label",),
    unpack=unpack_azure,
    time_form=PORTAL_TIME,
)  # fmt: skip


def _read(path: Path, context: Context, table: Table) -> Iterator[Rows]:
    """With the user's columns in place of the format's. `duration` says that times are those of the end."""
    own = context.columns
    fields = dict(table.fields) | {name: (column,) for name, column in own.items()}
    table = replace(table, fields=fields, ends="duration" in own)
    if "arrival_s" in own:
        if "time" in own:
            raise TraceError("--column: either time, a moment, or arrival_s, seconds from a zero of the log's own")
        context.own_zero = True
        table = replace(table, fields=fields | {"time": fields["arrival_s"]}, unit_s=1.0)
    yield from table.read(path, context)


FORMATS = (
    Format(name="csv", read=partial(_read, table=_PLAIN), source="a table of requests", columns=tuple(_PLAIN.fields)),
    Format(
        name="azure-diagnostics",
        read=partial(_read, table=_DIAGNOSTICS),
        source="Azure OpenAI diagnostics",
        columns=tuple(_DIAGNOSTICS.fields),
    ),
)
