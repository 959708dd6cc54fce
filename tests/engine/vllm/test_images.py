"""Images in a replica: both engines alike, and what they add to a step."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine.ledger import Ledger
from simulator.engine.vllm.fleet import Fleet
from simulator.engine.vllm.plan import ReplicaPlan
from simulator.engine.vllm.sequence import Sequence
from simulator.engine.vllm.stepwise import StepwiseReplica
from simulator.performance.image_table import ImageLoads
from simulator.trace.request_table import RequestTable
from tests.engine.vllm.test_coalescing import LINEAR, MAX_MODEL_LEN, STEP_TIMES, engines

#: By workload: tokens, encoder and front end of the images of a request.
SEEN = ((0, 0.0, 0.0), (9, 0.031, 0.013), (30, 0.17, 0.0))
asked = st.tuples(
    st.floats(0.0, 0.3).map(lambda gap: round(gap, 4) + 0.000137),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(0, 2),
)


def compiled(asks, engine, blocks, step_time, seen=SEEN):
    """By request: when it was scheduled, its first and its last token; and its prompt as the cluster counts it."""
    gaps, prompts, outputs, loads = (np.array(column) for column in zip(*asks, strict=True))
    size = len(asks)
    table = RequestTable(
        ("text", "one", "two"), np.cumsum(gaps), loads.astype(np.int16), prompts.astype(np.int32),
        outputs.astype(np.int32), np.full(size, MAX_MODEL_LEN, np.int32), np.full(size, -1, np.int32),
        np.zeros(size, np.int32), np.full(size, 3, np.int8),
    )  # fmt: skip
    columns = zip(*seen, strict=True)
    tokens, encoder_s, front_s = (np.array([column, (0,) * len(seen)]) for column in columns)
    images = ImageLoads(tokens.astype(np.int32), encoder_s.astype(float), front_s.astype(float))
    ledger = Ledger(table)
    plan = ReplicaPlan(step_time, blocks, 0.002, 0.0001)
    fleet = Fleet(engine, plan, ledger, replicas=1, horizon_s=5000.0, images=images)
    assert not list(fleet.run(size, inf))
    fleet.look(inf)
    log = ledger.log
    log.backend[:] = 0
    whole = images.served(table, log.backend).prompt_tokens
    return np.array([log.scheduled_s, log.first_token_s, log.last_token_s]).T, whole


def step_by_step(asks, engine, blocks, step_time):
    env, found = simpy.Environment(), {}

    def on_finish(sequence, at_s):
        found[sequence.index] = sequence.scheduled_s, sequence.first_token_s, at_s

    replica = StepwiseReplica(env, engine, blocks, step_time, on_finish, lambda *_: None)

    def arrive():
        for index, (gap_s, prompt, output, load) in enumerate(asks):
            yield env.timeout(gap_s)
            tokens, encoder_s, front_s = SEEN[load]
            ready_s = env.now + 0.002 + 0.0001 * (prompt + tokens) + front_s
            replica.submit(Sequence(index, prompt + tokens, output, ready_s, encoder_s=encoder_s))

    env.process(arrive())
    env.run(until=5000)
    return np.array([found[index] for index in range(len(asks))])


@settings(max_examples=60)
@given(asks=st.lists(asked, min_size=1, max_size=20), engine=engines, step_time=st.sampled_from(sorted(STEP_TIMES)))
def test_same_as_step_by_step(asks, engine, step_time):
    blocks, own = engine
    own = own.model_copy(update={"queue_limit": None})
    fast, _ = compiled(asks, own, blocks, STEP_TIMES[step_time])
    assert fast == pytest.approx(step_by_step(asks, own, blocks, STEP_TIMES[step_time]), rel=1e-9)


@settings(max_examples=30)
@given(asks=st.lists(asked, min_size=1, max_size=20), engine=engines)
def test_images_that_take_no_time_are_a_longer_prompt(asks, engine):
    blocks, own = engine
    own = own.model_copy(update={"queue_limit": None})
    free = tuple((tokens, 0.0, 0.0) for tokens, _, _ in SEEN)
    found, whole = compiled(asks, own, blocks, LINEAR, free)
    longer = [(gap, prompt + SEEN[load][0], output, 0) for gap, prompt, output, load in asks]
    plain, same = compiled(longer, own, blocks, LINEAR, ((0, 0.0, 0.0),) * 3)
    assert found == pytest.approx(plain, rel=1e-12)
    assert whole.tolist() == same.tolist()


def test_everybody_in_the_step_waits_for_the_encoder():
    """By hand: one decodes; the step that starts one with images is 31 ms longer for both, and no other step is."""
    own = engines_of_plenty()
    asks = [(1.0, 8, 20, 0), (0.05, 8, 2, 1)]
    with_s, without_s = (
        compiled(asks, own, 60, LINEAR, seen)[0] for seen in (SEEN, (SEEN[0], (9, 0.0, 0.013), SEEN[2]))
    )
    assert with_s[0, 2] - without_s[0, 2] == pytest.approx(0.031)
    assert with_s[1, 1] - without_s[1, 1] == pytest.approx(0.031)
    assert with_s[1, 0] == without_s[1, 0]


def engines_of_plenty():
    from tests.engine.vllm.test_coalescing import engine

    return engine(60, 16, 8, 128, False, "fcfs", 0, False, True, 0.0, True, None)[1]
