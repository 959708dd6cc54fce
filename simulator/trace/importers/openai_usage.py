"""OpenAI's usage of an organisation: answers of the usage API, the older activity export, JSON or CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.streams import stream
from simulator.trace.importers.aggregate import Bucket, rows_of
from simulator.trace.importers.context import Format, label_field
from simulator.trace.importers.read import read_records
from simulator.trace.importers.records import Records
from simulator.trace.importers.values import NS, instants_ns, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

#: Length of an interval that does not say when it ends: a day in files by date, five minutes in the activity export.
_DAY_S, _ACTIVITY_S = 86_400.0, 300.0
# Projects, users and keys are not among them.
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
}
_LABELS: Final = ("model", "tier", "batch")
_REQUIRED: Final = ("start", "requests", "prompt_tokens", "output_tokens")


def _unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
    """Results with the interval of their bucket; pages, lists of pages, or rows on their own."""
    if isinstance(value, list):
        for one in value:
            yield from _unpack(one)
    elif isinstance(value, dict) and isinstance(value.get("data"), list):
        yield from _unpack(value["data"])
    elif isinstance(value, dict) and isinstance(value.get("results"), list):
        times = {name: value.get(name) for name in ("start_time", "end_time")}
        yield from (one | times if isinstance(one, dict) else one for one in value["results"])
    else:
        yield value


def _read(path: Path, context: Context) -> Iterator[Rows]:
    label = label_field(context.labels, _LABELS)
    draw = stream(context.seed, context.next_file(), "trace/openai-usage")
    for records in read_records(path, _FIELDS, _REQUIRED, context.tally, _unpack):
        yield from rows_of(_buckets(records, path, context, label), path, context, draw)


def _buckets(records: Records, path: Path, context: Context, label: str | None) -> list[Bucket]:
    columns = records.columns
    start_ns, bad = instants_ns(columns["start"], context.zone, context.time_form or "%m/%d/%Y")
    end_ns, open_end = instants_ns(columns["end"], context.zone, context.time_form)
    length_s = np.array([_DAY_S if value in (None, "") else _ACTIVITY_S for value in columns["activity"]])
    length_ns = np.where(open_end, length_s * NS, end_ns - start_ns).astype(np.int64)
    bad |= (length_ns <= 0) | (length_ns > 32 * _DAY_S * NS)
    context.tally.reject(path, np.array(records.lines)[bad].tolist(), "no interval of a month at most")
    counts = [numbers(columns[name]) for name in ("requests", "prompt_tokens", "output_tokens")]
    labels = [None] * len(records.lines) if label is None else columns[label]
    return [
        Bucket(
            records.lines[at], int(start_ns[at]), int(length_ns[at]), labels[at], *(float(one[at]) for one in counts)
        )
        for at in np.flatnonzero(~bad).tolist()
    ]


FORMATS = (Format(name="openai-usage", read=_read, source="OpenAI usage by interval"),)
