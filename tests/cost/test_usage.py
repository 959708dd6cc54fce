"""Quantities of a bill: their sums part by part, by hand, and what no run can produce."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.usage import ApiUse, ClusterUse, Usage, pooled
from simulator.workload.work import Work

counts = st.integers(0, 10**7)


@st.composite
def uses(draw, *, long=True):
    """Of an API, with long prompts that are part of it above one or two lengths."""
    cached, written, rest, output = (draw(counts) for _ in range(4))
    parts = draw(st.dictionaries(st.sampled_from([128_000, 200_000]), uses(long=False))) if long else {}
    return ApiUse(cached + written + rest, cached, output, written, parts)


def figures(use):
    return use.prompt_tokens, use.cached_prompt_tokens, use.output_tokens, use.cache_write_tokens


def test_two_uses_are_added_part_by_part():
    one = ApiUse(100, 20, 7, 30, {200_000: ApiUse(60, 5, 3, 11)})
    other = ApiUse(1000, 300, 50, 400, {128_000: ApiUse(500, 8, 13, 2), 200_000: ApiUse(90, 1, 2, 4)})
    both = one + other
    assert figures(both) == (1100, 320, 57, 430)
    assert {above: figures(use) for above, use in both.long.items()} == {
        128_000: (500, 8, 13, 2),
        200_000: (150, 6, 5, 15),
    }
    assert list(both.long) == [128_000, 200_000]


def test_prompt_and_output_tokens_grow_each_by_their_own():
    use = ApiUse(1000, 301, 51, 400, {200_000: ApiUse(90, 10, 20, 30)}).times(1.7, 0.3)
    assert figures(use) == (1700, 512, 15, 680)
    assert figures(use.long[200_000]) == (153, 17, 6, 51)


@given(uses(), uses())
def test_law_what_is_added_can_be_taken_away(one, other):
    assert figures((one + other).without(other)) == figures(one)
    assert one + other == other + one


@given(uses(), st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_law_parts_of_a_prompt_stay_within_it_however_they_are_rounded(use, prompt, output):
    grown = use.times(prompt, output)
    for before, after, factor in zip(figures(use), figures(grown), (prompt, prompt, output, prompt), strict=True):
        assert abs(after - before * factor) <= 1.0
    assert grown.cached_prompt_tokens + grown.cache_write_tokens <= grown.prompt_tokens


def test_half_a_token_of_each_part_is_a_token_of_the_whole():
    """1.5 cached and 1.5 written are two each, of a whole of three."""
    assert figures(ApiUse(6, 3, 0, 3).times(0.5, 1.0)) == (4, 2, 0, 2)
    assert figures(ApiUse(3, 2, 5, 1).without(ApiUse(1, 0, 2, 0))) == (3, 2, 3, 1)


def usage(hours, *, busy, tokens, paid, api, work, prompt, output):
    clusters = {"a": ClusterUse(busy, tokens, paid), "b": ClusterUse(busy / 2, 3 * tokens, paid / 4)}
    return Usage(hours, clusters, {"far": api, "near": ApiUse(9, 0, 1)}, prompt, output, {"a": {"notes": work}})


def test_replications_are_pooled_as_one_long_run():
    """Hours, tokens and work add up; shares are means."""
    runs = [
        usage(10.0, busy=0.2, tokens=7, paid=1.0, api=ApiUse(5, 1, 2, 3), work=Work(1, 2, 3, 4), prompt=40, output=3),
        usage(30.0, busy=0.8, tokens=90, paid=0.4, api=ApiUse(70, 4, 9, 6), work=Work(5, 6, 7, 9), prompt=2, output=60),
        usage(2.0, busy=0.5, tokens=0, paid=0.7, api=ApiUse(1, 0, 0), work=Work(0, 0, 0, 0), prompt=0, output=0),
    ]
    whole = pooled(runs)
    assert (whole.hours, whole.served_prompt_tokens, whole.served_output_tokens) == (42.0, 42, 63)
    near, other = whole.clusters["a"], whole.clusters["b"]
    assert (near.busy_fraction, near.tokens, near.paid_share) == pytest.approx((0.5, 97, 0.7))
    assert (other.busy_fraction, other.tokens, other.paid_share) == pytest.approx((0.25, 291, 0.175))
    assert {name: figures(use) for name, use in whole.apis.items()} == {"far": (76, 5, 11, 9), "near": (27, 0, 3, 0)}
    assert whole.work == {"a": {"notes": Work(6, 8, 10, 13)}}


def plain(**changed):
    given_ = {"hours": 1.0, "clusters": {}, "apis": {}, "served_prompt_tokens": 0, "served_output_tokens": 0}
    return Usage(**(given_ | changed))


def test_what_no_run_can_produce_is_refused_and_what_lies_at_the_edge_is_not():
    for fine in (0.0, 1.0, 1.0 + 5e-10):
        assert ClusterUse(fine).paid_share == 1.0
        assert ClusterUse(0.5, 0, fine).tokens == 0
    assert ApiUse(7, 4, 0, 3).output_tokens == 0
    assert plain(hours=0.001, served_prompt_tokens=0).hours == 0.001
    for wrong in (-0.001, 1.001, -1.0, 2.0):
        with pytest.raises(ValueError, match="busy_fraction lies between 0 and 1"):
            ClusterUse(wrong)
        with pytest.raises(ValueError, match="paid_share lies between 0 and 1"):
            ClusterUse(0.5, 0, wrong)
    for more in (
        lambda: ClusterUse(0.5, -1),
        lambda: ApiUse(7, 0, -1),
        lambda: ApiUse(7, 0, 0, -1),
        lambda: plain(served_prompt_tokens=-1),
        lambda: plain(served_output_tokens=-1),
    ):
        with pytest.raises(ValueError, match="token counts are not negative"):
            more()
    for parts in ((7, 8, 0, 0), (7, 5, 0, 3), (7, -1, 0, 0), (-1, 0, 0, 0)):
        with pytest.raises(ValueError, match="cached and written prompt tokens are part of the prompt tokens"):
            ApiUse(*parts)
    for hours in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="the measured time must be positive"):
            plain(hours=hours)
