"""Flex processing: the same call, slower, refused while there is no capacity, and without charge then."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.record import Outcome, Reason
from simulator.engine.simulation import simulate
from tests.engine.demand import metered, table

FIRM = {"ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}


def run(requests, *, horizon_s=1e5, api=None, **flex):
    pattern = metered(deployment={"kind": "flex", **flex}, **(FIRM if api is None else api))
    return simulate(pattern, requests, horizon_s=horizon_s, seed=3, replication=0)


def test_it_waits_for_capacity_and_takes_its_time_then():
    """By hand: 2 × 1 s and 30 s of waiting, half a second of network, then 100 further tokens at 25 a second."""
    api = {**FIRM, "network_delay": "500ms"}
    log = run(table([10.0], 600, 101), api=api, wait={"median": "30s"}, slowdown=2, unavailable=0).log
    assert log.first_token_s == pytest.approx([42.5])
    assert log.last_token_s == pytest.approx([46.5])


def test_beside_standard_each_call_is_the_same_but_slower():
    """Common random numbers: what is drawn for standard is drawn for flex, and a wait beside it."""
    requests = table(np.arange(0.0, 500.0, 5.0), 600, 200)
    api = {"ttft": {"median": "1s", "sigma": 0.5}, "output_tokens_per_s": {"median": 50, "sigma": 0.3}}
    standard = simulate(metered(**api), requests, horizon_s=1e5, seed=3, replication=0).log
    flex = run(requests, api=api, wait={"median": "7s"}, slowdown=3, unavailable=0).log
    arrival_s = requests.arrival_s
    assert flex.first_token_s - arrival_s == pytest.approx(3 * (standard.first_token_s - arrival_s) + 7.0)
    assert flex.last_token_s - flex.first_token_s == pytest.approx(3 * (standard.last_token_s - standard.first_token_s))


@pytest.mark.parametrize("call", ["first", "later"])
def test_by_default_one_call_in_a_hundred_waits_five_minutes(call):
    """The median of a lognormal of sigma 1 is 30 s, its p99 30 s × exp(2.326); twice the usual second comes on top."""
    api = {**FIRM, "retries": {"at_most": 20}}
    log = run(table(np.arange(8_000) * 20.0, 600, 1), horizon_s=2e5, api=api, unavailable=0.5).log
    waits_s = (log.first_token_s - log.scheduled_s)[(log.attempts > 1) == (call == "later")]
    assert len(waits_s) > 3_500
    assert np.median(waits_s) == pytest.approx(32.0, rel=0.08)
    assert np.quantile(waits_s, 0.99) == pytest.approx(2.0 + 30.0 * np.exp(2.326), rel=0.2)


def test_what_finds_no_capacity_is_tried_again_and_never_charged():
    """Of calls of which half are refused, an eighth is lost after two retries; a refusal names no time."""
    requests = table(np.arange(0.0, 40_000.0, 10.0), 600, 10)
    record = run(requests, unavailable=0.5, wait={"median": "1s"})
    log = record.log
    lost = log.outcome == Outcome.REJECTED
    assert lost.mean() == pytest.approx(0.125, abs=4 * (0.125 * 0.875 / len(lost)) ** 0.5)
    assert (log.lost[lost] == Reason.CAPACITY).all()
    assert (log.attempts[lost] == 3).all()
    # Half a second and a second, less up to a quarter.
    delay_s = (log.ended_s - requests.arrival_s)[lost]
    assert ((delay_s >= 1.125) & (delay_s <= 1.5)).all()
    assert record.burnt == ()
    assert log.billed_prompt_tokens.sum() == 600 * (~lost).sum()


def test_what_finds_no_capacity_takes_nothing_of_the_quota():
    limits = {"requests_per_minute": 10, "request_window": "60s", "refusals_count": True}
    api = {**FIRM, "limits": limits, "retries": {"at_most": 20, "first_delay": "100ms", "longest_delay": "1s"}}
    log = run(table(np.full(10, 0.1), 600, 10), api=api, unavailable=0.6).log
    assert log.attempts.sum() > 15
    assert (log.scheduled_s < 60.0).all()
