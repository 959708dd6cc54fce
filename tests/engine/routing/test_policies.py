"""Who gets a request, and why, by each policy."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.record import Outcome, Reason
from simulator.scenario.patterns import HybridPattern
from tests.engine.demand import COSTS, api, cluster, hybrid, plan, poisson, table
from tests.engine.routing.test_gateway import run, several


def why(record):
    return [record.decisions[number] for number in record.log.decision]


def test_decisions_say_where_and_why():
    record = run(hybrid({"max_in_flight": 1}, {"limits": {"requests_per_minute": 6}}), table([1.0, 1.1, 1.2]))
    assert record.log.target.tolist() == [0, 1, 1]
    assert why(record) == ["preferred", "next with room", "no room anywhere"]


def test_what_may_not_leave_waits_is_shed_or_degraded():
    requests = table([1.0, 1.1, 1.2], 600, 200)
    requests.priority[:] = [3, 3, 1]
    clusters = {"own": {"engine": {"max_num_seqs": 1}}, "small": {"engine": {"max_num_seqs": 9}}}
    only_own = {"backends": {"notes": ["own"]}}
    waits = run(several(clusters, routing=only_own), requests)
    assert why(waits) == ["preferred", "waits", "waits"]
    assert (waits.log.outcome == Outcome.COMPLETED).all()
    shed = run(several(clusters, routing={**only_own, "when_full": "shed"}), requests)
    assert why(shed) == ["preferred", "shed", "waits"]
    assert shed.log.target.tolist() == [0, -1, 0]
    assert shed.log.backend.tolist() == [0, -1, 0]
    assert shed.log.outcome.tolist() == [Outcome.COMPLETED, Outcome.REJECTED, Outcome.COMPLETED]
    degraded = {**only_own, "when_full": "degrade", "degrade_to": "small"}
    assert run(several(clusters, routing=degraded), requests).log.backend.tolist() == [0, 1, 1]
    # Nor does it degrade to what is forbidden.
    forbidden = run(several(clusters, routing=degraded), requests, allowed_backends=[[True, False]])
    assert forbidden.log.backend.tolist() == [0, 0, 0]


def test_the_less_urgent_leave_room_for_the_more_urgent():
    requests = table(np.full(12, 1.0), 600, 200)
    requests.priority[:] = [3] * 9 + [1] * 3
    record = run(hybrid({"kind": "priority_aware"}, engine={"max_num_seqs": 10}), requests)
    assert record.log.backend.tolist() == [0] * 8 + [1] + [0] * 2 + [1]


def test_slo_aware_leaves_a_queue_that_is_expected_to_take_too_long():
    rng = np.random.default_rng(7)
    requests = table(poisson(rng, 1.5, 600.0), 600, 200)
    pattern = hybrid({"kind": "slo_aware"}, engine={"max_num_seqs": 4})
    record = run(pattern, requests, ttft_limit_s=[4.0])
    assert set(why(record)) == {"in time"}
    both = np.bincount(record.log.backend, minlength=2)
    assert (both > 20).all()
    own = record.log.backend == 0
    ttft_s = (record.log.first_token_s - requests.arrival_s)[own]
    # A forecast is no promise; without one, the same queue grows without end.
    assert np.quantile(ttft_s, 0.95) < 8.0
    assert (record.log.failover == Reason.CAPACITY).sum() == both[1]


def test_slo_aware_takes_the_fastest_when_none_is_in_time():
    record = run(hybrid({"kind": "slo_aware"}), table([1.0], 2000), ttft_limit_s=[0.001])
    assert why(record) == ["fastest"]
    assert record.log.backend.tolist() == [1]


@pytest.mark.parametrize(("prompt", "output", "backend"), [(1, 9, 2), (9, 1, 1)])
def test_cost_aware_takes_the_cheapest_that_is_in_time(prompt, output, backend):
    apis = {"first": {}, "second": {}}
    content = {
        "kind": "hybrid",
        "clusters": {"own": {"cluster": cluster(), "costs": COSTS}},
        "apis": {name: api(**changes) for name, changes in apis.items()},
        "routing": {
            "kind": "cost_aware",
            "prices": {
                "own": {"prompt": "100 USD/1M tokens", "output": "100 USD/1M tokens"},
                "first": {"prompt": "1 USD/1M tokens", "output": "9 USD/1M tokens"},
                "second": {"prompt": "9 USD/1M tokens", "output": "1 USD/1M tokens"},
            },
        },
    }
    pattern = HybridPattern.model_validate(content)
    record = run(pattern, table([1.0], 100 * prompt, max_tokens=100 * output), ttft_limit_s=[10.0])
    assert record.log.backend.tolist() == [backend]
    assert why(record) == ["in time"]


def test_the_first_rule_that_is_for_a_request_decides():
    routing = {
        "kind": "rules",
        "rules": [
            {"name": "long", "when": {"prompt_tokens": {"at_least": 1000}}, "send_to": ["azure"]},
            {"name": "while_empty", "when": {"while_room": True}, "send_to": ["own"]},
            {"name": "urgent", "when": {"priorities": [1]}, "send_to": ["own"]},
            {"name": "rest", "send_to": ["azure"]},
        ],
    }
    requests = table([1.0, 1.1, 1.2, 1.3], [1000, 999, 999, 999])
    requests.priority[:] = [1, 3, 3, 1]
    record = run(several({"own": {"engine": {"max_num_seqs": 1}}}, {"azure": {}}, routing), requests)
    assert why(record) == ["rule long", "rule while_empty", "rule rest", "rule urgent"]
    assert record.log.target.tolist() == [1, 0, 1, 0]
    forbidden = run(several({"own": {}}, {"azure": {}}, routing), requests, may_leave=[False])
    assert forbidden.log.target.tolist() == [0, 0, 0, 0]


def test_what_every_api_refused_waits_in_a_cluster_if_it_may():
    pattern = hybrid({"max_in_flight": 1, "on_api_failure": "queue"}, {"error_share": 1.0, "retries": {"at_most": 0}})
    log = run(pattern, table([1.0, 1.1], 600, 200)).log
    assert log.outcome.tolist() == [Outcome.COMPLETED] * 2
    assert log.backend.tolist() == [0, 0]
    assert log.failover.tolist() == [Reason.NONE, Reason.CAPACITY]


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize(("on_error", "refused"), [("fail", Outcome.REJECTED), ("fail_over", Outcome.COMPLETED)])
def test_on_error_fail_keeps_what_a_cluster_refused_and_sends_on_what_took_too_long(on_error, refused, one_by_one):
    """One runs, one has not ended when its second is over, one finds the queue full: only the last was refused."""
    engine = {"max_num_seqs": 1, "queue_limit": 1}
    pattern = hybrid({"on_error": on_error, "timeout": "1s", "max_in_flight": 99}, engine=engine)
    log = run(pattern, table([1.0, 1.1, 1.2], 600, [20, 900, 20]), one_by_one=one_by_one).log
    assert log.outcome.tolist() == [Outcome.COMPLETED, Outcome.COMPLETED, refused]
    assert log.backend.tolist()[:2] == [0, 1]
    assert log.failover.tolist()[1] == Reason.TIMEOUT
    assert (log.lost[2] == Reason.NONE) == (refused == Outcome.COMPLETED)


def test_the_documents_failover_router_as_written_loses_what_the_corrected_keeps():
    requests = table(np.linspace(1.0, 3.0, 150), 600, 400)
    broken = {"error_share": 1.0, "retries": {"at_most": 0}}
    lost = {}
    for kind in ("seed_as_written", "seed_corrected"):
        log = run(hybrid({"kind": kind, "router": "failover"}, broken), requests, plan=plan(blocks=20_000)).log
        lost[kind] = int((log.outcome == Outcome.REJECTED).sum())
    assert lost == {"seed_as_written": 150, "seed_corrected": 0}
