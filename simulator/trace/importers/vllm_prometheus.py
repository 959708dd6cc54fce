"""vLLM's histograms of request lengths in Prometheus: how many requests ended in each scrape, and about how long.

One range query has all that is needed: `{__name__=~"vllm:request_(prompt|generation)_tokens_(bucket|sum)"}`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import TraceError
from simulator.streams import stream
from simulator.trace.importers.context import Format, label_field
from simulator.trace.importers.histogram import draw_lengths
from simulator.trace.importers.read import read_records
from simulator.trace.importers.rows import Rows, make_rows
from simulator.trace.importers.values import EARLIEST_S, LATEST_S, NS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.trace.importers.context import Context

_SIDES: Final = {"vllm:request_prompt_tokens": "prompt", "vllm:request_generation_tokens": "output"}
_FIELDS: Final = {name: (name,) for name in ("side", "what", "le", "series", "model", "values")}
_MOST_PER_SCRAPE: Final = 1_000_000
_ASSUMED: Final = (
    "requests were drawn from histograms: their number and the buckets of their lengths are kept, and the sums of "
    "tokens as far as the buckets allow; prompt and output lengths were paired at random",
    "vLLM counts a request when it ends; it was placed evenly at random within the scrape in which it ended",
)


@dataclass(slots=True)
class _Series:
    """One engine: cumulative counts of each bucket and sums of tokens, by side and moment."""

    model: object = None
    line: int = 0
    buckets: dict[str, dict[float, dict[float, float]]] = field(default_factory=lambda: defaultdict(dict))
    sums: dict[str, dict[float, float]] = field(default_factory=dict)


def _unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
    """Series of an answer to a query, or one series; of its labels the model's name and what tells engines apart."""
    data = value.get("data", value)
    for series in data.get("result", [data]):
        labels = series["metric"]
        stem, _, what = str(labels["__name__"]).rpartition("_")
        others = sorted((key, text) for key, text in labels.items() if key not in ("__name__", "le"))
        yield {
            "side": _SIDES.get(stem, ""), "what": what, "le": labels.get("le"), "series": repr(others),
            "model": labels.get("model_name"), "values": series["values"],
        }  # fmt: skip


def _read(path: Path, context: Context) -> Iterator[Rows]:
    label_field(context.labels, ("model",))
    context.assume(*_ASSUMED)
    engines: dict[str, _Series] = defaultdict(_Series)
    for records in read_records(path, _FIELDS, (), context.tally, _unpack):
        for at, line in enumerate(records.lines):
            _take({name: column[at] for name, column in records.columns.items()}, line, path, context, engines)
    draw = stream(context.seed, context.next_file(), "trace/vllm-prometheus")
    for engine in engines.values():
        yield from _requests(engine, path, context, draw)


def _take(one: dict[str, Any], line: int, path: Path, context: Context, engines: dict[str, _Series]) -> None:
    """Keep a series where it belongs; count it where it is another or wrong."""
    if one["side"] in (None, "") or one["what"] not in ("bucket", "sum"):
        context.tally.leave_out("another metric", 1)
        return
    try:
        points = {float(moment): float(count) for moment, count in one["values"]}
        bound = float(one["le"]) if one["what"] == "bucket" else 0.0
    except (TypeError, ValueError, OverflowError):
        points, bound = {}, math.nan
    moments = all(EARLIEST_S <= moment < LATEST_S for moment in points)
    if not points or math.isnan(bound) or not moments or not all(0 <= count < 1e15 for count in points.values()):
        context.tally.reject(path, [line], "expected moments and counts of 0 or more, and a bound for a bucket")
        return
    context.tally.regroup(1, 0)
    engine = engines[str(one["series"])]
    engine.model, engine.line = one["model"], engine.line or line
    if one["what"] == "sum":
        engine.sums[one["side"]] = points
    else:
        engine.buckets[one["side"]][bound] = points


def _requests(engine: _Series, path: Path, context: Context, draw: np.random.Generator) -> Iterator[Rows]:
    if missing := [side for side in _SIDES.values() if math.inf not in engine.buckets[side]]:
        raise TraceError(
            "\n".join(f"{path}: an engine has no buckets of {side} lengths up to +Inf" for side in missing)
        )
    moments = sorted(set(engine.buckets["prompt"][math.inf]) & set(engine.buckets["output"][math.inf]))
    for begin, end in pairwise(moments):
        context.tally.rows += 1
        counts = {side: _grown(engine.buckets[side], begin, end) for side in _SIDES.values()}
        size = int(counts["prompt"].sum())
        if any((count < 0).any() or (count != np.floor(count)).any() for count in counts.values()):
            context.tally.reject(
                path, [engine.line], "a bucket holds fewer requests than one below it, or parts of one"
            )
        elif counts["prompt"].sum() != counts["output"].sum():
            context.tally.reject(path, [engine.line], "prompts and outputs of an interval differ in number")
        elif size == 0:
            context.tally.leave_out("an interval without requests", 1)
        elif size > _MOST_PER_SCRAPE:
            context.tally.reject(path, [engine.line], f"more than {_MOST_PER_SCRAPE:,} requests in an interval")
        else:
            context.tally.draw(size)
            tokens = {}
            for side, count in counts.items():
                total = _grown({0.0: engine.sums[side]}, begin, end)[0] if side in engine.sums else -1.0
                tokens[side] = draw_lengths(sorted(engine.buckets[side]), count, total, draw)
            at_s = np.sort(draw.uniform(begin, end, size))
            workload = np.full(size, context.labels.indices([engine.model])[0], np.int16)
            yield make_rows((at_s * NS).astype(np.int64), tokens["prompt"], tokens["output"], workload=workload)


def _grown(buckets: dict[float, dict[float, float]], begin: float, end: float) -> NDArray[np.float64]:
    """What each bucket alone gained: below 0 where it was not scraped; a counter that fell was started anew."""
    cumulative = []
    for bound in sorted(buckets):
        before, after = buckets[bound].get(begin, math.nan), buckets[bound].get(end, math.nan)
        cumulative.append(after - before if after >= before else after)
    return np.diff(np.nan_to_num(np.array(cumulative), nan=-1.0), prepend=0.0)


FORMATS = (
    Format(
        name="vllm-prometheus",
        read=_read,
        source="vLLM histograms of request lengths in Prometheus",
        patterns=("*.json", "*.jsonl"),
    ),
)
