"""One modelled vLLM server under a stated load: what its clients would have measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import simpy

from simulator.engine.record import Outcome
from simulator.engine.simulation import simulate
from simulator.engine.vllm.plan import ReplicaPlan
from simulator.engine.vllm.sequence import Sequence
from simulator.engine.vllm.stepwise import StepwiseReplica
from simulator.errors import TraceError
from simulator.scenario.patterns import Cluster, EngineSettings, SelfHostedPattern
from simulator.trace.request_table import RequestTable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: Long enough for any burst that is worth waiting for.
_NEVER_S: Final = 1e6


@dataclass(frozen=True, slots=True)
class Served:
    """What clients saw of each request, in order of arrival.

    Attributes:
        arrival_s: When it was sent.
        ttft_s: Time to first token.
        e2e_s: Time to last token.
        output_tokens: Tokens it produced.
        preemptions: Times it lost its blocks.
    """

    arrival_s: NDArray[np.float64]
    ttft_s: NDArray[np.float64]
    e2e_s: NDArray[np.float64]
    output_tokens: NDArray[np.int64]
    preemptions: NDArray[np.int64]

    def within(self, start_s: float, end_s: float) -> Served:
        """The requests sent in `[start_s, end_s)`."""
        return self.of((self.arrival_s >= start_s) & (self.arrival_s < end_s))

    def of(self, rows: NDArray[np.bool_] | slice) -> Served:
        """Some of the requests."""
        return Served(*(getattr(self, name)[rows] for name in self.__slots__))

    def metrics(self) -> dict[str, float]:
        """Latencies and rates under the names of `simulator.bench.measurements.METRICS`; empty without requests."""
        if not len(self.arrival_s):
            return {}
        many = self.output_tokens > 1
        gap_s = (self.e2e_s - self.ttft_s)[many] / (self.output_tokens[many] - 1)
        lasted_s = float(np.max(self.arrival_s + self.e2e_s) - np.min(self.arrival_s))
        found = {
            "requests_per_s": len(self.arrival_s) / lasted_s,
            "output_tokens_per_s": float(self.output_tokens.sum()) / lasted_s,
        }
        for name, values in (("ttft", self.ttft_s), ("e2e", self.e2e_s), ("tpot", gap_s)):
            if len(values):
                found[f"{name}_mean_s"] = float(np.mean(values))
                for level in (50, 90, 99):
                    found[f"{name}_p{level}_s"] = float(np.percentile(values, level))
        if "tpot_mean_s" in found:
            found["itl_mean_s"] = found.pop("tpot_mean_s")
        return found


def request_table(
    arrival_s: ArrayLike, prompt_tokens: ArrayLike, output_tokens: ArrayLike, prefix_id: ArrayLike = -1
) -> RequestTable:
    """Requests of one workload; a `prefix_id` of 0 or more says that the whole prompt is shared under this identity."""
    arrivals = np.asarray(arrival_s, np.float64)

    def column(values: ArrayLike) -> NDArray[np.int32]:
        return np.broadcast_to(np.asarray(values, np.int32), arrivals.shape).copy()

    prompt, output, prefix = (column(values) for values in (prompt_tokens, output_tokens, prefix_id))
    return RequestTable(
        workloads=("load",),
        arrival_s=arrivals,
        workload=column(0).astype(np.int16),
        prompt_tokens=prompt,
        output_tokens=output,
        max_tokens=output,
        prefix_id=prefix,
        prefix_tokens=np.where(prefix >= 0, prompt, 0).astype(np.int32),
        priority=column(3).astype(np.int8),
    )


def serve(settings: EngineSettings, plan: ReplicaPlan, table: RequestTable) -> Served:
    """Send a table of requests to one replica and wait for all of them.

    Raises:
        TraceError: Some of them are longer than the engine takes.
    """
    cluster = Cluster.model_construct(model="", gpu="", replicas=1, engine=settings, request_timeout=None)
    pattern = SelfHostedPattern.model_construct(None, kind="self_hosted", cluster=cluster, costs=None, clusters=None)
    log = simulate(
        pattern, table, horizon_s=float(table.arrival_s[-1]) + _NEVER_S, seed=0, replication=0, plan=plan
    ).log
    if left := np.count_nonzero(log.outcome != Outcome.COMPLETED):
        # With so much time, only those are not that no engine of these settings takes.
        raise TraceError(f"{left:,} of {len(table):,} requests are longer than the engine takes, or its KV cache holds")
    sent_s = table.arrival_s
    return Served(
        arrival_s=sent_s,
        ttft_s=log.first_token_s - sent_s,
        e2e_s=log.last_token_s - sent_s,
        output_tokens=table.output_tokens.astype(np.int64),
        preemptions=log.preemptions.astype(np.int64),
    )


def serve_clients(
    settings: EngineSettings, plan: ReplicaPlan, clients: int, prompt_tokens: int, output_tokens: int, requests: int
) -> Served:
    """Keep `clients` requests in flight until `requests` are served: each sends its next when one is answered."""
    return serve_capped(settings, plan, request_table(np.zeros(requests), prompt_tokens, output_tokens), clients)


def serve_capped(settings: EngineSettings, plan: ReplicaPlan, table: RequestTable, at_once: int) -> Served:
    """Send each request of a table when it arrives and fewer than `at_once` are under way, in order.

    As `vllm bench serve --max-concurrency` does: a request's times count from when it was sent. Runs step by step: what
    is sent depends on what was answered.
    """
    env = simpy.Environment()
    size = len(table)
    first_s, last_s, sent_s = (np.full(size, np.nan) for _ in range(3))
    answered = [env.event() for _ in range(size)]
    lost = np.zeros(size, np.int64)
    free_s = [0.0]

    def on_finish(sequence: Sequence, at_s: float) -> None:
        index = sequence.index
        first_s[index] = sequence.first_token_s + plan.output_s
        last_s[index] = at_s + plan.output_s
        lost[index] = sequence.preemptions
        answered[index].succeed()

    replica = StepwiseReplica(
        env, settings, plan.num_gpu_blocks, plan.step_time, on_finish, lambda *_: None, groups=plan.groups
    )
    numbers = iter(range(size))

    def client() -> simpy.events.ProcessGenerator:
        for index in numbers:
            yield env.timeout(max(0.0, float(table.arrival_s[index]) - env.now))
            sent_s[index] = env.now
            prompt = int(table.prompt_tokens[index])
            ready_s = free_s[0] = max(env.now, free_s[0]) + plan.front_end_s(prompt)
            if not settings.serial_front_end:
                free_s[0] = 0.0
            replica.submit(_sequence(table, settings.block_size, index, ready_s))
            yield answered[index]
            yield env.timeout(max(0.0, last_s[index] - env.now))

    for _ in range(at_once):
        env.process(client())
    env.run()
    return Served(sent_s, first_s - sent_s, last_s - sent_s, table.output_tokens.astype(np.int64), lost)


def _sequence(table: RequestTable, block_size: int, index: int, ready_s: float) -> Sequence:
    sequence = Sequence(index, int(table.prompt_tokens[index]), int(table.output_tokens[index]), ready_s)
    prefix = int(table.prefix_id[index])
    if prefix >= 0:
        sequence.prefix = prefix
        sequence.shared_blocks = int(table.prefix_tokens[index]) // block_size
        sequence.outer = tuple((one, tokens // block_size) for one, tokens in table.nesting.outer(prefix))
    return sequence
