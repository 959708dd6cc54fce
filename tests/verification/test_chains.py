"""Chains with everything switched on: whatever fails, each begun chain ends once, and for what it says."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.record import Outcome, RequestLog
from simulator.engine.simulation import simulate
from simulator.trace.links import Links
from simulator.trace.request_table import RequestTable
from tests.engine.demand import plan
from tests.verification.test_everything_on import HORIZON_S, demand, patterns, pictures


def linked(seed, rate_per_s, share):
    """The demand of the other laws, of which a share waits for some request before it."""
    requests = demand(seed, rate_per_s)
    rng = np.random.default_rng(seed + 1)
    rows = np.arange(len(requests))
    after = np.where(rng.random(len(rows)) < share, rng.integers(0, np.maximum(rows, 1)), -1)
    after[:1] = -1
    links = Links(after.astype(np.int64), np.where(after >= 0, rng.exponential(20.0, len(rows)), 0.0))
    columns = ("arrival_s", "workload", "prompt_tokens", "output_tokens", "max_tokens", "prefix_id", "prefix_tokens")
    columns = (*columns, "priority", "thinking_tokens")
    return RequestTable(requests.workloads, *(getattr(requests, name) for name in columns), links=links)


def check(pattern, seed, rate_per_s, share):
    requests, found = linked(seed, rate_per_s, share), []
    options = {"horizon_s": HORIZON_S, "seed": seed, "replication": 0, "plan": plan(blocks=150)}
    options["images"] = pictures(pattern, seed)
    options["on_settled"] = lambda some, log, _: found.append((some, log))
    record = simulate(pattern, requests, **options)
    ((sent, log),) = found
    links = requests.links
    # Who waits for nobody is sent at their own time, and whoever is sent ends once.
    assert (np.diff(sent.arrival_s) >= 0).all()
    assert np.isin(log.outcome, list(Outcome)).all()
    free = links.after < 0
    own = np.sort(requests.arrival_s[free & (requests.arrival_s < HORIZON_S)])
    assert np.isin(own, sent.arrival_s).all()
    # One follows another: as many as were answered and have someone waiting, while there is time.
    waiting = len(sent) - len(own) - int((sent.arrival_s >= HORIZON_S).sum())
    done = log.outcome == Outcome.COMPLETED
    assert 0 <= waiting <= int((links.after >= 0).sum())
    assert waiting == 0 or done.any()
    ends = np.sort(log.last_token_s[done])
    for late in np.setdiff1d(sent.arrival_s[sent.arrival_s < HORIZON_S], own)[::20]:
        answers = late - links.delay_s[~free]
        place = (
            np.clip(np.searchsorted(ends, answers), 1, len(ends) - 1) if len(ends) > 1 else np.zeros(len(answers), int)
        )
        nearest = np.minimum(np.abs(ends[place] - answers), np.abs(ends[place - 1] - answers))
        assert nearest.min() < 1e-6, "sent at no answer's end and its delay"
    # Each chain that is begun ends in one way; what is completed took at least as long as its answers.
    chains = record.chains
    if chains is not None:
        completed = chains.outcome == Outcome.COMPLETED
        assert np.isin(chains.outcome, list(Outcome)).all()
        assert (np.isnan(chains.ended_s) == ~completed).all()
        assert (chains.ended_s[completed] > chains.begun_s[completed]).all()
        assert np.isin(chains.ended_s[completed], log.last_token_s[done]).all()
        per_workload = np.bincount(sent.workload[done], minlength=3)
        assert (np.bincount(chains.workload[completed], minlength=3) <= per_workload).all()
        lost = {Outcome.REJECTED, Outcome.TIMED_OUT} & {Outcome(one) for one in chains.outcome}
        assert lost <= {Outcome(one) for one in log.outcome}
    # The same again is the same again.
    found.clear()
    again = simulate(pattern, requests, **options)
    for column in fields(RequestLog):
        np.testing.assert_array_equal(getattr(log, column.name), getattr(found[0][1], column.name), column.name)
    assert (again.chains is None) == (chains is None)
    if chains is not None:
        np.testing.assert_array_equal(again.chains.ended_s, chains.ended_s)
    return 0 if chains is None else len(chains.outcome)


drawn = given(
    pattern=patterns(),
    seed=st.integers(0, 2**32),
    rate_per_s=st.sampled_from([0.05, 0.5, 3.0]),
    share=st.sampled_from([0.1, 0.5, 0.9]),
)


@settings(max_examples=10)
@drawn
def test_chains_with_everything_on(pattern, seed, rate_per_s, share):
    check(pattern, seed, rate_per_s, share)


@pytest.mark.slow
@settings(max_examples=150)
@drawn
def test_chains_with_everything_on_at_length(pattern, seed, rate_per_s, share):
    check(pattern, seed, rate_per_s, share)
