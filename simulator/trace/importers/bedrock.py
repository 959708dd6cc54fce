"""Amazon Bedrock's model invocation log: from a bucket, or in any of the forms in which CloudWatch gives it out.

Records of schema version 1.0 (Amazon Bedrock user guide, "Monitor model invocation using CloudWatch Logs and Amazon
S3"), bare, as the messages of `get-log-events` (`events`) or of a subscription (`logEvents`), as lines of an export to
S3 (a moment, a blank, the record), or in the column `@message` of a Logs Insights result.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.shape import paths, under
from simulator.trace.importers.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.trace.importers.shape import Shape

#: What has records in a list; what wraps them, by what each of them is called in it.
_LISTS: Final = ("events", "logEvents", "results", "Records")
_WRAPPED: Final = ("message", "@message")


def _failed(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if value in (None, "") else "failed"


def _operation(value: Any) -> str | None:  # noqa: ANN401 - likewise
    session = isinstance(value, str) and "Bidirectional" in value
    return "a session of speech: its turns are one record" if session else None


def _unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - likewise
    """Records, bare or as the messages of events of CloudWatch."""
    if isinstance(value, list):
        for one in value:
            yield from _unpack(one)
        return
    if isinstance(value, dict):
        if value.get("messageType") == "CONTROL_MESSAGE":
            return  # CloudWatch asks whether anybody is there
        for name in _LISTS:
            if isinstance(value.get(name), list):
                yield from _unpack(value[name])
                return
        message = next((value[name] for name in _WRAPPED if isinstance(value.get(name), str)), None)
        if message is not None:
            value = json.loads(message)
    yield value


def _shape(record: Shape) -> Shape:
    """Records, bare or in an event, which may lie in a list of a page, and pages in a list."""
    event = record.also(paths((*_WRAPPED, "messageType", *_LISTS)))
    return under(under(event, ()), _LISTS)


_FIELDS: Final = {
    "time": "timestamp", "prompt_tokens": "input.inputTokenCount", "cache_read": "input.cacheReadInputTokenCount",
    "cache_write": "input.cacheWriteInputTokenCount", "output_tokens": "output.outputTokenCount",
    "identity": "requestId", "failed": "errorCode", "model": "modelId", "operation": "operation", "region": "region",
}  # fmt: skip
# The bodies, the caller, the account and its metadata are not among them.
_TABLE = Table(
    fields={field: (f"@message.{name}", name) for field, name in _FIELDS.items()},
    unpacked={field: (name,) for field, name in _FIELDS.items()},
    labels=("model", "operation", "region"),
    leave_out={"failed": _failed, "operation": _operation},
    unpack=_unpack,
    shape=_shape,
    # Bedrock counts the tokens of the prompt cache apart from the others.
    apart=frozenset({"cache"}),
)

FORMATS = (
    Format(
        name="bedrock",
        read=_TABLE.read,
        source="Amazon Bedrock model invocation log",
        patterns=("*.json", "*.jsonl", "*.log", "*.csv", "*.txt"),
    ),
)
