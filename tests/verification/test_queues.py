"""A replica whose steps always take the same time is a textbook queue, and must wait like one (law 10)."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest
from scipy import stats

from simulator.engine.simulation import simulate
from simulator.performance.step_time import ConstantStepTime
from tests.engine.demand import plan, poisson, self_hosted, table

STEP_S = 0.01


def waits(pattern, outputs, rate_per_s, horizon_s, replication, step_s=STEP_S):
    """Mean wait from arrival to first schedule, transient dropped."""
    rng = np.random.default_rng([7, replication])
    arrival_s = poisson(rng, rate_per_s, horizon_s)
    demand = table(arrival_s, prompt_tokens=1, output_tokens=outputs(rng, len(arrival_s)), max_tokens=100_000)
    record = simulate(
        pattern,
        demand,
        horizon_s=horizon_s,
        seed=1,
        replication=replication,
        plan=plan(ConstantStepTime(step_s), blocks=200_000),
    )
    wait_s = record.log.scheduled_s - arrival_s
    settled = (arrival_s > 0.05 * horizon_s) & (arrival_s < 0.95 * horizon_s)
    return wait_s[settled].mean()


def interval(values, level=0.999):
    spread = stats.t.ppf(0.5 + level / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values) - spread, np.mean(values) + spread


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_single_server_constant_service(load):
    """M/D/1: W = load x service / (2 (1 - load)), Pollaczek and Khinchine."""
    pattern = self_hosted(engine={"max_num_seqs": 1, "async_scheduling": False, "prefix_caching": False})
    measured = [waits(pattern, lambda rng, n: np.ones(n), load / STEP_S, 300.0, r) for r in range(8)]
    low, high = interval(measured)
    assert low < load * STEP_S / (2 * (1 - load)) < high


def erlang_c(servers, offered):
    """Probability of waiting in M/M/c."""
    full = offered**servers / factorial(servers) * servers / (servers - offered)
    return full / (sum(offered**k / factorial(k) for k in range(servers)) + full)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (4, 0.8), (16, 0.9)])
def test_many_servers_exponential_service(servers, load):
    """M/M/c: geometric output lengths in steps much shorter than the service; each wait has its step boundary."""
    steps, step_s = 400, 0.001
    service_s = steps * step_s
    pattern = self_hosted(
        engine={
            "max_num_seqs": servers,
            "async_scheduling": False,
            "prefix_caching": False,
            "max_model_len": 50_000,
        }
    )
    rate = load * servers / service_s
    measured = [
        waits(pattern, lambda rng, n: rng.geometric(1 / steps, n), rate, 6000.0 / rate, r, step_s) for r in range(10)
    ]
    expected = erlang_c(servers, load * servers) * service_s / (servers * (1 - load))
    low, high = interval(measured)
    assert low - step_s < expected < high
