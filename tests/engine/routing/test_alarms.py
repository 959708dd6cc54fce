"""What is due again and again and comes to nothing is no event of the simulation."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.clock import Clock
from simulator.engine.simulation import simulate
from simulator.scenario.patterns import SelfHostedPattern
from tests.engine.demand import COSTS, cluster, plan, poisson, table

HORIZON_S = 3000.0
QUIET = poisson(np.random.default_rng(7), 0.2, HORIZON_S)
LOOKS = {"kind": "queue", "every": "1s", "node_start": {"median": "60s"}}


def events(monkeypatch, arrival_s, routing=None, **changes):
    """How many the simulation has of requests to two clusters of two replicas."""
    count, step = [0], Clock.step

    def stepped(clock):
        count[0] += 1
        step(clock)

    monkeypatch.setattr(Clock, "step", stepped)
    hosted = {f"own{at}": {"cluster": cluster(replicas=2, **changes), "costs": COSTS} for at in range(2)}
    pattern = SelfHostedPattern.model_validate({"kind": "self_hosted", "clusters": hosted, "routing": routing or {}})
    # The last one comes at the end: what is due after it are events.
    requests = table([*arrival_s, HORIZON_S - 1e-3])
    record = simulate(pattern, requests, horizon_s=HORIZON_S, seed=3, replication=0, plan=plan(), ttft_limit_s=[5.0])
    return count[0], record


@pytest.mark.parametrize("routing", [{}, {"kind": "slo_aware"}, {"kind": "least_loaded"}], ids=str)
def test_looks_at_a_quiet_queue_are_no_events(monkeypatch, routing):
    """Two autoscalers look 6,000 times."""
    found, record = events(monkeypatch, QUIET, routing, autoscaling={**LOOKS, "at_least": 2})
    assert found < 50
    assert all((one.up_s.sum(), one.paid_s.sum()) == (HORIZON_S, HORIZON_S) for one in record.levels)


def test_a_wait_that_ends_in_time_is_no_event(monkeypatch):
    """Somebody is watched for some ten seconds of each minute, of 600 requests in all."""
    found, record = events(monkeypatch, QUIET, {"timeout": "60s"}, request_timeout="60s")
    assert found < 50
    assert set(record.log.outcome.tolist()) == {1, 0}


def test_a_look_that_finds_a_queue_is_one(monkeypatch):
    """400 requests at once: the first cluster asks for its second replica at the first look, which serves later."""
    burst = np.sort(np.concatenate([QUIET, np.full(400, 1000.5)]))
    found, record = events(monkeypatch, burst, autoscaling={**LOOKS, "at_least": 1, "idle_for": "2500s"})
    assert found < 100
    # Asked for at 1,001 s, the second that a look is at, and paid from then on; there after 60 s.
    first, second = record.levels[:2]
    assert (first.paid_s.sum(), second.paid_s.sum()) == (HORIZON_S, HORIZON_S - 1001.0)
    assert (first.up_s.sum(), second.up_s.sum()) == (HORIZON_S, HORIZON_S - 1061.0)
