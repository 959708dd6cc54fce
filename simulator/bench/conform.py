"""Whether our scheduler does what a recorded one did: every step, block, preemption and time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from math import isclose, isnan, nan
from operator import itemgetter
from typing import TYPE_CHECKING

import simpy

from simulator.engine.kv_cache import PrefixChain
from simulator.engine.monitor import LevelMeter
from simulator.engine.replica import Replica
from simulator.engine.sequence import Sequence
from simulator.engine.stepwise import StepReport, StepwiseReplica
from simulator.performance.step_time import LinearStepTime
from simulator.scenario.patterns import EngineSettings

if TYPE_CHECKING:
    from collections.abc import Generator

    from simulator.bench.recording import Recording, Step

RELATIVE = 1e-9


@dataclass(frozen=True, slots=True)
class Conformity:
    """Result of one recorded run.

    The coalesced replica may differ where vLLM keeps two copies of a prefix block and it keeps one: when two
    sequences compute the block at once, or a prompt that is all prefix recomputes its last block.

    Attributes:
        steps: Steps it recorded.
        differing_steps: Numbers of the steps in which the step-by-step replica did something else.
        differing_requests: Requests whose times, cache hits or preemptions differ in the step-by-step replica.
        coalesced_requests: Those that differ in the coalesced replica.
        coalesced_steps: Steps the coalesced replica took.
        first: What the first difference is.
    """

    steps: int
    differing_steps: list[int]
    differing_requests: list[int]
    coalesced_requests: list[int]
    coalesced_steps: int
    first: str | None

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        by_step = not self.differing_steps and not self.differing_requests
        return by_step and not self.coalesced_requests and self.coalesced_steps == self.steps


def conform(recording: Recording) -> Conformity:
    """Replay a recorded run step by step and coalesced, and compare."""
    reports: list[StepReport] = []
    slow, slow_finish, _ = _play(recording, reports)
    fast, fast_finish, fast_steps = _play(recording, None)
    differing = [
        number
        for number, (theirs, ours) in enumerate(zip(recording.steps, reports, strict=False))
        if not _same_step(theirs, ours)
    ]
    shorter, longer = sorted((len(recording.steps), len(reports)))
    differing += range(shorter, longer)
    requests, coalesced = (
        [row.idx for row in recording.requests if not _same(recording, row.idx, sequences, finish)]
        for sequences, finish in ((slow, slow_finish), (fast, fast_finish))
    )
    first = None
    if differing and differing[0] < shorter:
        first = f"step {differing[0]}: recorded {recording.steps[differing[0]]}, ours {reports[differing[0]]}"
    return Conformity(len(recording.steps), differing, requests, coalesced, fast_steps, first)


def _same_step(theirs: Step, ours: StepReport) -> bool:
    times = (theirs.t_sched, ours.scheduled_s), (theirs.start, ours.start_s), (theirs.end, ours.end_s)
    return (
        theirs.items == ours.items
        and sorted(theirs.preempted) == sorted(ours.preempted)
        and (theirs.running, theirs.waiting, theirs.used_blocks) == (ours.running, ours.waiting, ours.used_blocks)
        and all(isclose(a, b, rel_tol=RELATIVE, abs_tol=RELATIVE) for a, b in times)
    )


def _same(recording: Recording, index: int, sequences: list[Sequence], finish: dict[int, float]) -> bool:
    row, sequence = recording.requests[index], sequences[index]
    arrival = recording.inputs[index].arrival
    # What an aborted request would have got, had it waited, is known to the replica and to nobody else.
    abort_s = recording.inputs[index].abort if index not in finish else None
    times = (
        (row.queue, sequence.scheduled_s - arrival),
        (row.ttft, sequence.first_token_s - arrival),
        (row.finish, finish.get(index, nan)),
    )
    return (
        all(_same_time(a, b, None if abort_s is None else abort_s - arrival) for a, b in times)
        and row.cached_tokens == max(sequence.cached_tokens, 0)
        and row.preemptions == sequence.preemptions
    )


def _same_time(theirs: float | None, ours: float, given_up_s: float | None) -> bool:
    if theirs is None:
        return isnan(ours) or (given_up_s is not None and ours >= given_up_s)
    return isclose(theirs, ours, rel_tol=RELATIVE, abs_tol=RELATIVE)


def _play(recording: Recording, reports: list[StepReport] | None) -> tuple[list[Sequence], dict[int, float], int]:
    """Replay through the step-by-step replica, or the coalesced one when no reports are asked for."""
    config = recording.config
    settings = EngineSettings.model_construct(
        **(EngineSettings().model_dump() | config.model_dump(include=set(EngineSettings.model_fields)))
    )
    step_time = LinearStepTime(**recording.step_time.model_dump())
    launch_s = config.overhead
    env = simpy.Environment()
    finish: dict[int, float] = {}

    def on_finish(sequence: Sequence, at_s: float) -> None:
        finish[sequence.index] = at_s

    def on_abort(_sequence: Sequence, _tokens: int) -> None:
        """What it cost is not recorded."""

    replica: Replica | StepwiseReplica
    if reports is None:
        if not config.async_scheduling:
            step_time, launch_s = replace(step_time, base_s=step_time.base_s + launch_s), 0.0
        replica = Replica(settings, config.num_gpu_blocks, step_time, LevelMeter(1.0), on_finish, on_abort, launch_s)
    else:
        replica = StepwiseReplica(
            env, settings, config.num_gpu_blocks, step_time, on_finish, on_abort, reports.append, launch_s
        )
    sequences = _sequences(recording)

    news = sorted(
        [(sequence.ready_s, 0, sequence) for sequence in sequences]
        + [(e.abort, 1, s) for s, e in zip(sequences, recording.inputs, strict=True) if e.abort is not None]
    )

    def clients() -> Generator[simpy.Event, object, None]:
        # What arrives at one moment is there before the engine looks, and a client gives up what it has sent.
        for at_s, together in groupby(news, key=itemgetter(0)):
            yield env.timeout(max(0.0, at_s - env.now))
            if isinstance(replica, Replica):
                replica.catch_up(env.now)
            for _, gives_up, sequence in together:
                if not gives_up:
                    replica.submit(sequence)
                elif sequence.index not in finish:
                    replica.abort(sequence, env.now)

    env.process(clients())
    env.run()
    if isinstance(replica, Replica):
        replica.finish()
    return sequences, finish, replica.steps


def _sequences(recording: Recording) -> list[Sequence]:
    chains: dict[int, PrefixChain] = {}
    sequences = []
    for index, entry in enumerate(recording.inputs):
        sequence = Sequence(index, entry.prompt_len, entry.output_len, entry.arrival, entry.priority)
        if entry.prefix_id is not None and recording.config.prefix_caching:
            sequence.chain = chains.setdefault(entry.prefix_id, PrefixChain())
            sequence.shared_blocks = min(entry.prefix_len, entry.prompt_len) // recording.config.block_size
        sequences.append(sequence)
    return sequences
