"""OpenAI's usage of an organisation: answers of the usage API, the older activity export, JSON or CSV.

Names of the API reference, "Usage", 2026. `input_tokens` include the cached ones. Embeddings, moderations, images and
speech are usage too, but no generations; batches are, but wait for no one.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.streams import stream
from simulator.trace.importers.aggregate import MOST_TOKENS, Bucket, rows_of
from simulator.trace.importers.context import Format, label_field
from simulator.trace.importers.read import read_records
from simulator.trace.importers.records import Records, is_absent
from simulator.trace.importers.screen import Screen
from simulator.trace.importers.values import NS, as_number, instants_ns, numbers, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

#: Length of an interval that does not say when it ends: a day in files by date, five minutes in the activity export.
_DAY_S, _ACTIVITY_S = 86_400.0, 300.0
# Of projects, users and keys only whether two rows are of the same one.
_FIELDS: Final = {
    "start": ("start_time", "aggregation_timestamp", "usage_date", "date"),
    "end": ("end_time",),
    "activity": ("aggregation_timestamp",),
    "requests": ("num_model_requests", "n_requests", "requests"),
    "prompt_tokens": ("input_tokens", "n_context_tokens_total", "prompt_tokens"),
    "output_tokens": ("output_tokens", "n_generated_tokens_total", "completion_tokens"),
    "model": ("model", "snapshot_id"),
    "tier": ("service_tier",),
    "batch": ("batch",),
    "object": ("object",),
    "cached": ("input_cached_tokens",),
    "of": ("(bucket)",),
    "project": ("project_id", "project_name", "organization_id"),
    "user": ("user_id", "user", "operation"),
    "key": ("api_key_id", "api_key_name"),
}
_LABELS: Final = ("model", "tier", "batch")
_REQUIRED: Final = ("start", "requests", "prompt_tokens", "output_tokens")
_GENERATIONS: Final = "organization.usage.completions.result"
_MORE: Final = "a page says that more follow (has_more): the log is not all of its time unless they were imported too"

_TWICE: Final = (
    "several pages have the same interval with other counts, which were added up: right for those of several projects "
    "or keys, wrong for an interval that was fetched before it had ended, and again"
)


def _unpack(value: Any, once: Callable[[dict[str, Any]], bool]) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
    """Results with the interval of their bucket; pages, lists of pages, or rows on their own."""
    if isinstance(value, list):
        for one in value:
            yield from _unpack(one, once)
    elif isinstance(value, dict) and isinstance(value.get("data"), list):
        yield from _unpack(value["data"], once)
    elif isinstance(value, dict) and isinstance(value.get("results"), list):
        if not once(value):
            return
        times = {name: value.get(name) for name in ("start_time", "end_time")} | {"(bucket)": True}
        yield from (one | times if isinstance(one, dict) else one for one in value["results"])
    else:
        yield value


def _read(path: Path, context: Context) -> Iterator[Rows]:
    label = label_field(context.labels, _LABELS)
    draw = stream(context.seed, context.next_file(), "trace/openai-usage")

    def unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
        if isinstance(value, dict) and "has_more" in value:
            # The last page of all ends what the others began.
            context.kept["more"] = value["has_more"] is True
        yield from _unpack(value, once)

    def once(bucket: dict[str, Any]) -> bool:
        """Whether no other page has this very bucket: pages that overlap, or were fetched twice, repeat it."""
        seen: set[bytes] = context.kept.setdefault("buckets", set())
        print_ = blake2b(json.dumps(bucket, sort_keys=True).encode(errors="surrogatepass"), digest_size=16).digest()
        if bucket["results"] and print_ in seen:
            context.tally.rows += len(bucket["results"])
            context.tally.duplicates += len(bucket["results"])
            return False
        span = repr((bucket.get("start_time"), bucket.get("end_time"))).encode()
        if bucket["results"] and span in seen:
            context.assume(_TWICE)
        seen |= {print_, span} if bucket["results"] else set()
        return True

    for records in read_records(path, _FIELDS, _REQUIRED, context.tally, unpack):
        yield from rows_of(_buckets(records, context, label), path, context, draw)


def _end(context: Context) -> Iterator[Rows]:
    if context.kept.get("more"):
        context.assume(_MORE)
    yield from ()


def _left_out(records: Records, label: str | None) -> list[str | None]:
    """Why a result holds no requests that wait for an answer."""
    columns = records.columns
    reasons: list[str | None] = []
    for at in range(len(records.lines)):
        counts = [columns[name][at] for name in ("requests", "prompt_tokens", "output_tokens")]
        requests, prompt, output = (as_number(one) for one in counts)
        if columns["object"][at] not in (None, _GENERATIONS) and "usage" in str(columns["object"][at]):
            reasons.append("usage that is no generation: embeddings, images, speech, moderation, storage")
        elif label != "batch" and str(columns["batch"][at]).lower() == "true":
            reasons.append("batches, which wait for no one (`label_by` batch takes them in)")
        elif all(is_absent(one) for one in counts):
            reasons.append("an interval without requests")
        elif requests > 0 and prompt >= requests and (is_absent(counts[2]) or 0 <= output < requests):
            reasons.append("fewer output tokens than requests: embeddings, moderation, or cancelled")
        else:
            reasons.append(None)
    return reasons


def _again(records: Records, context: Context) -> list[bool]:
    """Whether a row of a table stood there before, as exports that overlap have it; `once` tells of those of pages."""
    columns = records.columns
    seen: set[int] = context.kept.setdefault("rows", set())
    group = [columns[name] for name in ("start", "end", "model", "tier", "batch", "object", "project", "user", "key")]
    counts = [columns[name] for name in ("requests", "prompt_tokens", "output_tokens", "cached")]
    found = []
    for of, whose, counted in zip(columns["of"], zip(*group, strict=True), zip(*counts, strict=True), strict=True):
        row, span = (context.digest(repr(one)) for one in ((whose, counted), whose))
        found.append(of is not True and row in seen)
        if of is not True and span in seen and not found[-1]:
            context.assume(_TWICE)
        seen |= {row, span} if of is not True else set()
    return found


def _buckets(records: Records, context: Context, label: str | None) -> list[Bucket]:
    columns = records.columns
    screen = Screen(records, context)
    screen.leave_out(_left_out(records, label))
    start_ns, bad = instants_ns(columns["start"], context.zone, context.time_form or "%m/%d/%Y")
    end_ns, open_end = instants_ns(columns["end"], context.zone, context.time_form)
    length_s = np.array([_DAY_S if value in (None, "") else _ACTIVITY_S for value in columns["activity"]])
    length_ns = np.where(open_end, length_s * NS, end_ns - start_ns).astype(np.int64)
    bad |= (length_ns <= 0) | (length_ns > 32 * _DAY_S * NS)
    screen.reject(bad, "no interval of a month at most")
    again = screen.good & np.array(_again(records, context), np.bool_)
    context.tally.duplicates += int(again.sum())
    bad = ~screen.good | again
    counts = [numbers(columns[name]) for name in ("requests", "prompt_tokens", "output_tokens")]
    cached = numbers(columns["cached"])
    counts.append(np.where(whole(cached, 0, MOST_TOKENS), cached, 0.0))
    labels = [None] * len(records.lines) if label is None else columns[label]
    places = records.places(range(len(records.lines)))
    return [
        Bucket(places[at], int(start_ns[at]), int(length_ns[at]), labels[at], *(float(one[at]) for one in counts))
        for at in np.flatnonzero(~bad).tolist()
    ]


FORMATS = (Format(name="openai-usage", read=_read, end=_end, source="OpenAI usage by interval"),)
