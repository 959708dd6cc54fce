from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.rate_limit import RateLimiter


def test_tokens_count_per_fixed_minute():
    limiter = RateLimiter(tokens_per_minute=1000, requests_per_minute=None)
    assert limiter.admit(59.0, 900) == 0.0
    assert limiter.admit(59.5, 200) == pytest.approx(0.5)
    assert limiter.admit(60.0, 200) == 0.0


def test_requests_count_per_ten_seconds():
    limiter = RateLimiter(tokens_per_minute=None, requests_per_minute=12)
    assert [limiter.admit(3.0, 5) for _ in range(3)] == [0.0, 0.0, 7.0]
    assert limiter.admit(10.0, 5) == 0.0


def test_a_refusal_uses_nothing():
    limiter = RateLimiter(tokens_per_minute=100, requests_per_minute=6)
    assert limiter.admit(0.0, 200) == 60.0
    assert limiter.admit(0.0, 100) == 0.0


@given(
    asks=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 400)), max_size=60),
    tokens=st.integers(400, 2000),
    requests=st.integers(6, 60),
)
def test_never_more_than_the_limit_in_any_window_and_room_after_it(asks, tokens, requests):
    limiter = RateLimiter(tokens, requests)
    now_s = 0.0
    admitted = []
    for gap_s, size in asks:
        now_s += gap_s
        retry_after_s = limiter.admit(now_s, size)
        if retry_after_s == 0.0:
            admitted.append((now_s, size))
        else:
            assert 0.0 < retry_after_s <= 60.0
            # Nothing else was admitted meanwhile, so waiting as told is enough.
            again = RateLimiter(tokens, requests)
            for at_s, earlier in admitted:
                again.admit(at_s, earlier)
            assert again.admit(now_s + retry_after_s + 1e-9, size) == 0.0
    for window_s, limit, amount in ((60.0, tokens, 1), (10.0, max(1.0, requests / 6.0), 0)):
        totals = {}
        for at_s, size in admitted:
            totals[at_s // window_s] = totals.get(at_s // window_s, 0) + (size if amount else 1)
        assert all(total <= limit for total in totals.values())
