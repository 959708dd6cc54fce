"""What reasoning models think: lengths by hand, means against draws made here, prompts of conversations."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from simulator.scenario.workloads import SyntheticWorkload
from simulator.workload.conversations import mean_conversation
from simulator.workload.synthesis import synthesise
from simulator.workload.thinking import mean_output
from tests.workload.clinic import scenario, source

TURNS = {"mean": 3, "think": {"median": "30s", "sigma": 0.5}, "question_tokens": 40}


def lognormal(median, sigma):
    return {"kind": "lognormal", "median": median, "sigma": sigma}


def constant(tokens):
    return {"kind": "constant", "tokens": tokens}


def reasoning(tokens, **more):
    return {"thinking_tokens": tokens, **more}


def drawn(**settings):
    return synthesise(scenario(clinic=source(volume={"requests_per_month": 20_000}, **settings)), 0)


@pytest.mark.parametrize(
    ("answer", "thoughts", "share", "limit"),
    [((200, 0.5), (700, 0.9), 1.0, 4096), ((300, 0.8), (900, 1.0), 0.6, 1500), ((5, 1.0), (3, 1.2), 0.5, 12)],
)
def test_the_mean_is_that_of_draws(answer, thoughts, share, limit):
    load = SyntheticWorkload.model_validate(
        source(
            output_tokens=lognormal(*answer),
            reasoning=reasoning(lognormal(*thoughts), share=share),
            max_tokens=limit,
        )
    )
    rng, size = np.random.default_rng(5), 400_000

    def tokens(median, sigma):
        return np.clip(np.rint(median * np.exp(sigma * rng.standard_normal(size))), 1, limit)

    thought = tokens(*thoughts) * (rng.random(size) < share)
    output = np.minimum(thought + tokens(*answer), limit)
    for mean, sample in zip(mean_output(load), (output, thought), strict=True):
        assert mean == pytest.approx(sample.mean(), abs=4.5 * sample.std() / np.sqrt(size) + 1e-3 * mean)


def test_thoughts_come_on_top_and_change_nothing_else():
    answers = lognormal(200, 0.5)
    off, on = drawn(output_tokens=answers), drawn(output_tokens=answers, reasoning=reasoning(lognormal(500, 0.7)))
    for name in ("arrival_s", "prompt_tokens", "prefix_id", "max_tokens"):
        np.testing.assert_array_equal(getattr(on, name), getattr(off, name))
    assert not off.thinking_tokens.any()
    np.testing.assert_array_equal(np.minimum(off.output_tokens + on.thinking_tokens, 4096), on.output_tokens)
    assert np.median(on.thinking_tokens) == pytest.approx(500, rel=0.05)


def test_thoughts_that_use_up_the_limit_leave_no_answer():
    table = drawn(reasoning=reasoning(lognormal(900, 0.5)), max_tokens=1000)
    empty = table.thinking_tokens == table.output_tokens
    # Half of all are above 900 tokens, and ln(1000 / 900) is 0.21 of a deviation.
    assert empty.mean() == pytest.approx(0.4166, abs=0.015)
    assert (table.output_tokens[empty] == 1000).all()


def test_a_share_of_the_requests_thinks():
    table = drawn(reasoning=reasoning(constant(50), share=0.3))
    thought = table.thinking_tokens > 0
    assert thought.mean() == pytest.approx(0.3, abs=0.015)
    assert set(table.output_tokens[thought]) == {250}
    assert set(table.output_tokens[~thought]) == {200}


@pytest.mark.parametrize(("kept", "grows"), [(False, 240), (True, 1240)])
def test_the_next_prompt_has_the_answer_and_seldom_the_thoughts(kept, grows):
    table = drawn(turns=TURNS, reasoning=reasoning(constant(1000), in_next_prompt=kept))
    for conversation in np.unique(table.prefix_id)[:50]:
        prompts = table.prompt_tokens[table.prefix_id == conversation]
        assert prompts.tolist() == [600 + turn * grows for turn in range(len(prompts))]


@pytest.mark.parametrize("longest", [131_072, 2_000])
@pytest.mark.parametrize("kept", [False, True])
def test_the_mean_conversation_is_that_of_draws(kept, longest):
    settings = {
        "turns": TURNS | {"longest": longest},
        "reasoning": reasoning(constant(300), in_next_prompt=kept),
        "volume": {"requests_per_month": 60_000},
    }
    load = SyntheticWorkload.model_validate(source(**settings))
    mean, table = mean_conversation(load), synthesise(scenario(clinic=source(**settings)), 0)
    tokens = (table.prompt_tokens + table.output_tokens).astype(np.int64)
    began = table.prompt_tokens == 600
    # The few conversations that the end of the month cuts short.
    assert len(table) / began.sum() == pytest.approx(mean.requests, rel=0.03)
    assert tokens.sum() / began.sum() == pytest.approx(mean.tokens, rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reasoning": reasoning(constant(4096))}, "leaves no answer behind 4,096 thinking tokens"),
        ({"reasoning": reasoning({"kind": "empirical", "values": [90, 120]}), "max_tokens": 90}, "leaves no answer"),
        ({"reasoning": reasoning(constant(5), share=0.0)}, "greater than 0"),
        ({"reasoning": {}}, "thinking_tokens"),
        ({"reasoning": reasoning(constant(0))}, "greater than 0"),
        ({"reasoning": reasoning(constant(5), kept=True)}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        SyntheticWorkload.model_validate(source(**wrong))
