"""How dear a simulated request is, as a ratio to a bare SimPy process that waits once per request, in one process.

    pytest -m benchmark -s tests/benchmarks            # with --small: a hundredth of it, to see that it runs

Nothing here is judged by a clock: the figures are printed. Each is the best of a few.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import simpy

import simulator
from simulator import load_scenario
from simulator.analysis.metrics import Summariser
from simulator.engine.simulation import prepare, simulate
from simulator.scenario.patterns import HybridPattern
from simulator.workload.calendar import ClinicalCalendar
from simulator.workload.synthesis import room_for, synthesise_parts
from tests.engine.demand import COSTS, api, cluster, hybrid, metered, plan, poisson, self_hosted, table
from tests.parts import SCENARIOS

pytestmark = pytest.mark.benchmark

REQUESTS = 50_000
RATE_PER_S = 0.2315


def best(run):
    seconds = []
    for _ in range(3):
        start = process_time()
        run()
        seconds.append(process_time() - start)
    return min(seconds)


def bare(requests):
    """Seconds of processor time of a SimPy process that waits `requests` times."""

    def wait(env):
        for _ in range(requests):
            yield env.timeout(1.0)

    def run():
        env = simpy.Environment()
        env.process(wait(env))
        env.run()

    return best(run)


def demand(requests, rate_per_s=RATE_PER_S, longer=1.0):
    rng = np.random.default_rng(1)
    horizon_s = requests / rate_per_s
    arrival_s = poisson(rng, rate_per_s, horizon_s)
    prompt = np.clip(rng.lognormal(np.log(457), 0.8, len(arrival_s)), 16, 3000)
    output = np.clip(rng.lognormal(np.log(165), 0.7, len(arrival_s)), 4, 1000) * longer
    return table(arrival_s, prompt, output, max_tokens=4000), horizon_s


def cost(pattern, demanded, blocks=20_000, **options):
    """What to run, and how many requests that are."""
    requests, horizon_s = demanded
    replica = plan(blocks=blocks)

    def run():
        simulate(pattern, requests, horizon_s=horizon_s, seed=1, replication=0, plan=replica, **options)

    return run, len(requests)


def at_once(requests):
    """So many requests at the same moment, and time to work them off."""
    return table(np.zeros(requests), 600, 200, max_tokens=4000), 10.0 * requests


def test_cost_of_a_request(sized):
    prepare()
    each = sized(REQUESTS)
    unit = bare(each) / each
    print(f"\nbare SimPy timeout {unit * 1e6:.2f} us")
    month, longer = demand(each), {factor: demand(each, longer=factor) for factor in (2, 4)}
    cases = {
        "one replica": cost(self_hosted(), month),
        "metered API": cost(metered(), month),
        "hybrid": cost(hybrid(), month),
        "hybrid, asking a router each time": cost(hybrid(), month, one_by_one=True),
    }
    for factor, demanded in longer.items():
        cases[f"one replica, outputs {factor} times as long"] = cost(self_hosted(), demanded)
    for replicas in (2, 10, 50):
        many = demand(replicas * each, replicas * RATE_PER_S)
        cases[f"{replicas} times the requests on {replicas} replicas"] = cost(self_hosted(replicas=replicas), many)
    busy, overload = demand(each, 1.5), demand(each, 50.0)
    cases["one replica, busy"] = cost(self_hosted(), busy)
    few_blocks = busy[0], 2 * busy[1]
    cases["one replica, busy, KV blocks for a few requests"] = cost(self_hosted(), few_blocks, blocks=600)
    cases["one replica, overloaded"] = cost(self_hosted(), (overload[0], 40 * overload[1]))
    for waiting in (sized(10_000), sized(100_000)):
        cases[f"one replica, {waiting:,} requests at one moment"] = cost(self_hosted(), at_once(waiting))
    # In turns, so that what else the machine does befalls all of them alike; each after itself, not after a stranger.
    taken = {name: [] for name in cases}
    for _ in range(sized(7)):
        for name, (run, requests) in cases.items():
            run()
            start = process_time()
            run()
            taken[name].append((process_time() - start) / requests)
    one = np.array(taken["one replica"])
    for name, seconds in taken.items():
        ratios = f"{min(seconds) / unit:5.1f} bare timeouts, {np.median(seconds / one):6.2f} times one replica"
        print(f"{name:48s} {min(seconds) * 1e6:6.2f} us a request, {ratios}")


#: Two clusters of our own and an API with a quota that is never reached.
OWN = "own0", "own1"
TOKENS = {"prompt": "1 USD/1M tokens", "output": "2 USD/1M tokens"}
FAULTS = [
    {"kind": "outage", "api": "api0", "mean_time_between": "20h", "duration": "30min"},
    {"kind": "failure", "cluster": "own0", "scope": "node", "mean_time_between": "40h", "repair": "2h"},
]
SCALED = {"kind": "queue", "at_least": 1, "node_start": {"median": "120s", "sigma": 0.2}}


def several(routing, *, apis=1, faults=(), **changes):
    hosted = {name: {"cluster": cluster(**changes), "costs": COSTS} for name in OWN}
    metered = {f"api{at}": api(limits={"tokens_per_minute": 2_000_000, "settles": True}) for at in range(apis)}
    content = {"clusters": hosted, "apis": metered, "routing": routing, "faults": list(faults)}
    return HybridPattern.model_validate({"kind": "hybrid", **content})


def patterns_at_the_speed_of_a_queue():
    prices = dict.fromkeys((*OWN, "api0"), TOKENS)
    long = {"name": "long", "when": {"prompt_tokens": {"at_least": 1000}}, "send_to": ["api0"]}
    careful = {"breaker": {"failures": 3}, "timeout": "60s"}
    return {
        "one cluster, no router": self_hosted(),
        "four replicas, the ideal balancer": self_hosted(replicas=4),
        "four replicas, at random": self_hosted(replicas=4, balancing={"kind": "random"}),
        "four replicas, vLLM's balancer": self_hosted(replicas=4, balancing={"kind": "vllm"}),
        "four replicas, by cache and queue": self_hosted(replicas=4, balancing={"kind": "cache_aware"}),
        "a metered API": metered(),
        "overflow": several({}),
        "priority_aware": several({"kind": "priority_aware"}),
        "by workload, the API first": several({"backends": {"notes": ["api0", "own0"]}}),
        "least_loaded": several({"kind": "least_loaded"}),
        "slo_aware": several({"kind": "slo_aware"}),
        "cost_aware": several({"kind": "cost_aware", "prices": prices}),
        "rules": several({"kind": "rules", "rules": [long, {"name": "rest", "send_to": list(OWN)}]}),
        "faults, breakers, a timeout": several(careful, faults=FAULTS),
        "autoscaled": several({}, replicas=2, autoscaling=SCALED),
        "hedged after 5 s": several({"hedge": {"after": "5s"}}),
        "all of it, with forecasts": several(
            {"kind": "slo_aware", "hedge": {"after": "5s"}, **careful}, faults=FAULTS, replicas=2, autoscaling=SCALED
        ),
        "overflow, 20 APIs": several({}, apis=20),
        "overflow, 100 replicas": several({}, replicas=50),
    }


def test_cost_of_a_pattern(sized):
    """What a router adds; each is to take no more than a few timeouts of a bare SimPy process."""
    prepare()
    month = demand(sized(20_000))
    cases = {name: cost(one, month, ttft_limit_s=[5.0]) for name, one in patterns_at_the_speed_of_a_queue().items()}
    taken = {name: [] for name in cases}
    units = []
    for _ in range(sized(3)):
        units.append(bare(10 * sized(20_000)) / (10 * sized(20_000)))
        for name, (run, requests) in cases.items():
            start = process_time()
            run()
            taken[name].append((process_time() - start) / requests)
    print(f"\nbare SimPy timeout {min(units) * 1e6:.2f} us")
    for name, seconds in taken.items():
        print(f"{name:30s} {min(seconds) * 1e6:6.2f} us a request, {min(seconds) / min(units):5.1f} bare timeouts")


@pytest.mark.parametrize(
    ("scenario", "patterns"),
    [("resilience/bad_week", None), ("health_system", ["self_hosted_rental"]), ("health_system", ["hybrid"])],
)
def test_cost_of_a_whole_run(scenario, patterns, sized):
    """One replication with band, metrics and verdict, a request that a pattern got; the simulations before it too."""
    prepare()
    days = sized(7)
    settings = {"horizon.duration": f"{days}d"}
    if scenario == "health_system":
        settings |= {"horizon.month": None, "horizon.start": "2026-04-01"}
    loaded = load_scenario(SCENARIOS / f"{scenario}.yaml").with_overrides(settings)
    simulator.run(loaded, patterns=patterns, replications=1, tables=False)
    unit = bare(200_000) / 200_000
    start = process_time()
    results = simulator.run(loaded, patterns=patterns, replications=1, tables=False)
    seconds = process_time() - start
    requests = sum(one.requests.arrived for one in results.patterns)
    print(f"\n{scenario}, {patterns or 'all'}, {days} days: {requests:,} requests", end="")
    print(f", {seconds / requests * 1e6:.2f} us a request, {seconds / requests / unit:.1f} bare timeouts")


def peak_mib():
    """Most memory this process has held, where Linux says so; `getrusage` would count its parent's."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), np.nan)


class Stopwatch:
    """Seconds spent in a part of the work."""

    def __init__(self):
        self.seconds = 0.0

    def each(self, things):
        """Count the time that an iterator takes."""
        things = iter(things)
        while True:
            start = process_time()
            thing = next(things, None)
            self.seconds += process_time() - start
            if thing is None:
                return
            yield thing

    def around(self, function):
        """Count the time that a function takes."""

        def timed(*arguments):
            start = process_time()
            result = function(*arguments)
            self.seconds += process_time() - start
            return result

        return timed


def hospital(days):
    """The hybrid pattern of the health system over so many days: requests, seconds of each stage, peak memory."""
    horizon = {"horizon.month": None, "horizon.start": "2026-04-01", "horizon.duration": f"{days}d"}
    scenario = load_scenario(SCENARIOS / "health_system.yaml").with_overrides(horizon)
    pattern, horizon_s = scenario.hosting_patterns["hybrid"], scenario.horizon.duration_s
    objectives = {name: one.objectives for name, one in scenario.workloads.items()}
    prepare()
    drawing, counting = Stopwatch(), Stopwatch()
    summariser = Summariser(
        tuple(scenario.workloads), pattern.backend_names, objectives, horizon_s=horizon_s,
        warm_up_s=scenario.experiment.warm_up,
    )  # fmt: skip
    start = process_time()
    calendar = ClinicalCalendar(scenario.horizon)
    room = drawing.around(room_for)(scenario, calendar)
    record = simulate(
        pattern,
        drawing.each(synthesise_parts(scenario, 0, calendar)),
        horizon_s=horizon_s,
        seed=scenario.experiment.seed,
        replication=0,
        room=room,
        on_settled=counting.around(summariser.add),
    )
    summary = counting.around(summariser.finish)(record)
    simulating_s = process_time() - start - drawing.seconds - counting.seconds
    return summary.total.arrived, np.array([drawing.seconds, simulating_s, counting.seconds]), peak_mib()


@pytest.mark.parametrize("days", [7, 30, 90, 365])
def test_hospital(days, sized):
    days = sized(days)
    # A process of its own has a peak of its own.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        requests, seconds, mib = pool.submit(hospital, days).result()
    bare_s = bare(requests)
    stages = ", ".join(
        f"{name} {taken:.2f} s" for name, taken in zip(("demand", "simulation", "metrics"), seconds, strict=True)
    )
    print(f"\n{days} days, {requests:,} requests: {stages}; together {seconds.sum() / bare_s:.1f} x bare SimPy", end="")
    print(f" ({bare_s:.2f} s), the simulation alone {seconds[1] / bare_s:.1f} x; peak memory {mib:.0f} MiB")
