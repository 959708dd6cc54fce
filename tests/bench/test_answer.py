"""Streams as servers really write them: counted in every message, at the end, or not at all; and cut short."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.bench.answer import Answer


def heard(*chunks, asked=6, done=True):
    """An answer whose messages come a second apart."""
    answer = Answer()
    lines = [f"data: {json.dumps(chunk)}".encode() for chunk in chunks] + [b"data: [DONE]"] * done
    for second, line in enumerate([b"", *lines, b": a comment"]):
        answer.take(line, float(second))
    return answer, answer.token_s(asked), answer.is_whole(asked)


def message(text="a", counted=None, reason=None):
    usage = {} if counted is None else {"usage": {"prompt_tokens": 9, "completion_tokens": counted}}
    return {"choices": [{"text": text, "finish_reason": reason}]} | usage


def end(tokens, **details):
    return {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": tokens} | details}


def test_counted_in_every_message_as_vllm_does():
    answer, token_s, whole = heard(message(counted=1), message(counted=4), message("", 6, "length"), end(6))
    assert token_s == [1.0, 2.0, 2.0, 2.0, 3.0, 3.0]
    assert (whole, answer.counted, answer.prompt_tokens, answer.finish_reason) == (True, True, 9, "length")


def test_counted_at_the_end_as_openai_does():
    """Three tokens a message: those of a message come together."""
    answer, token_s, whole = heard(message(), message(), message("", reason="length"), end(6))
    assert token_s == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    assert whole
    assert answer.counted


def test_not_counted_but_as_long_as_was_asked():
    answer, token_s, whole = heard(message(), message(), message("", reason="length"), asked=4)
    assert token_s == [1.0, 1.0, 2.0, 2.0]
    assert whole
    assert answer.counted


def test_not_counted_at_all():
    answer, token_s, whole = heard(message(), message(), message("", reason="stop"))
    assert token_s == [1.0, 2.0]
    assert whole
    assert not answer.counted


def test_cached_tokens_are_told():
    answer, *_ = heard(message(counted=1), end(1, prompt_tokens_details={"cached_tokens": 5}), asked=1)
    assert answer.cached_tokens == 5


@pytest.mark.parametrize(
    ("chunks", "done"),
    [
        # The engine died: an error in a stream of status 200, and then its usual end.
        ([message(counted=1), message(counted=3), {"error": {"message": "EngineDeadError", "code": 500}}], True),
        ([{"error": {"message": "no", "code": 400}}], True),
        # Cut, with counts that agree and without.
        ([message(counted=1), message(counted=2), message(counted=3)], False),
        ([message(), message()], False),
        # A proxy that lost some.
        ([message(), message("", reason="length"), end(0)], True),
        ([], True),
        ([end(6)], True),
    ],
)
def test_what_is_not_whole(chunks, done):
    assert not heard(*chunks, done=done)[2]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.booleans())
def test_law_every_counted_token_has_a_time_and_times_never_fall(sizes, continuous):
    total = sum(sizes) + 1
    counts = [1 + sum(sizes[: row + 1]) for row in range(len(sizes))]
    chunks = [message(counted=count if continuous else None) for count in counts]
    _, token_s, whole = heard(*chunks, message("", total if continuous else None, "length"), end(total), asked=total)
    assert len(token_s) == total
    assert token_s == sorted(token_s)
    assert whole
