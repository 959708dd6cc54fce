"""Balancing between replicas: what it makes of a promise, and every wait beside a simulation of a few lines."""

from __future__ import annotations

import heapq
import random

import numpy as np
import pytest

import simulator
from simulator.engine.record import Outcome
from simulator.engine.simulation import simulate
from simulator.performance.step_time import ConstantStepTime
from tests.engine.demand import plan, self_hosted, table
from tests.parts import SCENARIOS

#: One request at a time, a step of 10 ms for each token: a replica is a queue with one server.
ONE = {"max_num_seqs": 1, "async_scheduling": False, "prefix_caching": False}
STEP_S = 0.01


@pytest.mark.slow
def test_a_promise_that_a_proxy_keeps_and_a_kubernetes_service_breaks():
    scenario = simulator.load_scenario(SCENARIOS / "routing" / "balancing.yaml")
    found = {one.name: one for one in simulator.run(scenario).patterns}
    answers = {name: one.workloads["chart_review"].objective.answer for name, one in found.items()}
    assert answers == {"kubernetes_service": "missed", "proxy": "met", "data_parallel": "met"}
    # The median hardly knows, the tail does.
    service, proxy = (found[name].latency["ttft_s"] for name in ("kubernetes_service", "proxy"))
    assert service.p50 < 1.15 * proxy.p50
    assert service.p99 > 1.5 * proxy.p99


def demand(replicas, busy, seed, requests=3000):
    """Short questions and, one in ten, twenty times longer ones; in bursts of three."""
    draw = np.random.default_rng(seed)
    tokens = np.where(draw.random(requests) < 0.1, 400, 20)
    gap_s = tokens.mean() * STEP_S * 3 / (replicas * busy)
    burst_s = np.repeat(np.cumsum(draw.exponential(gap_s, -(-requests // 3))), 3)[:requests]
    return np.sort(burst_s + draw.random(requests)), tokens


def engine_s(kind, replicas, arrival_s, tokens, seed=5):
    """What each waits in the engine."""
    pattern = self_hosted(replicas=replicas, balancing={"kind": kind}, engine=ONE)
    rows = table(arrival_s, 1, tokens, max_tokens=1000)
    settled_s = arrival_s[-1] + tokens.sum() * STEP_S + 100.0
    record = simulate(pattern, rows, horizon_s=settled_s, seed=seed, replication=0, plan=plan(ConstantStepTime(STEP_S)))
    assert (record.log.outcome == Outcome.COMPLETED).all()
    return record.log.scheduled_s - arrival_s


def reference_s(kind, replicas, arrival_s, tokens, seed):
    """What each waits, by hand: whoever is sent to a replica is served when all that were sent before are."""
    draw, free_s = random.Random(seed), [0.0] * replicas
    leaving: list[list[float]] = [[] for _ in range(replicas)]
    waited = []
    for number, (now_s, count) in enumerate(zip(arrival_s.tolist(), tokens.tolist(), strict=True)):
        for ends in leaving:
            while ends and ends[0] <= now_s:
                heapq.heappop(ends)
        if kind == "round_robin":
            chosen = number % replicas
        elif kind == "random":
            chosen = draw.randrange(replicas)
        else:
            asked = draw.sample(range(replicas), 2) if kind == "two_choices" else range(replicas)
            least = min(len(leaving[one]) for one in asked)
            chosen = draw.choice([one for one in asked if len(leaving[one]) == least])
        start_s = max(now_s, free_s[chosen])
        free_s[chosen] = start_s + count * STEP_S
        heapq.heappush(leaving[chosen], free_s[chosen])
        waited.append(start_s - now_s)
    return np.array(waited)


@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_in_turn_every_request_waits_as_long_as_by_hand(replicas):
    arrival_s, tokens = demand(replicas, 0.8, seed=replicas)
    np.testing.assert_allclose(
        engine_s("round_robin", replicas, arrival_s, tokens),
        reference_s("round_robin", replicas, arrival_s, tokens, 0),
        atol=1e-6,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "two_choices", "least_requests"])
@pytest.mark.parametrize(("replicas", "busy"), [(2, 0.85), (3, 0.75), (4, 0.9)])
def test_where_chance_decides_waits_are_those_of_other_draws(kind, replicas, busy):
    """The mean and the p99, of ten draws each of the same demand, within four standard errors of their difference."""
    arrival_s, tokens = demand(replicas, busy, seed=10 * replicas)
    waits = [
        np.array([wait_s(kind, replicas, arrival_s, tokens, seed) for seed in range(10)])
        for wait_s in (engine_s, reference_s)
    ]
    for figure in (np.mean, lambda one, axis: np.percentile(one, 99, axis=axis)):
        ours, theirs = (figure(one, axis=1) for one in waits)
        error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / 10)
        assert abs(np.mean(ours) - np.mean(theirs)) <= 4 * error + 1e-9


def test_the_order_of_the_kinds_is_that_of_what_they_know():
    arrival_s, tokens = demand(4, 0.85, seed=4)
    p99_s = {
        kind: np.mean([np.percentile(engine_s(kind, 4, arrival_s, tokens, seed), 99) for seed in range(4)])
        for kind in ("least_requests", "two_choices", "random")
    }
    assert p99_s["least_requests"] < p99_s["two_choices"] < p99_s["random"]
