from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.api.metered_api import ApiBackend
from simulator.engine.api.prompt_cache import CachedPrefixes
from simulator.engine.arrival import Arrival
from simulator.engine.record import Outcome
from simulator.engine.simulation import simulate
from simulator.scenario.apis import PromptCache
from simulator.scenario.patterns import ApiPattern
from simulator.trace.nesting import Nesting
from tests.engine.demand import api, table


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
        assert len(cache._sent) <= 23
        for back, cached in ((0, 2_048), (10, 2_048), (11, 0)):
            if number >= back:
                assert cache.read(arrival(2_048, number - back), 30.0 * number) == cached


def test_a_conversation_finds_what_its_last_turn_sent_not_the_answer_nor_its_own_question():
    """500 tokens, then 1,300 of which the first 500 were sent before, then 2,000: 0, 0 and 1,280 can be cached."""
    cache, found = CachedPrefixes(PromptCache()), []
    for at_s, prompt in ((0.0, 500), (60.0, 1_300), (120.0, 2_000)):
        found.append(cache.read(arrival(prompt - 1), at_s))
        cache.write(arrival(prompt - 1), at_s)
    assert found == [0, 0, 1_280]


def test_a_shorter_prompt_does_not_keep_the_rest_of_a_longer_one():
    cache = CachedPrefixes(PromptCache.model_validate({"kept": "5min"}))
    for at_s, tokens in ((0.0, 4_096), (200.0, 2_048), (250.0, 1_000)):
        cache.write(arrival(tokens), at_s)
    assert [cache.read(arrival(8_000), at_s) for at_s in (300.0, 300.1, 500.0, 500.1)] == [4_096, 2_048, 2_048, 0]


rules = st.builds(
    lambda minimum, step, kept: PromptCache.model_validate({"minimum": minimum, "step": step, "kept": f"{kept}s"}),
    st.sampled_from([1, 100, 1_024]),
    st.sampled_from([1, 16, 128]),
    st.integers(1, 300),
)
turns = st.tuples(st.integers(0, 120), st.integers(-1, 2), st.integers(0, 3_000))


@given(rules=rules, calls=st.lists(turns, max_size=40))
def test_law_it_finds_the_longest_beginning_that_was_sent_within_the_time(rules, calls):
    """Beside an oracle that remembers every call."""
    cache, sent, now_s = CachedPrefixes(rules), [], 0.0
    for gap_s, prefix, tokens in calls:
        now_s += gap_s
        one = arrival(tokens if prefix >= 0 else 0, prefix)
        kept = [tokens for at_s, other, tokens in sent if other == prefix and now_s - at_s <= rules.kept]
        longest = max((min(tokens, one.prefix_tokens) for tokens in kept), default=0)
        found = cache.read(one, now_s)
        assert found <= longest
        assert found == (longest - (longest - rules.minimum) % rules.step if longest >= rules.minimum else 0)
        cache.write(one, now_s)
        if prefix >= 0:
            sent.append((now_s, prefix, one.prefix_tokens))


DEPLOYMENTS = {
    "azure": {},
    "bedrock": {"limits": {"tokens_per_minute": 10**9, "settles": True, "output_burndown": 5.0}},
    "units": {"model": "azure/gpt-4.1", "deployment": {"kind": "provisioned", "units": 500}},
}


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_no_deployment_takes_for_cached_what_nobody_sent(kind, monkeypatch):
    """Growing conversations at every kind of admission: what is charged, settled and spared was sent before."""
    rng = np.random.default_rng(5)
    arrival_s = np.sort(rng.random(400) * 20_000.0)
    requests = table(arrival_s, 1, 50, max_tokens=100)
    requests.prefix_id[:] = rng.integers(0, 12, 400)
    for one in range(12):
        rows = np.flatnonzero(requests.prefix_id == one)
        requests.prompt_tokens[rows] = 300 + np.cumsum(rng.integers(50, 500, len(rows))) % 6_000
    requests.prefix_tokens[:] = requests.prompt_tokens - 1
    settled = []
    backend = ApiBackend.__init__

    def spying(self, *args, **options):
        backend(self, *args, **options)
        settle = self._admission.settle
        self._admission = _Spy(self._admission, lambda *call: settled.append(call[1:3]) or settle(*call))

    monkeypatch.setattr(ApiBackend, "__init__", spying)
    pattern = ApiPattern.model_validate(
        {"kind": "metered_api", "api": api(prompt_cache={"kept": "10min"}, **DEPLOYMENTS[kind])}
    )
    log = simulate(pattern, requests, horizon_s=21_000.0, seed=3, replication=0).log
    assert (log.outcome == Outcome.COMPLETED).all()
    assert settled == list(zip(requests.prompt_tokens, log.cached_tokens, strict=True))
    for row, at_s in enumerate(arrival_s):
        before = (requests.prefix_id[:row] == requests.prefix_id[row]) & (at_s - arrival_s[:row] <= 600.0)
        longest = requests.prompt_tokens[:row][before].max(initial=0)
        assert log.cached_tokens[row] <= longest
    assert 0.2 < log.cached_tokens.sum() / requests.prompt_tokens.sum() < 0.8


class _Spy:
    """An admission whose settlements are listened to."""

    def __init__(self, inner, settle):
        self.settle = settle
        self.admit, self.retry_after_s = inner.admit, inner.retry_after_s


def test_what_is_kept_and_was_not_before_is_written():
    """In whole steps, once while it is kept, and again when it is too old."""
    cache = CachedPrefixes(PromptCache())
    assert [cache.write(arrival(tokens), now_s) for tokens, now_s in ((1_000, 0.0), (1_300, 1.0), (1_300, 2.0))] == [
        0,
        1_024 + 256,
        0,
    ]
    # A longer one finds the beginning: only the rest is written.
    assert cache.write(arrival(1_600), 3.0) == 1_024 + 512 - (1_024 + 256)
    assert cache.write(arrival(1_600), 1_000.0) == 1_024 + 512
    assert cache.write(arrival(5_000, -1), 0.0) == 0


@given(rules=rules, calls=st.lists(turns, max_size=40))
def test_law_what_is_read_and_written_is_what_is_kept(rules, calls):
    cache, now_s = CachedPrefixes(rules), 0.0
    for gap_s, prefix, tokens in calls:
        now_s += gap_s
        one = arrival(tokens if prefix >= 0 else 0, prefix)
        read = cache.read(one, now_s)
        written = cache.write(one, now_s)
        assert 0 <= read <= read + written <= one.prefix_tokens
        assert cache.read(one, now_s) == read + written


def test_each_level_of_a_prompt_is_kept_by_itself():
    """A template of 2,048 tokens that all patients share; one patient's record follows it."""
    outer = {1: ((0, 2_048),), 2: ((0, 2_048),)}
    cache = CachedPrefixes(PromptCache.model_validate({"kept": "5min"}), lambda prefix: outer.get(prefix, ()))
    assert cache.write(arrival(4_096, 1), 0.0) == 4_096
    assert cache.read(arrival(4_096, 2), 1.0) == 2_048
    assert cache.read(arrival(4_096, 1), 1.0) == 4_096
    # What is kept of the other patient is new, less the template.
    assert cache.write(arrival(3_072, 2), 200.0) == 1_024
    # The first patient's record is too old by now, the template was used since.
    assert cache.read(arrival(4_096, 1), 400.0) == 2_048
    assert cache.read(arrival(1_100, 1), 400.0) == 1_024


def test_the_engine_hands_the_levels_of_a_trace_to_an_api():
    """The second patient of a department finds its template cached, and the first its record."""
    requests = table([0.0, 100.0, 200.0], 4_000, 50)
    requests.prefix_id[:], requests.prefix_tokens[:] = [1, 2, 1], 3_500
    nested = replace(requests, nesting=Nesting.of(np.array([1, 2]), np.array([0, 0]), np.array([2_048, 2_048])))
    caching = {"prompt_cache": {"minimum": 1_024, "step": 128}}
    pattern = ApiPattern.model_validate({"kind": "metered_api", "api": api(**caching)})
    log = simulate(pattern, nested, horizon_s=1e4, seed=1, replication=0).log
    assert log.cached_tokens.tolist() == [0, 2_048, 3_456]
