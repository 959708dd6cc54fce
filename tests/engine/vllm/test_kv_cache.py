"""What the prefix cache finds, and what it has evicted, as requests see it: one after another in a tiny replica."""

from __future__ import annotations

from math import inf

import numpy as np

from simulator.engine.ledger import Ledger
from simulator.engine.vllm.fleet import Fleet
from simulator.scenario.patterns import EngineSettings
from simulator.trace.request_table import RequestTable
from tests.engine.demand import plan

# One request at a time has long finished when the next arrives.
APART_S = 100.0


def cached_tokens(requests, blocks, gap_s=APART_S, **settings):
    """Serve `(prefix, prefix_tokens, prompt_tokens)` one by one; the tokens each found cached, and the free blocks."""
    size = len(requests)
    prefix, prefix_tokens, prompt_tokens = np.array(requests, np.int32).T
    outputs = np.ones(size, np.int32)
    table = RequestTable(
        workloads=("notes",),
        arrival_s=gap_s * np.arange(size),
        workload=np.zeros(size, np.int16),
        prompt_tokens=prompt_tokens,
        output_tokens=outputs,
        max_tokens=outputs,
        prefix_id=prefix,
        prefix_tokens=prefix_tokens,
        priority=np.zeros(size, np.int8),
    )
    engine = EngineSettings(**{"prefix_caching": True, "block_size": 16, "max_model_len": 400} | settings)
    ledger = Ledger(table)
    fleet = Fleet(engine, plan(blocks=blocks + 1), ledger, replicas=1, horizon_s=size * APART_S)
    assert not list(fleet.run(size, inf))
    fleet.look(inf)
    assert not np.isnan(ledger.log.last_token_s).any()
    return ledger.log.cached_tokens.tolist(), fleet.free_blocks[0]


def test_a_prefix_survives_its_owner():
    assert cached_tokens([(1, 64, 100), (1, 64, 100), (2, 64, 100)], 100) == ([0, 64, 0], 100)


def test_a_prefix_is_found_as_soon_as_its_computation_is_scheduled():
    # The second arrives while the first computes.
    assert cached_tokens([(1, 64, 100), (1, 64, 100)], 100, gap_s=0.01) == ([0, 64], 100)


def test_nothing_is_found_without_a_cache():
    assert cached_tokens([(1, 64, 100)] * 2, 100, prefix_caching=False) == ([0, 0], 100)


def test_eviction_takes_the_end_of_a_prefix_first():
    # The second takes the five fresh blocks, then two from the end of the first's five.
    assert cached_tokens([(1, 80, 80), (-1, 0, 7 * 16), (1, 80, 100)], 10)[0] == [0, 0, 48]


def test_eviction_takes_the_least_recently_used_prefix():
    first, second = (1, 32, 40), (2, 32, 40)
    # Using the first again makes the second the older one.
    used = cached_tokens([first, second, first, (-1, 0, 96), first, second], 8)[0]
    assert used[2] == 32
    assert used[4] > used[5]


def test_a_fully_cached_prompt_recomputes_its_last_block():
    assert cached_tokens([(1, 64, 64), (1, 64, 64)], 100)[0] == [0, 48]


def test_a_second_copy_of_a_block_outlives_the_first():
    # The second prompt is all prefix: it recomputes the last block, which then exists twice.
    twice = [(1, 48, 48), (1, 48, 48)]
    assert cached_tokens([*twice, (-1, 0, 64), (1, 48, 64)], 7)[0][-1] == 48
    # With one copy only, the same demand has evicted it.
    assert cached_tokens([(1, 48, 48), (-1, 0, 80), (1, 48, 64)], 7)[0][-1] == 32
