"""Langfuse's export of observations, as CSV, JSON or Parquet, in the names of its files or of its API.

What a provider names among the details of a prompt or an output, Langfuse takes out of `input` or `output` and keeps
beside it, so that the prompt is all that begins with `input` and what a cache gave or took (langfuse/langfuse,
`packages/shared/src/server/ingestion/types.ts`, and the sums of its own interface).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.records import parse_json
from simulator.trace.importers.table import Table
from simulator.trace.importers.values import as_number

if TYPE_CHECKING:
    from simulator.trace.importers.context import Context
    from simulator.trace.importers.records import Records

_SAID: Final = "the prompt is all that Langfuse counts as input or cached, the output all that it counts as output"


def _kind(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if value in (None, "", "GENERATION", "generation") else "an observation that is no generation"


def _level(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "failed" if value == "ERROR" else None


def _prepare(records: Records, context: Context) -> None:
    """Sums out of `usage_details`, where an observation has them."""
    context.assume(_SAID)
    columns = records.columns
    columns["cache_read"], columns["cache_write"] = [None] * len(records.lines), [None] * len(records.lines)
    for at, details in enumerate(columns["details"]):
        given = parse_json(details) if isinstance(details, str) and details[:1] == "{" else details
        if isinstance(given, list):
            given = dict(one for one in given if isinstance(one, tuple) and len(one) == 2)
        if not isinstance(given, dict):
            continue
        if not any(str(key).startswith(("input", "output")) for key in given):
            continue
        found = _sums({str(key): value for key, value in given.items() if value is not None})
        for name, value in zip(("prompt_tokens", "output_tokens", "cache_read", "cache_write"), found, strict=True):
            columns[name][at] = value


@dataclass(frozen=True, slots=True)
class _Sides:
    """Names of the details of an observation: of its prompt, of that what a cache gave or took, and of its output."""

    prompt: tuple[str, ...]
    cached: tuple[str, ...]
    written: tuple[str, ...]
    output: tuple[str, ...]


@lru_cache(maxsize=1024)
def _sides(names: tuple[str, ...]) -> _Sides:
    output = tuple(name for name in names if name.startswith("output"))
    prompt = tuple(
        name for name in names
        if name not in output and name != "total" and (name.startswith("input") or "cache" in name)
    )  # fmt: skip
    cached = tuple(name for name in prompt if "cach" in name)
    return _Sides(prompt, cached, tuple(name for name in cached if "creat" in name or "writ" in name), output)


def _sums(given: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Prompt, output, and of the prompt what a cache gave and took; a side with what is no number is none either."""
    sides = _sides(tuple(given))
    counts = {name: as_number(given[name]) for name in (*sides.prompt, *sides.output)}
    prompt, output, cached, written = (
        sum([counts[name] for name in names]) for names in (sides.prompt, sides.output, sides.cached, sides.written)
    )
    if math.isnan(prompt + output):
        found: list[Any] = ["no number" if math.isnan(whole) else whole for whole in (prompt, output)]
        return found[0], found[1], None, None
    # Who sent a total of their own may have left the details in: then that is what the parts add up to.
    total = as_number(given.get("total"))
    if prompt + output != total:
        wholes = (prompt, counts.get("input", 0.0)), (output, counts.get("output", 0.0))
        prompt, output = next((pair for pair in product(*wholes) if sum(pair) == total), (prompt, output))
    return prompt if sides.prompt else None, output if sides.output else None, cached - written, written


# Inputs, outputs, metadata, users, tags, names and status messages are not among them.
_TABLE = Table(
    fields={
        "time": ("start_time", "startTime"),
        "details": ("usage_details", "usageDetails"),
        "prompt_tokens": ("usage.input", "promptTokens", "inputUsage", "prompt_tokens"),
        "output_tokens": ("usage.output", "completionTokens", "outputUsage", "completion_tokens"),
        "max_tokens": ("model_parameters.max_tokens", "modelParameters.max_tokens"),
        "identity": ("id",), "session": ("session_id", "sessionId"), "kind": ("type",), "level": ("level",),
        "model": ("provided_model_name", "providedModelName", "model"), "environment": ("environment",),
    },
    required=("time",),
    labels=("model", "environment"),
    leave_out={"kind": _kind, "level": _level},
    prepare=_prepare,
)  # fmt: skip

FORMATS = (Format(name="langfuse", read=_TABLE.read, source="Langfuse observations"),)
