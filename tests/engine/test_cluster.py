from __future__ import annotations

import numpy as np
import pytest

from simulator.engine.record import Outcome, Reason
from simulator.engine.simulation import simulate
from simulator.performance.step_time import LinearStepTime
from tests.engine.demand import LINEAR, hybrid, plan, self_hosted, table


def run(pattern, requests, horizon_s=1000.0, **options):
    options.setdefault("plan", plan())
    return simulate(pattern, requests, horizon_s=horizon_s, seed=3, replication=0, **options)


def alone_s(prompt, output):
    """Seconds of a request that has a replica to itself."""
    steps = [LINEAR.step_s(0, 0, [(prompt, 0)])]
    steps += [LINEAR.step_s(1, prompt + done, []) for done in range(1, output)]
    return sum(steps)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_lone_request_takes_the_sum_of_its_steps(asynchronous):
    log = run(self_hosted(engine={"async_scheduling": asynchronous}), table([10.0], 600, 200)).log
    assert log.first_token_s[0] == pytest.approx(10.0 + alone_s(600, 1))
    assert log.last_token_s[0] == pytest.approx(10.0 + alone_s(600, 200))


def test_front_end_and_output_delays_are_added_once():
    delays = {"frontend_base_s": 0.01, "frontend_per_prompt_token_s": 1e-5, "output_s": 0.002}
    log = run(self_hosted(), table([10.0], 600, 200), plan=plan(**delays)).log
    assert log.last_token_s[0] == pytest.approx(10.0 + alone_s(600, 200) + 0.01 + 0.006 + 0.002)


def test_the_way_to_a_cluster_and_back_is_added_once_and_to_no_step():
    requests = table([10.0, 10.3, 40.0], [600, 100, 50], [200, 30, 1])
    near, far = (run(self_hosted(network_delay=delay), requests) for delay in ("0s", "80ms"))
    for name in ("first_token_s", "last_token_s"):
        np.testing.assert_allclose(getattr(far.log, name) - getattr(near.log, name), 0.08, rtol=1e-9)
    assert far.levels[0].busy_s.sum() == pytest.approx(near.levels[0].busy_s.sum())
    assert far.levels[0].steps == near.levels[0].steps


def test_a_front_end_that_is_busy_is_reached_while_it_is():
    """Two of 5 ms each, 30 ms away: the second is ready 5 ms after the first, not 35."""
    requests = table([10.0] * 2, 100, 1)
    fast = plan(LinearStepTime(1e-6, 0.0, 0.0, 0.0), frontend_base_s=0.004, frontend_per_prompt_token_s=1e-5)
    pattern = self_hosted(engine={"serial_front_end": True, "async_scheduling": False}, network_delay="60ms")
    log = simulate(pattern, requests, horizon_s=100.0, seed=1, replication=0, plan=fast).log
    np.testing.assert_allclose(log.first_token_s - 10.0, [0.065, 0.070], atol=1e-5)


def test_an_arrival_waits_for_the_step_in_flight_and_under_async_for_the_next_too():
    waits = {}
    for asynchronous in (False, True):
        engine = {"async_scheduling": asynchronous}
        log = run(self_hosted(engine=engine), table([10.0, 12.0], [600, 1], [300, 1])).log
        waits[asynchronous] = log.first_token_s[1] - 12.0
    decode_s = LINEAR.step_s(1, 700, [])
    assert waits[True] - waits[False] == pytest.approx(decode_s, rel=0.05)


def test_a_long_prompt_is_cut_into_chunks_of_the_budget():
    log = run(self_hosted(), table([10.0], 5000, 1)).log
    chunks = [(2048, 0), (2048, 2048), (904, 4096)]
    assert log.first_token_s[0] == pytest.approx(10.0 + sum(LINEAR.step_s(0, 0, [chunk]) for chunk in chunks))


def test_a_shared_prefix_is_computed_once():
    requests = table([10.0, 30.0], 1000, 10, prefix=512)
    log = run(self_hosted(), requests).log
    assert log.cached_tokens.tolist() == [0, 512]
    assert run(self_hosted(engine={"prefix_caching": False}), requests).log.cached_tokens.tolist() == [0, 0]


def test_requests_go_to_the_least_loaded_replica():
    record = run(self_hosted(replicas=3), table(np.full(30, 5.0), 600, 50))
    assert [round(level.sequence_s.sum()) for level in record.levels][0] > 0
    assert np.ptp([level.sequence_s.sum() for level in record.levels]) < 1.0


def test_a_prompt_longer_than_the_model_allows_is_refused():
    log = run(self_hosted(engine={"max_model_len": 1000}), table([1.0, 2.0], [1000, 900], [5, 500])).log
    assert log.outcome.tolist() == [Outcome.REJECTED, Outcome.COMPLETED]
    assert log.lost.tolist() == [Reason.TOO_LONG, Reason.NONE]


def test_a_full_queue_refuses():
    engine = {"max_num_seqs": 1, "queue_limit": 2}
    log = run(self_hosted(engine=engine), table(np.linspace(1.0, 1.5, 6), 600, 200)).log
    assert (log.outcome == Outcome.REJECTED).sum() == 3


def test_what_takes_too_long_is_given_up_and_its_work_counted():
    pattern = self_hosted(request_timeout="3s", engine={"max_num_seqs": 1})
    log = run(pattern, table([1.0, 1.1], 600, 500)).log
    assert log.outcome.tolist() == [Outcome.TIMED_OUT] * 2
    assert log.ended_s == pytest.approx([4.0, 4.1])
    assert log.wasted_tokens[0] > 600
    # The second got the first one's place a tenth of a second before its own deadline.
    assert log.wasted_tokens[1] == 601


def test_overflow_by_limit_timeout_and_error_each_with_its_reason():
    pattern = hybrid({"max_in_flight": 2, "timeout": "4s"}, engine={"max_model_len": 700})
    log = run(pattern, table([1.0, 1.1, 1.2, 50.0], [600, 100, 100, 690], [500, 20, 20, 50])).log
    assert log.failover.tolist() == [Reason.NONE, Reason.NONE, Reason.CAPACITY, Reason.NONE]
    log = run(hybrid({"timeout": "4s"}, engine={"max_model_len": 700}), table([1.0, 50.0], [600, 700], [90, 50])).log
    assert log.failover.tolist() == [Reason.NONE, Reason.TOO_LONG]
    log = run(hybrid({"timeout": "2s"}), table([1.0], 600, 500)).log
    assert log.failover.tolist() == [Reason.TIMEOUT]
    assert log.scheduled_s[0] == pytest.approx(3.0)
    assert log.outcome.tolist() == [Outcome.COMPLETED]


def test_room_is_what_the_kv_blocks_can_hold():
    pattern = hybrid()
    blocks = 1 + 2 * (600 + 1000) // 16
    log = run(pattern, table([1.0, 1.1, 1.2], 600, 200), plan=plan(blocks=blocks)).log
    assert log.failover.tolist() == [Reason.NONE, Reason.NONE, Reason.CAPACITY]


def test_a_workload_that_may_not_leave_queues_or_fails():
    pattern = hybrid({"max_in_flight": 1, "timeout": "4s"})
    log = run(pattern, table([1.0, 1.1], 600, [100, 500]), may_leave=[False]).log
    assert log.backend.tolist() == [0, 0]
    assert log.outcome.tolist() == [Outcome.COMPLETED, Outcome.TIMED_OUT]


def test_a_burst_passes_a_serial_front_end_one_by_one():
    """Each is ready a front end's time after the one before; side by side all are ready at once (steps of 1 us)."""
    requests = table([10.0] * 50, 100, 1)
    fast = plan(LinearStepTime(1e-6, 0.0, 0.0, 0.0), frontend_base_s=0.004, frontend_per_prompt_token_s=1e-5)
    for serial, ready_s in ((True, 0.005 * np.arange(1, 51)), (False, np.full(50, 0.005))):
        pattern = self_hosted(engine={"serial_front_end": serial, "async_scheduling": False})
        log = simulate(pattern, requests, horizon_s=100.0, seed=1, replication=0, plan=fast).log
        np.testing.assert_allclose(log.first_token_s - 10.0, ready_s, atol=1e-5)
