"""What a request holds of the pool where its layers keep different things, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import simpy

from simulator.engine.ledger import Ledger
from simulator.engine.vllm.fleet import Fleet
from simulator.engine.vllm.plan import ReplicaPlan
from simulator.engine.vllm.sequence import Sequence
from simulator.engine.vllm.stepwise import StepwiseReplica
from simulator.performance.kv_groups import KvGroup
from simulator.performance.step_time import ConstantStepTime
from simulator.scenario.patterns import EngineSettings
from tests.engine.demand import table

FULL = KvGroup("full", 16)
WINDOW = KvGroup("window", 16, 32)
CHUNK = KvGroup("chunk", 16, 64)
STATE = KvGroup("state", 16, state_blocks=1)


def settings(**more):
    more = {"prefix_caching": False, "async_scheduling": False, "max_num_batched_tokens": 512, **more}
    return EngineSettings(block_size=16, max_model_len=1024, **more)


@pytest.mark.parametrize(
    ("groups", "held"),
    [
        # 160 tokens of prompt are ten blocks; the eleventh comes with token 161.
        ((FULL,), [10, 11, 11]),
        # The next token sees 31 before it: of 160 settled, 129 are behind, eight blocks; of 161, 130, still eight.
        ((FULL, WINDOW), [20, 11 + 3, 11 + 3]),
        ((WINDOW, WINDOW), [20, 3 + 3, 3 + 3]),
        # Token 160 lies in the chunk of 128 to 191; eight blocks are before it.
        ((FULL, CHUNK), [20, 11 + 3, 11 + 3]),
        # A state is one block, however long.
        ((FULL, STATE, STATE), [12, 13, 13]),
    ],
)
def test_blocks_of_the_first_steps(groups, held):
    env, steps = simpy.Environment(), []
    replica = StepwiseReplica(
        env, settings(), 100, ConstantStepTime(0.01), lambda *_: None, lambda *_: None, steps.append, groups=groups
    )
    replica.submit(Sequence(0, 160, 20, 0.0))
    env.run()
    assert [step.used_blocks for step in steps[:3]] == held
    assert len(replica.pool.free) == 99


#: Six blocks at most, says vLLM, and eleven when steps of ten tokens pass from block to block within a chunk.
STRADDLING = (*[KvGroup("chunk", 32, 8)] * 5, STATE)


def run_by_step(engine, blocks, prompt_tokens, output_tokens):
    env, ended = simpy.Environment(), []
    replica = StepwiseReplica(
        env, engine, blocks, ConstantStepTime(0.01), lambda _, at_s: ended.append(at_s), lambda *_: None,
        groups=STRADDLING,
    )  # fmt: skip
    replica.submit(Sequence(0, prompt_tokens, output_tokens, 0.0))
    env.run()
    return ended[0]


def run_compiled(engine, blocks, prompt_tokens, output_tokens):
    ledger = Ledger(table(np.zeros(1), prompt_tokens, output_tokens, max_tokens=output_tokens))
    plan = ReplicaPlan(ConstantStepTime(0.01), blocks, groups=STRADDLING)
    fleet = Fleet(engine, plan, ledger, replicas=1, horizon_s=10.0)
    assert list(fleet.run(1, 10.0)) == []
    fleet.look(10.0)
    return ledger.log.last_token_s[0]


@pytest.mark.parametrize("run", [run_by_step, run_compiled])
def test_a_request_that_never_fits_is_a_fault_and_no_endless_loop(run):
    """It preempts itself at token 30 whenever it is admitted; vLLM 0.33 does so until its client gives up."""
    engine = EngineSettings(
        block_size=16, max_model_len=96, max_num_batched_tokens=10, max_num_seqs=1, prefix_caching=False,
        async_scheduling=False, reserve_full_isl=False,
    )  # fmt: skip
    with pytest.raises(AssertionError, match="preempts itself for ever"):
        run(engine, 7, 35, 31)
    # Four steps of its prompt, the last of which samples, and 30 more.
    assert run(engine, 12, 35, 31) == pytest.approx(0.34)


def test_in_flight_tokens_keep_their_window_a_step_longer():
    """Under asynchronous scheduling the first decode step is made while the prompt is still computed."""
    env, steps = simpy.Environment(), []
    replica = StepwiseReplica(
        env, settings(async_scheduling=True), 100, ConstantStepTime(0.01), lambda *_: None, lambda *_: None,
        steps.append, groups=(FULL, WINDOW),
    )  # fmt: skip
    replica.submit(Sequence(0, 160, 20, 0.0))
    env.run()
    assert [step.used_blocks for step in steps[:3]] == [20, 22, 14]


@pytest.mark.parametrize(
    ("groups", "least", "most"),
    [
        # Room for 120 blocks; each is admitted when its prompt of 30 fits.
        ((FULL,), 3, 4),
        # A decoding one holds two or three blocks of its window of 32, and 30 must be free for the next.
        ((WINDOW,), (120 - 30) // 3, 120 // 2),
        # Of every second group all: 31 to 43 and two or three.
        ((FULL, WINDOW), 2, 3),
    ],
)
def test_so_many_requests_run_at_once(groups, least, most):
    size = 100
    demand = table(np.full(size, 0.001), np.full(size, 480), np.full(size, 200))
    plan = ReplicaPlan(ConstantStepTime(0.01), 121, groups=groups)
    ledger = Ledger(demand)
    fleet = Fleet(settings(max_num_seqs=64), plan, ledger, replicas=1, horizon_s=1000.0)
    assert list(fleet.run(size, 1000.0)) == []
    fleet.look(1000.0)
    log = ledger.log
    moments = np.concatenate([log.scheduled_s, log.last_token_s])
    by_time = np.lexsort((np.repeat([1, 0], size), moments))
    running = np.cumsum(np.repeat([1, -1], size)[by_time])
    assert running[-1] == 0
    assert least <= running.max() <= most
    assert fleet.free_blocks == [120]
