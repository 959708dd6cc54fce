"""What breaks, when, and what becomes of the requests."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from simulator.engine.ledger import Ledger
from simulator.engine.operations.conditions import Conditions, Episode
from simulator.engine.operations.faults import timetable
from simulator.engine.record import Outcome, Reason
from simulator.engine.vllm.fleet import Fleet
from simulator.performance.kv_groups import KvGroup
from simulator.scenario.fault_sources import FaultSource
from simulator.scenario.moments import after_start_s
from simulator.scenario.patterns import EngineSettings
from tests.engine.demand import hybrid, metered, plan, poisson, self_hosted, table
from tests.engine.routing.test_gateway import run, several

START_UP = {"start_up": {"median": "10s"}}
FAILURE = {"kind": "failure", "cluster": "cluster", "at": ["+100s"], "repair": "50s"}
OUTAGE = {"kind": "outage", "api": "azure/gpt-4-turbo", "at": ["+100s"], "duration": "100s"}
YEAR_S = 365 * 86_400.0
SOURCES = TypeAdapter(list[FaultSource])


def breaking(pattern, *faults):
    return pattern.model_copy(update={"faults": SOURCES.validate_python(list(faults))})


def made(pattern, horizon_s=YEAR_S, replication=0):
    return timetable(pattern, horizon_s=horizon_s, seed=7, replication=replication, moments_s=after_start_s)


def up_s(record):
    return [float(level.up_s.sum()) for level in record.levels]


def test_a_failure_loses_what_runs_and_the_client_tries_again():
    pattern = breaking(self_hosted(**START_UP), {**FAILURE, "repair": "1s"})
    log = run(pattern, table([99.0, 99.5, 200.0], 600, 200)).log
    # Down from 100 to 111 s: the client's two retries are over by then.
    assert log.outcome.tolist() == [Outcome.REJECTED, Outcome.REJECTED, Outcome.COMPLETED]
    assert log.lost.tolist() == [Reason.FAULT, Reason.FAULT, Reason.NONE]
    assert log.retries.tolist() == [2, 2, 0]
    assert (log.wasted_tokens[:2] > 600).all()
    assert 101.1 <= log.ended_s[0] <= 101.5


def test_requests_that_a_replica_lost_go_to_another_of_its_cluster():
    pattern = breaking(self_hosted(replicas=2, **START_UP), FAILURE)
    record = run(pattern, table([99.0, 99.0, 120.0], 600, 200))
    log = record.log
    assert log.outcome.tolist() == [Outcome.COMPLETED] * 3
    assert log.failover.tolist() == [Reason.FAULT, Reason.NONE, Reason.NONE]
    assert log.scheduled_s[0] == pytest.approx(100.0, abs=0.2)
    assert up_s(record) == pytest.approx([940.0, 1000.0])
    assert [one.what for one in record.incidents] == ["1 of 2 replicas"]


def test_a_cluster_that_is_down_is_passed_over_for_that_reason():
    record = run(breaking(hybrid(**START_UP), FAILURE), table([99.0, 120.0, 170.0], 600, 200))
    assert record.log.outcome.tolist() == [Outcome.COMPLETED] * 3
    assert record.log.backend.tolist() == [1, 1, 0]
    assert record.log.failover.tolist() == [Reason.FAULT, Reason.FAULT, Reason.NONE]
    assert [record.decisions[n] for n in record.log.decision] == ["preferred", "next with room", "preferred"]


def test_a_replica_that_was_down_has_forgotten_its_prefixes():
    requests = table([10.0, 30.0, 200.0, 230.0], 1000, 10, prefix=512)
    assert run(breaking(self_hosted(**START_UP), FAILURE), requests).log.cached_tokens.tolist() == [0, 512, 0, 512]


def test_an_outage_cuts_off_answers_and_refuses_calls_until_it_is_over():
    pattern = breaking(metered(retries={"at_most": 0}, ttft={"median": "500ms"}), OUTAGE)
    record = run(pattern, table([95.0, 99.0, 150.0, 200.0], 600, 200))
    log = record.log
    assert log.outcome.tolist() == [Outcome.REJECTED] * 3 + [Outcome.COMPLETED]
    assert log.lost.tolist() == [Reason.FAULT] * 3 + [Reason.NONE]
    assert log.ended_s[:3] == pytest.approx([100.0, 100.0, 150.0])
    # What was streamed before the cut is charged.
    assert log.billed_prompt_tokens.tolist() == [0, 0, 0, 600]
    assert [(charge.row, charge.prompt_tokens) for charge in record.burnt] == [(0, 600), (1, 600)]
    assert 100 < record.burnt[0].output_tokens < 200


def test_a_client_that_waits_long_enough_sees_the_outage_through():
    pattern = breaking(metered(retries={"at_most": 20}), {**OUTAGE, "duration": "30s"})
    record = run(pattern, table([99.0], 600, 200))
    log = record.log
    assert log.outcome.tolist() == [Outcome.COMPLETED]
    assert log.scheduled_s[0] >= 130.0
    assert log.billed_prompt_tokens[0] + record.burnt[0].prompt_tokens == 1200


def test_a_brown_out_fails_some_calls_and_slows_the_rest():
    brown = {**OUTAGE, "duration": "500s", "error_share": "30 %", "slowdown": 3}
    pattern = breaking(metered(retries={"at_most": 0}, ttft={"median": "500ms"}), brown)
    log = run(pattern, table(np.linspace(150, 500, 4000), 600, 1)).log
    assert (log.outcome == Outcome.REJECTED).mean() == pytest.approx(0.3, abs=0.03)
    done = log.outcome == Outcome.COMPLETED
    assert (log.first_token_s - log.scheduled_s)[done] == pytest.approx(1.5)


def test_without_the_network_only_the_apis_are_gone():
    loss = {"kind": "network_loss", "at": ["+100s"], "duration": "100s"}
    pattern = breaking(several({"own": {}}, {"first": {}, "second": {}}), loss)
    found = made(pattern)
    assert sorted(found.episodes) == [1, 2]
    assert not found.downtimes
    assert run(pattern, table([150.0])).log.backend.tolist() == [0]


def test_a_spot_replica_takes_nothing_after_its_notice_and_is_not_paid_for_while_gone():
    spot = {"kind": "spot_interruption", "cluster": "cluster", "at": ["+100s"], "replacement": {"median": "60s"}}
    pattern = breaking(self_hosted(replicas=2), spot)
    record = run(pattern, table([99.0, 99.0, *np.full(4, 110.0)], 600, 200))
    assert (record.log.outcome == Outcome.COMPLETED).all()
    # The notice of two minutes was enough for what ran.
    assert (record.log.failover == Reason.NONE).all()
    assert up_s(record) == pytest.approx([1000.0 - 180.0, 1000.0])
    assert [float(level.paid_s.sum()) for level in record.levels] == pytest.approx([940.0, 1000.0])


def test_a_planned_restart_takes_one_replica_after_another():
    restart = {"kind": "planned_restart", "cluster": "cluster", "at": ["+100s"], "drain": "20s", "down": "5s"}
    found = made(breaking(self_hosted(replicas=3, **START_UP), restart), 1000.0).downtimes
    assert [(one.replica, one.closed_s, one.lost_s, one.back_s) for one in found] == [
        (0, 100.0, 120.0, 135.0),
        (1, 135.0, 155.0, 170.0),
        (2, 170.0, 190.0, 205.0),
    ]
    pattern = breaking(self_hosted(replicas=3, **START_UP), restart)
    log = run(pattern, table(np.arange(90.0, 220.0, 0.5), 100, 30)).log
    assert (log.outcome == Outcome.COMPLETED).all()
    assert (log.failover == Reason.NONE).all()


def test_a_node_takes_its_replicas_with_it_and_a_gpu_its_own():
    big = self_hosted(replicas=5, tensor_parallel=2)
    at = {"at": ["+100s"], "repair": "1h", "kind": "failure", "cluster": "cluster"}
    assert [one.replica for one in made(breaking(big, {**at, "scope": "node"})).downtimes] == [0, 1, 2, 3]
    assert [one.replica for one in made(breaking(big, {**at, "scope": "gpu"})).downtimes] == [0]
    assert len(made(breaking(big, {**at, "scope": "cluster"})).downtimes) == 5


def test_random_failures_come_as_often_as_said_and_last_as_said():
    source = {"kind": "failure", "cluster": "cluster", "mean_time_between": "2000h"}
    pattern = breaking(self_hosted(replicas=4, tensor_parallel=2), source)
    found = [made(pattern, replication=number) for number in range(20)]
    count = sum(len(one.incidents) for one in found)
    expected = 20 * 8 * YEAR_S / 3600 / 2000
    assert abs(count - expected) < 4 * expected**0.5
    hours = np.array([(one.end_s - one.start_s) / 3600 for table in found for one in table.incidents])
    assert ((hours >= 1.0) & (hours <= 72.0)).all()
    assert (hours <= 4.0).mean() == pytest.approx(0.6, abs=0.05)
    assert (hours > 24.0).mean() == pytest.approx(0.1, abs=0.03)


RENEWED = [
    ({"kind": "failure", "cluster": "cluster", "repair": "36h"}, 36.0),
    ({"kind": "failure", "cluster": "cluster", "repair": "36h", "scope": "cluster"}, 36.0),
    ({"kind": "outage", "api": "azure/gpt-4-turbo", "duration": "36h"}, 36.0),
    ({"kind": "network_loss", "duration": "36h"}, 36.0),
    ({"kind": "spot_interruption", "cluster": "cluster", "notice": "2min", "replacement": {"median": "36h"}}, 36.0),
]


@pytest.mark.parametrize(("source", "repair_h"), RENEWED)
def test_what_is_broken_does_not_break_again_before_it_is_repaired(source, repair_h):
    """A renewal process: down for repair over mean time between plus repair, 36 of 86 h; not 1 - exp(-36 / 50)."""
    years = 60
    pattern = breaking(hybrid(), {**source, "mean_time_between": "50h"})
    found = sorted(made(pattern, years * YEAR_S).incidents, key=lambda one: one.start_s)
    for one, after in pairwise(found):
        assert one.end_s < after.start_s
    down = sum(min(one.end_s, years * YEAR_S) - one.start_s for one in found) / (years * YEAR_S)
    # The repair is fixed, so a share varies with the number of cycles: 4 standard errors of that.
    cycle_h = 50.0 + repair_h
    error = repair_h * 50.0 / cycle_h**1.5 / np.sqrt(years * YEAR_S / 3600.0)
    assert down == pytest.approx(repair_h / cycle_h, abs=4 * error + 0.001)


def test_faults_are_the_same_for_every_pattern_and_another_in_every_replication():
    source = {"kind": "failure", "cluster": "cluster", "mean_time_between": "500h"}
    alone, both = breaking(self_hosted(), source), breaking(hybrid(), source)
    assert made(alone).downtimes == made(both).downtimes
    assert made(alone, replication=1).downtimes != made(alone).downtimes


@settings(max_examples=200)
@given(
    episodes=st.lists(
        st.builds(
            lambda start, length, error, slow: Episode(start, start + length, error, slow),
            st.floats(0, 50), st.floats(0.1, 30), st.sampled_from([0.0, 0.3, 1.0]), st.floats(1, 5),
        ),
        max_size=6,
    ),
    times=st.lists(st.floats(0, 90), min_size=1, max_size=20).map(sorted),
)  # fmt: skip
def test_the_worst_of_all_episodes_counts(episodes, times):
    conditions = Conditions(episodes)
    for now_s in times:
        there = [one for one in episodes if one.start_s <= now_s < one.end_s]
        worst = max((one.error_share for one in there), default=0.0), max((one.slowdown for one in there), default=1.0)
        assert conditions.at(now_s) == worst
        cuts = [one.start_s for one in episodes if now_s < one.start_s < now_s + 10.0 and one.error_share == 1.0]
        assert conditions.breaks(now_s, now_s + 10.0) == min(cuts, default=None)


@pytest.mark.parametrize("replicas", [1, 3])
def test_what_is_not_broken_is_as_without_faults(replicas):
    rng = np.random.default_rng(2)
    requests = table(poisson(rng, 1.0, 90.0), 300, 50)
    broken = breaking(self_hosted(replicas=replicas, **START_UP), FAILURE)
    whole = run(self_hosted(replicas=replicas, **START_UP), requests, 99.0, plan=plan()).log
    log = run(broken, requests, 99.0, plan=plan()).log
    np.testing.assert_array_equal(whole.outcome, log.outcome)
    np.testing.assert_allclose(whole.last_token_s, log.last_token_s, rtol=1e-12)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    fail_s=st.floats(0.1, 60),
    blocks=st.integers(160, 400),
    caching=st.booleans(),
    groups=st.sampled_from([(), (), (KvGroup("full", 16), KvGroup("window", 16, 128))]),
)
def test_blocks_of_a_replica_that_failed_are_free_again(seed, fail_s, blocks, caching, groups):
    rng = np.random.default_rng(seed)
    arrival_s = poisson(rng, 2.0, 60.0)
    size = len(arrival_s)
    prompts, outputs = rng.integers(1, 900, size), rng.integers(1, 200, size)
    requests = table(arrival_s, prompts, outputs, prefix=int(rng.integers(0, 300)))
    engine = EngineSettings(max_num_seqs=6, max_model_len=1200, prefix_caching=caching and not groups)
    ledger = Ledger(requests)
    log = ledger.log
    fleet = Fleet(engine, plan(blocks=blocks, groups=groups), ledger, replicas=2, horizon_s=1000.0)
    lost = set()
    for row, at_s in enumerate(arrival_s):
        if fail_s is not None and at_s >= fail_s:
            lost |= {loss.row for loss in fleet.fail(0, fail_s)}
            fleet.look(fail_s + 5.0)
            fail_s = None
            fleet.restart(0)
        assert not list(fleet.offer(row, at_s, at_s))
    fleet.look(np.inf)
    assert fleet.free_blocks == [blocks - 1] * 2
    assert np.flatnonzero(log.outcome != Outcome.COMPLETED).tolist() == sorted(lost)
