"""The month on which other simulators were timed, on this one.

600,000 requests over 30 days on one replica of a 70B model: day, night and weekend, lognormal lengths of 628 and 208
tokens in the mean, the busiest hour at 0.59 requests/s. The others' times were taken on 2026-11-23 on two cores of an
Intel Xeon, from their public sources at the commits named; a ratio of times on two machines is a rough one.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

from simulator.analysis.metrics import summarise
from simulator.engine.simulation import prepare, simulate
from simulator.engine.vllm.plan import replica_plan
from simulator.experiment.checks import load_checked
from tests.engine.demand import table
from tests.parts import SCENARIOS

REQUESTS, DAYS = 600_000, 30
#: Seconds for the same month. Vidur's is extrapolated from its first 10,000 requests.
PEERS_S = {"BLIS f90a1e3": 146, "Splitwise-sim 8f99e7d": 212, "Vidur 7d47513": 4200}


def month():
    rng = np.random.default_rng(42)
    hour = np.arange(24 * DAYS)
    shape = 0.1 + np.clip(np.sin((hour % 24 - 6.0) / 24.0 * 2.0 * np.pi), 0.0, None)
    shape = shape * np.where(hour // 24 % 7 < 5, 1.0, 0.45)
    counts = rng.multinomial(REQUESTS, shape / shape.sum())
    arrival_s = np.sort(np.repeat(hour, counts) * 3600.0 + rng.uniform(0.0, 3600.0, REQUESTS))

    def lengths(mean, sigma, low, high):
        return np.clip(rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, REQUESTS), low, high).astype(int)

    return table(arrival_s, lengths(640, 0.8, 16, 3000), lengths(208, 0.7, 4, 1000))


@pytest.mark.benchmark
def test_the_month_of_the_peers():
    prepare()
    scenario = load_checked(SCENARIOS / "health_system.yaml")
    pattern = scenario.hosting_patterns["self_hosted_rental"]
    requests, plan = month(), replica_plan(pattern.cluster)
    seconds = []
    for _ in range(3):
        start_s = perf_counter()
        record = simulate(pattern, requests, horizon_s=DAYS * 86_400.0, seed=1, replication=0, plan=plan)
        summary = summarise(record, requests, {"notes": None}, 0.0)
        seconds.append(perf_counter() - start_s)
    done = summary.total.outcomes["completed"]
    took_s = min(seconds)
    print(f"\n{done:,} requests with metrics in {took_s:.2f} s", end="")
    print("".join(f"; {name} {theirs_s / took_s:,.0f} times as long" for name, theirs_s in PEERS_S.items()))
