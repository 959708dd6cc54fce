"""vLLM's histograms of request lengths in Prometheus: how many requests ended in each scrape, and about how long.

One range query has all that is needed: `{__name__=~"vllm:request_(prompt|generation)_tokens_(bucket|sum)"}`. Prometheus
answers with 11,000 points a series at most, so that a week comes in pages: lines of a file, or files of a folder. They
are one series. Bounds are numbers: Prometheus 3 writes `le="1.0"` where 2 wrote `le="1"` (migration guide, "Changes to
the scrape protocol").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
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

    Floats = NDArray[np.float64]

#: Histograms of lengths, by name: vLLM's, under Ray Serve too; NVIDIA NIM's, which are vLLM's without its name
#: ("Observability for NVIDIA NIM for LLMs"); those of Dynamo's frontend; SGLang's (`--collect-tokens-histogram`);
#: text-generation-inference's.
SIDES: Final = {
    "vllm:request_prompt_tokens": "prompt", "vllm:request_generation_tokens": "output",
    "ray_vllm_request_prompt_tokens": "prompt", "ray_vllm_request_generation_tokens": "output",
    "ray_vllm:request_prompt_tokens": "prompt", "ray_vllm:request_generation_tokens": "output",
    "request_prompt_tokens": "prompt", "request_generation_tokens": "output",
    "gen_ai_client_inference_operation_input_tokens": "prompt",
    "gen_ai_client_inference_operation_output_tokens": "output",
    "dynamo_frontend_input_sequence_tokens": "prompt", "dynamo_frontend_output_sequence_tokens": "output",
    "sglang:prompt_tokens_histogram": "prompt", "sglang:generation_tokens_histogram": "output",
    "tgi_request_input_length": "prompt", "tgi_request_generated_tokens": "output",
}  # fmt: skip
#: Histograms of both lengths, told apart by a label: of OpenTelemetry's GenAI conventions, as Envoy's and other
#: gateways and instrumented clients count them.
TYPED: Final = (
    "gen_ai_client_token_usage", "gen_ai_client_token_usage_token", "gen_ai_client_token_usage_tokens",
    "agentgateway_gen_ai_client_token_usage",
)  # fmt: skip
_TYPES: Final = {"input": "prompt", "output": "output"}
_TYPE: Final = "gen_ai_token_type"
_NO_GENERATION: Final = frozenset({"embeddings", "execute_tool", "invoke_agent", "invoke_workflow", "retrieval"})
_FIELDS: Final = {name: (name,) for name in ("side", "what", "le", "series", "model", "values")}
_MOST_PER_SCRAPE: Final = 1_000_000
ASSUMED: Final = (
    "requests were drawn from histograms: their number and the buckets of their lengths are kept, and the sums of "
    "tokens as far as the buckets allow; prompt and output lengths were paired at random",
    "a server counts a request when it ends; it was placed evenly at random within the scrape in which it ended",
)
#: So much longer than the usual distance of two moments is a gap.
_GAP: Final = 1.5


@dataclass(slots=True)
class _Series:
    """One engine: moments and counts of each bucket, and sums of tokens, as they came, by side.

    Attributes:
        path: File in which it first stands.
        line: Where.
        model: Its model's name.
        buckets: By side and upper bound.
        sums: By side.
    """

    path: Path
    line: int
    model: object = None
    buckets: dict[str, dict[float, list[Floats]]] = field(default_factory=lambda: {"prompt": {}, "output": {}})
    sums: dict[str, list[Floats]] = field(default_factory=dict)


def side_of(stem: str, labels: dict[str, Any]) -> str:
    """Which lengths a histogram counts, empty for those of none or of what is no generation."""
    if stem in TYPED:
        kind = _TYPES.get(str(labels.get(_TYPE)), "")
        return "" if labels.get("gen_ai_operation_name") in _NO_GENERATION else kind
    return SIDES.get(stem, "")


def engine_of(labels: dict[str, Any]) -> str:
    """What tells the series of one engine from those of others."""
    return repr(sorted((key, text) for key, text in labels.items() if key not in ("__name__", "le", _TYPE)))


def model_of(labels: dict[str, Any]) -> object:
    """Its model's name."""
    return next((labels[name] for name in ("model_name", "model", "gen_ai_request_model") if name in labels), None)


def _unpack(value: Any) -> Iterator[Any]:  # noqa: ANN401 - whatever the file holds
    """Series of an answer to a query, or one series; of its labels the model's name and what tells engines apart."""
    data = value.get("data", value)
    for series in data.get("result", [data]):
        labels = series["metric"]
        stem, _, what = str(labels["__name__"]).rpartition("_")
        yield {
            "side": side_of(stem, labels), "what": what, "le": labels.get("le"), "series": engine_of(labels),
            "model": model_of(labels), "values": series["values"],
        }  # fmt: skip


def _read(path: Path, context: Context) -> Iterator[Rows]:
    """Keeps what a file holds: the next may go on with it."""
    label_field(context.labels, ("model",))
    context.assume(*ASSUMED)
    for records in read_records(path, _FIELDS, (), context.tally, _unpack):
        for at in range(len(records.lines)):
            take({name: column[at] for name, column in records.columns.items()}, records.lines[at], path, context)
    yield from ()


def take(one: dict[str, Any], line: int, path: Path, context: Context) -> None:
    """Keep a series where it belongs; count it where it is another or wrong."""
    if one["side"] in (None, "") or one["what"] not in ("bucket", "sum"):
        context.tally.leave_out("another metric", 1)
        return
    try:
        points = np.array([(float(moment), float(count)) for moment, count in one["values"]]).reshape(-1, 2)
        bound = float(one["le"]) if one["what"] == "bucket" else 0.0
    except (TypeError, ValueError, OverflowError):
        points, bound = np.zeros((0, 2)), math.nan
    moments, counts = points.T
    inside = (moments >= EARLIEST_S) & (moments < LATEST_S) & (counts >= 0) & (counts < 1e15)
    if not len(points) or math.isnan(bound) or not inside.all():
        context.tally.reject(path, [line], "expected moments and counts of 0 or more, and a bound for a bucket")
        return
    context.tally.regroup(1, 0)
    engine: _Series = context.kept.setdefault(str(one["series"]), _Series(path, line))
    engine.model = one["model"]
    if one["what"] == "sum":
        engine.sums.setdefault(one["side"], []).append(points)
    else:
        engine.buckets[one["side"]].setdefault(bound, []).append(points)


def end(context: Context) -> Iterator[Rows]:
    """Requests of all engines, once every page is there."""
    draw = stream(context.seed, context.next_file(), "trace/vllm-prometheus")
    engines: list[_Series] = list(context.kept.values())
    tables = [_table(engine) for engine in engines]
    if engines and all(len(table.moments) < 2 for table in tables):
        raise TraceError(
            f"{engines[0].path}: counts of one moment alone, which do not say since when: scrape again later"
        )
    begins = min((table.moments[0] for table in tables if len(table.moments)), default=0.0)
    for engine, table in zip(engines, tables, strict=True):
        steps = np.diff(table.moments)
        usual = float(np.median(steps)) if len(steps) else 0.0
        if len(steps) and table.moments[0] > begins:
            table = table.from_zero(usual)  # noqa: PLW2901 - what is drawn from
            context.assume(
                "engines that were first seen within the time that the log covers were taken to have begun with 0 "
                "requests then"
            )
        if (long := steps[steps > _GAP * usual]).size:
            context.assume(
                f"scrapes are missing, for {float(long.max()):,.0f} s at the longest: what was counted meanwhile was "
                "spread evenly over the gap"
            )
        yield from _requests(engine, table, context, draw)


@dataclass(frozen=True, slots=True)
class _Table:
    """One engine at the moments at which both sides were scraped: cumulative counts, NaN where a bucket was not."""

    moments: Floats
    bounds: dict[str, list[float]]
    counts: dict[str, Floats]
    sums: dict[str, Floats]

    def from_zero(self, before_s: float) -> _Table:
        """The same with a moment ahead of the first, at which nothing had been counted."""
        nothing = {side: np.zeros((len(count), 1)) for side, count in self.counts.items()}
        return _Table(
            np.concatenate([[self.moments[0] - before_s], self.moments]),
            self.bounds,
            {side: np.hstack([nothing[side], count]) for side, count in self.counts.items()},
            {side: np.concatenate([[0.0], total]) for side, total in self.sums.items()},
        )


def _table(engine: _Series) -> _Table:
    """Pages laid one upon the other; a moment that two of them have counts once."""
    if missing := [side for side in ("prompt", "output") if math.inf not in engine.buckets[side]]:
        raise TraceError(
            "\n".join(f"{engine.path}: an engine has no buckets of {side} lengths up to +Inf" for side in missing)
        )
    prompt, output = (np.concatenate(engine.buckets[side][math.inf])[:, 0] for side in ("prompt", "output"))
    moments = np.intersect1d(prompt, output)
    bounds = {side: sorted(engine.buckets[side]) for side in ("prompt", "output")}
    counts = {side: np.array([_at(moments, engine.buckets[side][bound]) for bound in bounds[side]]) for side in bounds}
    return _Table(moments, bounds, counts, {side: _at(moments, parts) for side, parts in engine.sums.items()})


def _at(moments: Floats, parts: list[Floats]) -> Floats:
    """Counts of one series at these moments, NaN where it has none."""
    found = np.full(len(moments), np.nan)
    for part in parts:
        _, here, there = np.intersect1d(moments, part[:, 0], return_indices=True)
        found[here] = part[there, 1]
    return found


def _requests(engine: _Series, table: _Table, context: Context, draw: np.random.Generator) -> Iterator[Rows]:
    for place in range(1, len(table.moments)):
        begin, end = float(table.moments[place - 1]), float(table.moments[place])
        context.tally.rows += 1
        grown = {side: _grown(table.bounds[side], table.counts[side], place) for side in ("prompt", "output")}
        counts = {side: count for side, (_, count) in grown.items()}
        size = int(counts["prompt"].sum())
        if any((count < 0).any() or (count != np.floor(count)).any() for count in counts.values()):
            context.tally.reject(
                engine.path, [engine.line], "a bucket holds fewer requests than one below it, or parts of one"
            )
        elif counts["prompt"].sum() != counts["output"].sum():
            context.tally.reject(engine.path, [engine.line], "prompts and outputs of an interval differ in number")
        elif size == 0:
            context.tally.leave_out("an interval without requests", 1)
        elif size > _MOST_PER_SCRAPE:
            context.tally.reject(engine.path, [engine.line], f"more than {_MOST_PER_SCRAPE:,} requests in an interval")
        else:
            context.tally.draw(size)
            tokens = {}
            for side, (bounds, count) in grown.items():
                total = _more(table.sums[side], place) if side in table.sums else -1.0
                tokens[side] = draw_lengths(bounds, count, -1.0 if math.isnan(total) else total, draw)
            at_s = np.sort(draw.uniform(begin, end, size))
            workload = np.full(size, context.labels.indices([engine.model])[0], np.int16)
            yield make_rows((at_s * NS).astype(np.int64), tokens["prompt"], tokens["output"], workload=workload)


def _grown(bounds: list[float], counts: Floats, place: int) -> tuple[list[float], Floats]:
    """Buckets that were scraped at both ends of an interval, and what each alone gained in it."""
    more = np.array([_more(count, place) for count in counts])
    there = ~np.isnan(more)
    return [bound for bound, known in zip(bounds, there, strict=True) if known], np.diff(more[there], prepend=0.0)


def _more(counts: Floats, place: int) -> float:
    """What a counter gained since the moment before; one that fell was started anew."""
    before, after = float(counts[place - 1]), float(counts[place])
    return after if after < before else after - before


FORMATS = (
    Format(
        name="vllm-prometheus",
        read=_read,
        end=end,
        source="vLLM histograms of request lengths in Prometheus",
        patterns=("*.json", "*.jsonl"),
    ),
)
