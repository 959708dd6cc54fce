"""Admission by provisioned units, beside a replay of everything that ever happened."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.api.leaky_bucket import LeakyBucket


def bucket(tokens_per_s=100.0, capacity=6_000.0, ratio=4.0):
    return LeakyBucket(tokens_per_s, capacity, ratio)


def test_prompt_less_cached_and_max_tokens_at_the_output_ratio_fill_it():
    one = bucket()
    assert one.admit(0.0, 1_000, 600, 50) == 0.0
    assert one.utilisation(0.0) == pytest.approx(600 / 6_000)
    assert one.utilisation(3.0) == pytest.approx(300 / 6_000)
    assert one.utilisation(600.0) == 0.0


def test_calls_are_accepted_until_it_is_full_and_told_when_it_no_longer_is():
    one = bucket()
    assert one.admit(0.0, 5_999, 0, 0) == 0.0
    assert one.admit(0.0, 1_001, 0, 0) == 0.0
    retry_after_s = one.admit(0.0, 1, 0, 0)
    assert retry_after_s == pytest.approx(10.001)
    assert one.admit(retry_after_s, 1, 0, 0) == 0.0


def test_exactly_full_is_full():
    one = bucket()
    assert one.admit(0.0, 6_000, 0, 0) == 0.0
    assert one.admit(0.0, 1, 0, 0) == pytest.approx(0.001)


@pytest.mark.parametrize(("output", "level"), [(10, 1_240 - 200), (300, 2_400 - 200), (600, 3_600 - 200)])
def test_the_estimate_is_corrected_when_the_request_ends(output, level):
    """More is added, less is given back; two seconds have drained 200."""
    one = bucket()
    assert one.admit(0.0, 1_200, 0, 300) == 0.0
    one.settle(2.0, 1_200, 0, 300, output)
    assert one.utilisation(1.999) == pytest.approx((2_400 - 199.9) / 6_000)
    assert one.utilisation(2.0) == pytest.approx(level / 6_000)


def test_a_careless_max_tokens_costs_concurrency():
    """The provider advises to keep max_tokens close to what is generated."""

    def accepted(max_tokens):
        one = bucket()
        return sum(one.admit(0.0, 500, 0, max_tokens) == 0.0 for _ in range(100))

    assert accepted(4_000) == 1
    assert accepted(100) == 7


#: An answer has a token at least, so a request may ask for one at least: no correction ever adds to the bucket.
calls = st.tuples(st.floats(0, 20), st.integers(1, 3_000), st.integers(1, 800), st.floats(0.1, 60), st.integers(1, 800))


@given(asks=st.lists(calls, max_size=50), rate=st.floats(20, 2_000), burst_s=st.floats(1, 120))
def test_laws(asks, rate, burst_s):
    """As a replay of all events decides; over any stretch no more than the units serve, and one full bucket."""
    capacity, ratio = rate * burst_s, 4.0
    one, events, estimates, now_s = LeakyBucket(rate, capacity, ratio), [], [0.0], 0.0
    for gap_s, prompt, most, lasts_s, output in asks:
        now_s += gap_s
        level = replayed(events, rate, now_s)
        retry_after_s = one.admit(now_s, prompt, 0, most)
        if abs(level - capacity) > 1e-6 * capacity:
            assert (retry_after_s == 0.0) == (level < capacity)
        if retry_after_s == 0.0:
            produced = min(output, most)
            one.settle(now_s + lasts_s, prompt, 0, most, produced)
            estimates.append(prompt + ratio * most)
            events += [(now_s, estimates[-1]), (now_s + lasts_s, ratio * (produced - most))]
        else:
            # Nobody starves: whatever its size, who waits as told and comes first is taken.
            assert deepcopy(one).admit(now_s + retry_after_s + 1e-6, 10**6, 0, 10**6) == 0.0
    assert deepcopy(one).utilisation(now_s + 10_000 + sum(estimates) / rate) == 0.0
    times = sorted({at_s for at_s, _ in events if at_s <= now_s})
    for start_s in times:
        for end_s in times:
            served = sum(tokens for at_s, tokens in events if start_s <= at_s <= end_s)
            assert served <= (capacity + max(estimates) + rate * max(0.0, end_s - start_s)) * (1 + 1e-9)


def replayed(events, rate, now_s):
    level = before_s = 0.0
    for at_s, tokens in sorted(events):
        if at_s <= now_s:
            level = max(0.0, max(0.0, level - rate * (at_s - before_s)) + tokens)
            before_s = at_s
    return max(0.0, level - rate * (now_s - before_s))
