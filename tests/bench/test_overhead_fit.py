"""Overheads fitted on a replay: those a replay was made with, and those of a real server whose step time is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.bench.overhead_fit import fit_overhead
from simulator.bench.replay_check import compare_replay, engine_of
from simulator.bench.replay_record import ReplayedRequests, ServerFacts, read_replay
from simulator.bench.serving import request_table, serve
from simulator.engine.vllm.plan import plan_of
from simulator.errors import ProfileError, TraceError
from simulator.performance.profile import Curve, StepTimeBand, read_profile
from simulator.scenario.patterns import EngineSettings
from tests.bench.replays import record_of

RECORDED = Path(__file__).parent / "recorded"
#: What the recorded server sleeps for, in seconds: a step, a prompt token, a decode, a token of context.
STEP_S, PROMPT_S, DECODE_S, CONTEXT_S = 0.02, 5e-5, 1e-4, 1e-7
SLEEPING = ("max_num_seqs=32", "max_num_batched_tokens=2048", "max_model_len=4096")


def flat(value):
    return Curve(x=(1, 4096), y=(value, value))


def without_overhead(profile):
    nothing = {"per_step_s", "per_sequence_s", "frontend_base_s", "frontend_per_prompt_token_s", "output_s"}
    return profile.model_copy(update={"overhead": profile.overhead.model_copy(update=dict.fromkeys(nothing, 0.0))})


@pytest.fixture
def sleeping():
    """The profile of a server that sleeps instead of computing, before anything is fitted."""
    curves = {
        "dense": flat(STEP_S),
        "lm_head": flat(0.0),
        "decode_attention": Curve(x=(1, 4096), y=(DECODE_S, 4096 * DECODE_S)),
        "decode_attention_per_kv_token": flat(CONTEXT_S),
        "mixed_decode_attention": None,
        "mixed_decode_attention_per_kv_token": None,
        "prefill_attention": (0.0, PROMPT_S + CONTEXT_S, 0.0),
    }
    known = read_profile("llama-3.1-8b-bf16-a100-80gb-x1")
    return without_overhead(known.model_copy(update={"id": "sleeping", "gpu": "none"} | curves))


def made(profile, settings, requests=120):
    """A replay as a server with exactly this profile would have given."""
    rng = np.random.default_rng(1)
    table = request_table(
        np.cumsum(rng.exponential(0.4, requests)), rng.integers(50, 1500, requests), rng.integers(10, 120, requests)
    )
    served = serve(settings, plan_of(profile, settings), table)
    gap_ms = 1000.0 * (served.e2e_s - served.ttft_s) / (served.output_tokens - 1)
    sent_s = table.arrival_s.tolist()
    requests = ReplayedRequests(
        planned_s=sent_s,
        sent_s=sent_s,
        prompt_tokens=table.prompt_tokens.tolist(),
        output_tokens=table.output_tokens.tolist(),
        cached_tokens=[None] * requests,
        prefix_id=[-1] * requests,
        prefix_tokens=[0] * requests,
        ttft_s=served.ttft_s.tolist(),
        gap_ms=[[gap] * (count - 1) for gap, count in zip(gap_ms, table.output_tokens.tolist(), strict=True)],
        outcome=["completed"] * requests,
        status=[200] * requests,
    )
    return record_of(ServerFacts(num_gpu_blocks=4000), requests)


def test_the_overheads_a_replay_was_made_with_are_found(sleeping):
    settings = EngineSettings(num_gpu_blocks=4000)
    true = {"per_step_s": 8e-4, "per_sequence_s": 0.0, "frontend_base_s": 0.011, "frontend_per_prompt_token_s": 4e-6}
    real = sleeping.model_copy(update={"overhead": sleeping.overhead.model_copy(update=true)})
    found = fit_overhead(made(real, settings), sleeping, settings).overhead
    assert found.per_step_s == pytest.approx(8e-4, abs=1e-4)
    # A client sees when a prompt is through, not which part of the way took how long.
    assert found.frontend_base_s + 700 * found.frontend_per_prompt_token_s == pytest.approx(0.0138, abs=2e-3)
    assert found.step.label == found.front_end.label == "measured"
    assert found.step.median_percent < 0.5


def test_too_few_requests_are_refused(sleeping):
    settings = EngineSettings(num_gpu_blocks=4000)
    with pytest.raises(TraceError, match="too few"):
        fit_overhead(made(sleeping, settings, requests=10), sleeping, settings)


@pytest.mark.parametrize("load", ["light", "half", "cap"])
def test_simulation_matches_a_real_vllm_server_whose_step_time_is_known(sleeping, load):
    """vLLM 0.33.0's HTTP server with an executor that sleeps; overheads from the calibration replay alone."""
    calibration, record = (read_replay(RECORDED / f"{name}.json.gz") for name in ("calibration", load))
    settings = engine_of(record, SLEEPING)
    found = compare_replay(record, fit_overhead(calibration, sleeping, settings), settings)
    error = {name: abs(ours / theirs - 1.0) for name, (theirs, ours) in found.items()}
    assert len(record.requests.sent_s) >= 200
    assert error["itl_mean_s"] <= 0.03
    assert error["e2e_mean_s"] <= 0.04
    assert error["e2e_p99_s"] <= 0.08
    theirs, ours = found["ttft_mean_s"]
    assert error["ttft_mean_s"] <= 0.10 or abs(theirs - ours) <= 0.003


def test_a_fit_of_another_machine_is_refused_and_says_what_is_wrong(sleeping):
    settings = EngineSettings(num_gpu_blocks=4000)
    fast = sleeping.model_copy(update={"dense": flat(STEP_S / 3)})
    with pytest.raises(ProfileError, match=r"2\.\d\d times as long for a token as the server"):
        fit_overhead(made(fast, settings), sleeping, settings)
    found = fit_overhead(made(fast, settings), sleeping, settings, anyway=True)
    assert found.overhead.step.label == found.overhead.front_end.label == "estimated"


def test_queueing_is_told_from_a_slow_machine(sleeping):
    settings = EngineSettings(num_gpu_blocks=4000, max_num_seqs=2)
    crowded = made(sleeping, settings)
    with pytest.raises(ProfileError, match="no light replay"):
        fit_overhead(crowded, sleeping, EngineSettings(num_gpu_blocks=4000))


def test_noise_is_told_from_a_slow_machine(sleeping):
    settings = EngineSettings(num_gpu_blocks=4000)
    record = made(sleeping, settings)
    factors = np.random.default_rng(2).lognormal(0.0, 1.0, len(record.requests.gap_ms))
    gaps = [[factor * gap for gap in gaps] for factor, gaps in zip(factors, record.requests.gap_ms, strict=True)]
    noisy = record.model_copy(update={"requests": record.requests.model_copy(update={"gap_ms": gaps})})
    with pytest.raises(ProfileError, match="something else ran on the machine"):
        fit_overhead(noisy, sleeping, settings)


def test_the_band_holds_what_the_replay_showed(sleeping):
    """Steps of a host that takes between 0.8 and 1.3 times as long, request by request."""
    settings = EngineSettings(num_gpu_blocks=4000)
    narrow = sleeping.model_copy(update={"step_time_band": StepTimeBand(low=0.97, high=1.03, source="here")})
    record = made(narrow, settings)
    factors = np.random.default_rng(2).uniform(0.8, 1.3, len(record.requests.gap_ms))
    gaps = [[factor * gap for gap in gaps] for factor, gaps in zip(factors, record.requests.gap_ms, strict=True)]
    uneven = record.model_copy(update={"requests": record.requests.model_copy(update={"gap_ms": gaps})})
    steady, wide = (fit_overhead(one, narrow, settings).step_time_band for one in (record, uneven))
    assert (steady.low, steady.high) == pytest.approx((0.97, 1.03), abs=0.02)
    assert wide.low < 0.85
    assert wide.high > 1.15
    assert wide.source.startswith("here; and 95 of 100 requests")
