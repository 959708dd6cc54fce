"""LiteLLM's spend logs, the table `LiteLLM_SpendLogs` as CSV, JSON or Parquet; and what its loggers put in buckets.

Names of litellm 1.106, `proxy/schema.prisma` and `StandardLoggingPayload`, whose identity is `id`; and of what was put
in buckets in 2023 and 2024: to S3 and DynamoDB `usage` beside `response`, every value as Python prints it
(`integrations/s3.py`), to Google's `response_obj` beside `request_kwargs` (`integrations/gcs_bucket.py`,
`GCSBucketPayload`). Kinds of calls of `types/utils.py`, `CallTypes`. A finished batch is one row with the tokens of all
of it, a realtime session one with all of its turns: neither is a request.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.shape import parser, paths
from simulator.trace.importers.table import Table
from simulator.trace.importers.values import as_number

if TYPE_CHECKING:
    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records

_GENERATION: Final = re.compile(
    r"(?:litellm\.)?a?(?:text_)?completion|a?responses|a?anthropic_messages|a?generate_content(?:_stream)?|"
    r"(?:allm_|llm_)?passthrough_(?:route|request)|pass_through_endpoint|a?generateContent|a?compact_responses|"
    r"a?create_interaction|asend_message"
)
_OTHERS: Final = (
    ("batch", "a batch: its calls are one row, and wait for no one"),
    ("realtime", "a realtime session: its turns are one row"),
)


def _call_type(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    if not isinstance(value, str) or value in ("", "None") or _GENERATION.fullmatch(value):
        return None
    return next((reason for word, reason in _OTHERS if word in value), "a call of another kind (call_type)")


def _status(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "failed" if isinstance(value, str) and value.lower().startswith("fail") else None


def _cache_hit(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "answered from LiteLLM's own cache" if str(value).lower() == "true" else None


#: Counts in what Python prints of a usage.
_PRINTED: Final = {
    "prompt_tokens": re.compile(r"\bprompt_tokens\b['\"]?[=:] ?(\d{1,9})\b"),
    "output_tokens": re.compile(r"\bcompletion_tokens\b['\"]?[=:] ?(\d{1,9})\b"),
}
#: Of the metadata, the counts of the provider, as an object or as text.
_PARTS: Final = ("usage_object",)
_READ: Final = parser(paths(_PARTS))


def _prepare(records: Records, context: Context) -> None:  # noqa: ARG001 - as `Table` calls it
    """What a prompt cache gave and took, out of the provider's own counts where they are those of the row."""
    columns = records.columns
    for at, usage in enumerate(columns["usage"]):
        if isinstance(usage, str):  # as Python prints an object or a dictionary
            for name, pattern in _PRINTED.items():
                match = pattern.search(usage)
                if columns[name][at] is None and match:
                    columns[name][at] = match[1]
    made = ("cache_read", "cache_write", "reasoning")
    columns |= {name: [None] * len(records.lines) for name in made}
    prompts = columns["prompt_tokens"]
    for at, metadata in enumerate(columns["metadata"]):
        about = _READ(metadata) if isinstance(metadata, str) and "usage_object" in metadata else metadata
        usage = about.get("usage_object") if type(about) is dict else None
        if type(usage) is not dict:
            continue
        if as_number(usage.get("prompt_tokens")) != as_number(prompts[at]):
            continue  # of another call, or the sum of several
        prompt, output = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
        if type(prompt) is dict and type(output) is dict:
            read = usage.get("cache_read_input_tokens") or prompt.get("cached_tokens")
            written = usage.get("cache_creation_input_tokens") or prompt.get("cache_creation_tokens")
            for name, value in zip(made, (read, written, output.get("reasoning_tokens")), strict=True):
                if value:
                    columns[name][at] = None if math.isnan(as_number(value)) else value


# Not among them: prompts, answers, users, addresses, keys; of the metadata only the counts of the provider.
_TABLE = Table(
    fields={
        "time": ("startTime", "start_time"),
        "prompt_tokens": ("prompt_tokens", "usage.prompt_tokens", "response_obj.usage.prompt_tokens"),
        "output_tokens": ("completion_tokens", "usage.completion_tokens", "response_obj.usage.completion_tokens"),
        "usage": ("usage",), "identity": ("request_id", "id", "response_obj.id"),
        "session": ("session_id",),
        "status": ("status", "log_event_type"), "cache_hit": ("cache_hit",), "call_type": ("call_type",),
        "metadata": ("metadata",),
        "model": ("model_group", "model", "request_kwargs.model"), "provider": ("custom_llm_provider",),
        "team": ("team_id",), "tag": ("request_tags",),
    },
    labels=("model", "provider", "team", "tag"),
    leave_out={"status": _status, "call_type": _call_type, "cache_hit": _cache_hit},
    parts={"metadata": _PARTS},
    prepare=_prepare,
)  # fmt: skip

FORMATS = (Format(name="litellm", read=_TABLE.read, source="LiteLLM spend logs"),)
