"""Replicas that come and go: when, what they serve, and for how long they are paid."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from simulator.engine.record import Outcome, Reason
from tests.engine.demand import hybrid, self_hosted, table
from tests.engine.routing.test_gateway import run

NODE = {"node_start": {"median": "60s"}}
HOUR_S = 3600.0


def scheduled(first, *changes, replicas=2, base=self_hosted, **more):
    config = {
        "kind": "schedule",
        "first_replicas": first,
        "changes": [{"at": at, "replicas": count} for at, count in changes],
        **NODE,
    }
    return base(replicas=replicas, autoscaling=config, **more)


def queued(replicas=3, **more):
    config = {"kind": "queue", "every": "5s", "idle_for": "60s", **NODE, **more}
    return self_hosted(replicas=replicas, autoscaling=config, engine={"max_num_seqs": 4})


def seconds(record):
    return [(float(level.up_s.sum()), float(level.paid_s.sum())) for level in record.levels]


def test_a_schedule_pays_from_the_order_on_and_serves_when_the_machine_is_there():
    pattern = scheduled(1, ("+100s", 2), ("+500s", 1))
    record = run(pattern, table(np.arange(0.5, 900.0, 10.0), 100, 20))
    assert (record.log.outcome == Outcome.COMPLETED).all()
    assert seconds(record)[0] == (1000.0, 1000.0)
    up_s, paid_s = seconds(record)[1]
    assert up_s == pytest.approx(340.0)
    # It finishes what it has before it is given back.
    assert 400.0 <= paid_s <= 405.0


def test_what_a_replica_cannot_finish_in_time_is_lost_to_it_and_served_by_another():
    pattern = scheduled(2, ("+100s", 1), base=self_hosted, request_timeout="900s")
    pattern.hosted["cluster"].cluster.autoscaling.__dict__["drain"] = 2.0
    log = run(pattern, table([99.0, 99.0], 600, 900)).log
    assert (log.outcome == Outcome.COMPLETED).all()
    assert sorted(log.failover) == [Reason.NONE, Reason.FAULT]


def test_scaled_to_zero_requests_wait_for_a_machine_or_for_as_long_as_they_may():
    pattern = queued(at_least=0)
    record = run(pattern, table([100.0, 101.0], 100, 20))
    assert (record.log.outcome == Outcome.COMPLETED).all()
    assert record.log.enqueued_s == pytest.approx([100.0, 101.0])
    # Within five seconds it is looked at, a minute later a machine is there.
    assert 160.0 <= record.log.scheduled_s[0] <= 165.1
    up_s, paid_s = seconds(record)[0]
    assert paid_s == pytest.approx(up_s + 60.0, abs=6.0)
    assert 60.0 <= up_s <= 80.0
    assert seconds(record)[1:] == [(0.0, 0.0)] * 2
    impatient = self_hosted(replicas=1, request_timeout="30s", autoscaling={"kind": "queue", "at_least": 0, **NODE})
    log = run(impatient, table([100.0], 100, 20)).log
    assert log.outcome.tolist() == [Outcome.TIMED_OUT]
    assert log.ended_s.tolist() == [130.0]


def test_a_request_that_waited_for_a_machine_times_out_when_it_said():
    pattern = self_hosted(
        replicas=1, request_timeout="70s", autoscaling={"kind": "queue", "at_least": 0, "every": "5s", **NODE}
    )
    log = run(pattern, table([100.0, 100.0], 600, [10, 900])).log
    assert log.outcome.tolist() == [Outcome.COMPLETED, Outcome.TIMED_OUT]
    assert log.ended_s[1] == pytest.approx(170.0)


def test_with_an_api_behind_it_nobody_waits_for_a_machine():
    pattern = hybrid(replicas=1, autoscaling={"kind": "queue", "at_least": 0, **NODE})
    log = run(pattern, table([100.0], 100, 20)).log
    assert log.backend.tolist() == [1]
    assert log.failover.tolist() == [Reason.CAPACITY]


def test_a_queue_brings_replicas_and_quiet_sends_them_away():
    requests = table(np.arange(100.0, 700.0, 0.8), 300, 400)
    record = run(queued(), requests, HOUR_S)
    assert (record.log.outcome == Outcome.COMPLETED).all()
    ups = [up_s for up_s, _ in seconds(record)]
    assert ups[0] == HOUR_S
    assert all(300.0 < up_s < 2000.0 for up_s in ups[1:])

    def mean_s(ran):
        return (ran.log.last_token_s - requests.arrival_s).mean()

    one, three = (run(self_hosted(replicas=n, engine={"max_num_seqs": 4}), requests, HOUR_S) for n in (1, 3))
    assert mean_s(three) < mean_s(record) < 0.5 * mean_s(one)


def test_what_is_on_its_way_is_not_asked_for_again():
    record = run(queued(replicas=8), table(np.full(9, 100.0), 300, 900), HOUR_S)
    started = sum(paid_s > 0.0 for _, paid_s in seconds(record))
    assert started == 3


def test_more_replicas_than_there_can_be_are_refused():
    with pytest.raises(ValidationError, match="most there can be: 2"):
        scheduled(3, ("+1h", 1))
    with pytest.raises(ValidationError, match="below fill_at_most"):
        queued(fill_at_least="90 %")
