"""Law 11: the compiled engine and the step-by-step reference give the same times, preemptions and blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.ledger import Ledger
from simulator.engine.record import Outcome, Reason
from simulator.engine.vllm.acceptance import streams
from simulator.engine.vllm.fleet import Fleet
from simulator.engine.vllm.plan import ReplicaPlan
from simulator.engine.vllm.sequence import Sequence
from simulator.engine.vllm.stepwise import StepwiseReplica
from simulator.performance.kv_groups import KvGroup
from simulator.performance.lora import FREE
from simulator.performance.profile import read_profile
from simulator.performance.step_time import ConstantStepTime, LinearStepTime, ProfiledStepTime
from simulator.scenario.patterns import EngineSettings
from simulator.scenario.speculation import SpeculativeDecoding
from simulator.trace.nesting import Nesting
from simulator.trace.request_table import RequestTable

MAX_MODEL_LEN = 96
#: Prefixes that begin with others: two begin with the first, and a third with one of them.
NESTED = {3: ((0, 20),), 4: ((0, 20), (3, 37)), 5: ((0, 9),), 8: ((0, 9),)}
LINEAR = LinearStepTime(base_s=0.007, per_prefill_token_s=1.1e-5, per_decode_request_s=1.3e-4, per_kv_token_s=1.7e-8)
PROFILE = read_profile("llama-3.1-8b-bf16-a100-80gb-x1")
STEP_TIMES = {
    "linear": LINEAR,
    "constant": ConstantStepTime(0.011),
    "profiled": ProfiledStepTime(PROFILE, 128, 2048),
    "slower beside prompts": ProfiledStepTime(
        PROFILE.model_copy(
            update={
                "mixed_decode_attention": PROFILE.decode_attention.scaled(3.0),
                "mixed_decode_attention_per_kv_token": PROFILE.decode_attention_per_kv_token.scaled(500.0),
            }
        ),
        128,
        2048,
    ),
    # Requests of up to 96 tokens are on both sides of the window, and what grows on either side is most of a step.
    "a window": ProfiledStepTime(
        PROFILE.model_copy(
            update={
                "decode_attention_per_kv_token": PROFILE.decode_attention_per_kv_token.scaled(900.0),
                "window_attention_per_kv_token": PROFILE.decode_attention_per_kv_token.scaled(700.0),
                "window_tokens": 30,
            }
        ),
        128,
        2048,
    ),
}
NOTHING_ACCEPTED = SpeculativeDecoding(
    method="ngram",
    num_speculative_tokens=1,
    acceptance_rates=[0.0],
    acceptance_source="a test",
    draft_step_share=0.0,
)


@dataclass(frozen=True)
class Ask:
    gap_s: float
    prompt_tokens: int
    output_tokens: int
    priority: int
    prefix: int
    prefix_tokens: int
    abort_after_s: float | None
    adapter: str | None = None
    thinking_tokens: int = 0
    goes_on: bool = False

    @property
    def shared_tokens(self):
        """The prefix, with the answer where a next turn begins with it."""
        own = self.output_tokens if self.goes_on else 0
        return min(self.prefix_tokens, self.prompt_tokens) + own


@st.composite
def conversations(draw):
    """Turns of several conversations, also such as come before the answer that they begin with."""
    said, made = {6: 0, 7: 0, 8: 9}, []
    for ask in draw(st.lists(asks, min_size=1, max_size=30)):
        prefix = draw(st.sampled_from(sorted(said)))
        prompt = said[prefix] + 1 + ask.prompt_tokens % 13
        output = 1 + ask.output_tokens % 24
        if prompt + output > MAX_MODEL_LEN:
            made.append(ask)
            continue
        goes_on = ask.thinking_tokens == 0
        made.append(
            replace(
                ask, prompt_tokens=prompt, output_tokens=output, prefix=prefix, prefix_tokens=prompt, goes_on=goes_on
            )
        )
        said[prefix] = prompt + (output if goes_on else 0)
    return made


asks = st.builds(
    Ask,
    gap_s=st.floats(0.0, 0.3).map(lambda gap: round(gap, 4) + 0.000137),
    prompt_tokens=st.integers(1, 60),
    output_tokens=st.integers(1, 36),
    priority=st.integers(1, 3),
    prefix=st.integers(-2, 5),
    prefix_tokens=st.integers(1, 60),
    abort_after_s=st.one_of(st.none(), st.none(), st.none(), st.floats(0.001, 1.0).map(lambda s: s + 0.000011)),
    thinking_tokens=st.sampled_from([0, 0, 1, 2, 5, 9, 17, 30, 36]),
)


def engine(blocks, size, seqs, budget, caching, policy, threshold, asynchronous, reserve, watermark, chunked, limit):
    settings = EngineSettings(
        block_size=size,
        max_num_seqs=seqs,
        max_num_batched_tokens=max(budget, seqs, 0 if chunked else MAX_MODEL_LEN),
        max_model_len=MAX_MODEL_LEN,
        chunked_prefill=chunked,
        prefix_caching=caching,
        policy=policy,
        long_prefill_token_threshold=threshold,
        async_scheduling=asynchronous,
        reserve_full_isl=reserve,
        watermark=watermark,
        queue_limit=limit,
    )
    return max(blocks, -(-MAX_MODEL_LEN // size) + 1), settings


engines = st.builds(
    engine,
    blocks=st.integers(8, 60),
    size=st.sampled_from([8, 16]),
    seqs=st.integers(1, 12),
    budget=st.integers(8, 128),
    caching=st.booleans(),
    policy=st.sampled_from(["fcfs", "priority"]),
    threshold=st.sampled_from([0, 10, 25]),
    asynchronous=st.booleans(),
    reserve=st.booleans(),
    watermark=st.sampled_from([0.0, 0.05]),
    chunked=st.booleans(),
    limit=st.sampled_from([None, None, 1, 4]),
)


@dataclass
class Fate:
    """What a request saw; NaN where nothing came of it."""

    scheduled_s: float = np.nan
    first_token_s: float = np.nan
    first_answer_s: float = np.nan
    last_token_s: float = np.nan
    cached_tokens: int = 0
    preemptions: int = 0
    wasted_tokens: int = 0
    lost: Reason = Reason.NONE


def in_coalescing_engine(asks, settings, blocks, step_time, launch_s, timeout_s, front_end_s=0.0, groups=(), lora=FREE):
    adapters = sorted({ask.adapter for ask in asks if ask.adapter is not None})
    numbers = [0 if ask.adapter is None else 1 + adapters.index(ask.adapter) for ask in asks]
    arrival_s = np.cumsum([ask.gap_s for ask in asks])
    size = len(asks)
    table = RequestTable(
        workloads=("asks", *adapters),
        arrival_s=arrival_s,
        workload=np.array(numbers, np.int16),
        prompt_tokens=np.array([ask.prompt_tokens for ask in asks], np.int32),
        output_tokens=np.array([ask.output_tokens for ask in asks], np.int32),
        max_tokens=np.full(size, MAX_MODEL_LEN, np.int32),
        prefix_id=np.array(
            [ask.prefix + 10 * number if ask.prefix >= 0 else -1 for ask, number in zip(asks, numbers, strict=True)],
            np.int32,
        ),
        prefix_tokens=np.array([ask.shared_tokens for ask in asks], np.int32),
        priority=np.array([ask.priority for ask in asks], np.int8),
        thinking_tokens=np.array([ask.thinking_tokens for ask in asks], np.int32),
        nesting=Nesting.of(np.array([*NESTED]), *np.array([outer[-1] for outer in NESTED.values()]).T),
    )
    plan = ReplicaPlan(step_time, blocks, front_end_s, front_end_s / 50, launch_s=launch_s, groups=groups, lora=lora)
    ledger = Ledger(table)
    log = ledger.log
    own = [None, *adapters] if settings.lora is not None else None
    fleet = Fleet(settings, plan, ledger, replicas=1, horizon_s=5000.0, timeout_s=timeout_s, adapters=own)
    losses = []
    cancels = sorted(
        (at_s + ask.abort_after_s, index)
        for index, (at_s, ask) in enumerate(zip(arrival_s, asks, strict=True))
        if ask.abort_after_s
    )
    for at_s, index in cancels:
        losses += fleet.run(size, at_s)
        fleet.look(at_s)
        if fleet.cancel(index, at_s):
            losses.append((at_s, index, Reason.ERROR, True))
    losses += fleet.run(size, inf)
    fleet.look(inf)
    names = (
        "scheduled_s",
        "first_token_s",
        "first_answer_s",
        "last_token_s",
        "cached_tokens",
        "preemptions",
        "wasted_tokens",
    )
    log.first_answer_s[log.first_answer_s == 0.0] = np.nan
    fates = [Fate(*row) for row in zip(*(getattr(log, name).tolist() for name in names), strict=True)]
    for _, index, reason, _ in losses:
        fates[index].lost = reason
    assert (log.outcome[[fate.lost == Reason.NONE for fate in fates]] == Outcome.COMPLETED).all()
    level = fleet.close(5000.0)[0]
    return fates, level.steps, level.preemptions, fleet.free_blocks[0]


def step_by_step(asks, settings, blocks, step_time, launch_s, timeout_s, front_end_s=0.0, groups=(), lora=FREE):
    env = simpy.Environment()
    free_s = 0.0
    drawn_from = streams(
        np.cumsum([ask.gap_s for ask in asks]),
        np.array([ask.prompt_tokens for ask in asks]),
        np.array([ask.output_tokens for ask in asks]),
    ).tolist()
    drafts, lookahead = settings.speculative, 0
    if drafts is not None and settings.prefix_caching:
        lookahead = drafts.hash_lookahead_tokens
    fates = [Fate() for _ in asks]

    def on_finish(sequence, at_s):
        fate = fates[sequence.index]
        if fate.lost:
            fate.wasted_tokens += sequence.prompt_tokens + sequence.output_tokens - 1
            return
        fate.scheduled_s, fate.first_token_s, fate.last_token_s = sequence.scheduled_s, sequence.first_token_s, at_s
        fate.first_answer_s = sequence.first_answer_s
        fate.cached_tokens, fate.preemptions = sequence.cached_tokens, sequence.preemptions

    def on_abort(sequence, tokens):
        fates[sequence.index].wasted_tokens += tokens

    replica = StepwiseReplica(
        env, settings, blocks, step_time, on_finish, on_abort, launch_s=launch_s, groups=groups, lora=lora
    )

    def abort(sequence, after_s, reason):
        yield env.timeout(after_s)
        fate = fates[sequence.index]
        if np.isnan(fate.last_token_s) and not fate.lost:
            fate.lost = reason
            replica.abort(sequence)

    def arrive():
        nonlocal free_s
        for index, ask in enumerate(asks):
            yield env.timeout(ask.gap_s)
            if settings.queue_limit is not None and replica.waiting >= settings.queue_limit:
                fates[index].lost = Reason.CAPACITY
                continue
            begins_s = max(env.now, free_s) if settings.serial_front_end else env.now
            ready_s = free_s = begins_s + front_end_s + front_end_s / 50 * ask.prompt_tokens
            sequence = Sequence(index, ask.prompt_tokens, ask.output_tokens, ready_s, ask.priority)
            sequence.stream = drawn_from[index]
            sequence.thinking_tokens = ask.thinking_tokens
            if ask.prefix >= 0 and settings.prefix_caching:
                sequence.prefix = ask.prefix
                size = settings.block_size
                sequence.shared_blocks = (ask.shared_tokens - lookahead) // size
                nested = NESTED.get(ask.prefix, ()) if ask.adapter is None else ()
                sequence.outer = tuple((one, (tokens - lookahead) // size) for one, tokens in nested)
            sequence.adapter = ask.adapter
            replica.submit(sequence)
            if timeout_s is not None:
                env.process(abort(sequence, timeout_s, Reason.TIMEOUT))
            if ask.abort_after_s is not None:
                env.process(abort(sequence, ask.abort_after_s, Reason.ERROR))

    env.process(arrive())
    env.run(until=5000)
    return fates, replica.steps, replica.preemptions, len(replica.pool.free)


def compare(*case):
    fast, fast_steps, fast_preemptions, fast_free = in_coalescing_engine(*case)
    slow, slow_steps, slow_preemptions, slow_free = step_by_step(*case)
    for one, other in zip(fast, slow, strict=True):
        for name in ("scheduled_s", "first_token_s", "first_answer_s", "last_token_s"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9, nan_ok=True), name
        for name in ("cached_tokens", "preemptions", "wasted_tokens", "lost"):
            assert getattr(one, name) == getattr(other, name), name
    assert (fast_steps, fast_preemptions) == (slow_steps, slow_preemptions)
    assert fast_free == slow_free == case[2] - 1


@settings(max_examples=200)
@given(
    asks=st.lists(asks, min_size=1, max_size=25),
    engine=engines,
    step_time=st.sampled_from(sorted(STEP_TIMES)),
    launch_s=st.sampled_from([0.0, 0.0, 0.0017]),
    timeout_s=st.one_of(st.none(), st.none(), st.floats(0.05, 2.0).map(lambda s: round(s, 3) + 0.000043)),
)
def test_same_as_step_by_step(asks, engine, step_time, launch_s, timeout_s):
    blocks, engine_settings = engine
    launch_s = launch_s if engine_settings.async_scheduling else 0.0
    compare(asks, engine_settings, blocks, STEP_TIMES[step_time], launch_s, timeout_s)


@settings(max_examples=100)
@given(
    asks=conversations(),
    engine=engines,
    launch_s=st.sampled_from([0.0, 0.0, 0.0017]),
    timeout_s=st.one_of(st.none(), st.none(), st.floats(0.05, 2.0).map(lambda s: round(s, 3) + 0.000043)),
)
def test_answers_are_found_by_the_next_turn(asks, engine, launch_s, timeout_s):
    blocks, engine_settings = engine
    engine_settings = engine_settings.model_copy(update={"prefix_caching": True})
    launch_s = launch_s if engine_settings.async_scheduling else 0.0
    compare(asks, engine_settings, blocks, STEP_TIMES["linear"], launch_s, timeout_s)


@st.composite
def mixed_groups(draw):
    """What the groups of a model keep: a tuple of (kind, block sizes, span)."""
    made = []
    for kind in draw(st.lists(st.sampled_from(["full", "window", "window", "chunk", "state"]), min_size=1, max_size=3)):
        span = draw(st.integers(2, 40)) if kind == "window" else draw(st.integers(1, 5)) * 8
        made += [(kind, draw(st.sampled_from([1, 1, 2])), span)] * draw(st.sampled_from([1, 1, 2, 5]))
    return made if any(kind != "state" for kind, _, _ in made) else [*made, ("full", 1, None)]


@settings(max_examples=150)
@given(
    asks=st.lists(asks, min_size=1, max_size=25),
    engine=engines,
    mixed=mixed_groups(),
    spare=st.sampled_from([0, 0, 1, 7, 40]),
    launch_s=st.sampled_from([0.0, 0.0, 0.0017]),
    timeout_s=st.one_of(st.none(), st.none(), st.floats(0.05, 2.0).map(lambda s: round(s, 3) + 0.000043)),
)
def test_groups_of_layers_that_keep_different_things(asks, engine, mixed, spare, launch_s, timeout_s):
    engine_settings = engine[1].model_copy(update={"prefix_caching": False})
    groups = tuple(
        KvGroup(
            kind,
            engine_settings.block_size * sizes,
            span if kind in {"window", "chunk"} else None,
            1 if kind == "state" else 0,
        )
        for kind, sizes, span in mixed
    )
    in_flight = engine_settings.max_num_batched_tokens * (2 if engine_settings.async_scheduling else 1)
    # One request of the greatest length fits, as vLLM asks at its start, wherever in a block its chunks begin.
    blocks = sum(group.straddled(MAX_MODEL_LEN, in_flight) for group in groups) + 1 + spare
    launch_s = launch_s if engine_settings.async_scheduling else 0.0
    compare(asks, engine_settings, blocks, STEP_TIMES["linear"], launch_s, timeout_s, 0.0, groups)


@settings(max_examples=60)
@given(
    asks=st.lists(asks, min_size=1, max_size=25),
    engine=engines,
    serial=st.booleans(),
    front_end_s=st.sampled_from([0.0, 0.0053, 0.051]),
)
def test_prompts_pass_the_front_end_side_by_side_or_one_after_the_other(asks, engine, serial, front_end_s):
    blocks, engine_settings = engine
    engine_settings = engine_settings.model_copy(update={"serial_front_end": serial})
    compare(asks, engine_settings, blocks, STEP_TIMES["linear"], 0.0, None, front_end_s)


def test_an_empty_step_in_flight_lets_two_steps_be_scheduled_in_one_breath():
    """Prompts arrive while the last token of the only sequence is in flight, more of them than one step takes."""
    sizes = [(0.000137, 1, 21), *[(0.000137, 1, 1)] * 5, (0.242337, 25, 1), (0.000137, 36, 1), (0.000137, 36, 1)]
    asks = [Ask(gap_s, prompt, output, 1, 0, 1, None) for gap_s, prompt, output in sizes]
    blocks, settings = engine(9, 16, 3, 8, False, "fcfs", 0, True, False, 0.0, False, None)
    compare(asks, settings, blocks, STEP_TIMES["profiled"], 0.0017, None)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("speculative", [None, NOTHING_ACCEPTED], ids=["plain", "drafts"])
def test_behind_a_request_aborted_with_its_step_in_flight(speculative, asynchronous):
    """By hand, in steps of 11 ms and 1.7 ms to launch one; the first client gives up in its second step.

    vLLM's `finish_requests` puts the aborted one among `finished_req_ids`, so that `has_requests` holds with nothing
    left to run, and `step_with_batch_queue` queues an empty step behind the third, in flight until 534.7 ms. The
    request that comes meanwhile is the second in the queue then, and the loop does not come back to look for more
    until it has scheduled another step behind that one. A synchronous engine has forgotten all of it by 522 ms.
    """
    asks = [Ask(0.5, 10, 6, 1, -1, 1, 0.015), Ask(0.03, 10, 1, 1, -1, 1, None), Ask(0.0057, 10, 1, 1, -1, 1, None)]
    settings = EngineSettings(
        max_num_seqs=2, max_model_len=96, prefix_caching=False, async_scheduling=asynchronous, speculative=speculative
    )
    expected = [(0.5347, 0.5474), (0.5474, 0.5601)] if asynchronous else [(0.53, 0.541), (0.541, 0.552)]
    case = asks, settings, 40, ConstantStepTime(0.011), 0.0017 if asynchronous else 0.0, None
    for replay in (in_coalescing_engine, step_by_step):
        fates, steps, _, _ = replay(*case)
        found = [(fate.scheduled_s, fate.last_token_s) for fate in fates[1:]]
        assert found == [pytest.approx(times, abs=1e-9) for times in expected], replay.__name__
        assert (fates[0].lost, steps) == (Reason.ERROR, 5 if asynchronous else 4)
    compare(*case)
