"""Whether our scheduler does what a recorded one did: every step, block, preemption and time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf, isclose, isnan, nan, nextafter
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import simpy

from simulator.engine.ledger import Ledger
from simulator.engine.vllm.acceptance import streams
from simulator.engine.vllm.fleet import Fleet
from simulator.engine.vllm.plan import ReplicaPlan
from simulator.engine.vllm.sequence import Sequence, StepReport
from simulator.engine.vllm.stepwise import StepwiseReplica
from simulator.performance.kv_groups import KvGroup
from simulator.performance.step_time import LinearStepTime
from simulator.scenario.lora import LoraSettings
from simulator.scenario.patterns import EngineSettings
from simulator.scenario.speculation import SpeculativeDecoding
from simulator.trace.nesting import Nesting
from simulator.trace.request_table import RequestTable

if TYPE_CHECKING:
    from collections.abc import Generator

    from simulator.bench.recording import Input, Recording, Step

RELATIVE = 1e-9
#: Steps beyond twice the recorded ones after which a replay ends.
_MORE_STEPS = 10_000


class _Enough(Exception):
    """A replay that does so much more than was recorded does something else, whatever follows."""


class _Fate(NamedTuple):
    """What became of a request."""

    scheduled_s: float
    first_token_s: float
    last_token_s: float
    cached_tokens: int
    preemptions: int


@dataclass(frozen=True, slots=True)
class Conformity:
    """Result of one recorded run.

    Attributes:
        steps: Steps it recorded.
        differing_steps: Numbers of the steps in which the step-by-step replica did something else.
        differing_requests: Requests whose times, cache hits or preemptions differ in the step-by-step replica.
        coalesced_requests: Those that differ in the coalesced replica.
        coalesced_steps: Steps the coalesced replica took; none where it does not do what was recorded: prefixes cached
            by group.
        first: What the first difference is.
    """

    steps: int
    differing_steps: list[int]
    differing_requests: list[int]
    coalesced_requests: list[int]
    coalesced_steps: int | None
    first: str | None

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        by_step = not self.differing_steps and not self.differing_requests
        return by_step and not self.coalesced_requests and self.coalesced_steps in {None, self.steps}


def conform(recording: Recording) -> Conformity:
    """Replay a recorded run step by step and coalesced, and compare."""
    reports: list[StepReport] = []
    slow = _step_by_step(recording, reports)
    by_group = bool(recording.config.groups)
    fast, fast_steps = (slow, None) if by_group and recording.config.prefix_caching else _coalesced(recording)
    differing = [
        number
        for number, (theirs, ours) in enumerate(zip(recording.steps, reports, strict=False))
        if not _same_step(theirs, ours)
    ]
    shorter, longer = sorted((len(recording.steps), len(reports)))
    differing += range(shorter, longer)
    requests, coalesced = (
        [row.idx for row in recording.requests if not _same(recording, row.idx, fates[row.idx])]
        for fates in (slow, fast)
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


def _same(recording: Recording, index: int, fate: _Fate | None) -> bool:
    row, entry = recording.requests[index], recording.inputs[index]
    if fate is None:
        # The engine learns of it at its next decision point, and may have finished by then.
        return row.finish is None or (entry.abort is not None and row.finish > entry.abort)
    # What an aborted request would have got, had it waited, is known to the replica and to nobody else.
    given_up_s = None if entry.abort is None or row.finish is not None else entry.abort - entry.arrival
    times = (
        (row.queue, fate.scheduled_s - entry.arrival),
        (row.ttft, fate.first_token_s - entry.arrival),
        (row.finish, fate.last_token_s),
    )
    return (
        all(_same_time(a, b, given_up_s) for a, b in times)
        and row.cached_tokens == fate.cached_tokens
        and row.preemptions == fate.preemptions
    )


def _same_time(theirs: float | None, ours: float, given_up_s: float | None) -> bool:
    if theirs is None:
        return isnan(ours) or (given_up_s is not None and ours >= given_up_s)
    return isclose(theirs, ours, rel_tol=RELATIVE, abs_tol=RELATIVE)


def _settings(recording: Recording) -> EngineSettings:
    known = recording.config.model_dump(include=set(EngineSettings.model_fields))
    known["speculative"] = _drafts(recording)
    if recording.config.max_loras is not None:
        known["lora"] = LoraSettings(max_loras=recording.config.max_loras)
    return EngineSettings.model_construct(**(EngineSettings().model_dump() | known))


def _drafts(recording: Recording) -> SpeculativeDecoding | None:
    """Speculative decoding of a recorded run, whose step time has no drafter in it."""
    drafts = recording.config.speculative
    if drafts is None:
        return None
    return SpeculativeDecoding(**drafts.model_dump(), acceptance_source="recorded", draft_step_share=0.0)


def _groups(recording: Recording) -> tuple[KvGroup, ...]:
    return tuple(
        KvGroup(one.kind, one.block_size, one.span, 1 if one.kind == "state" else 0) for one in recording.config.groups
    )


def _step_by_step(recording: Recording, reports: list[StepReport]) -> list[_Fate]:
    """Replay through the step-by-step replica."""
    config = recording.config
    env = simpy.Environment()
    finish: dict[int, float] = {}

    def on_finish(sequence: Sequence, at_s: float) -> None:
        finish[sequence.index] = at_s

    def on_abort(_sequence: Sequence, _tokens: int) -> None:
        """What it cost is not recorded."""

    most = 2 * len(recording.steps) + _MORE_STEPS

    def on_step(report: StepReport) -> None:
        reports.append(report)
        if len(reports) >= most:
            raise _Enough

    replica = StepwiseReplica(
        env,
        _settings(recording),
        config.num_gpu_blocks,
        LinearStepTime(**recording.step_time.model_dump()),
        on_finish,
        on_abort,
        on_step,
        config.overhead,
        _groups(recording),
    )
    sequences = _sequences(recording)

    # Those of one moment come in the order recorded: a priority is for the scheduler to heed, or not.
    news = sorted(
        [(sequence.ready_s, 0, sequence) for sequence in sequences]
        + [(e.abort, 1, s) for s, e in zip(sequences, recording.inputs, strict=True) if e.abort is not None],
        key=itemgetter(0, 1),
    )

    def clients() -> Generator[simpy.Event, object, None]:
        # What arrives at one moment is there before the engine looks, and a client gives up what it has sent.
        for at_s, together in groupby(news, key=itemgetter(0)):
            yield env.timeout(max(0.0, at_s - env.now))
            for _, gives_up, sequence in together:
                if not gives_up:
                    replica.submit(sequence)
                elif sequence.index not in finish:
                    replica.abort(sequence)

    env.process(clients())
    with suppress(_Enough):
        env.run()
    return [
        _Fate(
            one.scheduled_s,
            one.first_token_s,
            finish.get(one.index, nan),
            max(one.cached_tokens, 0),
            one.preemptions,
        )
        for one in sequences
    ]


def _sequences(recording: Recording) -> list[Sequence]:
    sequences = []
    drafts = _drafts(recording)
    lookahead = 0 if drafts is None else drafts.hash_lookahead_tokens
    table = _table(recording.inputs)
    drawn_from = streams(table.arrival_s, table.prompt_tokens, table.output_tokens).tolist()
    for index, entry in enumerate(recording.inputs):
        sequence = Sequence(index, entry.prompt_len, entry.output_len, entry.arrival, entry.priority)
        sequence.stream = drawn_from[index]
        sequence.adapter = entry.adapter
        if entry.prefix_id is not None and recording.config.prefix_caching:
            sequence.prefix = entry.prefix_id
            size = recording.config.block_size
            sequence.shared_blocks = max(0, entry.prefix_len - lookahead) // size
            sequence.outer = tuple((identity, (tokens - lookahead) // size) for identity, tokens in entry.outer)
        sequences.append(sequence)
    return sequences


def _coalesced(recording: Recording) -> tuple[list[_Fate | None], int]:
    """Replay through the engine; its fates, none where the client gave up, and the steps it took."""
    config = recording.config
    step_time, launch_s = LinearStepTime(**recording.step_time.model_dump()), config.overhead
    if not config.async_scheduling:
        step_time, launch_s = replace(step_time, base_s=step_time.base_s + launch_s), 0.0
    order = sorted(range(len(recording.inputs)), key=lambda index: recording.inputs[index].arrival)
    ledger = Ledger(_table([recording.inputs[index] for index in order]))
    plan = ReplicaPlan(step_time, config.num_gpu_blocks, launch_s=launch_s, groups=_groups(recording))
    adapters = [name if name in _adapters(recording.inputs) else None for name in ledger.table.workloads]
    fleet = Fleet(_settings(recording), plan, ledger, replicas=1, horizon_s=1.0, adapters=adapters)
    aborts = sorted(
        (entry.abort, row)
        for row, entry in enumerate(recording.inputs[index] for index in order)
        if entry.abort is not None
    )
    given_up = set()
    for at_s, together in groupby(aborts, key=itemgetter(0)):
        _run(fleet, len(order), at_s)
        fleet.look(at_s)
        _run(fleet, len(order), nextafter(at_s, inf))
        given_up |= {row for _, row in together if fleet.cancel(row, at_s)}
    _run(fleet, len(order), inf)
    fleet.look(inf)
    rows = zip(*(getattr(ledger.log, name).tolist() for name in _Fate._fields), strict=True)
    fates: list[_Fate | None] = [None] * len(order)
    for row, (index, logged) in enumerate(zip(order, rows, strict=True)):
        if row not in given_up:
            fates[index] = _Fate(*logged)
    return fates, fleet.levels()[0].steps


def _run(fleet: Fleet, end: int, until_s: float) -> None:
    if list(fleet.run(end, until_s)):
        raise AssertionError("a recorded run refuses nothing")


def _table(inputs: list[Input]) -> RequestTable:
    prompts = np.array([entry.prompt_len for entry in inputs], np.int32)
    outputs = np.array([entry.output_len for entry in inputs], np.int32)
    adapters = _adapters(inputs)
    prefixes = [-1 if entry.prefix_id is None else _of_adapter(inputs, entry, entry.prefix_id) for entry in inputs]
    return RequestTable(
        workloads=("recorded", *adapters),
        arrival_s=np.array([entry.arrival for entry in inputs]),
        workload=np.array([_number(adapters, entry) for entry in inputs], np.int16),
        prompt_tokens=prompts,
        output_tokens=outputs,
        max_tokens=outputs,
        prefix_id=np.array(prefixes, np.int32),
        prefix_tokens=np.array([entry.prefix_len for entry in inputs], np.int32),
        priority=np.unique([entry.priority for entry in inputs], return_inverse=True)[1].astype(np.int8),
        nesting=_nesting(inputs),
    )


def _adapters(inputs: list[Input]) -> list[str]:
    """The adapters of a recorded run, each of which stands for a workload."""
    return [f"adapter_{one}" for one in sorted({entry.adapter for entry in inputs if entry.adapter is not None})]


def _number(adapters: list[str], entry: Input) -> int:
    """The workload that stands for the adapter of a request; 0 for none."""
    return 0 if entry.adapter is None else 1 + adapters.index(f"adapter_{entry.adapter}")


def _of_adapter(inputs: list[Input], entry: Input, prefix: int) -> int:
    """A prefix as the adapter of a request computes it, which is another one for each adapter."""
    adapters = _adapters(inputs)
    return prefix * (1 + len(adapters)) + _number(adapters, entry)


def _nesting(inputs: list[Input]) -> Nesting:
    """What the recorded prefixes begin with: each with the last before it."""
    found: dict[int, tuple[int, int]] = {}
    for entry in inputs:
        if entry.prefix_id is not None and entry.outer:
            outer = [(_of_adapter(inputs, entry, identity), tokens) for identity, tokens in entry.outer]
            identities = [*(identity for identity, _ in outer), _of_adapter(inputs, entry, entry.prefix_id)]
            found |= dict(zip(identities[1:], outer, strict=True))
    outer_id, tokens = np.array([*found.values()], np.int32).reshape(-1, 2).T
    return Nesting.of(np.array([*found], np.int32), outer_id, tokens)
