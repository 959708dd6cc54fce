"""What a request takes alone, beside an engine that has one; and what is said of a cluster that is too slow for it."""

import numpy as np
import pytest

import simulator
from simulator.decision.unloaded import unloaded_s
from simulator.engine.simulation import simulate
from simulator.scenario.patterns import SelfHostedPattern
from simulator.workload.lengths import draw_lengths, share_above
from tests.engine.demand import COSTS, table
from tests.experiment.small import small


@pytest.mark.parametrize("own", [{}, {"step_time_factor": 1.5}, {"engine": {"lora": {"max_lora_rank": 256}}}])
@pytest.mark.parametrize(("prompt", "output"), [(600, 1), (600, 200), (5000, 1), (5000, 900)])
def test_a_request_alone_takes_what_the_engine_takes_for_it(prompt, output, own):
    """Of an adapter the second request: the first waits for it to be read from disk."""
    cluster = {"model": "llama-3.1-8b", "gpu": "l40s", "network_delay": "2s"} | own
    pattern = SelfHostedPattern.model_validate({"kind": "self_hosted", "cluster": cluster, "costs": COSTS})
    rows, adapter = table([1.0, 200.0], prompt, output), "scribe" if "engine" in own else None
    log = simulate(pattern, rows, horizon_s=600.0, seed=1, replication=0, adapters=[adapter]).log
    found = unloaded_s(pattern.cluster, prompt, output, adapter=adapter is not None)
    assert found == pytest.approx(log.last_token_s[1] - 200.0, rel=0.02)


def test_no_replica_is_advised_where_a_request_alone_is_too_slow():
    """A fifth of a second is less than 100 tokens take on an L40S, however many there are: some 14 ms each."""
    slow = small({"workloads.notes.objectives.end_to_end": "600ms", "experiment.replications": 1})
    advice = simulator.run(slow, patterns=["rented"], outlook=False, band=False).decision.capacity_advice
    assert "rented is too slow for notes even with nothing else to do" in advice
    assert "no replica helps" in advice
    assert "replica is missing" not in advice


def test_what_is_too_long_for_a_model_is_said_as_that():
    """Prompts of 600 tokens in the mean for a model that takes 500: most are refused, and no replica takes them."""
    settings = {"hosting_patterns.rented.cluster.engine.max_model_len": 512, "experiment.replications": 1}
    results = simulator.run(small(settings), patterns=["rented"], outlook=False, band=False)
    (found,) = results.patterns
    assert found.saturation == "stable"
    assert found.requests.lost["too_long"] == found.requests.rejected > 0
    assert found.requests.lost["error"] == 0
    assert results.decision.recommended is None
    assert "longer than its model takes" in results.decision.reasons[1]
    assert "max_model_len" in results.decision.capacity_advice
    assert "another replica" not in results.decision.capacity_advice


@pytest.mark.parametrize("limit", [100, 400, 600, 2000, 4000])
def test_the_share_above_a_length_is_what_is_drawn(limit):
    load = small().workloads["notes"]
    prompt, _ = draw_lengths(load, 200_000, np.random.default_rng(1))
    assert share_above(load.prompt_tokens, limit) == pytest.approx((prompt > limit).mean(), abs=0.005)


@pytest.mark.parametrize(("limit", "key"), [("first token", "ttft"), ("answer", "end_to_end")])
def test_a_limit_is_missed_alone_just_where_a_request_alone_takes_longer(limit, key):
    """What the first token takes is what a request of one token takes; a hair more than the limit, and a hair less."""
    fixed = {
        "workloads.notes.prompt_tokens": 6000, "workloads.notes.output_tokens": 300, "workloads.letters": None,
        "experiment.replications": 1,
    }  # fmt: skip
    cluster = small(fixed).hosting_patterns["rented"].cluster
    takes_s = unloaded_s(cluster, 6000, 1 if key == "ttft" else 300)
    for times, said in ((0.999, True), (1.001, False)):
        objectives = {"workloads.notes.objectives": {key: f"{times * takes_s:.9f}s"}}
        found = simulator.run(small(fixed | objectives), patterns=["rented"], outlook=False, band=False).decision
        too_slow = f"rented is too slow for notes even with nothing else to do: the {limit} of a request"
        assert (too_slow in (found.capacity_advice or "")) is said
