"""Answers of servers on one's own machine, logged whole: Ollama's and llama.cpp's, which count in names of their own.

Ollama counts in the last part of an answer, in nanoseconds (its API reference, "Generate a chat completion");
`created_at` is when that part was made. llama.cpp's server (`tools/server/README.md`) gives `timings` in milliseconds,
`prompt_n` of which leaves out what its cache gave (`cache_n`), and the whole prompt as `usage.prompt_tokens` or
`tokens_evaluated`; `created` is when it answered. So a request is put back by how long the work on it took; that it
waited before is not known. Answers that keep to OpenAI's names, such as LM Studio's, are read as those are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.records import is_absent
from simulator.trace.importers.table import Table
from simulator.trace.importers.values import as_number
from simulator.trace.importers.wanted import plain, served

if TYPE_CHECKING:
    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records

_ENDED: Final = "a time is that of an answer's end: it was put back by how long the work on it took, not by any wait"
_HOLDERS: Final = ("", "response.", "body.", "response_body.")


def _anywhere(*names: str) -> tuple[str, ...]:
    return tuple(f"{holder}{name}" for holder in _HOLDERS for name in names)


def _part(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    """Why a part of a streamed answer is none: the last has the counts of all."""
    return "a part of a streamed answer, whose last counts it" if plain(value) == "false" else None


def _uncounted(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "a prompt that was not counted, for a cache gave all of it" if value is True else None


def _prepare_ollama(records: Records, context: Context) -> None:  # noqa: ARG001 - as `Table` calls it
    """Mark answers whose prompt has no count, as Ollama leaves it out where its cache had all of it."""
    columns = records.columns
    columns["uncounted"] = [
        is_absent(prompt) and as_number(output) > 0
        for prompt, output in zip(columns["prompt_tokens"], columns["output_tokens"], strict=True)
    ]


def _prepare_llama(records: Records, context: Context) -> None:  # noqa: ARG001 - likewise
    """The whole prompt, of which the timings leave out what a cache gave, and how long the work took."""
    columns = records.columns
    columns["duration"] = [None] * len(records.lines)
    for at in range(len(records.lines)):
        fresh, kept, prompt = (as_number(columns[name][at]) for name in ("fresh", "cache_read", "prompt_tokens"))
        if is_absent(columns["prompt_tokens"][at]) and not is_absent(columns["fresh"][at]):
            whole = fresh + (0.0 if is_absent(columns["cache_read"][at]) else kept)
            columns["prompt_tokens"][at] = columns["fresh"][at] if math.isnan(whole) else whole
        elif is_absent(columns["cache_read"][at]) and prompt > fresh >= 0:
            columns["cache_read"][at] = prompt - fresh
        choices = columns["choices"][at]
        if columns["object"][at] == "chat.completion.chunk" and isinstance(choices, list) and choices:
            # With `timings_per_token` every part has the counts so far; the last says why it ended.
            ended = any(isinstance(one, dict) and one.get("finish_reason") for one in choices)
            columns["part"][at] = None if ended else "false"
        spent = [as_number(columns[name][at]) for name in ("prompt_ms", "output_ms")]
        columns["duration"][at] = sum(spent) if not math.isnan(sum(spent)) else None


_OLLAMA: Final = Table(
    fields={
        "time": _anywhere("created_at"), "prompt_tokens": _anywhere("prompt_eval_count"),
        "output_tokens": _anywhere("eval_count"), "duration": _anywhere("total_duration"),
        "part": _anywhere("done"), "model": _anywhere("model"), "status": ("status", "status_code"),
    },
    labels=("model",),
    leave_out={"part": _part, "status": served, "uncounted": _uncounted},
    prepare=_prepare_ollama,
    duration_unit_s=1e-9,
    ends=True,
    assumed=(_ENDED,),
)  # fmt: skip
_LLAMA: Final = Table(
    fields={
        "time": _anywhere("created", "created_at", "timestamp", "time", "@timestamp", "ts"),
        "prompt_tokens": _anywhere("usage.prompt_tokens", "tokens_evaluated"),
        "fresh": _anywhere("timings.prompt_n"),
        "output_tokens": _anywhere("usage.completion_tokens", "timings.predicted_n", "tokens_predicted"),
        "cache_read": _anywhere("timings.cache_n", "usage.prompt_tokens_details.cached_tokens"),
        "prompt_ms": _anywhere("timings.prompt_ms"), "output_ms": _anywhere("timings.predicted_ms"),
        "part": _anywhere("stop"), "object": _anywhere("object"), "choices": _anywhere("choices"),
        "identity": _anywhere("id"), "model": _anywhere("model"),
        "status": ("status", "status_code"),
    },
    labels=("model",),
    leave_out={"part": _part, "status": served},
    parts={"choices": ("finish_reason",)},
    prepare=_prepare_llama,
    duration_unit_s=1e-3,
    ends=True,
    assumed=(_ENDED,),
)  # fmt: skip

FORMATS = (
    Format(name="ollama", read=_OLLAMA.read, source="answers of Ollama"),
    Format(name="llama-cpp", read=_LLAMA.read, source="answers of llama.cpp's server"),
)
