"""What a load generator saw of each request: `vllm bench serve`, guidellm or AIPerf, beside the simulation of them.

Of their files, read as `trace convert` reads them, starts, counts and latencies are taken, nothing else: `ttfts` and
`itls` in seconds of `vllm bench serve --save-result --save-detailed` (vllm-project/vllm, `benchmarks/serve.py`);
`time_to_first_token_ms` and `request_latency` in seconds of guidellm (vllm-project/guidellm, `schemas`);
`time_to_first_token` and `request_latency` in milliseconds of AIPerf's `profile_export.jsonl` (ai-dynamo/aiperf).
Times are a client's, so the simulation has its front end as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.bench.serving import Served, request_table, serve
from simulator.engine.vllm.plan import plan_of
from simulator.errors import TraceError
from simulator.trace.importers.context import Context
from simulator.trace.importers.detect import detect
from simulator.trace.importers.load_tests import result_table
from simulator.trace.importers.read import read_records
from simulator.trace.importers.screen import Screen
from simulator.trace.importers.values import NS, instants_ns, numbers, seconds_ns

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import EngineSettings

_COUNTS: Final = ("prompt_tokens", "output_tokens")
#: By tool, where its latencies stand, and the seconds of what they are counted in.
_LATENCIES: Final = {
    "vllm-bench": {"ttft": (("ttft",), 1.0), "e2e": (("e2e",), 1.0)},
    "guidellm": {"ttft": (("time_to_first_token_ms",), 1e-3), "e2e": (("request_latency",), 1.0)},
    "aiperf": {
        "ttft": (("metrics.time_to_first_token.value",), 1e-3),
        "e2e": (("metrics.request_latency.value",), 1e-3),
    },
}


@dataclass(frozen=True, slots=True)
class ClientLog:
    """What a load generator saw.

    Attributes:
        served: The requests that were answered, in order of their start.
        prompt_tokens: Of each.
        left_out: By reason, requests that are not among them.
        assumed: What is known of how they were sent.
    """

    served: Served
    prompt_tokens: list[int]
    left_out: dict[str, int]
    assumed: tuple[str, ...]


def tool_of(path: Path) -> str | None:
    """Which load generator wrote a file; None where it was none of those that are known.

    Raises:
        TraceError: The file cannot be read.
    """
    try:
        return next((one.name for one in detect(path) if one.name in _LATENCIES), None)
    except TraceError:
        if not path.is_file():
            raise
        return None


def read_client_log(path: Path, tool: str) -> ClientLog:
    """The requests of a result file of one of these tools.

    Raises:
        TraceError: It breaks off, is of another layout, says no latency of a request, or holds none.
    """
    context = Context()
    table = result_table(tool, context)
    context.assume(*table.assumed)
    where = {name: names for name, (names, _) in _LATENCIES[tool].items()}
    parts: list[dict[str, NDArray[Any]]] = []
    for records in read_records(path, dict(table.fields) | where, table.required, context.tally, table.unpack):
        screen = Screen(records, context)
        for name, reason in table.leave_out.items():
            screen.leave_out([reason(value) for value in records.columns[name]])
        values = records.columns["time"]
        screen.reject(screen.absent("time"), "time: nothing there, so nobody knows when it was sent")
        if table.unit_s is None:
            sent_ns, bad = instants_ns(values, context.zone, unit=table.time_unit)
        else:
            sent_ns, bad = seconds_ns(values, table.unit_s)
        screen.reject(bad, "time: no moment")
        found: dict[str, NDArray[Any]] = {"sent_ns": sent_ns}
        found |= {name: screen.count(name) for name in _COUNTS}
        for name in _COUNTS:
            screen.reject(found[name] == 0, f"{name}: nothing there, or 0")
        for name, (_, unit_s) in _LATENCIES[tool].items():
            found[name] = numbers(records.columns[name]) * unit_s
            screen.reject(~(found[name] > 0), f"{name}: no latency there; were requests kept one by one?")
        screen.reject(~(found["e2e"] >= found["ttft"]), "end to end: less than to the first token")
        parts.append({name: column[screen.good] for name, column in found.items()})
    context.tally.judge(0.0)
    if not sum(len(part["sent_ns"]) for part in parts):
        raise TraceError(f"{path}: holds no request that was answered")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(joined["sent_ns"], kind="stable")
    sent_ns, prompt, output, ttft_s, e2e_s = (joined[name][order] for name in joined)
    served = Served(
        arrival_s=(sent_ns - sent_ns[0]) / NS,
        ttft_s=ttft_s,
        e2e_s=e2e_s,
        output_tokens=output,
        preemptions=np.zeros(len(order), np.int64),
    )
    return ClientLog(served, prompt.tolist(), dict(context.tally.left_out), tuple(context.assumed))


def simulated(log: ClientLog, profile: PerformanceProfile, settings: EngineSettings) -> Served:
    """The same requests, sent at the same moments, as their client would have seen them."""
    sent = request_table(log.served.arrival_s, log.prompt_tokens, log.served.output_tokens)
    return serve(settings, plan_of(profile, settings), sent)
