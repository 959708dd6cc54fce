from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.performance.profile import available_profiles, read_profile
from simulator.performance.step_time import LinearStepTime, ProfiledStepTime, capture_sizes

PROFILES = available_profiles()


@pytest.fixture(params=PROFILES)
def model(request):
    return ProfiledStepTime(read_profile(request.param), 256, 2048)


def test_a_step_of_decodes_alone_is_the_linear_form(model):
    for sequences, context in itertools.product((1, 7, 64, 256), (100, 5000)):
        base_s, per_kv_token_s = model.decode(sequences)
        kv_tokens = sequences * context
        assert model.step_s(sequences, kv_tokens, []) == pytest.approx(base_s + per_kv_token_s * kv_tokens, rel=1e-12)


def test_more_work_takes_longer(model):
    prompts = [model.step_s(0, 0, [(tokens, 0)]) for tokens in (128, 512, 1024, 2048)]
    assert prompts == sorted(prompts)
    assert model.step_s(8, 8000, [(512, 0)]) > model.step_s(0, 0, [(512, 0)])
    assert model.step_s(0, 0, [(512, 8000)]) >= model.step_s(0, 0, [(512, 0)])
    assert all(per_kv_token_s >= 0 for _, per_kv_token_s in map(model.decode, range(1, 257)))


def test_the_70b_at_64_sequences_decodes_about_1500_tokens_a_second():
    """The source document's "1,500 tokens/s" is decode throughput at 64 sequences, and nothing else."""
    model = ProfiledStepTime(read_profile("llama-3.3-70b-w4a16-a100-80gb-x2"), 256, 2048)
    assert 1450 < 64 / model.step_s(64, 64 * 700, []) < 1650


def test_the_same_workload_with_its_prompts_is_far_below_that():
    """600 in, 200 out at 64 sequences: each output token brings three prompt tokens along."""
    model = ProfiledStepTime(read_profile("llama-3.3-70b-w4a16-a100-80gb-x2"), 256, 2048)
    decode_s = 200 * model.step_s(64, 64 * 700, [])
    prefill_s = 64 * model.step_s(0, 0, [(600, 0)])
    assert 400 < 64 * 200 / (decode_s + prefill_s) < 700


def test_capture_sizes_are_those_of_vllm():
    sizes = capture_sizes(256, 2048)
    assert sizes[:5] == [1, 2, 4, 8, 16]
    assert {248, 256, 272, 512} <= set(sizes)
    assert capture_sizes(100, 2048)[-1] == 200
    assert 100 in capture_sizes(100, 2048)


def test_padding_makes_steps_of_decode_batches():
    model = ProfiledStepTime(read_profile("llama-3.1-8b-bf16-a100-80gb-x1"), 256, 2048)
    overhead_s = read_profile("llama-3.1-8b-bf16-a100-80gb-x1").overhead.per_sequence_s
    within = model.decode(16)[0] - model.decode(15)[0]
    across = model.decode(17)[0] - model.decode(16)[0]
    assert within == pytest.approx(overhead_s, abs=3e-5)
    assert across > within


@given(
    st.integers(0, 300),
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(1, 2048), st.integers(0, 10**5)), max_size=4),
)
def test_linear_step_time_counts_all_context_after_the_step(decodes, kv_tokens, chunks):
    model = LinearStepTime(base_s=0.01, per_prefill_token_s=1e-4, per_decode_request_s=1e-3, per_kv_token_s=1e-6)
    new = sum(q for q, _ in chunks)
    context = kv_tokens + sum(q + p for q, p in chunks)
    expected = 0.01 + 1e-4 * new + 1e-3 * decodes + 1e-6 * context
    assert model.step_s(decodes, kv_tokens, chunks) == pytest.approx(expected)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_says_where_it_comes_from_and_how_well_it_fits(name):
    profile = read_profile(name)
    assert profile.id == name
    assert profile.fit_error.mean_percent < 2.0
    assert {"package", "licence", "tables", "derived_on", "command"} <= profile.provenance.keys()
    assert (profile.label == "estimated") == bool(profile.notes and "as collected" not in profile.notes[0])
    assert np.all(np.diff(profile.dense.x) > 0)
