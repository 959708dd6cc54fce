"""Amazon Bedrock's model invocation log, from a bucket or from CloudWatch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from simulator.trace.importers.context import Format
from simulator.trace.importers.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator


def _failed(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if value in (None, "") else "failed"


def _unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - likewise
    """Records, bare or as the message of an event of CloudWatch."""
    entries = value.get("events", [value]) if isinstance(value, dict) else value
    for entry in entries:
        message = entry.get("message") if isinstance(entry, dict) else None
        yield json.loads(message) if isinstance(message, str) else entry


# Schema version 1.0. The bodies, the caller, the account and its metadata are not among them.
_TABLE = Table(
    fields={
        "time": ("timestamp",), "prompt_tokens": ("input.inputTokenCount",),
        "cache_read": ("input.cacheReadInputTokenCount",), "cache_write": ("input.cacheWriteInputTokenCount",),
        "output_tokens": ("output.outputTokenCount",), "identity": ("requestId",), "failed": ("errorCode",),
        "model": ("modelId",), "operation": ("operation",), "region": ("region",),
    },
    labels=("model", "operation", "region"),
    leave_out={"failed": _failed},
    unpack=_unpack,
    # Bedrock counts the tokens of the prompt cache apart from the others.
    adds=("cache_read", "cache_write"),
)  # fmt: skip

FORMATS = (
    Format(
        name="bedrock",
        read=_TABLE.read,
        source="Amazon Bedrock model invocation log",
        patterns=("*.json", "*.jsonl", "*.log"),
    ),
)
