"""Requests that begin when others are answered: what follows what, when, and how chains end."""

from __future__ import annotations

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.record import Outcome
from simulator.engine.simulation import simulate
from simulator.engine.vllm.sequence import Sequence
from simulator.engine.vllm.stepwise import StepwiseReplica
from simulator.performance.step_time import ConstantStepTime
from simulator.scenario.patterns import EngineSettings
from simulator.trace.links import Links
from tests.engine.demand import LINEAR, hybrid, metered, plan, poisson, self_hosted, table

#: A step lasts 10 ms whatever is in it, so that an answer of n tokens is n steps.
STEP_S = 0.01
SYNC = {"async_scheduling": False, "prefix_caching": False}
CERTAIN = {"ttft": {"median": "2s", "sigma": 0.0}, "output_tokens_per_s": {"median": 20, "sigma": 0.0}}
NAMES = ("speech", "note", "codes")


def chained(arrival_s, tokens, after, delay_s, workload, prompt=50):
    """Requests with what each follows, in the order in which they could come at the soonest."""
    made = table(arrival_s, prompt, tokens, workload=workload, workloads=NAMES)
    links = Links(np.asarray(after, np.int64), np.asarray(delay_s, np.float64))
    order = np.argsort(made.arrival_s, kind="stable")
    sorted_table = made.rows(order)
    return type(made)(
        sorted_table.workloads,
        *(getattr(sorted_table, name) for name in ("arrival_s", "workload", "prompt_tokens", "output_tokens",
                                                   "max_tokens", "prefix_id", "prefix_tokens", "priority")),
        links=links.sorted(order),
    )  # fmt: skip


def run(pattern, requests, horizon_s=1e5, step_time=None, **options):
    """What was sent, what became of it, and the chains."""
    found = []
    made = {} if pattern.kind == "metered_api" else {"plan": plan(step_time or ConstantStepTime(STEP_S))}
    record = simulate(
        pattern, requests, horizon_s=horizon_s, seed=3, replication=0,
        on_settled=lambda some, log, _: found.append((some, log)), **{**made, **options},
    )  # fmt: skip
    ((sent, log),) = found
    return sent, log, record.chains


def test_a_chain_is_its_answers_and_what_lies_between_them_by_hand():
    """Speech from 5 s on: 2 s and 9 gaps of 50 ms; 3 s later a note of 21 tokens, 1 s after it codes of 3."""
    requests = chained([5.0, 8.0, 9.0], [10, 21, 3], [-1, 0, 1], [0.0, 3.0, 1.0], [0, 1, 2])
    sent, log, chains = run(metered(**CERTAIN), requests)
    ends_s = 5.0 + 2.45, 5.0 + 2.45 + 3.0 + 3.0, 5.0 + 2.45 + 3.0 + 3.0 + 1.0 + 2.1
    np.testing.assert_allclose(log.last_token_s, ends_s, rtol=1e-12)
    np.testing.assert_allclose(sent.arrival_s, [5.0, 10.45, 14.45], rtol=1e-12)
    np.testing.assert_array_equal(chains.workload, [1, 2])
    np.testing.assert_allclose(chains.ended_s - chains.begun_s, [8.45, 11.55], rtol=1e-12)
    np.testing.assert_allclose(chains.by_api_s, [2.45 + 3.0, 2.45 + 3.0 + 2.1], rtol=1e-12)
    # A table that is not linked is sent as it stands.
    alone = table([5.0, 8.0, 9.0], 50, [10, 21, 3], workload=[0, 1, 2], workloads=NAMES)
    sent, _, none = run(metered(**CERTAIN), alone)
    np.testing.assert_array_equal(sent.arrival_s, [5.0, 8.0, 9.0])
    assert none is None


def test_two_may_follow_one_and_the_request_that_fails_ends_its_chain():
    """At most 2 s a request: the note of the second speech takes longer, and neither codes nor letter follow it."""
    requests = chained(
        [0.0, 0.5, 10.0, 10.5, 0.6, 10.6], [20, 30, 20, 900, 5, 5], [-1, 0, -1, 2, 1, 3],
        [0.0, 0.5, 0.0, 0.5, 0.1, 0.1], [0, 1, 0, 1, 2, 2],
    )  # fmt: skip
    sent, log, chains = run(self_hosted(engine=SYNC, request_timeout="2s"), requests)
    assert len(sent) == 5
    assert (log.outcome == Outcome.TIMED_OUT).sum() == 1
    by = {(int(w), round(float(b))): (Outcome(o), NAMES[e]) for w, b, o, e in zip(
        chains.workload, chains.begun_s, chains.outcome, chains.ended_in, strict=True)}  # fmt: skip
    assert by == {
        (1, 0): (Outcome.COMPLETED, "note"),
        (2, 0): (Outcome.COMPLETED, "codes"),
        (1, 10): (Outcome.TIMED_OUT, "note"),
        (2, 10): (Outcome.TIMED_OUT, "note"),
    }


PATTERNS = {
    "cluster": lambda: self_hosted(engine=SYNC | {"max_num_seqs": 4}),
    "timeouts": lambda: self_hosted(engine={"max_num_seqs": 4}, request_timeout="700ms"),
    "refusals": lambda: self_hosted(replicas=2, engine={"max_num_seqs": 2, "queue_limit": 1}),
    "rate limits": lambda: metered(**CERTAIN, limits={"tokens_per_minute": 20_000}, error_share=0.2),
    "hybrid": lambda: hybrid({"max_in_flight": 3}, CERTAIN, engine=SYNC),
}


def demand(seed, rate_per_s=4.0, horizon_s=20.0):
    """Chains of up to three with random lengths and delays; a third ends early by itself, some have two codes."""
    rng = np.random.default_rng(seed)
    begin_s = poisson(rng, rate_per_s, horizon_s)
    size = len(begin_s)
    note = np.flatnonzero(rng.random(size) < 0.7)
    codes = rng.integers(0, max(1, len(note)), len(note))
    delays = rng.exponential(0.3, size + 2 * len(note))
    delays[:size] = 0.0
    after = np.concatenate([np.full(size, -1), note, size + codes]).astype(np.int64)
    arrival_s = np.concatenate([begin_s, begin_s[note] + delays[size : size + len(note)]])
    arrival_s = np.concatenate([arrival_s, arrival_s[size + codes] + delays[size + len(note) :]])
    workload = np.repeat([0, 1, 2], [size, len(note), len(note)])
    tokens = rng.integers(1, 80, len(after))
    return chained(arrival_s, tokens, after, delays, workload, rng.integers(20, 300, len(after)))


@pytest.mark.parametrize("kind", list(PATTERNS))
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_every_chain_ends_in_one_way_and_no_request_comes_before_the_answer_it_follows(kind, seed):
    requests, horizon_s = demand(seed), 22.0
    kept = requests.arrival_s.copy(), requests.output_tokens.copy()
    sent, log, chains = run(PATTERNS[kind](), requests, horizon_s)
    np.testing.assert_array_equal(requests.arrival_s, kept[0])
    assert (np.diff(sent.arrival_s) >= 0).all()
    links = requests.links
    follows = np.flatnonzero(links.after >= 0)
    begun = links.after < 0
    roots = int((begun & (requests.arrival_s < horizon_s)).sum())
    completed = {
        name: int((log.outcome[sent.workload == n] == Outcome.COMPLETED).sum()) for n, name in enumerate(NAMES)
    }
    assert (sent.workload == 0).sum() == roots
    # One row for each that could follow, and each in one way.
    assert len(chains.outcome) == len(follows)
    for number, name in ((1, "note"), (2, "codes")):
        mine = chains.workload == number
        assert (chains.outcome[mine] == Outcome.COMPLETED).sum() == completed[name]
        assert not np.isnan(chains.ended_s[mine & (chains.outcome == Outcome.COMPLETED)]).any()
        assert (chains.ended_in[mine & (chains.outcome == Outcome.COMPLETED)] == number).all()
        assert (chains.ended_in[mine] <= number).all()
    lost = (log.outcome == Outcome.REJECTED) | (log.outcome == Outcome.TIMED_OUT)
    ended = (chains.outcome == Outcome.REJECTED) | (chains.outcome == Outcome.TIMED_OUT)
    for number in range(3):
        # Of chains that a workload ended there is none where nothing of it was lost.
        assert lost[sent.workload == number].any() or not (ended & (chains.ended_in == number)).any()


@pytest.mark.parametrize("asynchronous", [False, True])
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_step_by_step_is_the_same(asynchronous, seed):
    """A replica that takes every step, and a process for each request that waits for the answer before it."""
    requests = demand(seed, horizon_s=5.0)
    engine = EngineSettings(max_num_seqs=4, async_scheduling=asynchronous, prefix_caching=False)
    made_of = plan(LINEAR, blocks=80)
    env, size = simpy.Environment(), len(requests)
    sent_s, last_s = np.full((2, size), np.nan)
    answered = [env.event() for _ in range(size)]

    def on_finish(sequence, at_s):
        last_s[sequence.index] = at_s + made_of.output_s
        answered[sequence.index].succeed()

    replica = StepwiseReplica(env, engine, made_of.num_gpu_blocks, made_of.step_time, on_finish, lambda *_: None)

    def one(row):
        before = requests.links.after.item(row)
        if before < 0:
            yield env.timeout(requests.arrival_s.item(row))
        else:
            yield answered[before]
            yield env.timeout(max(0.0, last_s[before] + requests.links.delay_s.item(row) - env.now))
        sent_s[row] = env.now
        ready_s = env.now + made_of.front_end_s(requests.prompt_tokens.item(row))
        tokens = requests.prompt_tokens.item(row), requests.output_tokens.item(row)
        replica.submit(Sequence(row, *tokens, ready_s))

    for row in range(size):
        env.process(one(row))
    env.run()
    pattern = self_hosted(engine={"max_num_seqs": 4, "async_scheduling": asynchronous, "prefix_caching": False})
    sent, log, _ = run(pattern, requests, plan=made_of)
    order = np.argsort(sent_s, kind="stable")
    np.testing.assert_allclose(sent.arrival_s, sent_s[order], rtol=1e-9)
    np.testing.assert_allclose(log.last_token_s, last_s[order], rtol=1e-9)
