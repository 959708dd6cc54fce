from __future__ import annotations

from simulator.engine.kv_cache import KvCache
from simulator.engine.sequence import Sequence


def sequence(cache, index, prompt, prefix_blocks):
    made = Sequence(index, prompt, 5, 0.0)
    made.chain, made.shared_blocks = cache.chain(1), prefix_blocks
    return made


def test_a_prompt_that_is_all_prefix_leaves_a_second_copy_which_outlives_the_first():
    cache = KvCache(8, 16, prefix_caching=True)
    first, second = sequence(cache, 0, 48, 3), sequence(cache, 1, 48, 3)
    cache.admit(first, 0, 48)
    assert cache.hit_blocks(second) == 2
    cache.admit(second, 2, 48)
    # Two shared blocks, and the last one twice.
    assert cache.used == 4
    cache.release(first, 48, 48, resumable=False)
    assert cache.used == 3
    # The first copy of the last block is the oldest that can be reused; taking it leaves the other.
    cache.take(4)
    longer = sequence(cache, 2, 64, 3)
    assert cache.hit_blocks(longer) == 3
    cache.release(second, 48, 48, resumable=False)
    assert cache.free == 3
    cache.take(1)
    assert cache.hit_blocks(longer) == 2


def test_two_sequences_that_compute_a_prefix_at_once_both_keep_it():
    cache = KvCache(20, 16, prefix_caching=True)
    first, second = sequence(cache, 0, 64, 4), sequence(cache, 1, 64, 4)
    cache.admit(first, 0, 16)
    cache.admit(second, 1, 32)
    cache.take(3)
    cache.computed(first, 64)
    assert cache.hit_blocks(sequence(cache, 2, 100, 4)) == 4
    cache.release(first, 64, 64, resumable=False)
    cache.release(second, 32, 32, resumable=False)
    assert cache.used == 0
