"""LoRA adapters in a replica: both engines alike, and what must hold whatever is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.performance.lora import FREE, LoraCost
from simulator.scenario.lora import LoraSettings
from simulator.scenario.patterns import EngineSettings
from tests.engine.vllm.test_coalescing import (
    LINEAR,
    STEP_TIMES,
    Ask,
    asks,
    compare,
    engines,
    in_coalescing_engine,
)

COST = LoraCost(step_s=0.0011, token_s=1.3e-5, adapter_s=2.9e-4, copy_s=0.0047, read_s=0.083)
adapted = st.builds(
    lambda ask, adapter: replace(ask, adapter=adapter), asks, st.sampled_from([None, "a", "b", "c", "d", "e"])
)
costs = st.sampled_from([FREE, COST])


def with_lora(engine, slots, host=None):
    return engine.model_copy(update={"lora": LoraSettings(max_loras=slots, max_cpu_loras=host)})


@settings(max_examples=120)
@given(
    asks=st.lists(adapted, min_size=1, max_size=25),
    engine=engines,
    slots=st.integers(1, 4),
    more=st.sampled_from([0, 0, 1, 9]),
    cost=costs,
    step_time=st.sampled_from(sorted(STEP_TIMES)),
    launch_s=st.sampled_from([0.0, 0.0, 0.0017]),
    timeout_s=st.one_of(st.none(), st.none(), st.floats(0.05, 2.0).map(lambda s: round(s, 3) + 0.000043)),
)
def test_same_as_step_by_step(asks, engine, slots, more, cost, step_time, launch_s, timeout_s):
    blocks, own = engine
    launch_s = launch_s if own.async_scheduling else 0.0
    case = with_lora(own, slots, slots + more), blocks, STEP_TIMES[step_time], launch_s, timeout_s
    compare(asks, *case, 0.0, (), cost)


def times(asks, engine, blocks, cost=FREE):
    fates = in_coalescing_engine(asks, engine, blocks, LINEAR, 0.0, None, 0.0, (), cost)[0]
    return np.array([(one.scheduled_s, one.first_token_s, one.last_token_s) for one in fates])


@settings(max_examples=40)
@given(asks=st.lists(adapted, min_size=1, max_size=25), engine=engines, cost=costs)
def test_with_a_slot_for_each_nobody_waits_for_one(asks, engine, cost):
    """Adapters that cost nothing are then as if there were none; those that cost something change nothing by number."""
    blocks, own = engine
    own = own.model_copy(update={"prefix_caching": False, "queue_limit": None})
    alone = [replace(ask, adapter=None, abort_after_s=None) for ask in asks]
    asks = [replace(ask, abort_after_s=None) for ask in asks]
    found = times(asks, with_lora(own, 5), blocks)
    assert found == pytest.approx(times(alone, own, blocks)), "adapters that cost nothing"
    per_step = LoraCost(step_s=COST.step_s, token_s=COST.token_s)
    one_for_all = [replace(ask, adapter="a") for ask in asks]
    each = [replace(ask, adapter="abcde"[number % 5]) for number, ask in enumerate(asks)]
    assert times(each, with_lora(own, 5), blocks, per_step) == pytest.approx(
        times(one_for_all, with_lora(own, 1), blocks, per_step)
    )


@settings(max_examples=40)
@given(asks=st.lists(adapted, min_size=1, max_size=25), engine=engines, slots=st.integers(1, 3), cost=costs)
def test_everybody_is_served_and_in_turn_among_those_of_one_adapter(asks, engine, slots, cost):
    blocks, own = engine
    own = own.model_copy(update={"policy": "fcfs", "queue_limit": None})
    asks = [replace(ask, abort_after_s=None) for ask in asks]
    fates = in_coalescing_engine(asks, with_lora(own, slots), blocks, LINEAR, 0.0, None, 0.0, (), cost)[0]
    assert all(fate.last_token_s > 0 for fate in fates)
    for adapter in {ask.adapter for ask in asks}:
        starts = [fate.scheduled_s for fate, ask in zip(fates, asks, strict=True) if ask.adapter == adapter]
        assert starts == sorted(starts)


def test_a_request_of_another_adapter_is_passed_over_and_those_behind_it_start():
    """One slot: the second waits for the first to end, the third does not; by hand, of one token after another."""
    gaps = zip((1.0, 0.0, 0.0, 0.0), ("a", "b", "a", None), strict=True)
    asks = [Ask(gap_s, 8, 10, 3, -1, 1, None, name) for gap_s, name in gaps]
    starts = times(asks, with_lora(engine_of_plenty(), 1), 60)[:, 0]
    assert starts[0] == starts[2] == starts[3] == 1.0
    # Ten steps, the first of 24 prompt tokens and the others of three decodes.
    contexts = [3 * (8 + step) for step in range(10)]
    ten_s = 0.007 * 10 + 1.1e-5 * 24 + 9 * 3 * 1.3e-4 + 1.7e-8 * sum(contexts)
    assert starts[1] - 1.0 == pytest.approx(ten_s)


def test_a_step_takes_what_its_adapters_and_tokens_do():
    """Two requests of two adapters, by hand: both are read from disk and copied in the first of three steps."""
    asks = [Ask(gap_s, 8, 3, 3, -1, 1, None, name) for gap_s, name in ((1.0, "a"), (0.0, "b"))]
    own = with_lora(engine_of_plenty(), 2)
    free_s, with_cost_s = (times(asks, own, 60, cost)[0][2] for cost in (FREE, COST))
    added_s = 3 * 0.0011 + (16 + 2 + 2) * 1.3e-5 + 3 * 2 * 2.9e-4 + 2 * (0.0047 + 0.083)
    assert with_cost_s - free_s == pytest.approx(added_s)


def test_an_adapter_that_comes_back_is_copied_and_read_again_when_another_took_its_place():
    """One at a time with one slot: a, b, a takes three copies; two with room for both. Reads likewise."""
    asks = [Ask(5.0, 8, 1, 3, -1, 1, None, name) for name in "aba"]
    for slots, host, copies, reads in ((1, 1, 3, 3), (1, 2, 3, 2), (2, 2, 2, 2)):
        own = with_lora(engine_of_plenty(), slots, host)
        took_s = [
            sum(last - start for start, _, last in times(asks, own, 60, cost))
            for cost in (FREE, LoraCost(copy_s=1.0, read_s=0.5))
        ]
        assert took_s[1] - took_s[0] == pytest.approx(copies + 0.5 * reads)


def engine_of_plenty():
    return EngineSettings(
        block_size=16, max_num_seqs=8, max_num_batched_tokens=256, max_model_len=96, async_scheduling=False
    )
