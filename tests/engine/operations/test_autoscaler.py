"""Replicas that come and go: when, what they serve, and for how long they are paid."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from simulator.engine.operations.autoscaler import Autoscaler
from simulator.engine.record import Outcome, Reason
from simulator.performance.step_time import LinearStepTime
from simulator.scenario.autoscaling import Autoscaling
from simulator.scenario.moments import after_start_s
from tests.engine.demand import hybrid, plan, self_hosted, table
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


def test_the_last_replica_stays_while_something_comes_however_short_it_is():
    """A short request every 23 s, none of them there at any look but some: it is never idle for a minute."""
    arrival_s = np.arange(1.0, 1900.0, 23.0)
    record = run(queued(replicas=1, at_least=0), table(arrival_s, 100, 2), 2000.0)
    assert (record.log.outcome == Outcome.COMPLETED).all()
    waited_s = record.log.first_token_s - arrival_s
    # The first ones wait for a machine, and nobody after them.
    assert waited_s[arrival_s > 70.0].max() < 1.0
    assert seconds(record)[0][1] > 1890.0


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


def test_what_a_replica_has_when_it_is_sent_away_it_finishes():
    """Two answers of 14 s, one on each replica, one of which is wanted no more a second later."""
    pattern = scheduled(2, ("+100s", 1))
    record = run(pattern, table([99.0, 99.0], 600, 900))
    assert (record.log.outcome == Outcome.COMPLETED).all()
    assert (record.log.failover == Reason.NONE).all()
    assert record.log.retries.tolist() == record.log.wasted_tokens.tolist() == [0, 0]
    (_, _), (up_s, paid_s) = seconds(record)
    assert up_s == 100.0
    # It is looked at every five seconds.
    last_s = record.log.last_token_s.max()
    assert last_s > 110.0
    assert last_s <= paid_s < last_s + 5.0


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
    first, *others = seconds(record)
    assert first == (HOUR_S, HOUR_S)
    for up_s, paid_s in others:
        # A machine is paid from the order on and there a minute later.
        assert paid_s - up_s == pytest.approx(60.0)
        # Ordered within 30 s of the first request; the last one ends at 706 s, then one leaves a minute.
        assert 706.0 - 190.0 + 55.0 <= up_s <= 706.0 - 160.0 + 2 * 65.0

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


@pytest.mark.parametrize(("again_s", "up_s"), [(601, 2640.0), (630, 2640.0), (720, 2640.0), (901, 2639.0)])
def test_what_is_asked_for_while_a_replica_drains_starts_when_its_machine_is_free(again_s, up_s):
    """Two with an endless answer each, one from 600 s on, two again: it drains until 900 s, starts for a minute."""
    pattern = scheduled(2, ("+600s", 1), (f"+{again_s}s", 2))
    slow = plan(LinearStepTime(base_s=40.0, per_prefill_token_s=0, per_decode_request_s=0, per_kv_token_s=0))
    record = run(pattern, table([10.0, 10.0], 600, 900), HOUR_S, plan=slow)
    (up_first, _), (up_second, paid_second) = seconds(record)
    assert up_first == HOUR_S
    assert up_second == pytest.approx(600.0 + up_s)
    assert paid_second == pytest.approx(HOUR_S - max(0.0, again_s - 900.0))


@dataclass
class Fake:
    """Fleet, uptime and cluster of an autoscaler in one: answers as it is told, and remembers what it is asked."""

    env: simpy.Environment
    size: int
    seats: int
    lasts: list[list[int]]
    looks: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self):
        self.holds, self.unpaid = [0] * self.size, [0] * self.size
        self.busy_until_s = [0.0] * self.size
        self.seen = {}

    def note(self):
        self.seen[self.env.now] = tuple(not one for one in self.holds), tuple(not one for one in self.unpaid)

    def changes(self):
        """(time, up, paid) after each moment at which anything changed."""
        found = [(at_s, *self.seen[at_s]) for at_s in sorted(self.seen)]
        return found[:1] + [one for before, one in pairwise(found) if before[1:] != one[1:]]

    def hold(self, replica, now_s):
        if not self.holds[replica] and now_s > 0.0:
            self.busy_until_s[replica] = now_s + self.lasts[replica].pop()
        self.holds[replica] += 1
        self.note()

    def release(self, replica, now_s):
        self.holds[replica] -= 1
        self.note()
        return not self.holds[replica]

    def stop_paying(self, replica, now_s):
        self.unpaid[replica] += 1
        self.note()

    def pay(self, replica, now_s):
        self.unpaid[replica] -= 1
        self.note()

    def lose(self, replica, now_s):
        """What it had not finished is gone: if it is asked for again, it starts with nothing."""
        self.busy_until_s[replica] = now_s
        return iter(())

    def load(self, replica, now_s):
        return int(now_s < self.busy_until_s[replica])

    def opened(self):
        pass

    def queue(self):
        return self.looks.pop()

    #: Nothing came between two looks.
    came = 0


def reference(config, size, seats, lasts, looks, changes, until_s):
    """The same by looking at a clock that ticks: (time, up, paid) after each tick at which anything changed."""
    tick_s, node_s, drain_s = 1 / 32, config.node_start.median, config.drain
    looks, lasts = looks[:], [one[:] for one in lasts]
    target = config.first(size)
    state = ["up" if one < target else "off" for one in range(size)]
    since, calm_since, seen = [0.0] * size, None, []
    busy_until = [0.0] * size
    last = None
    for number in range(int(until_s / tick_s)):
        now = number * tick_s
        for at_s, replicas in changes:
            target = replicas if at_s == now else target
        if config.kind == "queue" and now > 0.0 and now % config.every == 0.0:
            waiting, running = looks.pop()
            if (waiting > 0) if target == 0 else (
                running > config.fill_at_most * seats * target or waiting > config.waiting_per_replica * target
            ):  # fmt: skip
                calm_since, target = None, min(target + 1, size)
            elif target - 1 < config.at_least or running + waiting > config.fill_at_least * seats * (target - 1):
                calm_since = None
            elif calm_since is None:
                calm_since = now
            elif now - calm_since >= config.idle_for:
                calm_since, target = None, target - 1
        for one in range(size):
            if state[one] == "starting" and now == since[one] + node_s:
                state[one] = "up"
            if state[one] == "draining":
                looks_now = (now - since[one]) % 5.0 == 0.0 or now == since[one] + drain_s
                if looks_now and (now >= busy_until[one] or now >= since[one] + drain_s):
                    state[one] = "off"
        while (serving := [one for one in range(size) if state[one] in ("up", "starting")])[target:]:
            one = serving[-1]
            busy_until[one] = now + (lasts[one].pop() if state[one] == "up" else 0)
            state[one], since[one] = ("off" if busy_until[one] <= now or drain_s == 0 else "draining"), now
        for one in [one for one in range(size) if state[one] == "off"][: max(0, target - len(serving))]:
            state[one], since[one] = "starting", now
        found = tuple(one == "up" for one in state), tuple(one != "off" for one in state)
        if found != last:
            seen.append((now, *found))
        last = found
    return seen


common = st.fixed_dictionaries(
    {
        "drain": st.sampled_from(["0s", "12s", "40s"]),
        # In odd ticks: nothing else happens at the moment at which a machine is there.
        "node_start": st.sampled_from([3, 20, 50]).map(lambda s: {"median": f"{s + 1 / 32}s"}),
    }
)
lengths = st.lists(st.lists(st.integers(0, 60), min_size=40, max_size=40), min_size=4, max_size=4)


def compare(given_, size, lasts, looks=(), changes=(), until_s=330.0):
    config = TypeAdapter(Autoscaling).validate_python(given_)
    env = simpy.Environment()
    fake = Fake(env, size, 4, [one[:] for one in lasts], list(looks))
    scaler = Autoscaler(env, config, fake, fake, fake, np.random.default_rng(0), list)
    if config.kind == "schedule":
        scaler.by_schedule(config, after_start_s)
    else:
        env.process(scaler.by_queue(config))
    fake.note()
    env.run(until=until_s)
    assert fake.changes() == reference(config, size, 4, lasts, list(looks), changes, until_s)


@settings(max_examples=60)
@given(
    size=st.integers(1, 4),
    first=st.integers(0, 4),
    counts=st.lists(st.tuples(st.integers(1, 300), st.integers(0, 4)), min_size=1, max_size=15),
    lasts=lengths,
    more=common,
)
def test_law_a_timetable_does_what_a_reference_says(size, first, counts, lasts, more):
    """Beside a clock that ticks: who is up and who is paid for, at every moment."""
    changes = [(at_s + number / 16, min(count, size)) for number, (at_s, count) in enumerate(counts)]
    config = {
        "kind": "schedule",
        "first_replicas": min(first, size),
        "changes": [{"at": f"+{at_s}s", "replicas": count} for at_s, count in changes],
        **more,
    }
    compare(config, size, lasts, changes=changes)


def test_a_machine_that_is_taken_back_while_it_starts_has_nothing_to_finish():
    """What it had was lost when it was given back; asked for and taken back again at once, it goes at once."""
    changes = [(21.0, 0), (21.0625, 1), (33.125, 0)]
    config = {
        "kind": "schedule", "first_replicas": 1, "drain": "12s", "node_start": {"median": "3.03125s"},
        "changes": [{"at": f"+{at_s}s", "replicas": count} for at_s, count in changes],
    }  # fmt: skip
    compare(config, 1, [[60] * 40], changes=changes)


@settings(max_examples=60)
@given(
    size=st.integers(1, 4),
    least=st.integers(0, 2),
    looks=st.lists(
        st.one_of(st.just((0, 0)), st.tuples(st.integers(0, 12), st.integers(0, 16))), min_size=17, max_size=17
    ),
    idle_s=st.sampled_from([15, 30]),
    lasts=lengths,
    more=common,
)
def test_law_a_queue_brings_replicas_as_a_reference_says(size, least, looks, idle_s, lasts, more):
    config = {"kind": "queue", "at_least": min(least, size), "every": "20.0625s", "idle_for": f"{idle_s}s", **more}
    compare(config, size, lasts, looks=looks)
