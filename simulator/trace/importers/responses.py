"""Answers of providers as applications log them whole, each with its usage: Anthropic, Vertex AI and Gemini, OpenAI.

Anthropic counts what a cache gave and took apart from `input_tokens` (Messages API reference, "usage"). Gemini counts
cached content within `promptTokenCount`, thoughts apart from `candidatesTokenCount`, and what tools put into the prompt
apart from it (Vertex AI reference, `UsageMetadata`); its request-response logging keeps `full_response` in BigQuery, a
list of parts where it was streamed. OpenAI counts everything within, as do those who keep to its names; LM Studio's own
interface has `stats` in place of `usage` (its REST API, "Chat with a model"). The files that batch interfaces give out
(`custom_id`, `processed_time`) are of calls that waited for no one. Only counts, times and models are read of them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.records import is_absent, parse_json
from simulator.trace.importers.table import Table
from simulator.trace.importers.values import as_number
from simulator.trace.importers.wanted import plain, served

if TYPE_CHECKING:
    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records

_TIMES: Final = (
    "timestamp", "time", "created_at", "logging_time", "@timestamp", "ts", "createTime", "request_time", "timestamp_ms",
    "eventMetadata.inferenceTime", "created",
)  # fmt: skip
#: The last is where SageMaker's data capture keeps an answer (its developer guide, "Capture data").
_HOLDERS: Final = (
    "", "response.", "body.", "message.", "full_response.", "jsonPayload.", "response_body.",
    "captureData.endpointOutput.data.",
)  # fmt: skip


#: Objects of OpenAI's that are no answers of a model in text.
_OTHERS: Final = re.compile(r"realtime|embedding|image|moderation|transcri|speech")


def _batched(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    """Why a line of what a batch gave out is no request: its time is when it was answered, and nobody waited."""
    return None if is_absent(value) else "a call of a batch, which waited for no one: describe it as `kind: batches`"


def _begun(value: Any) -> str | None:  # noqa: ANN401 - likewise
    """Why an event of Anthropic's stream is no answer: its end repeats what its beginning counted."""
    return "the beginning of a streamed answer, whose end counts it" if value == "message_start" else None


def _object(value: Any) -> str | None:  # noqa: ANN401 - likewise
    """Why an object of OpenAI's is no generation that waits for an answer."""
    return None if _OTHERS.search(plain(value)) is None else "no generation: images, speech, embeddings, realtime"


def _details(value: Any) -> str | None:  # noqa: ANN401 - likewise
    """Why the usage of an answer is no generation's: only transcriptions and realtime call its details so."""
    return None if is_absent(value) else "no generation: images, speech, embeddings, realtime"


def _prepare_openai(records: Records, context: Context) -> None:
    """Add what bodies count apart: reasoning that the total alone has, the cache of Anthropic's; times of streams."""
    columns = records.columns
    for at, value in enumerate(columns["apart"]):
        cached = sum(
            max(as_number(columns[name][at]), 0.0) for name in ("cache_read", "cache_write") if columns[name][at]
        )
        known = columns["anthropic_read"][at], columns["cache_write"][at]
        if is_absent(value) or not is_absent(columns["total"][at]):
            continue  # Anthropic counts no total
        if any(as_number(one) > 0 for one in known) and not math.isnan(cached):
            context.assume("what a prompt cache gave and took was added to the prompts of Anthropic's answers")
            columns["prompt_tokens"][at] = as_number(value) + cached
    for at, (kind, created) in enumerate(zip(columns["object"], columns["created"], strict=True)):
        # All chunks of a stream say when it began; a log that notes when each came would make a request of each.
        if kind == "chat.completion.chunk" and not is_absent(created):
            columns["time"][at] = created
    names = ("prompt_tokens", "output_tokens", "reasoning", "total")
    for at, counts in enumerate(zip(*(columns[name] for name in names), strict=True)):
        prompt, output, reasoning, total = (as_number(one) for one in counts)
        if reasoning > 0 and total == prompt + output + reasoning:
            context.assume("reasoning tokens were added to an output where the log's own total has them beside it")
            columns["output_tokens"][at], columns["reasoning"][at] = output + reasoning, None
            columns.setdefault("thought", [None] * len(columns["total"]))[at] = reasoning


def _anywhere(*names: str) -> tuple[str, ...]:
    return tuple(f"{holder}{name}" for holder in _HOLDERS for name in names)


_ANTHROPIC: Final = Table(
    fields={
        "time": _TIMES, "prompt_tokens": _anywhere("usage.input_tokens"),
        "output_tokens": _anywhere("usage.output_tokens"),
        "cache_read": _anywhere("usage.cache_read_input_tokens"),
        "cache_write": _anywhere("usage.cache_creation_input_tokens"), "identity": _anywhere("id", "request_id"),
        "status": ("status", "status_code"), "model": _anywhere("model"), "batch": ("custom_id",), "event": ("type",),
    },
    labels=("model",),
    leave_out={"batch": _batched, "event": _begun, "status": served},
    apart=frozenset({"cache"}),
)  # fmt: skip
_OPENAI: Final = Table(
    fields={
        "time": (*_TIMES, "response.created", "response.created_at", "body.created"),
        "prompt_tokens": _anywhere("usage.prompt_tokens", "usage.input_tokens", "stats.input_tokens"),
        "output_tokens": _anywhere("usage.completion_tokens", "usage.output_tokens", "stats.total_output_tokens"),
        "cache_read": _anywhere(
            "usage.prompt_tokens_details.cached_tokens", "usage.input_tokens_details.cached_tokens",
            "usage.prompt_cache_hit_tokens", "usage.cache_read_input_tokens",
        ),
        "cache_write": _anywhere("usage.cache_creation_input_tokens"),
        "apart": _anywhere("usage.input_tokens"), "anthropic_read": _anywhere("usage.cache_read_input_tokens"),
        "reasoning": _anywhere(
            "usage.completion_tokens_details.reasoning_tokens", "usage.output_tokens_details.reasoning_tokens"
        ),
        "total": _anywhere("usage.total_tokens"),
        "identity": _anywhere("id", "response_id"), "status": ("status_code",),
        "model": _anywhere("model", "model_instance_id"), "batch": ("custom_id",),
        "object": _anywhere("object"), "created": _anywhere("created"),
        "details": _anywhere("usage.input_token_details"),
        "image": _anywhere("usage.input_tokens_details.image_tokens"),
    },
    labels=("model",),
    leave_out={"batch": _batched, "object": _object, "details": _details, "image": _details, "status": served},
    prepare=_prepare_openai,
)  # fmt: skip
_COUNTS: Final = {
    "prompt_tokens": "promptTokenCount", "output_tokens": "candidatesTokenCount", "reasoning": "thoughtsTokenCount",
    "cache_read": "cachedContentTokenCount", "tools": "toolUsePromptTokenCount", "total": "totalTokenCount",
}  # fmt: skip


def _prepare(records: Records, context: Context) -> None:
    """Counts out of the usage of an answer, the last of its parts where it was streamed."""
    columns = records.columns
    columns |= {name: [None] * len(records.lines) for name in _COUNTS}
    for at, (usage, answer) in enumerate(zip(columns["usage"], columns["answer"], strict=True)):
        found = parse_json(usage) if isinstance(usage, str) else usage
        whole = parse_json(answer) if isinstance(answer, str) else answer
        for part in whole if isinstance(whole, list) else [whole]:
            found = (part.get("usageMetadata") if isinstance(part, dict) else None) or found
        if not isinstance(found, dict):
            continue
        for field, name in _COUNTS.items():
            columns[field][at] = found.get(name)
        # All answers were thoughts, or were blocked: no candidates are counted then.
        if columns["output_tokens"][at] is None and found.get("thoughtsTokenCount"):
            columns["output_tokens"][at] = 0
        # Early answers counted thoughts among the candidates, as their total shows.
        prompt, output, total = (as_number(columns[name][at]) for name in ("prompt_tokens", "output_tokens", "total"))
        if prompt + output == total:
            columns.setdefault("thought", [None] * len(columns["total"]))[at] = columns["reasoning"][at]
            columns["reasoning"][at] = None
        if (more := as_number(found.get("toolUsePromptTokenCount"))) > 0:
            context.assume("what tools put into a prompt was added to it, which Gemini counts apart")
            columns["prompt_tokens"][at] = as_number(found.get("promptTokenCount")) + more


_VERTEX: Final = Table(
    fields={
        "time": _TIMES, "usage": _anywhere("usageMetadata", "usage_metadata"), "answer": ("full_response", "response"),
        "identity": ("request_id", "responseId", "response.responseId", "insertId"), "status": ("status_code",),
        "batch": ("processed_time",),
        "model": (*_anywhere("modelVersion"), "model", "model_version"),
        "prompt_tokens": ("promptTokenCount",), "output_tokens": ("candidatesTokenCount",),
    },
    required=("time",),
    labels=("model",),
    leave_out={"batch": _batched, "status": served},
    parts={"answer": ("usageMetadata",)},
    prepare=_prepare,
    apart=frozenset({"reasoning"}),
)  # fmt: skip

FORMATS = (
    Format(name="anthropic", read=_ANTHROPIC.read, source="answers of Anthropic's interface"),
    Format(name="openai", read=_OPENAI.read, source="answers of OpenAI's interface"),
    Format(name="vertex", read=_VERTEX.read, source="answers of Vertex AI or Gemini"),
)
