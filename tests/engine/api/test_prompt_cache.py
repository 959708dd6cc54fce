from __future__ import annotations

import pytest

from simulator.engine.api.prompt_cache import CachedPrefixes
from simulator.engine.arrival import Arrival
from simulator.scenario.apis import PromptCache


def arrival(prefix_tokens, prefix_id=0):
    return Arrival(0, 0, 5_000, 100, prefix_id, prefix_tokens, 3)


@pytest.mark.parametrize(
    ("shared", "cached"), [(0, 0), (1_023, 0), (1_024, 1_024), (1_151, 1_024), (1_152, 1_152), (1_408, 1_408)]
)
def test_1024_tokens_and_then_every_128_more(shared, cached):
    """As documented; the provider's own example shows 1,408 cached of a prompt of 1,566."""
    cache = CachedPrefixes(PromptCache())
    one = arrival(shared)
    assert cache.read(one, 0.0) == 0
    cache.write(one, 0.0)
    assert cache.read(one, 1.0) == cached


def test_it_is_kept_from_its_last_use():
    cache = CachedPrefixes(PromptCache.model_validate({"kept": "5min"}))
    one = arrival(2_048)
    cache.write(one, 0.0)
    assert cache.read(one, 300.0) == 2_048
    cache.write(one, 300.0)
    assert cache.read(one, 600.0) == 2_048
    assert cache.read(one, 600.1) == 0


def test_other_prefixes_and_prompts_without_one_share_nothing():
    cache = CachedPrefixes(PromptCache())
    for prefix_id in (3, -1):
        cache.write(arrival(2_048, prefix_id), 0.0)
    assert cache.read(arrival(2_048, 3), 1.0) == 2_048
    assert cache.read(arrival(2_048, 4), 1.0) == 0
    assert cache.read(arrival(0, -1), 1.0) == 0


def test_what_is_too_old_takes_no_memory(monkeypatch):
    monkeypatch.setattr("simulator.engine.api.prompt_cache._FEW", 10)
    cache = CachedPrefixes(PromptCache.model_validate({"kept": "5min"}))
    for number in range(1_000):
        cache.write(arrival(2_048, number), 30.0 * number)
        assert len(cache._used_s) <= 23
        for back, cached in ((0, 2_048), (10, 2_048), (11, 0)):
            if number >= back:
                assert cache.read(arrival(2_048, number - back), 30.0 * number) == cached
