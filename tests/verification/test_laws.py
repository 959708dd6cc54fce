"""The laws every run keeps, whatever the demand and the pattern."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.engine.arrival import Arrival
from simulator.engine.record import Outcome, Reason, RequestLog
from simulator.engine.simulation import simulate
from tests.engine.demand import hybrid, metered, plan, poisson, self_hosted, table

HORIZON_S = 400.0

engines = st.fixed_dictionaries(
    {
        "max_num_seqs": st.integers(1, 40),
        "max_num_batched_tokens": st.sampled_from([64, 512, 2048]),
        "async_scheduling": st.booleans(),
        "policy": st.sampled_from(["fcfs", "priority"]),
        "queue_limit": st.one_of(st.none(), st.integers(1, 20)),
        "max_model_len": st.sampled_from([700, 1500]),
    }
)
limits = st.fixed_dictionaries(
    {
        "tokens_per_minute": st.one_of(st.none(), st.integers(2_000, 200_000)),
        "requests_per_minute": st.one_of(st.none(), st.integers(6, 600)),
    }
)
seconds = st.floats(0.5, 60).map(lambda s: f"{s:.3f}s")
patterns = st.one_of(
    st.builds(lambda engine, replicas: self_hosted(engine=engine, replicas=replicas), engines, st.integers(1, 3)),
    st.builds(lambda engine, timeout: self_hosted(engine=engine, request_timeout=timeout), engines, seconds),
    st.builds(lambda limits, errors: metered(limits=limits, error_share=errors), limits, st.sampled_from([0.0, 0.2])),
    st.builds(
        lambda engine, limits, timeout, in_flight, on_error: hybrid(
            routing={"timeout": timeout, "max_in_flight": in_flight, "on_error": on_error},
            api_changes={"limits": limits},
            engine=engine,
        ),
        engines,
        limits,
        st.one_of(st.none(), seconds),
        st.one_of(st.none(), st.integers(1, 30)),
        st.sampled_from(["fail_over", "fail"]),
    ),
)


def demand(seed, rate_per_s):
    rng = np.random.default_rng(seed)
    arrival_s = poisson(rng, rate_per_s, HORIZON_S)
    size = len(arrival_s)
    return table(
        arrival_s,
        rng.integers(1, 900, size),
        rng.integers(1, 300, size),
        workload=rng.integers(0, 2, size),
        workloads=("notes", "letters"),
        max_tokens=300,
        prefix=int(rng.integers(0, 400)) or None,
    )


@settings(max_examples=60)
@given(
    pattern=patterns,
    seed=st.integers(0, 2**32),
    rate_per_s=st.sampled_from([0.05, 1.0, 6.0]),
    leave=st.booleans(),
)
def test_laws(pattern, seed, rate_per_s, leave):
    requests = demand(seed, rate_per_s)
    options = {
        "horizon_s": HORIZON_S, "seed": seed, "replication": 0, "plan": plan(blocks=150), "may_leave": [leave, True],
    }  # fmt: skip
    record = simulate(pattern, requests, **options)
    log = record.log
    outcome = log.outcome

    # 1: every request ends in exactly one outcome.
    assert np.isin(outcome, list(Outcome)).all()
    assert ((outcome == Outcome.UNFINISHED) == np.isnan(log.ended_s)).all()
    # 2: stamps are in order; a completed request has all of them.
    completed = outcome == Outcome.COMPLETED
    stamps = np.column_stack(
        [
            requests.arrival_s,
            log.enqueued_s,
            log.scheduled_s,
            log.first_token_s,
            log.last_token_s,
            np.full(len(requests), HORIZON_S),
        ]
    )
    assert not np.isnan(stamps[completed]).any()
    assert (np.diff(stamps[completed], axis=1) >= -1e-9).all()
    # 4: blocks in use never exceed the pool.
    for level in record.levels:
        assert (level.kv_block_s <= level.kv_blocks * level.interval_s + 1e-6).all()
        assert (level.busy_s <= level.interval_s + 1e-6).all()
        assert (level.sequence_s <= level.max_num_seqs * level.interval_s + 1e-6).all()
    # 8: an API bills what it served, and only that.
    by_api = (
        completed & (log.backend == record.backends.index("azure/gpt-4-turbo"))
        if record.backends[-1] != "cluster"
        else completed & False
    )
    assert (log.billed_prompt_tokens == np.where(by_api, requests.prompt_tokens, 0)).all()
    assert (log.billed_output_tokens == np.where(by_api, requests.output_tokens, 0)).all()
    # A request may only leave the site when its workload may, and each that does has a reason.
    if len(record.backends) == 2:
        left = log.backend == 1
        assert (left == (log.failover != Reason.NONE)).all()
        assert leave or not (left & (requests.workload == 0)).any()
    # 7: the same again is the same again.
    again = simulate(pattern, requests, **options).log
    for column in fields(RequestLog):
        np.testing.assert_array_equal(getattr(log, column.name), getattr(again, column.name))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_littles_law(asynchronous):
    """9: mean number in the batch, and in the queue, equals throughput times mean time there."""
    rng = np.random.default_rng(3)
    requests = table(poisson(rng, 1.2, 20_000.0), rng.integers(100, 900), 150)
    pattern = self_hosted(engine={"max_num_seqs": 10, "async_scheduling": asynchronous})
    record = simulate(pattern, requests, horizon_s=20_000.0, seed=1, replication=0, plan=plan(output_s=0.0))
    log, level = record.log, record.levels[0]
    done = log.outcome == Outcome.COMPLETED
    in_batch_s = (log.last_token_s - log.scheduled_s)[done].sum()
    in_queue_s = (log.scheduled_s - log.enqueued_s)[done].sum()
    assert level.sequence_s.sum() == pytest.approx(in_batch_s, rel=2e-3)
    assert level.waiting_s.sum() == pytest.approx(in_queue_s, rel=5e-3)


def test_no_idling_with_admissible_work():
    """5: whenever something runs or waits, a step is executing, but for the moments the host needs."""
    rng = np.random.default_rng(5)
    requests = table(poisson(rng, 0.4, 20_000.0), rng.integers(100, 900), 150)
    record = simulate(self_hosted(), requests, horizon_s=20_000.0, seed=1, replication=0, plan=plan())
    log = record.log
    intervals = sorted(zip(log.scheduled_s, log.last_token_s, strict=True))
    occupied_s, until_s = 0.0, 0.0
    for start_s, end_s in intervals:
        if not np.isnan(end_s):
            occupied_s += max(0.0, end_s - max(start_s, until_s))
            until_s = max(until_s, end_s)
    assert record.levels[0].busy_s.sum() == pytest.approx(occupied_s, rel=1e-3)


def test_arrivals_carry_no_output_length():
    """6: what an API backend receives has no such field."""
    assert "output_tokens" not in {field.name for field in fields(Arrival)}


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate_per_s=st.sampled_from([0.3, 1.0]),
    chosen=st.floats(0.0, 1.0),
    limit=st.sampled_from([None, 3]),
    output_tokens=st.integers(1, 900),
)
def test_the_router_cannot_see_the_output_length(seed, rate_per_s, chosen, limit, output_tokens):
    """6: the length of an answer changes no routing before the shorter of two answers ends."""
    rng = np.random.default_rng(seed)
    arrival_s = poisson(rng, rate_per_s, 200.0)
    outputs = rng.integers(1, 400, len(arrival_s))
    assume(len(arrival_s))
    index = int(chosen * (len(arrival_s) - 1))
    pattern = hybrid({"max_in_flight": limit, "timeout": "20s"}, engine={"max_num_seqs": 6})
    logs = []
    for answer in (int(outputs[index]), output_tokens):
        outputs[index] = answer
        demand = table(arrival_s, output_tokens=outputs)
        logs.append(simulate(pattern, demand, horizon_s=400.0, seed=1, replication=0, plan=plan(blocks=300)).log)
    same = arrival_s < min(log.ended_s[index] if log.backend[index] == 0 else np.inf for log in logs)
    assert (logs[0].failover[same] == Reason.CAPACITY).tolist() == (logs[1].failover[same] == Reason.CAPACITY).tolist()
