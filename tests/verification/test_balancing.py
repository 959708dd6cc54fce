from __future__ import annotations

import pytest

import simulator
from tests.parts import SCENARIOS


@pytest.mark.slow
def test_a_promise_that_a_proxy_keeps_and_a_kubernetes_service_breaks():
    scenario = simulator.load_scenario(SCENARIOS / "routing" / "balancing.yaml")
    found = {one.name: one for one in simulator.run(scenario).patterns}
    answers = {name: one.workloads["chart_review"].objective.answer for name, one in found.items()}
    assert answers == {"kubernetes_service": "missed", "proxy": "met", "data_parallel": "met"}
    # The median hardly knows, the tail does.
    service, proxy = (found[name].latency["ttft_s"] for name in ("kubernetes_service", "proxy"))
    assert service.p50 < 1.15 * proxy.p50
    assert service.p99 > 1.5 * proxy.p99
