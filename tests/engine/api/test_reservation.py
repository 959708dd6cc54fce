"""Reserved tokens a minute: what they admit, and what goes to the standard tier by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.engine.api.reservation import Reservation
from simulator.engine.record import Outcome, Reason
from simulator.engine.simulation import simulate
from simulator.scenario.patterns import ApiPattern
from tests.engine.demand import table

MODEL = "bedrock/claude-sonnet-4.5"
RESERVED = {
    "kind": "reserved", "input_tokens_per_minute": 100_000, "output_tokens_per_minute": 10_000,
    "input_price": "40 USD/month", "output_price": "200 USD/month", "spillover": "tokens",
}  # fmt: skip
FIRM = {"ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}


def pattern(api=None, standard=MODEL, **changes):
    apis = {
        "reserved": {"model": MODEL, "deployment": RESERVED | changes, **FIRM, **(api or {})},
        "tokens": {"model": standard, **FIRM},
    }
    return ApiPattern.model_validate(
        {"kind": "metered_api", "apis": apis, "routing": {"backends": {"notes": ["reserved"]}}}
    )


def run(requests, **changes):
    return simulate(pattern(**changes), requests, horizon_s=1000.0, seed=3, replication=0).log


def test_output_is_reserved_a_minute_and_what_exceeds_it_is_standard():
    """Ten of max_tokens 1,000 fill 10,000; at 10 s they have ended with 200 each, so eight more fit."""
    arrival_s = np.concatenate([np.full(12, 0.5), np.full(12, 10.0), [60.0]])
    log = run(table(arrival_s, 600, 200, max_tokens=1_000))
    assert (log.outcome == Outcome.COMPLETED).all()
    assert log.backend.tolist() == [0] * 10 + [1] * 2 + [0] * 8 + [1] * 4 + [0]
    assert (log.failover == np.where(log.backend == 1, Reason.CAPACITY, Reason.NONE)).all()
    # Nobody waits: the provider hands on what exceeds the reservation.
    assert log.scheduled_s == pytest.approx(arrival_s)


def test_input_is_a_limit_of_its_own_and_cached_tokens_are_not_of_it():
    requests = table([0.0, 1.0, 2.0], 60_000, 10, max_tokens=100, prefix=59_904)
    assert run(requests).backend.tolist() == [0, 1, 1]
    log = run(requests, api={"prompt_cache": {}})
    assert log.cached_tokens.tolist() == [0, 59_904, 59_904]
    assert log.backend.tolist() == [0, 0, 0]


calls = st.tuples(
    st.floats(0, 30), st.integers(1, 60_000), st.integers(0, 50_000), st.integers(1, 6_000), st.floats(0, 90)
)


@given(asks=st.lists(calls, max_size=50))
def test_law_a_minute_admits_what_is_reserved(asks):
    """Beside an oracle that remembers everything: input less cached, and max_tokens until the answer has ended."""
    one, taken, now_s = Reservation(100_000, 10_000), [], 0.0
    for gap_s, own, cached, most, lasts_s in asks:
        now_s += gap_s
        prompt, output = own + cached, most // 3
        minute = [each for each in taken if each[0] // 60 == now_s // 60]
        used_in = sum(each[2] for each in minute)
        used_out = sum(each[4] if each[1] <= now_s and each[1] // 60 == each[0] // 60 else each[3] for each in minute)
        fits = used_in + prompt - cached <= 100_000 and used_out + most <= 10_000
        assert (one.admit(now_s, prompt, cached, most) == 0.0) == fits
        if fits:
            one.settle(now_s + lasts_s, prompt, cached, most, output)
            taken.append((now_s, now_s + lasts_s, prompt - cached, most, output))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_tokens_per_minute": 99_999}, "greater than or equal to 100000"),
        ({"output_tokens_per_minute": 9_999}, "greater than or equal to 10000"),
        ({"spillover": "nowhere"}, "expected one of: tokens"),
        ({"spillover": "reserved"}, "expected one of: tokens"),
        ({"standard": "bedrock/llama-3.3-70b"}, "expected the standard tier of bedrock/claude-sonnet-4.5 itself"),
        ({"api": {"limits": {"tokens_per_minute": 9}}}, "do not apply to a reserved deployment"),
        ({"input_price": "40"}, "expected an amount such as '40 USD/month'"),
    ],
)
def test_what_cannot_be_reserved_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        pattern(**changes)
