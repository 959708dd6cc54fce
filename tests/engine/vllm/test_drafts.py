"""Speculative decoding: laws of what is accepted, and both engines against one another."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.vllm.acceptance import accepted, streams
from simulator.engine.vllm.acceptance import drawn as uniform
from simulator.performance.step_time import ConstantStepTime, LinearStepTime, ProfiledStepTime
from simulator.scenario.patterns import EngineSettings
from simulator.scenario.speculation import SpeculativeDecoding
from tests.engine.vllm.test_coalescing import LINEAR, PROFILE, Ask, asks, compare, engines, in_coalescing_engine


def drafts(method="eagle3", rates=(0.8, 0.5, 0.3), share=0.05):
    return SpeculativeDecoding(
        method=method,
        num_speculative_tokens=len(rates),
        acceptance_rates=[*rates],
        acceptance_source="a test",
        draft_step_share=share,
    )


some_drafts = st.builds(
    drafts,
    method=st.sampled_from(["ngram", "eagle3", "mtp", "draft_model"]),
    rates=st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]), min_size=1, max_size=5).map(
        lambda rates: sorted(rates, reverse=True)
    ),
    share=st.sampled_from([0.0, 0.07]),
)


def speculating(engine, made):
    """The engine with drafts, and the settings without which vLLM would not take them."""
    width = made.num_speculative_tokens + 1
    changes = {"speculative": made, "max_num_batched_tokens": max(engine.max_num_batched_tokens, width + made.slots)}
    if engine.long_prefill_token_threshold:
        changes["long_prefill_token_threshold"] = max(engine.long_prefill_token_threshold, width)
    return engine.model_copy(update=changes)


@settings(max_examples=100)
@given(
    asks=st.lists(asks, min_size=1, max_size=25),
    engine=engines,
    made=some_drafts,
    profiled=st.booleans(),
    launch_s=st.sampled_from([0.0, 0.0, 0.0017]),
    timeout_s=st.one_of(st.none(), st.none(), st.floats(0.05, 2.0).map(lambda s: round(s, 3) + 0.000043)),
)
def test_same_as_step_by_step(asks, engine, made, profiled, launch_s, timeout_s):
    blocks, engine_settings = engine
    engine_settings = speculating(engine_settings, made)
    launch_s = launch_s if engine_settings.async_scheduling else 0.0
    width = made.num_speculative_tokens + 1
    step_time = ProfiledStepTime(PROFILE, 128, 2048, query_len=width) if profiled else LINEAR
    compare(asks, engine_settings, blocks, step_time, launch_s, timeout_s)


def alone(output_tokens, made, *, asynchronous):
    """The steps of one request that has the replica to itself, and when its last token is out, in steps of a second."""
    engine = EngineSettings(max_model_len=8192, async_scheduling=asynchronous, prefix_caching=False, speculative=made)
    ask = Ask(0.5, 100, output_tokens, 1, -1, 1, None)
    fates, steps, preemptions, free = in_coalescing_engine([ask], engine, 600, ConstantStepTime(1.0), 0.0, None)
    assert (preemptions, free) == (0, 599)
    return steps, fates[0].last_token_s - 0.5


@settings(max_examples=60)
@given(tokens=st.integers(1, 400), drafted=st.integers(1, 8), asynchronous=st.booleans())
def test_where_all_drafts_are_accepted_a_step_brings_as_many_tokens_and_one(tokens, drafted, asynchronous):
    steps, over_s = alone(tokens, drafts("ngram", [1.0] * drafted, 0.0), asynchronous=asynchronous)
    needed = 1 + ceil((tokens - 1) / (drafted + 1))
    assert over_s == pytest.approx(needed)
    # Under asynchronous scheduling the step after the last is made before it is known to be the last.
    assert steps in ({needed, needed + 1} if asynchronous else {needed})


@settings(max_examples=60)
@given(asks=st.lists(asks, min_size=1, max_size=12), drafted=st.integers(1, 8), asynchronous=st.booleans())
def test_where_no_draft_is_accepted_they_change_nothing_but_what_they_cost(asks, drafted, asynchronous):
    plain = EngineSettings(
        max_model_len=256, max_num_batched_tokens=2048, prefix_caching=False, async_scheduling=asynchronous
    )
    without, with_them = (
        in_coalescing_engine(asks, engine, 900, ConstantStepTime(0.011), 0.0, None)
        for engine in (plain, plain.model_copy(update={"speculative": drafts("ngram", [0.0] * drafted, 0.0)}))
    )
    for one, other in zip(with_them[0], without[0], strict=True):
        for name in ("scheduled_s", "first_token_s", "last_token_s"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9, nan_ok=True), name
        assert one.lost == other.lost
    assert with_them[1:] == without[1:]


@pytest.mark.parametrize("rates", [(0.7,), (0.81, 0.5, 0.5), (1.0, 0.9, 0.6, 0.3, 0.1), (0.05, 0.0)])
def test_the_mean_of_what_is_accepted_is_the_sum_of_the_rates(rates):
    drawn = np.array([accepted(rates, stream, n) for stream in streams_of(40) for n in range(500)])
    for position, rate in enumerate(rates):
        found = (drawn > position).mean()
        assert found == pytest.approx(rate, abs=4.5 * sqrt(rate * (1 - rate) / len(drawn)) + 1e-12)
    tokens = 6000
    steps, _ = alone(tokens, drafts("eagle3", rates), asynchronous=False)
    # Each step brings a token and what is accepted: of a sum of that many the spread is this.
    spread = sqrt(drawn.var() / steps)
    assert tokens / (steps - 1) == pytest.approx(1 + sum(rates), abs=4.5 * spread + (len(rates) + 1) / steps)


def test_draws_are_independent_from_one_verification_and_request_to_the_next():
    drawn = np.array([[uniform(stream, n) for n in range(400)] for stream in streams_of(100)])
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    spread = 1 / sqrt(drawn.size)
    for one, other in ((drawn[:, :-1], drawn[:, 1:]), (drawn[:-1], drawn[1:]), (drawn[:, :-2], drawn[:, 2:])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 * spread
    counts, _ = np.histogram(drawn, 64, (0.0, 1.0))
    chi_square = ((counts - drawn.size / 64) ** 2).sum() / (drawn.size / 64)
    # 63 degrees of freedom: mean 63, standard deviation 11.2.
    assert chi_square < 63 + 5 * 11.3


def streams_of(count):
    arrival_s = np.arange(count) * 0.25
    found = streams(arrival_s, np.full(count, 300), np.full(count, 200)).tolist()
    assert len(set(found)) == count
    return found


def test_a_draft_is_computed_where_it_is_drafted():
    """By hand: linear in what a step computes; the drafter passes once over a step and once for each further token."""
    made = drafts("eagle3", (0.0, 0.0), 0.1)
    engine = EngineSettings(max_model_len=256, async_scheduling=False, prefix_caching=False, speculative=made)
    ask = Ask(0.0, 10, 3, 1, -1, 1, None)
    fates, steps, _, _ = in_coalescing_engine([ask], engine, 99, LinearStepTime(1.0, 0.1, 0.01, 0.001), 0.0, None)
    prompt_s = 1.0 + 0.1 * 10 + 0.001 * 10
    prompt_s += 0.1 * (prompt_s + (1.0 + 0.01 + 0.001 * 10))
    whole_s = []
    for context in (13, 14):
        plain_s = 1.0 + 0.01 + 0.001 * context
        verify_s = plain_s + 0.1 * 2
        whole_s.append(verify_s + 0.1 * (verify_s + plain_s))
    assert steps == 3
    assert fates[0].first_token_s == pytest.approx(prompt_s)
    assert fates[0].last_token_s == pytest.approx(prompt_s + sum(whole_s))
