"""Results of load generators, request by request: guidellm, AIPerf and `vllm bench serve`.

guidellm's `benchmarks.json` (`benchmarks[].requests.successful[]`; vllm-project/guidellm, `schemas`), AIPerf's
`profile_export.jsonl` (`metadata.request_start_ns`, `metrics.*.value`; ai-dynamo/aiperf) and the file of
`vllm bench serve --save-result --save-detailed` (lists by request; vllm-project/vllm, `benchmarks/serve.py`). What a
generator sends when it likes is no demand: with a number of clients that wait for one another, arrivals follow the
server's speed, and the header says so.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from simulator.trace.importers.context import Format
from simulator.trace.importers.records import is_absent
from simulator.trace.importers.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from simulator.trace.importers.context import Context
    from simulator.trace.importers.rows import Rows

_CLOSED: Final = (
    "a load generator kept a number of requests open and sent the next when one was answered: arrivals follow the "
    "speed of the server that was measured and are no demand of their own"
)
_OPEN: Final = "a load generator decided when requests were sent"
_LOOPS: Final = frozenset({"synchronous", "throughput", "concurrent"})


def _error(value: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    return None if is_absent(value) or value in ([], {}, False) else "failed"


def _phase(value: Any) -> str | None:  # noqa: ANN401 - likewise
    return "a request of the warm-up" if value == "warmup" else None


def _guidellm(value: Any, context: Context) -> Iterator[Any]:  # noqa: ANN401 - likewise
    for benchmark in value["benchmarks"]:
        config = benchmark.get("config") or benchmark.get("args") or {}
        strategy = config.get("strategy") if isinstance(config, dict) else None
        kind = strategy.get("type_") if isinstance(strategy, dict) else strategy
        context.assume(_CLOSED if kind in _LOOPS else _OPEN)
        kept = benchmark["requests"]
        if isinstance(kept, list):
            yield from kept
            continue
        for outcome in ("successful", "errored", "incomplete"):
            for one in kept.get(outcome) or ():
                yield one if outcome == "successful" else {**one, "error": outcome}


def _vllm_bench(value: Any, context: Context) -> Iterator[Any]:  # noqa: ANN401 - likewise
    """A record of each request out of lists; without their start times there is no when."""
    concurrency, rate = value.get("max_concurrency"), str(value.get("request_rate"))
    context.assume(_CLOSED if concurrency is not None and rate in ("inf", "Infinity") else _OPEN)
    starts = value.get("start_times") or [None] * len(value["input_lens"])
    # Of a clock that began somewhere.
    first = min((one for one in starts if isinstance(one, (int, float))), default=0.0)
    size = len(value["input_lens"])
    errors, ttfts, gaps = (value.get(name) or [None] * size for name in ("errors", "ttfts", "itls"))
    counts = value["input_lens"], value["output_lens"]
    for start, prompt, output, error, ttft, itl in zip(starts, *counts, errors, ttfts, gaps, strict=True):
        since = start - first if isinstance(start, (int, float)) else start
        e2e = ttft + sum(itl) if isinstance(itl, list) and ttft is not None else None
        yield {"start": since, "prompt": prompt, "output": output, "error": error, "ttft": ttft, "e2e": e2e}


_GUIDELLM: Final = Table(
    fields={
        "time": ("request_start_time", "start_time", "info.timings.request_start", "scheduler_info.request_start"),
        "prompt_tokens": ("prompt_tokens", "input_metrics.text_tokens", "prompt_metrics.tokens"),
        "output_tokens": ("output_tokens", "output_metrics.text_tokens"), "identity": ("request_id",),
        "failed": ("error",),
    },
    leave_out={"failed": _error},
)  # fmt: skip
_AIPERF: Final = Table(
    fields={
        "time": ("metadata.request_start_ns",), "prompt_tokens": ("metrics.input_sequence_length.value",),
        "output_tokens": ("metrics.output_sequence_length.value",),
        "reasoning": ("metrics.reasoning_token_count.value",), "identity": ("metadata.x_request_id",),
        "session": ("metadata.x_correlation_id", "metadata.conversation_id"), "failed": ("error",),
        "phase": ("metadata.benchmark_phase",),
    },
    leave_out={"failed": _error, "phase": _phase},
    assumed=(_OPEN,),
)  # fmt: skip
_VLLM: Final = Table(
    fields={
        "time": ("start",), "prompt_tokens": ("prompt",), "output_tokens": ("output",), "failed": ("error",),
    },
    leave_out={"failed": _error},
    unit_s=1.0,
)  # fmt: skip

#: By format, how its records are laid out, and what takes them out of a file where that is no list of records.
RESULTS: Final = {"guidellm": (_GUIDELLM, _guidellm), "aiperf": (_AIPERF, None), "vllm-bench": (_VLLM, _vllm_bench)}


def result_table(name: str, context: Context) -> Table:
    """The table of one of `RESULTS`, which says in `context` whether arrivals followed the server."""
    table, unpack = RESULTS[name]
    return table if unpack is None else replace(table, unpack=partial(unpack, context=context))


def _read(path: Path, context: Context, name: str) -> Iterator[Rows]:
    yield from result_table(name, context).read(path, context)


FORMATS = (
    Format(name="guidellm", read=partial(_read, name="guidellm"), source="guidellm benchmarks"),
    Format(name="aiperf", read=partial(_read, name="aiperf"), source="AIPerf profile export"),
    Format(name="vllm-bench", read=partial(_read, name="vllm-bench"), source="vllm bench serve", own_zero=True),
)
