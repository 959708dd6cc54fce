from __future__ import annotations

import numpy as np
import pytest
import simpy

from simulator.engine.arrival import Arrival
from simulator.engine.metered_api import ApiBackend
from simulator.engine.record import Outcome, Reason, RequestLog
from simulator.engine.simulation import simulate
from simulator.scenario.apis import MeteredApi
from tests.engine.demand import api, metered, table


def run(pattern, requests, horizon_s=1000.0):
    return simulate(pattern, requests, horizon_s=horizon_s, seed=3, replication=0).log


def test_latency_is_first_token_plus_output_at_speed():
    pattern = metered(ttft={"median": "500ms"}, output_tokens_per_s={"median": 50})
    log = run(pattern, table([10.0, 20.0], output_tokens=[1, 101]))
    assert log.first_token_s == pytest.approx([10.5, 20.5])
    assert log.last_token_s == pytest.approx([10.5, 22.5])
    assert log.billed_output_tokens.tolist() == [1, 101]


def test_a_throttled_client_waits_as_told():
    log = run(metered(limits={"tokens_per_minute": 1600}), table([5.0, 6.0]))
    assert log.scheduled_s == pytest.approx([5.0, 60.0])
    assert log.attempts.tolist() == [1, 2]


def test_a_request_larger_than_the_quota_is_refused_in_the_end():
    log = run(metered(limits={"tokens_per_minute": 1000}), table([5.0]))
    assert log.outcome.tolist() == [Outcome.REJECTED]
    assert log.attempts.tolist() == [3]
    assert log.billed_prompt_tokens.tolist() == [0]


def test_errors_are_retried_with_growing_shortened_delays():
    pattern = metered(error_share=1.0, retries={"at_most": 3})
    log = run(pattern, table([0.0]))
    assert log.outcome.tolist() == [Outcome.REJECTED]
    assert log.attempts.tolist() == [4]
    # 0.5 + 1 + 2 seconds, each shortened by up to a quarter.
    assert 0.75 * 3.5 <= log.ended_s[0] <= 3.5


def test_the_share_of_errors_is_the_one_asked_for():
    log = run(metered(error_share=0.2, retries={"at_most": 0}), table(np.linspace(0, 900, 20_000)))
    assert (log.outcome == Outcome.REJECTED).mean() == pytest.approx(0.2, abs=0.012)


def test_what_ends_after_the_horizon_is_unfinished_and_unbilled():
    log = run(metered(), table([999.9]))
    assert log.outcome.tolist() == [Outcome.UNFINISHED]
    assert np.isnan(log.last_token_s[0])
    assert log.billed_output_tokens.tolist() == [0]


def test_a_sender_may_allow_fewer_retries_sees_room_and_learns_why_it_was_refused():
    env, log, losses = simpy.Environment(), RequestLog.empty(2), []
    (api,) = metered(limits={"tokens_per_minute": 2000}).metered.values()
    requests = table([0.0, 0.0])
    backend = ApiBackend(env, api, 4, requests.output_tokens, log, np.random.default_rng(1), losses.append)
    first, second = (Arrival.of(requests, index) for index in range(2))
    assert backend.room(first)
    backend.submit(first)
    assert not backend.room(second)
    backend.submit(second, retries_at_most=0)
    assert losses == [(0.0, 1, Reason.CAPACITY, True)]
    assert log.backend.tolist() == [4, 4]
    assert log.attempts.tolist() == [1, 1]


UNITS = {"kind": "provisioned", "units": 15, "tokens_per_unit": 400, "output_ratio": 4}


def test_provisioned_units_accept_until_they_are_full_and_say_when_they_are_not():
    """15 units of 400 tokens a minute drain 100 a second; one request of 600 + 4 x 1,350 fills their minute."""
    pattern = metered(deployment=UNITS)
    log = run(pattern, table([0.0, 1.0], output_tokens=[100, 10], max_tokens=1350))
    # A hundred have drained when the second comes, so there is room again.
    assert log.attempts.tolist() == [1, 1]
    log = run(pattern, table([0.0, 0.0], output_tokens=[1000, 10], max_tokens=1400))
    # 6,200 are 200 too many for two seconds.
    assert log.scheduled_s == pytest.approx([0.0, 2.001])


def backends(deployment=UNITS, limits=None, **units):
    """A provisioned API that spills over to a standard one, its log, and the environment."""
    env, log = simpy.Environment(), RequestLog.empty(4)
    outputs = np.full(4, 100, np.int32)
    built = []
    for number, changes in enumerate(({"deployment": deployment, **units}, {"limits": limits or {}})):
        rng = np.random.default_rng(number)
        built.append(ApiBackend(env, MeteredApi.model_validate(api(**changes)), number, outputs, log, rng))
    built[0].spill_to(built[1])
    return env, log, built[0]


def arrivals(count):
    requests = table([0.0] * count, max_tokens=1400)
    return [Arrival.of(requests, index) for index in range(count)]


def test_what_the_units_refuse_spills_over_at_once():
    env, log, provisioned = backends()
    for arrival in arrivals(3):
        assert provisioned.room(arrival)
        provisioned.submit(arrival)
    env.run(until=100.0)
    assert log.backend[:3].tolist() == [0, 1, 1]
    assert log.failover[:3].tolist() == [Reason.NONE, Reason.CAPACITY, Reason.CAPACITY]
    assert log.scheduled_s[:3].tolist() == [0.0, 0.0, 0.0]
    assert log.attempts[:3].tolist() == [1, 1, 1]


def test_server_errors_spill_over_too():
    env, log, provisioned = backends(error_share=1.0)
    provisioned.submit(arrivals(1)[0])
    env.run(until=100.0)
    assert (log.backend[0], log.failover[0], log.outcome[0]) == (1, Reason.ERROR, Outcome.COMPLETED)


def test_where_neither_takes_it_the_client_waits_as_the_units_say():
    env, log, provisioned = backends(limits={"tokens_per_minute": 1999})
    for arrival in arrivals(2):
        provisioned.submit(arrival)
    env.run(until=100.0)
    assert log.backend[:2].tolist() == [0, 0]
    assert log.failover[:2].tolist() == [Reason.NONE, Reason.NONE]
    assert log.scheduled_s[:2] == pytest.approx([0.0, 2.001])
