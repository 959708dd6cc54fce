from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import simpy

from simulator.engine.api.metered_api import ApiBackend
from simulator.engine.arrival import Arrival
from simulator.engine.ledger import Ledger
from simulator.engine.operations.conditions import Episode
from simulator.engine.record import Outcome, Reason
from simulator.engine.simulation import simulate
from simulator.scenario.apis import MeteredApi
from simulator.scenario.horizon import Horizon
from simulator.scenario.moments import moments_s
from tests.engine.demand import api, metered, table
from tests.engine.operations.test_faults import breaking


def run(pattern, requests, horizon_s=1000.0):
    return simulate(pattern, requests, horizon_s=horizon_s, seed=3, replication=0).log


def test_latency_is_first_token_plus_output_at_speed():
    pattern = metered(ttft={"median": "500ms"}, output_tokens_per_s={"median": 50})
    log = run(pattern, table([10.0, 20.0], output_tokens=[1, 101]))
    assert log.first_token_s == pytest.approx([10.5, 20.5])
    assert log.last_token_s == pytest.approx([10.5, 22.5])
    assert log.billed_output_tokens.tolist() == [1, 101]


@pytest.mark.parametrize(("at_s", "output"), [(100.4, 0), (100.5, 1), (101.5, 51), (102.48, 100)])
def test_an_answer_that_an_outage_cuts_off_is_charged_for_what_had_come(at_s, output):
    """First token after half a second, fifty a second from then on; none before."""
    pattern = metered(ttft={"median": "500ms"}, output_tokens_per_s={"median": 50}, retries={"at_most": 0})
    outage = {"kind": "outage", "api": "azure/gpt-4-turbo", "at": [f"+{at_s}s"], "duration": "10s"}
    record = simulate(breaking(pattern, outage), table([100.0], 600, 101), horizon_s=1e3, seed=3, replication=0)
    (charge,) = record.burnt
    assert (charge.prompt_tokens, charge.output_tokens) == (600, output)


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
    env, losses = simpy.Environment(), []
    (api,) = metered(limits={"tokens_per_minute": 2000}).metered.values()
    requests = table([0.0, 0.0])
    ledger = Ledger(requests)
    log = ledger.log
    backend = ApiBackend(env, api, 4, ledger, np.random.default_rng(1), losses.append)
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


def backends(deployment=UNITS, limits=None, allowed=True, **units):
    """A provisioned API that spills over to a standard one, its log, and the environment."""
    env, ledger = simpy.Environment(), Ledger(table(np.zeros(4), output_tokens=100))
    built = []
    for number, changes in enumerate(({"deployment": deployment, **units}, {"limits": limits or {}})):
        rng = np.random.default_rng(number)
        built.append(ApiBackend(env, MeteredApi.model_validate(api(**changes)), number, ledger, rng))
    built[0].spill_to(built[1], [allowed])
    return env, ledger.log, built[0]


def arrivals(count):
    requests = table(np.zeros(count), max_tokens=1400)
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


def test_a_workload_that_may_not_go_there_does_not_spill_over():
    env, log, provisioned = backends(allowed=False)
    first, second = arrivals(2)
    provisioned.submit(first)
    assert not provisioned.room(second)
    provisioned.submit(second)
    env.run(until=100.0)
    assert log.backend[:2].tolist() == [0, 0]
    assert log.scheduled_s[:2] == pytest.approx([0.0, 2.001])


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


def alone(changes, output_tokens=100, episodes=(), size=1, seed=0, month_s=730 * 3600.0):
    """One API, its log, what it charged for nothing, and its environment."""
    env, ledger, burnt = simpy.Environment(), Ledger(table(np.zeros(size), output_tokens=output_tokens)), []
    settings = MeteredApi.model_validate(api(**changes))
    rng = np.random.default_rng(seed)
    return (
        env,
        ledger.log,
        burnt,
        ApiBackend(env, settings, 0, ledger, rng, episodes=episodes, burnt=burnt, month_s=month_s),
    )


STEADY = {"ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 10}, "retries": {"at_most": 0}}


@pytest.mark.parametrize(
    ("streamed", "timeout", "outcome", "ended_s"),
    [
        (True, "2s", Outcome.COMPLETED, 10.9),
        (True, "900ms", Outcome.TIMED_OUT, 0.9),
        (False, "10.9s", Outcome.COMPLETED, 10.9),
        (False, "10.8s", Outcome.TIMED_OUT, 10.8),
    ],
)
def test_a_client_waits_for_the_first_token_or_for_the_whole_answer(streamed, timeout, outcome, ended_s):
    env, log, _, one = alone({**STEADY, "retries": {"at_most": 0, "timeout": timeout, "streamed": streamed}})
    one.submit(arrivals(1)[0])
    env.run(until=100.0)
    assert log.outcome[0] == outcome
    assert log.ended_s[0] == pytest.approx(ended_s)


@pytest.mark.parametrize(("billing", "prompt", "output"), [("all", 600, 100), ("prompt", 600, 0), ("nothing", 0, 0)])
def test_an_answer_nobody_waited_for_is_charged_as_the_provider_does(billing, prompt, output):
    changes = {**STEADY, "retries": {"at_most": 2, "timeout": "900ms"}, "billing": {"timeouts": billing}}
    env, log, burnt, one = alone(changes)
    one.submit(arrivals(1)[0])
    env.run(until=100.0)
    assert log.attempts[0] == 3
    assert log.billed_prompt_tokens[0] == log.billed_output_tokens[0] == 0
    assert sum(charge.prompt_tokens for charge in burnt) == 3 * prompt
    assert sum(charge.output_tokens for charge in burnt) == 3 * output
    assert all(charge.backend == 0 and charge.row == 0 for charge in burnt)


def test_a_retry_after_a_timeout_draws_another_latency():
    """Else a slow draw would time out for ever."""
    changes = {**STEADY, "ttft": {"median": "1s", "sigma": 1.0}, "retries": {"at_most": 20, "timeout": "1s"}}
    env, log, _, one = alone(changes, size=50)
    for arrival in arrivals(50):
        one.submit(arrival)
    env.run(until=1000.0)
    assert (log.outcome == Outcome.COMPLETED).all()
    assert log.attempts.max() > 2


def test_calls_under_way_break_off_when_an_outage_begins_and_later_ones_fail_until_it_is_over():
    """The answer runs from 1 to 10.9 s; the outage begins at 5.05 s, after 41 tokens."""
    env, log, burnt, one = alone(STEADY, episodes=[Episode(5.05, 60.0)], size=3)
    first, second, third = arrivals(3)
    one.submit(first)
    env.run(until=30.0)
    one.submit(second)
    env.run(until=60.0)
    one.submit(third)
    env.run(until=100.0)
    assert log.outcome.tolist() == [Outcome.REJECTED, Outcome.REJECTED, Outcome.COMPLETED]
    assert log.ended_s[:2] == pytest.approx([5.05, 30.0])
    assert log.lost.tolist() == [Reason.FAULT, Reason.FAULT, Reason.NONE]
    # What had come until then is charged; the call made in vain is not.
    assert [(charge.prompt_tokens, charge.output_tokens) for charge in burnt] == [(600, 41)]


def test_a_brown_out_fails_its_share_and_slows_the_rest():
    env, log, _, one = alone(STEADY, episodes=[Episode(-1.0, 50.0, 0.3, 2.0)], size=4_000)
    for arrival in arrivals(4_000):
        one.submit(arrival)
    env.run(until=100.0)
    completed = log.outcome == Outcome.COMPLETED
    assert completed.mean() == pytest.approx(0.7, abs=0.03)
    assert log.last_token_s[completed] == pytest.approx(21.8)


@pytest.mark.parametrize("month_h", [672, 730, 744])
def test_volume_beyond_the_usage_tier_is_slow_until_the_next_month(month_h):
    tier, month_s = {"usage_tier": {"tokens_per_month": 1500}}, month_h * 3600.0
    env, log, _, one = alone(STEADY | tier, size=5, month_s=month_s)
    for arrival, at_s in zip(arrivals(5), (0.0, 10.0, 20.0, month_s - 60.0, month_s), strict=True):
        env.run(until=at_s) if at_s else None
        one.submit(arrival)
    env.run(until=month_s + 3600.0)
    assert log.first_token_s - log.scheduled_s == pytest.approx([1.0, 1.0, 2.0, 2.0, 1.0])


@pytest.mark.parametrize("kind", ["tier", "brown-out"])
def test_an_api_that_is_slow_has_no_slower_network(kind):
    """By hand: 80 ms of network, then twice the second to the first token and twice the 9.9 s of the other 99."""
    tier, episodes = (
        ({"usage_tier": {"tokens_per_month": 1}}, ()) if kind == "tier" else ({}, [Episode(-1, 50, 0, 2.0)])
    )
    env, log, _, one = alone({**STEADY, "network_delay": "80ms", **tier}, episodes=episodes, size=2)
    for arrival in arrivals(2):
        one.submit(arrival)
    env.run(until=100.0)
    assert log.first_token_s - log.scheduled_s == pytest.approx([2.08, 2.08])
    assert log.last_token_s - log.first_token_s == pytest.approx([19.8, 19.8])


def test_the_network_adds_to_the_first_token():
    env, log, _, one = alone({**STEADY, "network_delay": "80ms"})
    one.submit(arrivals(1)[0])
    env.run(until=100.0)
    assert log.first_token_s[0] == pytest.approx(1.08)
    assert one.expected_ttft_s(arrivals(1)[0]) == pytest.approx(1.08)


def test_a_cached_prompt_takes_no_provisioned_units_and_is_counted():
    changes = {**STEADY, "deployment": UNITS, "prompt_cache": {"minimum": 100, "step": 10}}
    env, log, _, one = alone(changes, size=2)
    requests = table([0.0, 1.0], prompt_tokens=600, max_tokens=100, prefix=505)
    one.submit(Arrival.of(requests, 0))
    assert one._admission.utilisation(0.0) == pytest.approx((600 + 400) / 6_000)
    one.submit(Arrival.of(requests, 1))
    assert one._admission.utilisation(0.0) == pytest.approx((600 + 400 + 100 + 400) / 6_000)
    assert log.cached_tokens.tolist() == [0, 500]


@pytest.mark.parametrize(
    "deployment", [{}, {"deployment": {"kind": "batch"}, "ttft": None, "output_tokens_per_s": None}]
)
def test_what_is_longer_than_the_context_is_refused_once_and_costs_nothing(deployment):
    """600 + 1,000 tokens fit 1,600; 601 + 1,000 do not, however often one tries."""
    pattern = metered(context_tokens=1600, retries={"at_most": 5}, **deployment)
    log = run(pattern, table([10.0, 20.0], [600, 601]), 100_000.0)
    assert log.outcome.tolist() == [Outcome.COMPLETED, Outcome.REJECTED]
    assert log.lost.tolist() == [Reason.NONE, Reason.TOO_LONG]
    assert log.ended_s[1] == 20.0
    assert log.billed_prompt_tokens.tolist() == [600, 0]
    assert log.attempts[1] <= 1


@pytest.mark.parametrize(
    ("zone", "hours"),
    # The clock goes back in Berlin on the second day, in the United States a week later.
    [
        (None, [0, 1, 24, 25, 49, 50]),
        ("America/Los_Angeles", [0, 1, 9, 10, 33, 34, 57, 58]),
        ("UTC", [0, 1, 2, 3, 26, 27, 50, 51]),
    ],
)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_quota_of_the_day_begins_anew_at_the_midnight_of_its_time_zone(zone, hours, one_by_one):
    start = {"start": "2026-10-24", "duration": "3d", "time_zone": "Europe/Berlin"}
    horizon = Horizon.model_validate(start)
    limits = {"requests_per_day": 2} | ({"day_time_zone": zone} if zone else {})
    pattern = metered(limits=limits, retries={"at_most": 0})
    asked = table(np.arange(0.0, horizon.duration_s, 3600.0))
    log = simulate(
        pattern,
        asked,
        horizon_s=horizon.duration_s,
        seed=3,
        replication=0,
        moments_s=partial(moments_s, horizon=horizon),
        one_by_one=one_by_one,
    ).log
    assert np.flatnonzero(log.outcome == Outcome.COMPLETED).tolist() == hours
