"""Balancing between replicas: both engines agree, and queueing theory has the figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, factorial, inf, log, nan
from typing import get_args

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.engine.ledger import Ledger
from simulator.engine.record import Outcome, Reason
from simulator.engine.simulation import simulate
from simulator.engine.vllm.balancing import KINDS
from simulator.engine.vllm.fleet import Fleet
from simulator.engine.vllm.plan import ReplicaPlan
from simulator.engine.vllm.sequence import Sequence
from simulator.engine.vllm.stepwise import StepwiseReplica
from simulator.engine.vllm.stepwise_balancing import StepwiseBalancer
from simulator.performance.kv_groups import KvGroup
from simulator.performance.step_time import ConstantStepTime, LinearStepTime
from simulator.scenario.balancing import TITLES, Balancing, Kind
from simulator.scenario.patterns import EngineSettings
from simulator.trace.nesting import Nesting
from simulator.trace.request_table import RequestTable
from tests.engine.demand import plan, poisson, self_hosted, table

LINEAR = LinearStepTime(base_s=0.007, per_prefill_token_s=1.1e-5, per_decode_request_s=1.3e-4, per_kv_token_s=1.7e-8)
NAMES = get_args(Kind)
NO_NESTING = Nesting.of(*np.zeros((3, 0), np.int32))


@dataclass(frozen=True)
class Ask:
    gap_s: float
    prompt_tokens: int
    output_tokens: int
    prefix: int


@dataclass(frozen=True)
class Case:
    asks: list[Ask]
    balancing: Balancing
    replicas: int
    engine: EngineSettings
    blocks: int
    groups: tuple[KvGroup, ...]
    timeout_s: float | None
    closed: list[tuple[float, int, bool]]
    network_delay_s: float

    @property
    def plan(self):
        return ReplicaPlan(LINEAR, self.blocks, 0.002, 1e-5, groups=self.groups)


asks = st.builds(
    Ask,
    gap_s=st.floats(0.0, 0.04).map(lambda gap: round(gap, 4) + 0.000137),
    prompt_tokens=st.integers(1, 60),
    output_tokens=st.integers(1, 36),
    prefix=st.integers(-2, 3),
)


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(NAMES))
    every = draw(st.sampled_from([None, None, "30ms", "1s"])) if kind in ("vllm", "cache_aware") else None
    replicas = draw(st.integers(1, 5))
    groups = draw(st.sampled_from([(), (), (KvGroup("full", 16), KvGroup("window", 16, 24))]))
    engine = EngineSettings(
        max_model_len=96,
        max_num_seqs=draw(st.integers(1, 8)),
        max_num_batched_tokens=draw(st.integers(16, 96)),
        prefix_caching=draw(st.booleans()) and not groups,
        async_scheduling=draw(st.booleans()),
        queue_limit=draw(st.sampled_from([None, None, 2])),
    )
    moments = st.floats(0.0, 3.0).map(lambda at_s: round(at_s, 3) + 0.000071)
    closed = draw(st.lists(st.tuples(moments, st.integers(0, replicas - 1), st.booleans()), max_size=3))
    return Case(
        draw(st.lists(asks, min_size=1, max_size=40)),
        Balancing(kind=kind, published_every=every),
        replicas,
        engine,
        draw(st.integers(12, 30)),
        groups,
        draw(st.sampled_from([None, None, 0.400043])),
        sorted(closed),
        draw(st.sampled_from([0.0, 0.0, 0.08])),
    )


def compiled(case):
    """By request: replica, first and last token, why it was lost."""
    arrival_s, size = np.cumsum([ask.gap_s for ask in case.asks]), len(case.asks)
    prompt = np.array([ask.prompt_tokens for ask in case.asks], np.int32)
    prefix = np.array([max(ask.prefix, -1) for ask in case.asks], np.int32)
    requests = RequestTable(
        ("asks",),
        arrival_s,
        np.zeros(size, np.int16),
        prompt,
        np.array([ask.output_tokens for ask in case.asks], np.int32),
        np.full(size, 96, np.int32),
        prefix,
        np.where(prefix >= 0, prompt, 0).astype(np.int32),
        np.full(size, 3, np.int8),
    )
    ledger = Ledger(requests)
    fleet = Fleet(
        case.engine,
        case.plan,
        ledger,
        replicas=case.replicas,
        horizon_s=1000.0,
        timeout_s=case.timeout_s,
        network_delay_s=case.network_delay_s,
        balancing=case.balancing,
        rng=np.random.default_rng(7),
    )
    losses = []
    for at_s, replica, fails in case.closed:
        losses += fleet.run(size, at_s)
        losses += fleet.expire(at_s)
        if fails and not fleet.state.replicas[replica].closed:
            losses += fleet.fail(replica, at_s)
        else:
            fleet.drain(replica)
    losses += fleet.run(size, inf)
    fleet.look(inf)
    lost = [Reason.NONE] * size
    for loss in losses:
        lost[loss.row] = loss.reason
    found = zip(ledger.log.first_token_s.tolist(), ledger.log.last_token_s.tolist(), lost, strict=True)
    return list(found), [level.steps for level in fleet.close(1000.0)]


def step_by_step(case):
    env = simpy.Environment()
    where, lost, tokens = {}, [Reason.NONE] * len(case.asks), [(nan, nan)] * len(case.asks)

    def on_finish(sequence, at_s):
        if not lost[sequence.index]:
            tokens[sequence.index] = sequence.first_token_s + back_s, at_s + back_s
            balancer.in_flight[where.pop(sequence)] -= 1

    back_s = 0.5 * case.network_delay_s
    made_of = case.blocks, LINEAR, on_finish, lambda *_: None
    replicas = [StepwiseReplica(env, case.engine, *made_of, groups=case.groups) for _ in range(case.replicas)]
    seeds = np.random.default_rng(7).integers(1, [2147483563, 2147483399]).tolist()
    balancer = StepwiseBalancer(env, case.balancing, replicas, tuple(seeds), (case.blocks - 1) * 16)

    def lose(sequence, reason):
        if sequence in where:
            lost[sequence.index] = reason
            balancer.in_flight[where[sequence]] -= 1
            replicas[where.pop(sequence)].abort(sequence)

    def give_up(sequence):
        yield env.timeout(case.timeout_s)
        lose(sequence, Reason.TIMEOUT)

    def close(at_s, replica, fails):
        yield env.timeout(at_s)
        if fails and balancer.is_open[replica]:
            for sequence in [one for one, number in where.items() if number == replica]:
                lose(sequence, Reason.FAULT)
        balancer.is_open[replica] = False

    def arrive():
        for index, ask in enumerate(case.asks):
            yield env.timeout(ask.gap_s)
            chosen = balancer.choose(None if ask.prefix < 0 else ask.prefix, ask.prompt_tokens, ask.prompt_tokens)
            if chosen is None:
                lost[index] = Reason.FAULT
            elif case.engine.queue_limit is not None and replicas[chosen].waiting >= case.engine.queue_limit:
                lost[index] = Reason.CAPACITY
                balancer.in_flight[chosen] -= 1
            else:
                ready_s = env.now + 0.5 * case.network_delay_s + 0.002 + 1e-5 * ask.prompt_tokens
                sequence = Sequence(index, ask.prompt_tokens, ask.output_tokens, ready_s, 3)
                if ask.prefix >= 0 and case.engine.prefix_caching:
                    sequence.prefix, sequence.shared_blocks = ask.prefix, ask.prompt_tokens // 16
                where[sequence] = chosen
                replicas[chosen].submit(sequence)
                if case.timeout_s is not None:
                    env.process(give_up(sequence))

    for at_s, replica, fails in case.closed:
        env.process(close(at_s, replica, fails))
    env.process(arrive())
    env.run(until=1000.0)
    return [(*one, why) for one, why in zip(tokens, lost, strict=True)], [replica.steps for replica in replicas]


@settings(max_examples=150)
@given(cases())
def test_both_engines_balance_alike(case):
    fast, fast_steps = compiled(case)
    slow, slow_steps = step_by_step(case)
    for one, other in zip(fast, slow, strict=True):
        assert one[2] == other[2]
        assert one[:2] == pytest.approx(other[:2], rel=1e-9, nan_ok=True)
    assert fast_steps == slow_steps


def test_every_kind_is_known_to_all():
    assert list(NAMES) == list(KINDS) == list(TITLES)


#: One at a time, so that a replica is a queue with one server; a token is a step, and a step is 10 ms.
ONE = {"max_num_seqs": 1, "async_scheduling": False, "prefix_caching": False}
STEP_S, TOKENS = 0.01, 100


def waits_s(kind, replicas, busy, requests=60_000, **options):
    """Waits of Poisson arrivals with exponential service (mean 1 s) at replicas that are busy for this share."""
    rng = np.random.default_rng(11)
    horizon_s = requests / (replicas * busy)
    arrival_s = poisson(rng, replicas * busy, horizon_s)
    output = np.maximum(1, np.rint(rng.exponential(TOKENS, len(arrival_s)))).astype(np.int32)
    pattern = self_hosted(replicas=replicas, balancing={"kind": kind, **options}, engine=ONE)
    demand = table(arrival_s, 1, np.minimum(output, 8000), max_tokens=8000)
    record = simulate(
        pattern, demand, horizon_s=2 * horizon_s, seed=5, replication=0, plan=plan(ConstantStepTime(STEP_S))
    )
    assert (record.log.outcome == Outcome.COMPLETED).all()
    return record.log.scheduled_s - arrival_s, record


def wait_of_one_queue_s(share, arrivals, servers):
    """Mean wait of M/M/c, service 1 s (Erlang C)."""
    offered = arrivals
    tail = offered**servers / factorial(servers) / (1 - share)
    waits = tail / (sum(offered**n / factorial(n) for n in range(servers)) + tail)
    return waits / (servers - offered)


def test_random_makes_each_replica_a_queue_of_its_own():
    """M/M/1: the wait exceeds t with chance rho exp(-(mu - lambda) t)."""
    waited_s, _ = waits_s("random", 4, 0.7, 200_000)
    assert waited_s.mean() == pytest.approx(0.7 / 0.3, rel=0.06)
    assert np.percentile(waited_s, 99) == pytest.approx(log(100 * 0.7) / 0.3, rel=0.08)


def test_round_robin_spaces_the_arrivals_of_each_replica():
    """E_k/M/1: sigma = A(mu (1 - sigma)), with k phases between arrivals; the mean wait is sigma / (mu (1 - sigma))."""
    sigma, rate = 0.5, 4 * 0.7
    for _ in range(200):
        sigma = (rate / (rate + 1 - sigma)) ** 4
    waited_s, _ = waits_s("round_robin", 4, 0.7, 200_000)
    assert waited_s.mean() == pytest.approx(sigma / (1 - sigma), rel=0.05)


@pytest.mark.parametrize("kind", ["shortest_queue", "least_requests", "vllm"])
def test_who_knows_the_queues_comes_near_to_one_queue_for_all(kind):
    """JSQ waits longer than M/M/k, and far less than queues of their own (Gupta et al., Performance 2007)."""
    waited_s, _ = waits_s(kind, 4, 0.8)
    one_queue_s = wait_of_one_queue_s(0.8, 3.2, 4)
    assert one_queue_s < waited_s.mean() < 1.6 * one_queue_s


def test_at_high_load_chance_costs_four_to_ten_times_the_p99_wait():
    p99_s = {
        kind: np.percentile(waits_s(kind, 10, 0.9, 100_000)[0], 99)
        for kind in ("shortest_queue", "least_requests", "two_choices", "random")
    }
    assert 4 < p99_s["random"] / p99_s["least_requests"] < 12
    assert p99_s["least_requests"] == pytest.approx(p99_s["shortest_queue"], rel=0.05)
    # Half of what two choices are for: the tail is doubly exponential (Mitzenmacher, 2001).
    assert p99_s["least_requests"] < p99_s["two_choices"] < 0.5 * p99_s["random"]


def shares(kind, replicas=4, busy=0.05):
    _, record = waits_s(kind, replicas, busy, 20_000)
    work = np.array([level.busy_s.sum() for level in record.levels])
    return work / work.sum()


@pytest.mark.parametrize("kind", ["least_requests", "two_choices", "round_robin", "random", "vllm", "cache_aware"])
def test_at_low_load_no_replica_does_the_work_of_all(kind):
    """A quarter each, within four standard errors of exponential work; the ideal gives the first nearly all."""
    assert shares(kind) == pytest.approx(0.25, abs=4 * (0.25 * 2 / 20_000) ** 0.5)


def test_the_ideal_gives_the_first_replica_nearly_all():
    assert shares("shortest_queue")[0] > 0.8


def test_in_turn_is_exactly_even():
    pattern = self_hosted(replicas=3, balancing={"kind": "round_robin"}, engine=ONE)
    record = simulate(
        pattern,
        table(np.arange(300) * 1.0, 1, 7),
        horizon_s=1e4,
        seed=1,
        replication=0,
        plan=plan(ConstantStepTime(0.01)),
    )
    assert [level.steps for level in record.levels] == [700, 700, 700]


def sent(kind, prefixes, replicas=8, closed=(), nesting=NO_NESTING, **options):
    """By request, the replica that it is sent to; all are sent at once, and none is answered."""
    size = len(prefixes)
    requests = replace(table(np.zeros(size), 64, 9, prefix=64), prefix_id=np.array(prefixes, np.int32), nesting=nesting)
    fleet = Fleet(
        EngineSettings(), plan(), Ledger(requests), replicas=replicas, horizon_s=10.0,
        balancing=Balancing(kind=kind, **options), rng=np.random.default_rng(3),
    )  # fmt: skip
    for number in closed:
        fleet.drain(number)
    for row in range(size):
        assert not list(fleet.offer(row, 0.0, 0.0))
    slots = fleet.state.sequences[fleet.state.sequences["index"] >= 0]
    return slots["replica"][np.argsort(slots["index"])]


def test_who_is_sticky_stays_and_only_what_a_lost_replica_had_moves():
    """5,000 prefixes on 8 replicas of 256 points: an eighth each within 4 standard errors of either cause."""
    keys = np.arange(5000)
    before, again = sent("sticky", keys), sent("sticky", keys[::-1])[::-1]
    np.testing.assert_array_equal(before, again)
    assert np.bincount(before) / 5000 == pytest.approx(1 / 8, rel=4 * (1 / 256 + 7 / 5000) ** 0.5)
    after = sent("sticky", keys, closed=[5])
    moved = before != after
    np.testing.assert_array_equal(moved, before == 5)
    # They go to all others, not to one.
    assert len(np.unique(after[moved])) == 7


@given(st.lists(st.integers(0, 3), min_size=1, max_size=80), st.integers(1, 6), st.sampled_from([1.0, 1.25, 2.0]))
def test_no_replica_gets_more_than_the_bound(prefixes, replicas, factor):
    loads = np.zeros(replicas, int)
    for number, chosen in enumerate(sent("prefix_hash", prefixes, replicas, load_factor=factor), 1):
        loads[chosen] += 1
        assert loads[chosen] <= ceil(factor * number / replicas)


def test_nested_prefixes_go_by_the_first_or_by_the_conversation():
    """A hospital's prompt (0), two departments' after it (1, 2), patients after those (10 to 109)."""
    patients = np.arange(10, 110)
    inner, outer = np.concatenate([[1, 2], patients]), np.concatenate([[0, 0], 1 + patients % 2])
    nesting = Nesting.of(inner, outer, np.full(len(inner), 16))
    assert len(np.unique(sent("prefix_hash", patients, nesting=nesting, load_factor=100))) == 1
    assert len(np.unique(sent("sticky", patients, nesting=nesting))) == 8


def test_prefixes_that_stay_are_found_in_the_cache():
    """16 prompts and 4 replicas, one request at a time: each replica must compute all of them, or its own."""
    arrival_s = np.arange(800) * 10.0
    prefix_id = np.random.default_rng(2).integers(0, 16, 800).astype(np.int32)
    requests = replace(table(arrival_s, 1600, 20, prefix=1504), prefix_id=prefix_id)

    def computed(kind):
        pattern = self_hosted(replicas=4, balancing={"kind": kind})
        log = simulate(pattern, requests, horizon_s=9000.0, seed=1, replication=0, plan=plan(blocks=8000)).log
        return int((log.cached_tokens == 0).sum())

    assert computed("sticky") == computed("cache_aware") == 16
    assert computed("random") == 64


def test_the_older_the_signals_the_longer_the_tail():
    """All go to whoever was emptiest when it was last heard of."""
    p99_s = [
        np.percentile(waits_s("cache_aware", 4, 0.7, 20_000, published_every=every)[0], 99)
        for every in ("10ms", "1s", "10s")
    ]
    assert p99_s[0] < 0.7 * p99_s[1] < 0.5 * p99_s[2]


def test_another_seed_is_another_draw_and_moves_nothing_else():
    first, again = waits_s("random", 3, 0.5, 2000)[0], waits_s("random", 3, 0.5, 2000)[0]
    np.testing.assert_array_equal(first, again)


def test_only_what_is_read_can_be_published():
    with pytest.raises(ValidationError, match="random reads nothing that is published"):
        Balancing(kind="random", published_every="1s")
    assert Balancing(kind="vllm").published_every_s == 0.1
    with pytest.raises(ValidationError, match="sticky heeds no such limit"):
        Balancing(kind="sticky", load_factor=2)
