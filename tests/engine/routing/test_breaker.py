"""Circuit breakers and hedged requests."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.record import Charge, Loss, Outcome, Reason, RequestLog
from simulator.engine.routing.breaker import Breaker
from simulator.performance.step_time import LinearStepTime
from simulator.scenario.routing import CircuitBreaker
from tests.engine.demand import LINEAR, hybrid, plan, table
from tests.engine.operations.test_faults import breaking
from tests.engine.routing.test_gateway import run, several
from tests.engine.test_cluster import alone_s

CONFIG = CircuitBreaker.model_validate({"failures": 3, "window": "10s", "cool_down": "30s"})


def broken(times, log=None):
    breaker = Breaker(CONFIG, 0, log or RequestLog.empty(9), lambda _: None)
    for row, at_s in enumerate(times):
        breaker.lost(Loss(at_s, row, Reason.ERROR, True))
    return breaker


def test_it_opens_on_so_many_failures_in_a_window_and_cools_down():
    assert broken([1.0, 5.0]).allows(5.0)
    assert broken([1.0, 5.0, 11.5]).allows(12.0)
    breaker = broken([1.0, 5.0, 9.0])
    assert not breaker.allows(9.0)
    assert not breaker.allows(38.9)
    assert breaker.allows(39.0)


def test_busy_is_not_ill():
    breaker = Breaker(CONFIG, 0, RequestLog.empty(9), lambda _: None)
    for row in range(9):
        breaker.lost(Loss(1.0, row, Reason.CAPACITY, True))
    assert breaker.allows(1.0)


@pytest.mark.parametrize("answered", [True, False])
def test_half_open_one_request_decides(answered):
    log = RequestLog.empty(9)
    breaker = broken([1.0, 5.0, 9.0], log)
    assert breaker.allows(40.0)
    breaker.sent(7)
    assert not breaker.allows(41.0)
    if answered:
        log.outcome[7], log.ended_s[7], log.backend[7] = Outcome.COMPLETED, 45.0, 0
        assert not breaker.allows(44.0)
        assert breaker.allows(45.0)
        breaker.sent(8)
        assert breaker.allows(46.0)
    else:
        breaker.lost(Loss(45.0, 7, Reason.TIMEOUT, True))
        assert not breaker.allows(74.0)
        assert breaker.allows(75.0)


def test_an_answer_from_elsewhere_does_not_close_it():
    """Busy is not ill, nor is it well: a probe refused for want of room says nothing, and the next one is it."""
    log = RequestLog.empty(9)
    breaker = broken([1.0, 5.0, 9.0], log)
    assert breaker.allows(40.0)
    breaker.sent(7)
    breaker.lost(Loss(40.0, 7, Reason.CAPACITY, True))
    log.outcome[7], log.ended_s[7], log.backend[7] = Outcome.COMPLETED, 41.0, 1
    assert breaker.allows(42.0)
    breaker.sent(8)
    assert not breaker.allows(43.0)
    # And one that was handed on without a word, as to spillover.
    log.outcome[8], log.ended_s[8], log.backend[8] = Outcome.COMPLETED, 44.0, 1
    assert breaker.allows(45.0)
    breaker.sent(6)
    assert not breaker.allows(46.0)
    breaker.lost(Loss(47.0, 6, Reason.TIMEOUT, True))
    assert not breaker.allows(76.0)


def test_a_hedge_that_an_api_answers_does_not_close_the_breaker_of_a_cluster_that_hangs():
    """The API answers the probe of 40 s at 42.6 s, when the cluster has not begun to: all go there until 72.6 s."""
    hangs = plan(LinearStepTime(base_s=500.0, per_prefill_token_s=0, per_decode_request_s=0, per_kv_token_s=0))
    routing = {
        "timeout": "5s",
        "breaker": {"failures": 3, "window": "60s", "cool_down": "30s"},
        "hedge": {"after": "2s", "priorities": [1]},
    }
    requests = table([0.0, 1.0, 2.0, 40.0, 50.0, 51.0, 52.0, 73.0], 600, 20)
    requests.priority[3] = 1
    pattern = hybrid(routing, {"ttft": {"median": "600ms"}})
    log = run(pattern, requests, plan=hangs).log
    assert (log.outcome == Outcome.COMPLETED).all()
    assert (log.backend == 1).all()
    assert log.target.tolist() == [0, 0, 0, 0, 1, 1, 1, 0]
    assert log.failover.tolist() == [Reason.TIMEOUT] * 3 + [Reason.HEDGE] + [Reason.BREAKER] * 3 + [Reason.TIMEOUT]
    assert log.first_token_s[3] == pytest.approx(42.6)


def test_with_a_breaker_an_outage_costs_a_few_requests_their_retries_not_all():
    outage = {"kind": "outage", "api": "first", "at": ["+100s"], "duration": "200s"}
    logs = []
    for breaker in (None, {"failures": 3, "window": "60s", "cool_down": "30s"}):
        routing = {"backends": {"notes": ["first", "second"]}, **({"breaker": breaker} if breaker else {})}
        pattern = breaking(several({"own": {}}, {"first": {}, "second": {}}, routing), outage)
        logs.append(run(pattern, table(np.arange(90.0, 400.0, 2.0), 100, 20)).log)
    arrival_s = np.arange(90.0, 400.0, 2.0)
    during = (arrival_s >= 100.0) & (arrival_s < 300.0)
    for log in logs:
        assert (log.outcome == Outcome.COMPLETED).all()
        assert (log.backend[during] == 2).all()
        assert (log.backend[arrival_s > 340.0] == 1).all()
    without, with_breaker = ((log.attempts[during] > 1).sum() for log in logs)
    assert without == during.sum()
    # Three that opened it and one or so for each cool-down.
    assert with_breaker < 15
    assert (logs[1].failover[during] == Reason.BREAKER).sum() > 80


def test_where_nothing_else_is_left_the_breaker_does_not_hold():
    outage = {"kind": "outage", "api": "azure/gpt-4-turbo", "at": ["+100s"], "duration": "20s"}
    routing = {"breaker": {"failures": 1, "window": "600s", "cool_down": "600s"}, "max_in_flight": 1}
    pattern = breaking(hybrid(routing, {"retries": {"at_most": 0}}), outage)
    log = run(pattern, table([99.9, 100.0, 130.0], 600, [900, 20, 20]), may_leave=None).log
    # The third finds the breaker open, so it waits in the cluster.
    assert log.outcome.tolist() == [Outcome.COMPLETED, Outcome.REJECTED, Outcome.COMPLETED]
    assert log.backend.tolist() == [0, 1, 0]


def hedged(after, arrivals, outputs, engine=None, ttft="600ms"):
    pattern = hybrid({"hedge": {"after": after}, "max_in_flight": 99}, {"ttft": {"median": ttft}}, engine=engine or {})
    return run(pattern, table(arrivals, 600, outputs))


def test_what_a_cluster_answers_in_time_is_not_hedged():
    log = hedged("5s", [10.0], 50).log
    assert log.backend.tolist() == [0]
    assert log.attempts.tolist() == [0]
    assert log.billed_prompt_tokens.tolist() == [0]


def test_the_first_token_wins_and_the_other_is_called_off():
    log = hedged("5s", [10.0, 10.1], [900, 100], {"max_num_seqs": 1}).log
    assert log.backend.tolist() == [0, 1]
    assert log.failover.tolist() == [Reason.NONE, Reason.HEDGE]
    assert log.first_token_s[1] == pytest.approx(15.7)
    assert log.outcome.tolist() == [Outcome.COMPLETED] * 2
    assert (log.billed_prompt_tokens[1], log.billed_output_tokens[1]) == (600, 100)
    # The first has its replica to itself, as if the second had never been there.
    assert log.last_token_s[0] == pytest.approx(10.0 + alone_s(600, 900))


def test_a_rival_that_comes_second_is_paid_for_its_prompt_and_a_token():
    first_s = LINEAR.step_s(0, 0, [(600, 0)])
    record = hedged("100ms", [10.0], 50, ttft="900ms")
    log = record.log
    assert log.backend.tolist() == [0]
    assert log.first_token_s[0] == pytest.approx(10.0 + first_s)
    # The row is the cluster's: what the API charges stands apart, when its first token came.
    assert (log.billed_prompt_tokens[0], log.billed_output_tokens[0]) == (0, 0)
    assert record.burnt == (Charge(pytest.approx(11.0), 0, 1, 600, 0, 1, 0),)
    assert log.failover.tolist() == [Reason.NONE]


def test_a_rival_answers_what_a_failure_takes():
    """Both are hedged after 200 ms, and the failure comes before the API's first tokens."""
    failure = {"kind": "failure", "cluster": "cluster", "at": ["+10.5s"], "repair": "50s"}
    routing = {"hedge": {"after": "200ms"}, "max_in_flight": 99}
    pattern = breaking(hybrid(routing, {"ttft": {"median": "2s"}}, engine={"max_num_seqs": 1}), failure)
    log = run(pattern, table([10.0, 10.1], 1000, [300, 50])).log
    assert log.outcome.tolist() == [Outcome.COMPLETED] * 2
    assert log.target.tolist() == [0, 0]
    assert log.backend.tolist() == [1, 1]
    # They are answered by the calls that are under way, and by no others.
    assert log.attempts.tolist() == [1, 1]
    assert log.scheduled_s == pytest.approx([10.2, 10.3])
    assert (log.billed_prompt_tokens.tolist(), log.billed_output_tokens.tolist()) == ([1000, 1000], [300, 50])


def test_what_a_failure_takes_before_its_hedge_is_sent_to_the_next_backend():
    failure = {"kind": "failure", "cluster": "cluster", "at": ["+10.5s"], "repair": "50s"}
    pattern = breaking(hybrid({"hedge": {"after": "100s"}}, {"ttft": {"median": "2s"}}), failure)
    log = run(pattern, table([10.0, 10.1], 1000, [300, 50])).log
    assert log.outcome.tolist() == [Outcome.COMPLETED] * 2
    assert log.backend.tolist() == [1, 1]
    assert log.failover.tolist() == [Reason.FAULT] * 2
    assert log.attempts.tolist() == [1, 1]
    assert log.scheduled_s == pytest.approx([10.5, 10.5])
