"""Admission by windows: worked examples of the providers, and laws against an oracle that remembers everything."""

from __future__ import annotations

import bisect
import collections
import datetime
import itertools
from copy import deepcopy
from fractions import Fraction
from math import ceil
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.engine.api.rate_limit import RateLimiter
from simulator.scenario.apis import RateLimits
from simulator.scenario.horizon import Horizon
from simulator.scenario.moments import moments_s

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


@pytest.mark.parametrize(
    ("requests_per_minute", "window", "each"),
    [
        (100, "10s", [17, 17, 16, 17, 17, 16]),
        (7, "60s", [7, 7]),
        (90, "1s", [2, 1, 2, 1]),
        (61, "10s", [11, 10, 10, 10, 10, 10, 11]),
    ],
)
def test_a_window_admits_whole_requests_and_later_ones_the_fractions(requests_per_minute, window, each):
    one, length_s = limiter(requests_per_minute=requests_per_minute, request_window=window), float(window[:-1])
    for number, admitted in enumerate(each):
        assert sum(ask(one, number * length_s) == 0.0 for _ in range(200)) == admitted


@pytest.mark.parametrize(
    ("requests_per_minute", "window", "every_s"),
    [(5, "1s", 12), (30, "1s", 2), (3, "10s", 20), (1, "10s", 60), (7, "1s", 60 / 7)],
)
def test_a_quota_below_one_a_window_is_one_in_a_longer_window(requests_per_minute, window, every_s):
    """Whoever asks all the time gets the quota of an hour, not one in each window."""
    one = limiter(requests_per_minute=requests_per_minute, request_window=window)
    at_s = [0.25 * number for number in range(14_400)]
    admitted_s = [now_s for now_s in at_s if ask(one, now_s) == 0.0]
    assert len(admitted_s) == 60 * requests_per_minute
    assert all(now_s % every_s < 0.25 for now_s in admitted_s)
    assert ask(one, 3_600.5 * 1.0) == 0.0
    assert ask(one, 3_601.0) == pytest.approx(every_s - 1.0)


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


def _midnights_s(zone, start, days):
    """Seconds from a first midnight to the others, by the time zone database alone."""
    first = datetime.datetime.combine(start, datetime.time(), ZoneInfo(zone))
    later = (datetime.datetime.combine(start + datetime.timedelta(day), datetime.time(), first.tzinfo) for day in days)
    return [moment.timestamp() - first.timestamp() for moment in later]


@pytest.mark.parametrize(
    ("zone", "start", "hours"),
    [
        ("Europe/Berlin", datetime.date(2026, 3, 28), [24, 23, 24]),
        ("Europe/Berlin", datetime.date(2026, 10, 24), [24, 25, 24]),
        ("America/Los_Angeles", datetime.date(2026, 10, 31), [24, 25, 24]),
        # Its clock goes forward at midnight: the day begins an hour later and is as long as it is.
        ("America/Santiago", datetime.date(2026, 9, 5), [24, 23, 24]),
        ("Asia/Kolkata", datetime.date(2026, 3, 28), [24, 24, 24]),
    ],
)
def test_a_day_ends_at_midnight_when_the_clock_changes_too(zone, start, hours):
    horizon = Horizon.model_validate({"start": str(start), "duration": "4d", "time_zone": zone})
    begins_s = [0.0, *(3600.0 * sum(hours[: at + 1]) for at in range(3))]
    assert _midnights_s(zone, start, range(4)) == begins_s
    one = RateLimiter(RateLimits(requests_per_day=2), moments_s("every day 00:00", horizon))
    for begins, ends in itertools.pairwise(begins_s):
        assert [ask(one, begins), ask(one, begins)] == [0.0, 0.0]
        assert ask(one, ends - 1.0) == 1.0
    assert ask(one, begins_s[-1] + 9 * 86_400.0) == 0.0


def test_a_day_is_the_providers_where_its_time_zone_is_named():
    """Midnight in Los Angeles is at 09:00 in Berlin, at 08:00 in the three weeks when only its clock has changed."""
    horizon = Horizon.model_validate({"start": "2026-03-07", "duration": "3d", "time_zone": "Europe/Berlin"})
    one = RateLimiter(RateLimits(requests_per_day=1), moments_s("every day 00:00 America/Los_Angeles", horizon))
    hour_s = 3600.0
    assert [ask(one, at * hour_s) for at in (0, 8)] == [0.0, hour_s]
    assert [ask(one, at * hour_s) for at in (9, 32)] == [0.0, hour_s]
    assert [ask(one, at * hour_s) for at in (33, 55)] == [0.0, hour_s]
    assert ask(one, 56 * hour_s) == 0.0


@given(
    lengths=st.lists(st.sampled_from([23, 24, 25]), min_size=1, max_size=6),
    first_h=st.integers(0, 24),
    asks=st.lists(st.floats(0.0, 9 * 86_400.0), max_size=60),
    most=st.integers(1, 4),
)
def test_no_day_admits_more_than_its_limit_whenever_days_begin(lengths, first_h, asks, most):
    days_s = [3600.0 * (first_h + sum(lengths[:at])) for at in range(len(lengths) + 1)]
    one = RateLimiter(RateLimits(requests_per_day=most), days_s)
    edges_s = [0.0, *days_s, *(days_s[-1] + 86_400.0 * more for more in range(1, 12))]
    admitted = collections.Counter()
    for now_s in sorted(asks):
        day = bisect.bisect_right(edges_s, now_s)
        wait_s = ask(one, now_s)
        assert (wait_s == 0.0) == (admitted[day] < most)
        assert wait_s == 0.0 or now_s + wait_s == pytest.approx(edges_s[day])
        admitted[day] += wait_s == 0.0


requests = st.tuples(st.floats(0, 30), st.integers(1, 300), st.integers(0, 300), st.floats(0, 80), st.integers(1, 300))


@given(
    asks=st.lists(requests, max_size=60),
    tokens=st.integers(600, 2000),
    per_day=st.sampled_from([None, 5_000]),
    per_minute=st.integers(1, 100),
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
    length_s = max(Fraction(window[:-1]), Fraction(60, per_minute))
    kinds = [("tokens", Fraction(60), tokens), ("requests", length_s, per_minute * length_s / 60)]
    kinds += [("tokens", Fraction(86_400), per_day)] if per_day else []
    for gap_s, prompt, most, lasts_s, output in asks:
        now_s += gap_s
        amount = {"tokens": prompt + most, "requests": 1}
        used = [taken(history, kind, size_s, now_s) for kind, size_s, _ in kinds]
        room = all(
            sum_ + amount[kind] <= whole(limit, Fraction(now_s) // size_s)
            for sum_, (kind, size_s, limit) in zip(used, kinds, strict=True)
        )
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
    window, used = Fraction(now_s) // size_s, 0
    for at_s, amount, since_s in history:
        if at_s > now_s or Fraction(at_s) // size_s != window:
            continue
        if since_s is None or amount[kind] > 0 or Fraction(since_s) // size_s == window:
            used += amount[kind]
    return used


def whole(limit, window):
    """Units a window admits, so that after any number of windows as many were admitted as are due, rounded up."""
    return ceil((window + 1) * limit) - ceil(window * limit)


REFUSALS = [
    # What OpenAI's API answered: limit, used, requested, "Please try again in", where it stands.
    (30_000, 29_937, 385, 0.644, "github.com/BuilderIO/micro-agent/issues/86, 2025-07-09"),
    (10_000, 8_554, 3_082, 9.816, "github.com/FoundationAgents/MetaGPT/issues/523, 2023-12-04"),
    (30_000, 14_567, 24_754, 18.642, "github.com/semanser/codel/issues/72, 2024-12-25"),
    (30_000, 18_928, 11_159, 0.174, "github.com/continuedev/continue/issues/11472, 2026-03-16"),
    (30_000, 28_039, 3_906, 3.89, "github.com/continuedev/continue/issues/10502, 2026-02-13"),
]


@pytest.mark.parametrize(("limit", "used", "requested", "again_in_s", "source"), REFUSALS)
def test_openai_says_to_come_back_when_what_is_missing_has_flowed_in(limit, used, requested, again_in_s, source):
    one = limiter(kind="continuous", tokens_per_minute=limit)
    assert ask(one, 1_000.0, used) == 0.0
    assert ask(one, 1_000.0, requested) == pytest.approx(again_in_s, abs=0.0011), source
    assert ask(one, 1_000.0 + again_in_s - 0.002, requested) > 0.0
    assert ask(one, 1_000.0 + again_in_s + 0.001, requested) == 0.0


@pytest.mark.parametrize(("requests_per_minute", "again_in_s"), [(500, 0.12), (60, 1.0), (3, 20.0)])
def test_one_request_of_openais_limit_is_back_after_its_share_of_a_minute(requests_per_minute, again_in_s):
    """Its headers: limit 500, remaining 499, reset 120 ms (developer forum, thread 541210); 60, 59, 1 s (guide)."""
    one = limiter(kind="continuous", requests_per_minute=requests_per_minute)
    assert [ask(one, 7.0) for _ in range(requests_per_minute + 1)] == [0.0] * requests_per_minute + [again_in_s]
    assert ask(one, 7.0 + again_in_s) == 0.0
    assert ask(one, 7.0 + again_in_s) == again_in_s


def test_a_day_flows_in_too():
    """Its headers: 4,379 of 1,500,000 tokens a day used, the whole back after 4 min 12.172 s (thread 541210)."""
    one = limiter(kind="continuous", tokens_per_day=1_500_000)
    assert ask(one, 0.0, 4_379) == 0.0
    assert ask(one, 0.0, 1_500_000) == pytest.approx(252.172, abs=0.1)


def test_what_does_not_fit_a_bucket_is_refused_for_ever():
    one = limiter(kind="continuous", tokens_per_minute=1_000)
    assert ask(one, 0.0, 1_001) == 0.001
    assert ask(one, 0.0, 1_000) == 0.0
    assert ask(one, 0.0, 1_001) == 60.0
    assert ask(one, 600.0, 1_001) == 0.001


@given(
    asks=st.lists(requests, max_size=60),
    tokens=st.integers(600, 2000),
    per_day=st.sampled_from([None, 5_000]),
    per_minute=st.integers(1, 60),
    settles=st.booleans(),
)
def test_laws_of_continuous_limits(asks, tokens, per_day, per_minute, settles):
    """Beside exact buckets: the same decisions, and who waits as told is admitted; nobody before."""
    limits = RateLimits(
        kind="continuous",
        tokens_per_minute=tokens,
        tokens_per_day=per_day,
        requests_per_minute=per_minute,
        settles=settles,
        output_burndown=5.0 if settles else 1.0,
    )
    one, now_s, ends = RateLimiter(limits), 0.0, []
    sizes = [("tokens", tokens, 60), ("requests", per_minute, 60)] + [("tokens", per_day, 86_400)] * bool(per_day)
    levels, at_s = [Fraction(size) for _, size, _ in sizes], Fraction(0)

    def flow(until_s, back):
        nonlocal at_s
        for number, (kind, size, period_s) in enumerate(sizes):
            full = min(Fraction(size), levels[number] + (until_s - at_s) * Fraction(size, period_s))
            levels[number] = min(Fraction(size), full - back) if kind == "tokens" else full
        at_s = until_s

    for gap_s, prompt, most, lasts_s, output in asks:
        now_s += gap_s
        for end_s, back in sorted(one for one in ends if one[0] <= now_s):
            flow(Fraction(end_s), back)
        ends = [one for one in ends if one[0] > now_s]
        flow(Fraction(now_s), 0)
        amount = {"tokens": prompt + most, "requests": 1}
        short = max(amount[kind] - level for level, (kind, _, _) in zip(levels, sizes, strict=True))
        retry_after_s = one.admit(now_s, prompt, 0, most)
        assert (retry_after_s == 0.0) == (short <= Fraction(1, 10**6)) or abs(short) < 1e-4
        if retry_after_s == 0.0:
            levels = [level - amount[kind] for level, (kind, _, _) in zip(levels, sizes, strict=True)]
            one.settle(now_s + lasts_s, prompt, 0, most, output)
            if settles:
                ends.append((now_s + lasts_s, 5 * output - most))
        elif not ends and all(amount[kind] <= size for kind, size, _ in sizes):
            assert deepcopy(one).admit(now_s + retry_after_s, prompt, 0, most) == 0.0
            assert retry_after_s <= 0.002 or deepcopy(one).admit(now_s + retry_after_s - 0.002, prompt, 0, most) > 0.0


@pytest.mark.parametrize(("key", "value"), [("request_window", "60s"), ("refusals_count", True)])
def test_a_bucket_has_no_windows(key, value):
    with pytest.raises(ValidationError, match="kind windows only"):
        RateLimits.model_validate({"kind": "continuous", key: value})
