"""What the prefix cache finds, and what it has evicted, as requests see it: one after another in a tiny replica."""

from __future__ import annotations

from math import inf

import numpy as np

from simulator.engine.ledger import Ledger
from simulator.engine.vllm.fleet import Fleet
from simulator.scenario.patterns import EngineSettings
from simulator.trace.nesting import Nesting
from simulator.trace.request_table import RequestTable
from tests.engine.demand import plan

# One request at a time has long finished when the next arrives.
APART_S = 100.0


def cached_tokens(requests, blocks, gap_s=APART_S, nested=(), **settings):
    """Serve `(prefix, prefix_tokens, prompt_tokens)` one by one; the tokens each found cached, and the free blocks.

    `nested` says which prefixes begin with others: `(prefix, outer, outer_tokens)`.
    """
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
        nesting=Nesting.of(*np.array(nested, np.int32).reshape(-1, 3).T),
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


#: A hospital's prompt of 40 tokens; two departments' templates end at 100; patients of the first follow.
WARDS = [(1, 0, 40), (2, 0, 40), (3, 1, 100), (4, 1, 100)]


def test_what_two_prefixes_begin_with_is_found_in_whole_blocks():
    # The other department shares 40 tokens: two blocks of 16. The third holds tokens of both and is found by its own.
    requests = [(1, 100, 130), (2, 100, 130), (1, 100, 130), (0, 40, 60), (-1, 0, 60)]
    assert cached_tokens(requests, 100, nested=WARDS) == ([0, 32, 96, 32, 0], 100)


def test_each_level_is_found_as_far_as_it_goes():
    # Another patient of the same department, one of the other, and the first patient again with more to say.
    requests = [(3, 180, 200), (4, 180, 200), (2, 100, 150), (3, 180, 300)]
    assert cached_tokens(requests, 100, nested=WARDS)[0] == [0, 96, 32, 176]


def test_a_prompt_cut_off_before_a_level_begins_shares_what_it_has():
    assert cached_tokens([(3, 180, 200), (3, 30, 31), (3, 90, 91)], 100, nested=WARDS)[0] == [0, 16, 80]


def test_what_many_begin_with_outlives_each_of_them():
    # 13 blocks: patient 3 fills 12; a stranger takes the fresh one and the patient's own six; the department stays.
    assert cached_tokens([(3, 180, 192), (-1, 0, 112), (4, 180, 192)], 13, nested=WARDS)[0] == [0, 0, 96]
    # Seven blocks more for a stranger, and of the department's six the last is gone too.
    assert cached_tokens([(3, 180, 192), (-1, 0, 128), (4, 180, 192)], 13, nested=WARDS)[0] == [0, 0, 80]


def test_harness_prompts_in_ten_groups_share_their_first_hundred_tokens():
    """The first of each group finds nothing, the others six blocks, and each all but its last part when it returns."""
    groups = [(10 + number, number // 10, 100) for number in range(100)]
    prompts = [(10 + number, 300, 300) for number in range(100)]
    found = cached_tokens(prompts * 2, 4000, nested=groups)[0]
    assert found == [0 if number % 10 == 0 else 96 for number in range(100)] + [288] * 100
