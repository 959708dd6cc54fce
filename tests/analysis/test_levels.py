"""Levels of replicas over time: what an interval counts that a warm-up or the end of the run cuts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.levels import replica_hours, summed, utilisation, utilisation_of
from simulator.engine.record import ReplicaLevels
from tests.analysis.test_metrics import HOUR_S, record
from tests.engine.demand import table


def level(busy_s, interval_s=HOUR_S, cluster="cluster", **columns):
    busy = np.asarray(busy_s, float)
    given = {"sequence_s": 2.0 * busy, "waiting_s": np.zeros(len(busy)), "kv_block_s": 10.0 * busy} | columns
    sizes = {"steps": 1, "preemptions": 0, "kv_blocks": 100, "max_num_seqs": 4}
    return ReplicaLevels(cluster=cluster, interval_s=interval_s, busy_s=busy, **sizes, **given)


def run(*levels, horizon_s):
    return record(table([0.0]), horizon_s, levels)


def test_hours_that_are_paid_count_from_the_end_of_the_warm_up_on():
    """Two hours and a half by the hour; one replica is paid 600 s of the second hour, the other all the time."""
    comes = level([0.0] * 3, up_s=np.array([0.0, 500.0, 900.0]), paid_s=np.array([0.0, 600.0, 900.0]))
    both = run(comes, level([0.0] * 3), horizon_s=2.5 * HOUR_S)
    assert replica_hours(both, 0.0, "cluster") == pytest.approx((600 + 900) / 3600 + 2.5)
    # The warm-up takes the first hour and a quarter of the second: three quarters of its 600 s are left.
    assert replica_hours(both, 1.25 * HOUR_S, "cluster") == pytest.approx((450 + 900) / 3600 + 1.25)
    # Half of the last half hour.
    assert replica_hours(both, 2.25 * HOUR_S, "cluster") == pytest.approx(450 / 3600 + 0.25)


def test_a_warm_up_that_ends_with_an_interval_takes_it_whole():
    one = run(level([0.0] * 3, paid_s=np.array([3600.0, 600.0, 900.0])), horizon_s=3 * HOUR_S)
    assert [replica_hours(one, hours * HOUR_S, "cluster") for hours in (0, 1, 2)] == pytest.approx([
        5100 / 3600, 1500 / 3600, 900 / 3600,
    ])  # fmt: skip


def test_each_cluster_pays_for_its_own():
    pair = run(level([0.0], cluster="a"), level([0.0], cluster="b", paid_s=np.array([360.0])), horizon_s=HOUR_S)
    assert [replica_hours(pair, 0.0, name) for name in ("a", "b", "api")] == [1.0, 0.1, None]
    assert utilisation(pair, 0.0, "api") is None


@given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=12),
    st.floats(0.01, 1.0),
    st.floats(0.0, 1.0),
)
def test_law_what_is_before_and_what_is_after_a_moment_is_all(shares, last, at):
    """Whatever the moment, paid hours before it and after it are the whole; and so are busy seconds."""
    horizon_s = 900.0 * (len(shares) - 1 + last)
    lengths = np.minimum(900.0, horizon_s - 900.0 * np.arange(len(shares)))
    paid, busy = (np.array(column) * lengths for column in zip(*shares, strict=True))
    one = level(busy, 900.0, paid_s=paid, up_s=paid)
    whole, edge_s = run(one, horizon_s=horizon_s), at * horizon_s
    # The share of each interval that lies before the moment.
    before = np.clip((edge_s - 900.0 * np.arange(len(shares))) / lengths, 0.0, 1.0)
    after_h = replica_hours(whole, edge_s, "cluster")
    assert after_h + (before * paid).sum() / 3600.0 == pytest.approx(paid.sum() / 3600.0, abs=1e-9)
    if edge_s < horizon_s:
        found = utilisation_of((one,), horizon_s, edge_s)
        left_s = ((1.0 - before) * busy).sum()
        assert found.busy_fraction * (horizon_s - edge_s) == pytest.approx(left_s, abs=1e-6)
        assert found.batch_occupancy == pytest.approx(found.busy_fraction * 2 / 4, abs=1e-9)
        assert found.kv_occupancy == pytest.approx(found.busy_fraction * 10 / 100, abs=1e-9)


def test_levels_of_replicas_add_up_interval_by_interval():
    pair = run(level([1.0, 2.0]), level([10.0, 20.0]), horizon_s=2 * HOUR_S)
    assert summed(pair, "busy_s").tolist() == [11.0, 22.0]
    assert summed(replace(pair, levels=()), "busy_s").tolist() == []
