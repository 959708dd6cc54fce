from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.bench.serving import request_table, serve, serve_clients
from simulator.engine.vllm.plan import ReplicaPlan
from simulator.performance.step_time import ConstantStepTime
from simulator.scenario.patterns import EngineSettings

SYNC = EngineSettings(async_scheduling=False)
PLAN = ReplicaPlan(ConstantStepTime(0.01), 2000, frontend_base_s=0.003, output_s=0.002)


def test_a_lone_request_takes_its_steps_and_the_delays():
    served = serve(SYNC, PLAN, request_table([0.0, 5.0], 100, 20))
    assert served.ttft_s == pytest.approx(0.015)
    assert served.e2e_s == pytest.approx(0.003 + 20 * 0.01 + 0.002)
    found = served.metrics()
    assert found["itl_mean_s"] == pytest.approx(0.01)
    assert found["requests_per_s"] == pytest.approx(2 / 5.205)
    assert found["output_tokens_per_s"] == pytest.approx(40 / 5.205)


def test_windows_split_by_when_requests_were_sent():
    served = serve(SYNC, PLAN, request_table([0.0, 1.0, 2.0], 100, 20))
    assert list(served.within(1.0, 2.0).arrival_s) == [1.0]
    assert served.within(7.0, 8.0).metrics() == {}


def test_repeated_prompts_are_found_in_the_cache():
    slow = ReplicaPlan(ConstantStepTime(0.01), 2000)
    settings = EngineSettings(async_scheduling=False, max_num_batched_tokens=64)
    fresh, again = serve(settings, slow, request_table([0.0, 5.0], 640, 2, prefix_id=7)).ttft_s
    assert fresh == pytest.approx(10 * 0.01)
    assert again == pytest.approx(0.01)


@settings(max_examples=25)
@given(clients=st.integers(1, 6), output=st.integers(1, 12), requests=st.integers(1, 30))
def test_clients_keep_their_number_in_flight(clients, output, requests):
    """A closed loop never has more requests under way than clients."""
    served = serve_clients(SYNC, PLAN, clients, 50, output, requests)
    events = sorted([(t, 1) for t in served.arrival_s] + [(t, -1) for t in served.arrival_s + served.e2e_s])
    level = np.cumsum([change for _, change in sorted(events, key=lambda event: (round(event[0], 9), event[1]))])
    assert level.max() <= clients
    assert len(served.e2e_s) == requests
    assert np.all(served.e2e_s >= 0.003 + 0.01 * output + 0.002 - 1e-9)
