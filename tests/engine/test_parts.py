"""Requests that come in parts fare as they do when all are known at once."""

import gc
import weakref
from dataclasses import fields, replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine import simulation
from simulator.engine.ledger import Ledger
from simulator.engine.record import Outcome, RequestLog
from simulator.engine.simulation import simulate
from simulator.scenario.patterns import SelfHostedPattern
from simulator.trace.nesting import Nesting
from tests.engine.demand import COSTS, cluster, hybrid, metered, plan, self_hosted, table

HORIZON_S = 400.0
#: Without chance, because a part draws its latencies by itself.
CERTAIN = {"ttft": {"median": "2s", "sigma": 0.0}, "output_tokens_per_s": {"median": 20, "sigma": 0.0}}


def cut(requests, edges_s, horizon_s=HORIZON_S):
    """Parts that begin at these moments."""
    rows = [0, *np.searchsorted(requests.arrival_s, edges_s).tolist(), len(requests)]
    for low, high, end_s in zip(rows[:-1], rows[1:], [*edges_s, horizon_s], strict=True):
        yield requests.rows(slice(low, high)).nested(requests.nesting), end_s


class Poisoned(Ledger):
    """Whoever still needs a row that was settled reads nonsense."""

    def settle(self, below):
        super().settle(below)
        for columns in (self.table, self.log):
            for one in fields(columns):
                if one.name not in ("workloads", "nesting", "links"):
                    getattr(columns, one.name)[:below] = 77


SCALED = {"kind": "queue", "node_start": {"median": "60s", "sigma": 0.5}}


def in_parts(pattern, requests, edges_s, **options):
    """The log put together again, sizes of what was settled, and the record."""
    logs, tables = [], []

    def settled(some, log, decisions):
        assert decisions or not len(some)
        tables.append(some.arrival_s.copy())
        logs.append(RequestLog(*(getattr(log, one.name).copy() for one in fields(log))))

    with patch.multiple(simulation, Ledger=Poisoned, _INTERVAL_S=20.0):
        record = simulate(
            pattern, cut(requests, edges_s, options.get("horizon_s", HORIZON_S)), room=len(requests) + 5,
            on_settled=settled, **{"horizon_s": HORIZON_S, "seed": 1, "replication": 0, **options},
        )  # fmt: skip
    assert len(record.log.outcome) == 0
    np.testing.assert_array_equal(np.concatenate(tables), requests.arrival_s)
    together = RequestLog(*(np.concatenate([getattr(log, one.name) for log in logs]) for one in fields(RequestLog)))
    return together, [len(log.outcome) for log in logs], record


def assert_same(log, other):
    """Counts are equal; a clock that stops in between may round another way."""
    for one in fields(RequestLog):
        np.testing.assert_allclose(getattr(log, one.name), getattr(other, one.name), rtol=1e-13, err_msg=one.name)


@st.composite
def demands(draw):
    seed, size = draw(st.integers(0, 2**32)), draw(st.integers(1, 150))
    rng = np.random.default_rng(seed)
    arrival_s = np.sort(rng.uniform(0, HORIZON_S * 1.02, size))
    requests = table(arrival_s, rng.integers(20, 900, size), rng.integers(1, 300, size), max_tokens=400)
    requests.prefix_id[:] = rng.integers(-1, draw(st.sampled_from([1, 5, 60])), size) * 1000
    requests.prefix_id[requests.prefix_id < 0] = -1
    shared = rng.integers(0, 800, size)
    requests.prefix_tokens[:] = np.where(requests.prefix_id < 0, 0, np.minimum(requests.prompt_tokens - 1, shared))
    requests.priority[:] = rng.integers(1, 4, size)
    if draw(st.booleans()):
        # Each but the first may begin with an earlier one.
        ids = 1000 * np.arange(1, 60)
        outer_id = 1000 * rng.integers(0, np.arange(1, 60))
        nested = rng.random(59) < 0.7
        requests = replace(
            requests, nesting=Nesting.of(ids[nested], outer_id[nested], rng.integers(1, 400, 59)[nested])
        )
    edges_s = sorted(draw(st.lists(st.floats(0.1, HORIZON_S - 0.1), min_size=1, max_size=6)))
    return requests, edges_s


@settings(max_examples=60)
@given(
    demand=demands(),
    replicas=st.sampled_from([1, 3]),
    policy=st.sampled_from(["fcfs", "priority"]),
    blocks=st.sampled_from([120, 2000]),
    timeout=st.sampled_from([None, "3s", "30s"]),
    kind=st.sampled_from(["self-hosted", "hybrid", "API"]),
)
def test_parts_change_nothing(demand, replicas, policy, blocks, timeout, kind):
    requests, edges_s = demand
    engine = {"policy": policy, "max_num_seqs": 8, "max_model_len": 1500}
    changes = {"replicas": replicas, "engine": engine} | ({"request_timeout": timeout} if timeout else {})
    if kind == "API":
        pattern = metered(**CERTAIN, limits={"tokens_per_minute": 30_000})
    elif kind == "hybrid":
        pattern = hybrid({"max_in_flight": 6}, CERTAIN, **changes)
    else:
        pattern = self_hosted(**changes)
    options = {} if kind == "API" else {"plan": plan(blocks=blocks)}
    whole = simulate(pattern, requests, horizon_s=HORIZON_S, seed=1, replication=0, **options)
    log, sizes, record = in_parts(pattern, requests, edges_s, **options)
    assert len(sizes) == len(edges_s) + 1
    assert_same(log, whole.log)
    assert record.decisions == whole.decisions
    for level, other in zip(record.levels, whole.levels, strict=True):
        assert (level.steps, level.preemptions) == (other.steps, other.preemptions)
        for name in ("busy_s", "sequence_s", "waiting_s", "kv_block_s"):
            np.testing.assert_allclose(getattr(level, name), getattr(other, name), rtol=1e-9, atol=1e-9)


def test_a_request_that_lasts_holds_back_those_behind_it():
    requests = table([10.0, *np.linspace(20.0, 390.0, 50)], 100, [5000, *[5] * 50], max_tokens=8000)
    log, sizes, _ = in_parts(self_hosted(), requests, [50.0, 80.0], plan=plan())
    assert sizes == [0, 0, 51]
    log, sizes, _ = in_parts(self_hosted(), requests, [300.0, 395.0], plan=plan())
    assert sum(sizes[:2]) == 51
    assert (log.outcome == Outcome.COMPLETED).all()


def test_a_pattern_that_needs_a_gateway_settles_too():
    requests = table(np.linspace(0.0, 390.0, 60), 200, 50)
    pattern = hybrid({"kind": "slo_aware"}, CERTAIN)
    options = {"plan": plan(), "ttft_limit_s": [2.0]}
    whole = simulate(pattern, requests, horizon_s=HORIZON_S, seed=1, replication=0, **options)
    log, sizes, record = in_parts(pattern, requests, [100.0, 200.0], **options)
    assert sizes == [15, 16, 29]
    assert_same(log, whole.log)
    assert record.decisions == whole.decisions


def test_what_can_break_settles_by_intervals_of_the_timeline():
    requests = table(np.linspace(0.0, 390.0, 40), 200, 20)
    failure = {"kind": "failure", "cluster": "cluster", "scope": "node", "at": ["+150s"], "repair": "60s"}
    pattern = SelfHostedPattern.model_validate(
        {"kind": "self_hosted", "cluster": cluster(replicas=2), "costs": COSTS, "faults": [failure]}
    )
    _, sizes, _ = in_parts(pattern, requests, [99.0, 205.0], plan=plan())
    assert sizes == [np.searchsorted(requests.arrival_s, 80.0), np.searchsorted(requests.arrival_s, 200.0) - 8, 20]


def test_every_part_draws_the_same_latencies_in_every_pattern():
    """Common random numbers: retries of one pattern do not shift what a later part draws."""
    requests = table(np.linspace(0.0, 399.0, 200), 100, 20)
    calm, _, _ = in_parts(metered(), requests, [100.0, 200.0])
    failing, _, _ = in_parts(metered(error_share=0.3), requests, [100.0, 200.0])
    first_try = failing.attempts == 1
    assert 100 < first_try.sum() < 180
    for name in ("first_token_s", "last_token_s"):
        np.testing.assert_array_equal(getattr(calm, name)[first_try], getattr(failing, name)[first_try])


@pytest.mark.parametrize("edges_s", [[1.0], [1.0, 2.0, 3.0]])
def test_parts_without_requests(edges_s):
    log, sizes, _ = in_parts(self_hosted(), table([200.0]), edges_s, plan=plan())
    assert sum(sizes) == 1
    assert log.outcome.tolist() == [Outcome.COMPLETED]


@pytest.mark.parametrize(
    "pattern",
    [
        self_hosted(),
        hybrid({"max_in_flight": 2}),
        metered(),
        hybrid({"breaker": {"failures": 2}, "hedge": {"after": "1s"}, "timeout": "3s"}, autoscaling=SCALED),
    ],
    ids=["cluster", "cluster and API", "API", "gateway"],
)
def test_a_run_that_is_over_leaves_nothing_in_memory(pattern, monkeypatch):
    """Not even until the garbage is collected, which a few large arrays do not bring about."""
    ledgers = []

    class Watched(Poisoned):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            ledgers.append(weakref.ref(self))

    monkeypatch.setitem(globals(), "Poisoned", Watched)
    gc.collect()
    gc.disable()
    try:
        options = {} if pattern.kind == "metered_api" else {"plan": plan()}
        in_parts(pattern, table(np.linspace(0.0, 390.0, 60), 200, 50), [100.0, 200.0], **options)
    finally:
        gc.enable()
    assert [ledger() for ledger in ledgers] == [None]
