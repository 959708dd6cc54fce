"""Clients that wait for their answers: the laws of closed systems on what is simulated."""

from __future__ import annotations

from dataclasses import replace
from math import comb, factorial
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

import simulator
from simulator.engine.arrival import Arrival
from simulator.engine.clients import ClientRule, Clients
from simulator.engine.clock import Clock
from simulator.engine.record import Outcome
from simulator.engine.simulation import simulate
from simulator.performance.step_time import ConstantStepTime
from simulator.scenario.patterns import SelfHostedPattern
from simulator.trace.canonical import write_trace
from simulator.trace.links import Links
from simulator.workload.synthesis import synthesise
from tests.engine.demand import COSTS, cluster, hybrid, metered, plan, self_hosted, table
from tests.workload.clinic import WEEK, scenario, source

#: A step lasts 10 ms whatever is in it, so that an answer of n tokens is n steps.
STEP_S = 0.01
SYNC = {"async_scheduling": False, "prefix_caching": False}
CERTAIN = {"ttft": {"median": "2s", "sigma": 0.0}, "output_tokens_per_s": {"median": 20, "sigma": 0.0}}


def run(pattern, requests, rule, horizon_s=1e5, **options):
    """What was sent: a table in the order of sending, and its log."""
    found = []

    def settled(some, log, _decisions):
        found.append((some, log))

    made = {} if pattern.kind == "metered_api" else {"plan": plan(ConstantStepTime(STEP_S))}
    simulate(
        pattern, requests, horizon_s=horizon_s, seed=3, replication=0, clients=[rule], on_settled=settled,
        **{**made, **options},
    )  # fmt: skip
    ((sent, log),) = found
    assert (np.diff(sent.arrival_s) >= 0).all()
    return sent, log


@pytest.mark.parametrize("asynchronous", [False, True])
def test_one_client_sends_after_its_answer_and_its_thought(asynchronous):
    """Each cycle is the answer's ten steps and the time to think: nothing else."""
    pattern = self_hosted(engine=SYNC | {"async_scheduling": asynchronous})
    sent, log = run(pattern, table(np.zeros(20), 50, 10), ClientRule(1, think_s=2.5))
    assert (log.outcome == Outcome.COMPLETED).all()
    np.testing.assert_allclose(log.last_token_s - sent.arrival_s, 10 * STEP_S, rtol=1e-9)
    np.testing.assert_allclose(np.diff(sent.arrival_s), 10 * STEP_S + 2.5, rtol=1e-9)


def failing():
    faults = [{"kind": "failure", "cluster": "cluster", "scope": "gpu", "at": ["+4s", "+11s"], "repair": "3s"}]
    stated = {"kind": "self_hosted", "cluster": cluster(replicas=2, engine=SYNC), "costs": COSTS, "faults": faults}
    return SelfHostedPattern.model_validate(stated)


PATTERNS = {
    "cluster": lambda: self_hosted(engine=SYNC | {"max_num_seqs": 4}),
    "two replicas": lambda: self_hosted(replicas=2, engine=SYNC | {"max_num_seqs": 2}),
    "timeouts": lambda: self_hosted(engine=SYNC | {"max_num_seqs": 4}, request_timeout="300ms"),
    "refusals": lambda: self_hosted(engine=SYNC | {"max_num_seqs": 2, "queue_limit": 2}),
    "failures": failing,
    "API": lambda: metered(**CERTAIN),
    "rate limits": lambda: metered(**CERTAIN, limits={"tokens_per_minute": 9_000}),
    "hybrid": lambda: hybrid({"max_in_flight": 3}, CERTAIN, engine=SYNC),
    "hedges": lambda: hybrid({"max_in_flight": 6, "hedge": {"after": "200ms"}}, CERTAIN, engine=SYNC),
}


@pytest.mark.parametrize("kind", list(PATTERNS))
def test_never_more_under_way_than_clients_and_the_interactive_law(kind):
    """N = X (R + Z), exactly, over the time from the first request to the last client's return."""
    rng = np.random.default_rng(5)
    requests = table(np.zeros(2_000), rng.integers(20, 400, 2_000), rng.integers(1, 60, 2_000))
    pattern = PATTERNS[kind]()
    clients, think_s, horizon_s = 7, 0.4, 20.0
    sent, log = run(pattern, requests, ClientRule(clients, think_s), horizon_s)
    ends_s = np.where(log.outcome == Outcome.UNFINISHED, horizon_s, log.ended_s)
    moments = np.sort(np.concatenate([sent.arrival_s, ends_s]))
    under_way = [(sent.arrival_s <= at_s).sum() - (ends_s <= at_s).sum() for at_s in moments]
    # Two run and two wait; who is refused is not under way.
    assert max(under_way) == (4 if kind == "refusals" else clients)
    # Every client is either served or thinks: the times of both add up to all there is.
    responses_s = (ends_s - sent.arrival_s).sum()
    thoughts_s = np.minimum(think_s, horizon_s - ends_s).sum()
    last = len(sent) < len(requests)
    assert last, "there must be requests to the end"
    assert responses_s + thoughts_s == pytest.approx(clients * horizon_s, rel=1e-6)


def test_machine_repairmen():
    """M/M/c//N: exponential thought, exponential answers, c seats. Throughput from the textbook's state probabilities.

    Gross and Harris, finite-source queues: p(n) is proportional to C(N, n) r^n up to c in service, and then
    C(N, n) n! / (c! c^(n - c)) r^n.
    """
    seats, clients, think_s, tokens = 2, 6, 4.0, 200
    rng = np.random.default_rng(11)
    answers = np.maximum(1, np.ceil(rng.exponential(tokens, 6_000))).astype(np.int32)
    requests = table(np.zeros(6_000), 10, answers)
    pattern = self_hosted(engine=SYNC | {"max_num_seqs": seats})
    sent, log = run(pattern, requests, ClientRule(clients, think_s, exponential=True))
    assert (log.outcome == Outcome.COMPLETED).all()
    service_s = float(answers.mean()) * STEP_S
    ratio = service_s / think_s
    states = np.arange(clients + 1)
    weights = np.array([
        comb(clients, n) * ratio**n * (1.0 if n <= seats else factorial(n) / (factorial(seats) * seats ** (n - seats)))
        for n in states
    ])  # fmt: skip
    share = weights / weights.sum()
    busy = float((np.minimum(states, seats) * share).sum())
    throughput = len(sent) / float(log.ended_s.max())
    assert throughput == pytest.approx(busy / service_s, rel=0.03)
    response_s = float((log.ended_s - sent.arrival_s).mean())
    assert response_s == pytest.approx(clients * service_s / busy - think_s, rel=0.06)


def test_an_arrival_rate_with_a_cap_is_sent_when_a_client_is_free():
    """Ten a second are due, two may be under way, each takes a second, and up to a step until it is looked at."""
    requests = table(np.arange(60) / 10, 20, 100, max_tokens=100)
    sent, log = run(self_hosted(engine=SYNC), requests, ClientRule(2))
    assert len(sent) == 60
    cycle_s = np.diff(sent.arrival_s[::2])
    assert (cycle_s > 1.0 - 1e-9).all()
    assert (cycle_s < 1.0 + STEP_S + 1e-9).all()
    np.testing.assert_allclose(log.ended_s - sent.arrival_s, 1.0, atol=0.011)
    # A cap that is never reached changes nothing.
    free, _ = run(self_hosted(engine=SYNC), requests, ClientRule(60))
    np.testing.assert_array_equal(free.arrival_s, requests.arrival_s)


def test_what_is_lost_frees_its_client_and_every_request_is_counted_once():
    requests = table(np.zeros(50), 20, np.tile([30, 900], 25))
    pattern = self_hosted(engine=SYNC, request_timeout="2s")
    sent, log = run(pattern, requests, ClientRule(1, think_s=1.0))
    assert len(sent) == 50
    np.testing.assert_array_equal(log.outcome[::2], Outcome.COMPLETED)
    np.testing.assert_array_equal(log.outcome[1::2], Outcome.TIMED_OUT)
    np.testing.assert_allclose(np.diff(sent.arrival_s)[1::2], 3.0, rtol=1e-6)


def test_what_no_client_comes_to_was_never_asked():
    requests = table(np.zeros(100), 20, 100)
    sent, log = run(self_hosted(engine=SYNC), requests, ClientRule(1), horizon_s=9.5)
    assert len(sent) == len(log.outcome) == 10
    assert (log.outcome == Outcome.COMPLETED).sum() == 9
    # The caller's table is as it was.
    assert (requests.arrival_s == 0).all()


LOAD = """
name: load
horizon: {start: 2027-04-05, duration: 1h, time_zone: UTC}
workloads:
  bench:
    volume: {requests_per_month: 73000}
    arrivals: {kind: at_once}
    clients: {count: 4, think: 4min, think_kind: exponential}
    prompt_tokens: {kind: constant, tokens: 600}
    output_tokens: {kind: constant, tokens: 100}
hosting_patterns:
  l40s:
    kind: self_hosted
    cluster: {model: llama-3.1-8b, gpu: l40s}
    costs: {compute: {kind: rental, gpu_hour: 1.86 USD/h}}
  api:
    kind: metered_api
    api: {model: azure/gpt-4.1, ttft: {median: 600ms, sigma: 0.3}, output_tokens_per_s: {median: 50, sigma: 0.1}}
"""


@pytest.mark.slow
def test_a_scenario_says_who_sends_and_the_result_does_not_depend_on_jobs(tmp_path):
    """A hundred are due; four clients, each at its own pace, come to what the law N = X (R + Z) leaves them."""
    (tmp_path / "load.yaml").write_text(LOAD)
    demand = simulator.load_scenario(tmp_path / "load.yaml")
    results = [simulator.run(demand, jobs=jobs, replications=2) for jobs in (1, 2)]
    assert results[0].to_json() == results[1].to_json()
    for pattern in results[0].patterns:
        # Mean of two replications, 59 expected.
        assert pattern.requests.arrived == pytest.approx(4 * 3_600 / 243, abs=20)


def test_a_recording_is_sent_by_clients_as_the_same_requests_made_up_would_be(tmp_path):
    """Forty requests due at once: recorded or made up, four clients are answered at the same moments."""
    (tmp_path / "made_up.yaml").write_text(
        LOAD.replace("73000", "29200").replace(", think: 4min, think_kind: exponential", "")
    )
    made_up = simulator.load_scenario(tmp_path / "made_up.yaml")
    write_trace(synthesise(made_up, 0), tmp_path / "sent.csv", source="s", licence="l", span_s=3_600.0)
    head = LOAD.split("    volume:", maxsplit=1)[0]
    rest = "hosting_patterns" + LOAD.split("hosting_patterns")[1].split("  api:", maxsplit=1)[0]
    replay = "    trace: {file: sent.csv, align: start, repeat: false}\n"
    found = [simulator.run(made_up, replications=1).pattern("l40s")]
    for name, clients in (("capped", "    clients: {count: 4}\n"), ("free", "")):
        (tmp_path / f"{name}.yaml").write_text(head + replay + clients + rest)
        found.append(simulator.run(simulator.load_scenario(tmp_path / f"{name}.yaml"), replications=1).pattern("l40s"))
    assert [one.requests.completed for one in found] == [40, 40, 40]
    expected, capped, free = (one.latency_of("e2e_s") for one in found)
    assert capped == expected
    # What waits for a client is no part of its times, and forty prompts at once hold each other up.
    assert capped.p99 < 0.8 * free.p99


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clients": {"count": 0}}, "greater than 0"),
        ({"clients": {"count": 2, "think_kind": "normal"}}, "constant"),
        ({"clients": {"count": 2}, "turns": {"mean": 2, "think": {"median": "1s", "sigma": 0}}}, "a client of its own"),
    ],
)
def test_what_contradicts_clients_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        scenario(WEEK, 1, load=source(**changes))


def test_the_whole_volume_is_due_at_once():
    found = synthesise(scenario(WEEK, 1, load=source(arrivals={"kind": "at_once"})), 0)
    assert (found.arrival_s == 0).all()
    # 1,000 a month of 730 h.
    assert len(found) == round(1000 * 168 / 730)


def test_who_waits_is_looked_up_together():
    """After every event all that are under way are looked at: in one go, not one by one, or an overload never ends."""

    class Counted(np.ndarray):
        reads = 0

        def __getitem__(self, key):
            Counted.reads += 1
            return np.asarray(self)[key]

    size = 1000
    outcome = np.full(2 * size, Outcome.UNFINISHED, np.int8)
    links = Links(np.r_[np.full(size, -1), np.arange(size)], np.zeros(2 * size))
    requests = replace(table(np.zeros(2 * size)), links=links)
    log = SimpleNamespace(outcome=outcome.view(Counted), ended_s=np.zeros(2 * size))
    site = SimpleNamespace(env=Clock(), log=log, table=requests, seed=1, replication=0)
    sent = []
    clients = Clients(site, [None], lambda arrival: sent.append(arrival.index), [])
    for row in range(size):
        clients.take(Arrival.of(requests, row))
    outcome[[3, 7]] = Outcome.REJECTED
    clients._look()
    assert sent == list(range(size))
    assert Counted.reads < 10
    assert clients._opened == size - 2
