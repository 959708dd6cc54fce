"""Several backends behind one door: who gets a request, and who gets it when that one does not serve it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.engine.record import Outcome, Reason, RequestLog
from simulator.engine.simulation import simulate
from simulator.scenario.patterns import ApiPattern, HybridPattern, SelfHostedPattern
from tests.engine.demand import COSTS, api, cluster, hybrid, plan, table
from tests.verification.test_laws import HORIZON_S, demand, patterns


def run(pattern, requests, horizon_s=1000.0, **options):
    options.setdefault("plan", plan())
    return simulate(pattern, requests, horizon_s=horizon_s, seed=3, replication=0, **options)


def several(clusters, apis=None, routing=None):
    content = {
        "clusters": {name: {"cluster": cluster(**changes), "costs": COSTS} for name, changes in clusters.items()},
        "routing": routing or {},
    }
    if apis is None:
        return SelfHostedPattern.model_validate({"kind": "self_hosted", **content})
    apis = {name: api(**changes) for name, changes in apis.items()}
    return HybridPattern.model_validate({"kind": "hybrid", **content, "apis": apis})


@settings(max_examples=40)
@given(pattern=patterns, seed=st.integers(0, 2**32), rate_per_s=st.sampled_from([0.05, 1.0, 6.0]), leave=st.booleans())
def test_the_general_path_does_what_the_faster_one_does(pattern, seed, rate_per_s, leave):
    requests = demand(seed, rate_per_s)
    options = {"horizon_s": HORIZON_S, "plan": plan(blocks=150), "may_leave": [leave, True]}
    fast, general = (run(pattern, requests, **options, one_by_one=one) for one in (False, True))
    for column in fields(RequestLog):
        if column.name == "decision":
            continue
        expected, found = getattr(fast.log, column.name), getattr(general.log, column.name)
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=column.name)
    # Compiled code does not say whether what it kept had room.
    found, expected = (
        [one.decisions[number].replace("waits", "preferred") for number in one.log.decision if number >= 0]
        for one in (general, fast)
    )
    assert found == expected
    for expected, found in zip(fast.levels, general.levels, strict=True):
        np.testing.assert_allclose(found.busy_s, expected.busy_s, rtol=1e-9, atol=1e-9)
        assert (found.steps, found.preemptions) == (expected.steps, expected.preemptions)


def test_a_workload_uses_the_backends_it_is_given_in_their_order():
    routing = {"backends": {"notes": ["south"], "letters": ["north", "south"]}}
    pattern = several({"north": {"engine": {"max_num_seqs": 1}}, "south": {}}, routing=routing)
    requests = table([1.0, 1.1, 1.2], workload=[0, 1, 1], workloads=("notes", "letters"))
    record = run(pattern, requests)
    assert record.backends == ("north", "south")
    assert record.log.backend.tolist() == [1, 0, 1]
    assert record.log.failover.tolist() == [Reason.NONE, Reason.NONE, Reason.CAPACITY]
    assert [level.cluster for level in record.levels] == ["north", "south"]


def test_the_emptiest_cluster_relative_to_its_size_gets_the_next_request():
    clusters = {"small": {"engine": {"max_num_seqs": 10}}, "large": {"engine": {"max_num_seqs": 30}}}
    record = run(several(clusters, routing={"kind": "least_loaded"}), table(np.full(24, 5.0), 600, 50))
    assert np.bincount(record.log.backend).tolist() == [6, 18]
    assert (record.log.failover == Reason.NONE).all()


def test_the_emptiest_cluster_comes_before_an_api():
    clusters = {name: {"engine": {"max_num_seqs": 2}} for name in ("north", "south")}
    record = run(several(clusters, {"azure": {}}, {"kind": "least_loaded"}), table(np.full(6, 5.0), 600, 50))
    assert np.bincount(record.log.backend).tolist() == [2, 2, 2]
    assert (record.log.failover == Reason.CAPACITY).sum() == 2


def test_what_every_backend_loses_ends_once_with_its_first_reason():
    pattern = several(
        {"north": {}, "south": {}}, {"azure": {"error_share": 1.0, "retries": {"at_most": 1}}}, {"timeout": "1s"}
    )
    log = run(pattern, table([5.0], 600, 500)).log
    assert log.outcome.tolist() == [Outcome.REJECTED]
    assert log.failover.tolist() == [Reason.TIMEOUT]
    assert log.backend.tolist() == [2]
    assert log.attempts.tolist() == [2]
    # Two clusters, a second each, and the client's one retry.
    assert 7.3 <= log.ended_s[0] <= 7.5


def test_one_api_stands_in_for_another():
    pattern = several({"own": {"engine": {"max_num_seqs": 1}}}, {"first": {"error_share": 1.0}, "second": {}})
    log = run(pattern, table([5.0, 5.1], 600, 500)).log
    assert log.backend.tolist() == [0, 2]
    assert log.outcome.tolist() == [Outcome.COMPLETED] * 2


def test_provisioned_units_spill_over_to_the_api_they_name():
    model = "azure/gpt-4.1"
    units = {"kind": "provisioned", "units": 15, "spillover": "by_the_token", "burst": "1s"}
    apis = {"units": {"model": model, "deployment": units}, "by_the_token": {"model": model}}
    content = {"kind": "metered_api", "apis": {name: api(**changes) for name, changes in apis.items()}}
    requests = table(np.full(3, 1.0), 600, 200)
    log = run(ApiPattern.model_validate({**content, "routing": {"backends": {"notes": ["units"]}}}), requests).log
    assert log.outcome.tolist() == [Outcome.COMPLETED] * 3
    assert log.backend.tolist() == [0, 1, 1]
    assert log.failover.tolist() == [Reason.NONE, Reason.CAPACITY, Reason.CAPACITY]


def test_no_failover_passes_what_is_not_allowed():
    pattern = several({"north": {}, "south": {}}, {"azure": {}}, {"timeout": "1s"})
    requests = table([5.0] * 3, 600, 500, workload=[0, 1, 2], workloads=("notes", "letters", "none"))
    allowed = [[True, False, False], [True, False, True], [False, False, False]]
    log = run(pattern, requests, allowed_backends=allowed).log
    assert log.backend.tolist() == [0, 2, -1]
    assert log.outcome.tolist() == [Outcome.TIMED_OUT, Outcome.COMPLETED, Outcome.REJECTED]
    # The same rule keeps a pattern of two backends from the faster path only where that cannot obey.
    log = run(hybrid(), requests, allowed_backends=[[False, True], [True, False], [True, True]]).log
    assert log.backend.tolist() == [1, 0, 0]


def test_names_of_backends_are_checked():
    with pytest.raises(ValidationError, match="no backend 'west'; this pattern has north, south"):
        several({"north": {}, "south": {}}, routing={"backends": {"notes": ["west"]}})
    with pytest.raises(ValidationError, match="named twice"):
        several({"north": {}, "south": {}}, routing={"backends": {"notes": ["north", "north"]}})


@pytest.mark.parametrize(
    ("budget", "tries", "earliest_s", "latest_s"), [(None, 3, 1.125, 1.5), (1, 2, 0.375, 0.5), (0, 1, 0, 0)]
)
def test_a_router_may_cap_the_retries_of_an_api_before_it_fails_over(budget, tries, earliest_s, latest_s):
    apis = {"first": api(error_share=1.0), "second": api()}
    content = {"kind": "metered_api", "apis": apis, "routing": {"api_retries_at_most": budget}}
    log = run(ApiPattern.model_validate(content), table([0.0], 600, 200)).log
    assert (log.backend[0], log.failover[0], log.outcome[0]) == (1, Reason.ERROR, Outcome.COMPLETED)
    # The calls to the first, and the one to the second.
    assert log.attempts[0] == tries + 1
    assert earliest_s <= log.scheduled_s[0] <= latest_s
