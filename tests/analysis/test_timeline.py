"""A run by the clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.metrics import summarise
from simulator.analysis.timeline import count_intervals
from simulator.engine.record import Outcome, Reason
from tests.analysis.test_levels import level
from tests.analysis.test_metrics import HOUR_S, record
from tests.engine.demand import table

LOADS = ("notes", "letters")


def test_replicas_that_serve_are_a_mean_over_each_interval_the_short_last_one_too():
    """Half an hour of the third hour is simulated: a replica that is up for a quarter of an hour serves half of it."""
    fixed = level([0.0] * 3)
    comes = level([0.0] * 3, up_s=np.array([0.0, 1800.0, 900.0]), paid_s=np.array([0.0, 1860.0, 900.0]))
    other = level([0.0] * 3, cluster="spare", up_s=np.array([3600.0, 0.0, 1800.0]), paid_s=np.full(3, 1800.0))
    run = replace(record(table([0.0]), 2.5 * HOUR_S, (fixed, comes, other)), incidents=())
    found = summarise(run, table([0.0]), {}).timeline
    assert found.serving_interval_s == HOUR_S
    assert found.serving == {"cluster": [1.0, 1.5, 1.5], "spare": [1.0, 0.0, 1.0]}


def test_without_a_cluster_nothing_serves():
    found = summarise(replace(record(table([0.0]), 600.0), incidents=()), table([0.0]), {}).timeline
    assert found.serving == {}
    assert found.serving_interval_s == found.interval_s == 300.0


@pytest.mark.parametrize(
    ("days", "interval_s"), [(1, 300.0), (7, 900.0), (30, 3600.0), (365, 21_600.0), (3650, 21_600.0)]
)
def test_intervals_are_as_short_as_a_thousand_of_them_allow(days, interval_s):
    found = summarise(replace(record(table([0.0]), days * 86_400.0), incidents=()), table([0.0]), {}).timeline
    assert found.interval_s == interval_s
    assert len(found.workloads["notes"].arrived) == days * 86_400.0 / interval_s


@pytest.mark.parametrize(("more_s", "interval_s"), [(0.0, 300.0), (1.0, 900.0)])
def test_a_second_more_than_a_thousand_intervals_takes_longer_ones(more_s, interval_s):
    found = summarise(replace(record(table([0.0]), 300_000.0 + more_s), incidents=()), table([0.0]), {}).timeline
    assert found.interval_s == interval_s


rows = st.lists(
    st.tuples(
        st.floats(0.0, 1999.0), st.integers(0, 1), st.sampled_from(list(Outcome)), st.sampled_from(list(Reason)),
        st.floats(0.0, 50.0),
    ),
    max_size=60,
)  # fmt: skip


@given(rows)
def test_law_every_request_is_in_the_interval_of_its_arrival(drawn):
    """Counted again, one by one."""
    drawn = sorted(drawn)
    arrival_s, workload, outcome, reason, wait_s = zip(*drawn, strict=True) if drawn else ([],) * 5
    demand = table(arrival_s, workload=workload, workloads=LOADS)
    run = record(demand, 1700.0, outcome=outcome, failover=reason)
    run.log.first_token_s[:] = demand.arrival_s + np.asarray(wait_s, float)
    found = count_intervals(demand, run.log, 2, 1700.0)
    lost = (Outcome.REJECTED, Outcome.TIMED_OUT)
    inside = [row for row in drawn if row[0] < 1700.0]
    for name, which in {
        "arrived": inside,
        "completed": [row for row in inside if row[2] == Outcome.COMPLETED],
        "lost": [row for row in inside if row[2] in lost],
        "failed_over": [row for row in inside if row[3] != Reason.NONE],
    }.items():
        counts = Counter((row[1], int(row[0] // 300.0)) for row in which)
        assert getattr(found, name).tolist() == [[counts[load, at] for at in range(6)] for load in range(2)], name
    # Of parts of a run each is there once.
    twice = found + found
    for name in ("arrived", "completed", "lost", "failed_over"):
        assert (getattr(twice, name) == 2 * getattr(found, name)).all(), name
    assert np.array_equal(twice.ttft_p99_s, found.ttft_p99_s, equal_nan=True)
    for load in range(2):
        for at in range(6):
            mine = [
                demand_wait
                for row in inside
                if (row[1], int(row[0] // 300.0), row[2]) == (load, at, Outcome.COMPLETED)
                for demand_wait in [(row[0] + row[4]) - row[0]]
            ]
            if mine:
                assert found.ttft_p99_s[load, at] == np.quantile(mine, 0.99, method="inverted_cdf")
            else:
                assert np.isnan(found.ttft_p99_s[load, at])
