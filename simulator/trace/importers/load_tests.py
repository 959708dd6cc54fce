"""Results of load generators, request by request: guidellm, AIPerf and `vllm bench serve`.

guidellm's `benchmarks.json` (`benchmarks[].requests.successful[]`; vllm-project/guidellm, `schemas`), AIPerf's
`profile_export.jsonl` (`metadata.request_start_ns`, `metrics.*.value`; ai-dynamo/aiperf) and the file of
`vllm bench serve --save-result --save-detailed` (lists by request; vllm-project/vllm, `benchmarks/serve.py`). What a
generator sends when it likes is no demand: with a number of clients that wait for one another, arrivals follow the
server's speed, and the header says so.
"""

from __future__ import annotations

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
    first = min(
        (one for one in starts if isinstance(one, (int, float))), default=0.0
    )  # of a clock that began somewhere
    errors = value.get("errors") or [""] * len(value["input_lens"])
    for start, prompt, output, error in zip(starts, value["input_lens"], value["output_lens"], errors, strict=True):
        since = start - first if isinstance(start, (int, float)) else start
        yield {"start": since, "prompt": prompt, "output": output, "error": error}


def _read(path: Path, context: Context, table: Table, unpack: Any) -> Iterator[Rows]:  # noqa: ANN401 - one of the above
    from dataclasses import replace

    yield from replace(table, unpack=partial(unpack, context=context)).read(path, context)


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

FORMATS = (
    Format(name="guidellm", read=partial(_read, table=_GUIDELLM, unpack=_guidellm), source="guidellm benchmarks"),
    Format(name="aiperf", read=_AIPERF.read, source="AIPerf profile export"),
    Format(
        name="vllm-bench",
        read=partial(_read, table=_VLLM, unpack=_vllm_bench),
        source="vllm bench serve",
        own_zero=True,
    ),
)
