"""Identical replicas behind one address: who gets a request, who gave up, what is written down."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.monitor import LevelMeter
from simulator.engine.record import Outcome, Reason
from simulator.engine.replica import Replica
from simulator.engine.sequence import Sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from simpy import Environment, Event

    from simulator.engine.arrival import Arrival
    from simulator.engine.record import ReplicaLevels, RequestLog
    from simulator.performance.step_time import StepTimeModel
    from simulator.scenario.patterns import Cluster


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """What one replica of a cluster is made of.

    Attributes:
        step_time: How long a step takes.
        num_gpu_blocks: KV blocks, the null block included.
        frontend_base_s: Delay before the engine core sees a request (HTTP, tokenising).
        frontend_per_prompt_token_s: The part of it that grows with the prompt.
        output_s: Delay from the end of a step to the client.
    """

    step_time: StepTimeModel
    num_gpu_blocks: int
    frontend_base_s: float = 0.0
    frontend_per_prompt_token_s: float = 0.0
    output_s: float = 0.0


class ClusterBackend:
    """A cluster in a SimPy environment.

    Args:
        env: Simulation environment.
        cluster: The cluster's configuration.
        plan: What its replicas are made of.
        backend: Index written to the log.
        output_tokens: True output length of every request; only the engine uses it.
        log: Where outcomes are written.
        horizon_s: End of the simulation.
        timeout_s: A request not finished after this long is aborted and lost.
        on_lost: Takes a request that was refused or given up, with the reason.
    """

    def __init__(
        self,
        env: Environment,
        cluster: Cluster,
        plan: ReplicaPlan,
        *,
        backend: int,
        output_tokens: NDArray[np.int32],
        log: RequestLog,
        horizon_s: float,
        timeout_s: float | None,
        on_lost: Callable[[Arrival, Reason], None],
    ) -> None:
        self._env = env
        self._engine = cluster.engine
        self._plan = plan
        self._backend = backend
        self._output_tokens = output_tokens
        self._log = log
        self._timeout_s = timeout_s
        self._on_lost = on_lost
        self._deadlines: deque[tuple[float, int]] = deque()
        self._active: dict[int, tuple[Arrival, Sequence, int]] = {}
        self._load = [0] * cluster.replicas
        self._reserved_tokens = [0] * cluster.replicas
        self._replicas = [self._replica(horizon_s) for _ in range(cluster.replicas)]

    def _replica(self, horizon_s: float) -> Replica:
        def on_abort(sequence: Sequence, tokens: int) -> None:
            self._log.wasted_tokens[sequence.index] += tokens

        plan = self._plan
        return Replica(
            self._engine,
            plan.num_gpu_blocks,
            plan.step_time,
            LevelMeter(horizon_s),
            self._finish,
            on_abort,
        )

    @property
    def in_flight(self) -> int:
        """Requests taken and neither finished nor given up."""
        return len(self._active)

    def has_room(self, arrival: Arrival, max_in_flight: int | None) -> bool:
        """Whether a request could start now without waiting for another to end.

        Without a limit on requests in flight, room means that the prompt and `max_tokens` of everything sent to
        the least loaded replica fit its KV blocks, and that `max_num_seqs` is not reached.
        """
        number = self._least_loaded()
        if max_in_flight is not None:
            return len(self._active) < max_in_flight
        room = (self._plan.num_gpu_blocks - 1) * self._engine.block_size - self._reserved_tokens[number]
        return self._load[number] < self._engine.max_num_seqs and self._reservation(arrival) <= room

    def submit(self, arrival: Arrival) -> None:
        """Take a request now, or lose it when it cannot be served."""
        engine, plan, index = self._engine, self._plan, arrival.index
        now_s = self._env.now
        log = self._log
        log.backend[index] = self._backend
        log.enqueued_s[index] = now_s
        number = self._least_loaded()
        replica = self._replicas[number]
        room = engine.max_model_len - arrival.prompt_tokens
        if room < 1 or (engine.queue_limit is not None and replica.waiting >= engine.queue_limit):
            self._on_lost(arrival, Reason.ERROR if room < 1 else Reason.CAPACITY)
            return
        sequence = Sequence(
            index=index,
            prompt_tokens=arrival.prompt_tokens,
            output_tokens=min(int(self._output_tokens[index]), room),
            ready_s=now_s + plan.frontend_base_s + plan.frontend_per_prompt_token_s * arrival.prompt_tokens,
            priority=arrival.priority,
        )
        if arrival.prefix_id >= 0 and engine.prefix_caching:
            sequence.chain = replica.scheduler.kv.chain(arrival.prefix_id)
            sequence.shared_blocks = min(arrival.prefix_tokens, arrival.prompt_tokens) // engine.block_size
        self._active[index] = (arrival, sequence, number)
        self._load[number] += 1
        self._reserved_tokens[number] += self._reservation(arrival)
        replica.submit(sequence)
        if self._timeout_s is not None:
            self._deadlines.append((now_s + self._timeout_s, index))
            if len(self._deadlines) == 1:
                self._watch()

    def close(self, horizon_s: float) -> tuple[ReplicaLevels, ...]:
        """Stamp what is still under way and return the levels of every replica."""
        levels = tuple(replica.close(horizon_s) for replica in self._replicas)
        for _arrival, sequence, _number in self._active.values():
            self._stamp(sequence)
        return levels

    def _least_loaded(self) -> int:
        now_s = self._env.now
        for replica in self._replicas:
            replica.catch_up(now_s)
        load = self._load
        return load.index(min(load)) if len(load) > 1 else 0

    def _reservation(self, arrival: Arrival) -> int:
        return min(arrival.prompt_tokens + arrival.max_tokens, self._engine.max_model_len)

    def _forget(self, index: int) -> tuple[Arrival, Sequence, int]:
        arrival, sequence, number = self._active.pop(index)
        self._load[number] -= 1
        self._reserved_tokens[number] -= self._reservation(arrival)
        return arrival, sequence, number

    def _stamp(self, sequence: Sequence) -> None:
        log, index = self._log, sequence.index
        log.scheduled_s[index] = sequence.scheduled_s
        log.first_token_s[index] = sequence.first_token_s + self._plan.output_s
        log.cached_tokens[index] = max(sequence.cached_tokens, 0)
        log.preemptions[index] = sequence.preemptions

    def _finish(self, sequence: Sequence, at_s: float) -> None:
        log, index = self._log, sequence.index
        active = self._active.get(index)
        if active is None or active[1] is not sequence:
            # Its client had given up before the engine learnt of it.
            log.wasted_tokens[index] += sequence.total_tokens
            return
        self._forget(index)
        self._stamp(sequence)
        last_s = at_s + self._plan.output_s
        log.last_token_s[index] = last_s
        log.ended_s[index] = last_s
        log.outcome[index] = Outcome.COMPLETED

    def _watch(self) -> None:
        """Sleep until the oldest deadline; all are equally long, so one timer at a time is enough."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._active:
            deadlines.popleft()
        if deadlines:
            timer = self._env.timeout(max(0.0, deadlines[0][0] - self._env.now))
            timer.callbacks.append(self._expire)

    def _expire(self, _: Event) -> None:
        deadlines, now_s = self._deadlines, self._env.now
        self._least_loaded()
        while deadlines and (deadlines[0][1] not in self._active or deadlines[0][0] <= now_s):
            index = deadlines.popleft()[1]
            if index in self._active:
                arrival, sequence, number = self._forget(index)
                self._replicas[number].abort(sequence, now_s)
                self._on_lost(arrival, Reason.TIMEOUT)
        self._watch()
