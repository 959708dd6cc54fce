"""Law 11: the coalesced replica and the step-by-step reference give the same times, preemptions and blocks."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.kv_cache import PrefixChain
from simulator.engine.monitor import LevelMeter
from simulator.engine.replica import Replica
from simulator.engine.sequence import Sequence
from simulator.engine.stepwise import StepwiseReplica
from simulator.performance.step_time import LinearStepTime
from simulator.scenario.patterns import EngineSettings

STEP_TIME = LinearStepTime(base_s=0.007, per_prefill_token_s=1.1e-5, per_decode_request_s=1.3e-4, per_kv_token_s=1.7e-8)
MAX_MODEL_LEN = 96


@dataclass(frozen=True)
class Ask:
    gap_s: float
    prompt_tokens: int
    output_tokens: int
    priority: int
    prefix: int
    prefix_tokens: int
    abort_after_s: float | None


asks = st.builds(
    Ask,
    gap_s=st.floats(0.0, 0.3).map(lambda gap: round(gap, 4) + 0.000137),
    prompt_tokens=st.integers(1, 60),
    output_tokens=st.integers(1, 36),
    priority=st.integers(1, 3),
    prefix=st.integers(-2, 2),
    prefix_tokens=st.integers(1, 60),
    abort_after_s=st.one_of(st.none(), st.none(), st.none(), st.floats(0.001, 1.0).map(lambda s: s + 0.000011)),
)


def engine(blocks, size, seqs, budget, caching, policy, threshold, asynchronous, reserve, watermark, chunked):
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
)


def play(kind, asks, settings, blocks, launch_s):
    env = simpy.Environment()
    finished, aborted = {}, {}

    def on_finish(sequence, at_s):
        finished[sequence.index] = at_s

    def on_abort(sequence, tokens):
        aborted[sequence.index] = tokens

    if kind is Replica:
        replica = Replica(settings, blocks, STEP_TIME, LevelMeter(1e4), on_finish, on_abort, launch_s)
    else:
        replica = StepwiseReplica(env, settings, blocks, STEP_TIME, on_finish, on_abort, launch_s=launch_s)
    chains = {}
    sequences = []

    def catch_up():
        if kind is Replica:
            replica.catch_up(env.now)

    def abort(sequence, after_s):
        yield env.timeout(after_s)
        catch_up()
        if sequence.index not in finished:
            replica.abort(sequence, env.now)

    def arrive():
        for index, ask in enumerate(asks):
            yield env.timeout(ask.gap_s)
            chain = None
            shared = 0
            if ask.prefix >= 0 and settings.prefix_caching:
                chain = chains.setdefault(ask.prefix, PrefixChain())
                shared = min(ask.prefix_tokens, ask.prompt_tokens) // settings.block_size
            sequence = Sequence(
                index=index,
                prompt_tokens=ask.prompt_tokens,
                output_tokens=ask.output_tokens,
                ready_s=env.now,
                priority=ask.priority,
                chain=chain,
                shared_blocks=shared,
            )
            sequences.append(sequence)
            catch_up()
            replica.submit(sequence)
            if ask.abort_after_s is not None:
                env.process(abort(sequence, ask.abort_after_s))

    env.process(arrive())
    env.run(until=5000)
    catch_up()
    return replica, sequences, finished, aborted


def compare(asks, settings, blocks, launch_s=0.0):
    fast, fast_sequences, fast_finished, fast_aborted = play(Replica, asks, settings, blocks, launch_s)
    slow, slow_sequences, slow_finished, slow_aborted = play(StepwiseReplica, asks, settings, blocks, launch_s)
    assert fast_finished.keys() | fast_aborted.keys() == set(range(len(asks)))
    assert fast_finished == pytest.approx(slow_finished, rel=1e-9)
    assert fast_aborted == slow_aborted
    for one, other in zip(fast_sequences, slow_sequences, strict=True):
        assert one.first_token_s == pytest.approx(other.first_token_s, rel=1e-9, nan_ok=True)
        assert one.scheduled_s == pytest.approx(other.scheduled_s, rel=1e-9, nan_ok=True)
        assert (one.cached_tokens, one.preemptions) == (other.cached_tokens, other.preemptions)
    assert fast.steps == slow.steps
    assert fast.scheduler.preemptions == slow.preemptions
    assert fast.scheduler.kv.free == len(slow.pool.free) == blocks - 1


@settings(max_examples=200, deadline=None)
@given(asks=st.lists(asks, min_size=1, max_size=25), engine=engines, launch_s=st.sampled_from([0.0, 0.0, 0.0017]))
def test_same_as_step_by_step(asks, engine, launch_s):
    blocks, engine_settings = engine
    compare(asks, engine_settings, blocks, launch_s if engine_settings.async_scheduling else 0.0)
