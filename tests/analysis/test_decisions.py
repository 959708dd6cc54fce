from __future__ import annotations

import numpy as np
import pytest

from simulator.analysis.decisions import added, count_decisions
from simulator.analysis.metrics import summarise
from simulator.engine.record import RequestLog
from simulator.engine.simulation import simulate
from simulator.results import run
from tests.engine.demand import hybrid, plan, table
from tests.experiment.small import small


def test_decisions_are_counted_by_backend_and_reason_and_add_up():
    requests = table([1.0, 1.1, 1.2, 50.0], [100, 200, 300, 400], [10, 20, 30, 40])
    record = simulate(hybrid({"max_in_flight": 1}), requests, horizon_s=60.0, seed=1, replication=0, plan=plan())
    found = {(one.target, one.reason): one for one in summarise(record, requests, {}).decisions}
    assert list(found) == [("cluster", "preferred"), ("azure/gpt-4-turbo", "next with room")]
    assert [one.requests for one in found.values()] == [2, 2]
    assert [one.prompt_tokens for one in found.values()] == [500, 500]
    # All four have ended by then; each counts as their mean.
    assert [one.expected_output_tokens for one in found.values()] == [50.0, 50.0]


def test_what_arrives_after_the_horizon_was_never_decided_about():
    requests = table([1.0, 99.0])
    record = simulate(hybrid(), requests, horizon_s=60.0, seed=1, replication=0, plan=plan())
    assert record.log.target.tolist() == [0, -1]
    assert sum(one.requests for one in summarise(record, requests, {}).decisions) == 1


def test_the_result_has_decisions_with_their_estimated_cost_and_availability():
    result = run(small(), patterns=["hybrid"], replications=1, band=False, outlook=False).pattern("hybrid")
    api = next(one for one in result.decisions if one.target == "bedrock/llama-3.3-70b")
    assert sum(one.requests for one in result.decisions) == result.requests.arrived
    bill = result.cost_lines_usd["api_prompt"] + result.cost_lines_usd["api_output"]
    assert api.estimated_cost_usd * 730 / 24 == pytest.approx(bill, rel=0.1)
    assert [one.estimated_cost_usd for one in result.decisions if one.target == "cluster"] == [0.0]
    ended = [part.requests.arrived - part.requests.unfinished for part in result.workloads.values()]
    completed = [part.requests.completed for part in result.workloads.values()]
    shares = [part.availability for part in result.workloads.values()]
    assert shares == pytest.approx(np.divide(completed, ended))


def test_the_share_of_an_api_counts_what_it_answered_also_where_nothing_failed_over():
    routing = {"routing": {"backends": {"letters": ["bedrock/llama-3.3-70b"], "notes": ["cluster"]}}}
    scenario = small({"hosting_patterns.hybrid": {**small().resolved["hosting_patterns"]["hybrid"], **routing}})
    found = run(scenario, patterns=["hybrid", "api"], replications=1, band=False, outlook=False)
    result = found.pattern("hybrid")
    assert result.requests.failover_share == 0.0
    letters, notes = (found.demand[name].billed_requests_per_month for name in ("letters", "notes"))
    assert result.api_share == pytest.approx(letters / (letters + notes), rel=1e-3)
    assert found.pattern("api").api_share is None
    served = (1.0 - result.api_share) * (letters + notes)
    capacity = served / result.utilisation["capacity_fraction"] / (730 * 3600)
    assert capacity == pytest.approx(found.capacity_tokens_per_month["hybrid"] / 730 / 3600 / _tokens(result), rel=0.01)


def _tokens(result):
    return (result.tokens.prompt + result.tokens.output) / result.requests.completed


def test_a_later_part_may_know_more_reasons():
    requests = table([0.0, 1.0, 2.0])
    log = RequestLog.empty(3)
    log.target[:], log.decision[:] = 0, [0, 0, 1]
    first, last = slice(0, 2), slice(2, 3)
    parts = [
        count_decisions(requests.rows(some), log.rows(some), 1, 1, known) for some, known in ((first, 1), (last, 2))
    ]
    np.testing.assert_array_equal(added(*parts), count_decisions(requests, log, 1, 1, 2))
