"""Langfuse's export of observations, as CSV, JSON or Parquet, in the names of its files or of its API."""

from __future__ import annotations

from typing import Any

from simulator.trace.importers.context import Format
from simulator.trace.importers.table import Table


def _kind(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if value in (None, "", "GENERATION") else "an observation that is no generation"


def _level(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "failed" if value == "ERROR" else None


# Inputs, outputs, metadata, users, tags, names and status messages are not among them.
_TABLE = Table(
    fields={
        "time": ("start_time", "startTime"),
        "prompt_tokens": ("usage_details.input", "usageDetails.input", "usage.input", "promptTokens", "inputUsage"),
        "output_tokens": (
            "usage_details.output", "usageDetails.output", "usage.output", "completionTokens", "outputUsage",
        ),
        "max_tokens": ("model_parameters.max_tokens", "modelParameters.max_tokens"),
        "identity": ("id",), "session": ("session_id", "sessionId"), "kind": ("type",), "level": ("level",),
        "model": ("provided_model_name", "providedModelName", "model"), "environment": ("environment",),
    },
    labels=("model", "environment"),
    leave_out={"kind": _kind, "level": _level},
)  # fmt: skip

FORMATS = (Format(name="langfuse", read=_TABLE.read, source="Langfuse observations"),)
