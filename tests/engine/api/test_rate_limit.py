"""Admission by windows: worked examples of the providers, and laws against an oracle that remembers everything."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.api.rate_limit import RateLimiter
from simulator.scenario.apis import RateLimits

BURNDOWN = {"tokens_per_minute": 100_000, "output_burndown": 5.0, "settles": True}


def limiter(**limits):
    return RateLimiter(RateLimits(**limits))


def ask(one, now_s, tokens=1):
    return one.admit(now_s, tokens, 0, 0)


def test_prompt_and_max_tokens_count_per_fixed_minute():
    """Azure OpenAI: the estimate is added to a counter that resets each minute, whatever is generated."""
    one = limiter(tokens_per_minute=1000)
    assert one.admit(59.0, 300, 0, 600) == 0.0
    one.settle(59.2, 300, 0, 600, 1)
    assert one.admit(59.5, 100, 0, 100) == pytest.approx(0.5)
    assert one.admit(60.0, 100, 0, 100) == 0.0


def test_600_requests_a_minute_are_10_a_second():
    """Azure OpenAI's own example (how-to/quota, 2026-05-04)."""
    one = limiter(requests_per_minute=600, request_window="1s")
    assert [ask(one, 3.25) for _ in range(11)] == [0.0] * 10 + [0.75]
    assert ask(one, 4.0) == 0.0


def test_requests_count_per_ten_seconds():
    one = limiter(requests_per_minute=12)
    assert [ask(one, 3.0) for _ in range(3)] == [0.0, 0.0, 7.0]
    assert ask(one, 10.0) == 0.0


@pytest.mark.parametrize(("requests_per_minute", "window", "each"), [(2, "1s", 1), (100, "10s", 16), (7, "60s", 7)])
def test_a_window_admits_whole_requests_and_at_least_one(requests_per_minute, window, each):
    one = limiter(requests_per_minute=requests_per_minute, request_window=window)
    assert [ask(one, 0.0) == 0.0 for _ in range(each + 1)] == [True] * each + [False]


@pytest.mark.parametrize(
    ("prompt", "output", "used"), [(10, 750, 3_760), (2_005, 200, 3_005), (6, 12, 66), (0, 10_000, 50_000)]
)
def test_output_burns_down_five_tokens_of_a_quota(prompt, output, used):
    """Amazon's own examples for Claude 4 (community.aws, 2025-05-27): a quota of 100,000 tokens a minute."""
    one = limiter(**BURNDOWN)
    assert one.admit(1.0, prompt, 0, 20_000) == 0.0
    one.settle(5.0, prompt, 0, 20_000, output)
    assert ask(one, 5.0, 100_000 - used) == 0.0
    assert ask(one, 5.0) == pytest.approx(55.0)


def test_a_quota_burnt_down_is_back_with_the_next_minute():
    """Amazon's second scenario: 20,000 output tokens burn 100,000, and one must wait for the next minute."""
    one = limiter(**BURNDOWN)
    assert one.admit(1.0, 0, 0, 20_000) == 0.0
    one.settle(30.0, 0, 0, 20_000, 20_000)
    assert ask(one, 29.9, 80_000) == 0.0
    assert ask(one, 30.0) == pytest.approx(30.0)
    assert ask(one, 60.0, 100_000) == 0.0


def test_max_tokens_are_reserved_until_the_answer_ends():
    """Amazon Bedrock: a careless max_tokens keeps others out, although hardly anything is generated."""
    one = limiter(**BURNDOWN)
    assert one.admit(0.0, 1_000, 0, 64_000) == 0.0
    one.settle(8.0, 1_000, 0, 64_000, 100)
    assert one.admit(7.9, 1_000, 0, 64_000) > 0.0
    assert one.admit(8.0, 1_000, 0, 64_000) == 0.0


def test_what_the_cache_held_is_given_back():
    one = limiter(**BURNDOWN)
    assert one.admit(0.0, 50_000, 40_000, 1_000) == 0.0
    one.settle(2.0, 50_000, 40_000, 1_000, 100)
    assert ask(one, 2.0, 100_000 - 10_500) == 0.0
    assert ask(one, 2.0) > 0.0


def test_what_a_past_minute_gave_back_is_lost_and_what_it_overdrew_counts_now():
    one = limiter(**BURNDOWN)
    assert one.admit(50.0, 100, 0, 60_000) == 0.0
    one.settle(70.0, 100, 0, 60_000, 10)
    assert one.admit(50.0, 100, 0, 1_000) == 0.0
    one.settle(71.0, 100, 0, 1_000, 1_000)
    assert ask(one, 72.0, 96_001) > 0.0
    assert ask(one, 72.0, 96_000) == 0.0


def test_a_refusal_uses_nothing():
    one = limiter(tokens_per_minute=100, requests_per_minute=6)
    assert ask(one, 0.0, 200) == 60.0
    assert ask(one, 0.0, 100) == 0.0


def test_where_refusals_count_a_client_that_insists_keeps_itself_out():
    """Azure OpenAI: unsuccessful requests contribute to the limit (how-to/quota, 2026-05-06)."""
    one = limiter(requests_per_minute=12, request_window="60s", tokens_per_minute=1000, refusals_count=True)
    assert ask(one, 0.0, 900) == 0.0
    assert [ask(one, 1.0, 200) > 0.0 for _ in range(3)] == [True] * 3
    assert ask(one, 2.0, 100) > 0.0
    assert ask(one, 60.0, 1000) == 0.0


def test_a_day_is_a_window_too():
    one = limiter(tokens_per_day=1000, requests_per_day=3)
    assert [ask(one, 80_000.0, 400) for _ in range(3)] == [0.0, 0.0, 6_400.0]
    assert ask(one, 86_400.0, 1000) == 0.0


requests = st.tuples(st.floats(0, 30), st.integers(1, 300), st.integers(0, 300), st.floats(0, 80), st.integers(1, 300))


@given(
    asks=st.lists(requests, max_size=60),
    tokens=st.integers(600, 2000),
    per_day=st.sampled_from([None, 5_000]),
    per_minute=st.integers(6, 60),
    window=st.sampled_from(["1s", "10s", "60s"]),
    settles=st.booleans(),
    refusals_count=st.booleans(),
)
def test_laws(asks, tokens, per_day, per_minute, window, settles, refusals_count):
    """Decisions are those of an oracle; no window admits more than its limit; waiting as told is enough."""
    limits = RateLimits(
        tokens_per_minute=tokens,
        tokens_per_day=per_day,
        requests_per_minute=per_minute,
        request_window=window,
        settles=settles,
        output_burndown=5.0 if settles else 1.0,
        refusals_count=refusals_count,
    )
    one, history, now_s = RateLimiter(limits), [], 0.0
    length_s = float(window[:-1])
    kinds = [("tokens", 60.0, tokens), ("requests", length_s, max(1.0, per_minute * length_s / 60.0))]
    kinds += [("tokens", 86_400.0, per_day)] if per_day else []
    for gap_s, prompt, most, lasts_s, output in asks:
        now_s += gap_s
        amount = {"tokens": prompt + most, "requests": 1}
        used = [taken(history, kind, size_s, now_s) for kind, size_s, _ in kinds]
        room = all(sum_ + amount[kind] <= limit for sum_, (kind, _, limit) in zip(used, kinds, strict=True))
        retry_after_s = one.admit(now_s, prompt, 0, most)
        assert (retry_after_s == 0.0) == room
        if room or refusals_count:
            history.append((now_s, amount, None))
        if room:
            one.settle(now_s + lasts_s, prompt, 0, most, output)
            if settles:
                history.append((now_s + lasts_s, {"tokens": 5 * output - most, "requests": 0}, now_s))
        else:
            assert 0.0 < retry_after_s <= 86_400.0
            tomorrow_s = (now_s // 86_400.0 + 2) * 86_400.0
            assert deepcopy(one).admit(tomorrow_s, prompt, 0, most) == 0.0
            if not settles and not refusals_count:
                assert deepcopy(one).admit(now_s + retry_after_s + 1e-6, prompt, 0, most) == 0.0


def taken(history, kind, size_s, now_s):
    """What is used of the window of now, remembering all that ever happened."""
    window, used = now_s // size_s, 0
    for at_s, amount, since_s in history:
        if at_s > now_s or at_s // size_s != window:
            continue
        if since_s is None or amount[kind] > 0 or since_s // size_s == window:
            used += amount[kind]
    return used
