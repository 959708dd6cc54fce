from __future__ import annotations

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simulator.engine.api.batch_api import BatchBackend
from simulator.engine.arrival import Arrival
from simulator.engine.ledger import Ledger
from simulator.engine.operations.conditions import Episode
from simulator.engine.record import Outcome, Reason
from simulator.scenario.apis import MeteredApi
from tests.engine.demand import table

H = 3600.0


def run(requests, episodes=(), until_s=400 * H, retries=None, lost=None, attempts=0, **deployment):
    """Submit each request when it arrives."""
    settings = {"turnaround": {"median": "4h"}, "submit_every": "1h", **deployment}
    api = MeteredApi.model_validate(
        {"model": "azure/gpt-4o", "deployment": {"kind": "batch", **settings}, "retries": retries or {}}
    )
    env, ledger = simpy.Environment(), Ledger(requests)
    log = ledger.log
    log.attempts[:] = attempts
    on_lost = None if lost is None else lost.append
    one = BatchBackend(env, api, 2, ledger, np.random.default_rng(1), on_lost, episodes=episodes)

    def arrive():
        for index, at_s in enumerate(requests.arrival_s):
            yield env.timeout(max(0.0, at_s - env.now))
            one.submit(Arrival.of(requests, index))

    env.process(arrive())
    env.run(until=until_s)
    return log


def test_what_is_collected_is_handed_in_by_the_hour_and_answered_at_once():
    log = run(table([60.0, 3599.0, 3600.5, 3 * H]))
    # What comes on the hour waits for the next one.
    assert log.scheduled_s == pytest.approx([H, H, 2 * H, 4 * H])
    assert log.last_token_s == pytest.approx([5 * H, 5 * H, 6 * H, 8 * H])
    assert (log.first_token_s == log.last_token_s).all()
    assert log.billed_prompt_tokens.tolist() == [600] * 4
    assert log.billed_output_tokens.tolist() == [200] * 4
    assert log.backend.tolist() == [2] * 4
    assert log.attempts.tolist() == [1] * 4


def test_what_another_backend_could_not_take_is_handed_in_as_any_other():
    log = run(table([60.0]), [Episode(0.5 * H, 1.5 * H)], attempts=3)
    assert (log.scheduled_s[0], log.last_token_s[0], log.attempts[0]) == (H, 6 * H, 5)


def test_a_quota_of_queued_tokens_holds_back_what_exceeds_it():
    """A quota of 1,000 prompt tokens takes one request of 600 at a time; each file takes four hours."""
    log = run(table([0.5, 1.0, 1.5]), queued_tokens=1000)
    assert log.scheduled_s == pytest.approx([H, 5 * H, 9 * H])


def test_a_request_larger_than_the_quota_is_refused():
    lost = []
    run(table([10.0]), queued_tokens=599, lost=lost)
    assert [(one.at_s, one.reason) for one in lost] == [(10.0, Reason.CAPACITY)]


def test_an_outage_delays_files_until_a_request_has_failed_too_often():
    down = [Episode(0.5 * H, 2.5 * H)]
    log = run(table([1.0]), down)
    assert (log.outcome[0], log.attempts[0]) == (Outcome.COMPLETED, 3)
    # Handed in at once and answered with the third file: what waits for an answer waits for no room.
    assert (log.scheduled_s[0], log.last_token_s[0]) == (H, 7 * H)
    log = run(table([1.0]), down, retries={"at_most": 1})
    assert (log.outcome[0], log.attempts[0], log.ended_s[0]) == (Outcome.REJECTED, 2, 2 * H)


def test_the_turnaround_is_spread_as_asked():
    log = run(table(np.arange(2000) * 100.0), turnaround={"median": "4h", "sigma": 0.5}, until_s=1000 * H)
    files = np.unique(log.last_token_s - log.scheduled_s)
    assert len(files) == 56
    assert np.log(files / (4 * H)).mean() == pytest.approx(0.0, abs=0.15)
    assert np.log(files / (4 * H)).std() == pytest.approx(0.5, abs=0.12)


@given(
    gaps_s=st.lists(st.floats(0, 9_000), max_size=40),
    prompts=st.lists(st.integers(1, 900), min_size=40, max_size=40),
    quota=st.integers(900, 5_000),
)
def test_laws(gaps_s, prompts, quota):
    """Never more queued than the quota, first come first served, everybody answered in the end."""
    size = len(gaps_s)
    requests = table(np.cumsum(gaps_s), prompt_tokens=np.array(prompts[:size], np.int64))
    log = run(requests, queued_tokens=quota, turnaround={"median": "2h"}, until_s=5_000 * H)
    assert (log.outcome == Outcome.COMPLETED).all()
    assert (np.diff(log.scheduled_s) >= 0).all()
    assert (log.scheduled_s % H == 0).all()
    for at_s in np.unique(log.scheduled_s):
        queued = (log.scheduled_s <= at_s) & (log.last_token_s > at_s)
        assert requests.prompt_tokens[queued].sum() <= quota
