"""How dear a simulated request is, as a ratio to a bare SimPy process that waits once per request, in one process.

    pytest -m benchmark -s tests/benchmarks

Nothing here is judged by a clock: the figures are printed. Each is the best of three.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
import simpy

from simulator.engine.simulation import simulate
from tests.engine.demand import hybrid, metered, plan, poisson, self_hosted, table

pytestmark = pytest.mark.benchmark

REQUESTS = 50_000
RATE_PER_S = 0.2315


def best(run):
    seconds = []
    for _ in range(3):
        start = perf_counter()
        run()
        seconds.append(perf_counter() - start)
    return min(seconds)


def bare(requests):
    """A SimPy process that waits `requests` times."""

    def wait(env):
        for _ in range(requests):
            yield env.timeout(1.0)

    def run():
        env = simpy.Environment()
        env.process(wait(env))
        env.run()

    return best(run)


def demand(requests=REQUESTS, rate_per_s=RATE_PER_S, longer=1.0):
    rng = np.random.default_rng(1)
    horizon_s = requests / rate_per_s
    arrival_s = poisson(rng, rate_per_s, horizon_s)
    prompt = np.clip(rng.lognormal(np.log(457), 0.8, len(arrival_s)), 16, 3000)
    output = np.clip(rng.lognormal(np.log(165), 0.7, len(arrival_s)), 4, 1000) * longer
    return table(arrival_s, prompt, output, max_tokens=4000), horizon_s


def cost(pattern, requests, horizon_s, **changes):
    def run():
        simulate(pattern, requests, horizon_s=horizon_s, seed=1, replication=0, plan=plan(blocks=20_000, **changes))

    return best(run) / len(requests)


def report(name, seconds, unit):
    print(f"{name:48s} {seconds * 1e6:7.2f} us a request, {seconds / unit:6.1f} x a bare timeout")


def test_cost_of_a_request():
    unit = bare(REQUESTS) / REQUESTS
    print(f"\nbare SimPy timeout {unit * 1e6:.2f} us")
    requests, horizon_s = demand()
    for name, pattern in (("metered API", metered()), ("one replica", self_hosted()), ("hybrid", hybrid())):
        report(name, cost(pattern, requests, horizon_s), unit)
    longer, longer_s = demand(longer=2.0)
    report("one replica, outputs twice as long", cost(self_hosted(), longer, longer_s), unit)
    many, many_s = demand(requests=10 * REQUESTS, rate_per_s=10 * RATE_PER_S)
    report("ten times the requests on ten replicas", cost(self_hosted(replicas=10), many, many_s), unit)
    busy, busy_s = demand(rate_per_s=1.5)
    report("one replica, busy", cost(self_hosted(), busy, busy_s), unit)
    overload, overload_s = demand(rate_per_s=50.0)
    report("one replica, overloaded", cost(self_hosted(), overload, 40 * overload_s), unit)
