from __future__ import annotations

from simulator.engine.kv_cache import KvCache
from simulator.engine.sequence import Sequence


def sequence(cache, index, prompt, prefix_blocks, prefix_id=1):
    made = Sequence(index=index, prompt_tokens=prompt, output_tokens=5, ready_s=0.0)
    made.chain, made.shared_blocks = cache.chain(prefix_id), prefix_blocks
    return made


def test_a_prefix_is_found_as_soon_as_it_is_scheduled_and_survives_its_owner():
    cache = KvCache(101, 16, prefix_caching=True)
    first, second = sequence(cache, 0, 100, 4), sequence(cache, 1, 100, 4)
    cache.admit(first, 0, 100)
    assert cache.used == 7
    assert cache.hit_blocks(second) == 4
    assert cache.blocks_short(second, 4, 100) == 3
    cache.release(first, 100, 100, resumable=False)
    assert cache.used == 0
    assert cache.hit_blocks(second) == 4
    # Free blocks that it would reuse are no longer free for others.
    assert cache.blocks_short(second, 4, 100) == 7
    cache.admit(second, 4, 100)
    assert cache.used == 7


def test_eviction_takes_the_oldest_and_the_end_of_a_prefix_first():
    cache = KvCache(11, 16, prefix_caching=True)
    first = sequence(cache, 0, 80, 5)
    cache.admit(first, 0, 80)
    cache.release(first, 80, 80, resumable=False)
    other = sequence(cache, 1, 7 * 16, 0, prefix_id=2)
    cache.admit(other, 0, 7 * 16)
    # Five fresh blocks, then the prefix from its end.
    assert cache.hit_blocks(sequence(cache, 2, 200, 5)) == 3


def test_a_fully_cached_prompt_recomputes_its_last_block():
    cache = KvCache(101, 16, prefix_caching=True)
    first = sequence(cache, 0, 64, 4)
    cache.admit(first, 0, 64)
    assert cache.hit_blocks(sequence(cache, 1, 64, 4)) == 3


def test_a_preempted_sequence_finds_its_own_blocks_until_they_are_taken():
    cache = KvCache(21, 16, prefix_caching=True)
    victim = sequence(cache, 0, 160, 0)
    cache.admit(victim, 0, 160)
    cache.release(victim, 160, 160, resumable=True)
    assert cache.hit_blocks(victim) == 9
    cache.take(14)
    assert cache.hit_blocks(victim) == 6
