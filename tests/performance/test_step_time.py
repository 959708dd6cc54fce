from __future__ import annotations

import csv
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.performance.profile import available_profiles, read_profile
from simulator.performance.step_time import (
    ConstantStepTime,
    LinearStepTime,
    ProfiledStepTime,
    capture_sizes,
    interpolate,
)
from simulator.scenario.patterns import EngineSettings
from tests.parts import MEASUREMENTS

PROFILES = available_profiles()


@pytest.fixture(params=PROFILES)
def profile(request):
    return read_profile(request.param)


@pytest.fixture
def model(profile):
    return ProfiledStepTime(profile, 256, 2048)


def test_a_step_of_decodes_alone_is_the_linear_form(model):
    table = model.table(256, 2048)
    for sequences, context in itertools.product((1, 7, 64, 256), (100, 5000)):
        base_s, per_kv_token_s = table.decode[sequences]
        kv_tokens = sequences * context
        line_s = base_s + per_kv_token_s * kv_tokens
        beyond_s = table.window_per_kv_token_s[sequences] * max(0.0, kv_tokens - sequences * table.window_tokens)
        assert model.step_s(sequences, kv_tokens, []) == line_s - beyond_s


@given(st.integers(1, 300), st.integers(0, 10**6))
def test_so_are_the_made_up_models(sequences, kv_tokens):
    for made_up in (LinearStepTime(0.01, 1e-4, 1e-3, 1e-6), ConstantStepTime(0.02)):
        base_s, per_kv_token_s = made_up.table(300, 1).decode[sequences]
        assert made_up.step_s(sequences, kv_tokens, []) == base_s + per_kv_token_s * kv_tokens


def test_the_table_has_what_the_model_says_to_the_last_bit(profile):
    """Both are made of the same curves, at many places at a time there and at one at a time here."""
    for eager, query_len in itertools.product((True, False), (1, 4)):
        model = ProfiledStepTime(profile, 256, 2048, enforce_eager=eager, query_len=query_len)
        table = model.table(256, 2048)
        assert table.decode[:, 0].tolist() == [model.step_s(n, 0, []) for n in range(257)]
        growth = [interpolate(profile.decode_attention_per_kv_token, n) for n in range(257)]
        assert table.decode[:, 1].tolist() == growth
        assert table.dense_s.tolist() == [model._dense_s(n) for n in range(2049)]
        assert table.logits_s.tolist() == [model._logits_s(n) for n in range(len(table.logits_s))]
        overhead = profile.overhead
        assert table.per_step_s.tolist() == [
            interpolate(profile.lm_head, n) + overhead.per_step_s + overhead.per_sequence_s * n for n in range(257)
        ]


def test_more_work_takes_longer(model):
    prompts = [model.step_s(0, 0, [(tokens, 0)]) for tokens in (128, 512, 1024, 2048)]
    assert prompts == sorted(prompts)
    assert model.step_s(8, 8000, [(512, 0)]) > model.step_s(0, 0, [(512, 0)])
    assert model.step_s(0, 0, [(512, 8000)]) >= model.step_s(0, 0, [(512, 0)])
    table = model.table(256, 2048)
    assert (table.decode[1:, 1] >= table.window_per_kv_token_s[1:]).all()
    assert (table.window_per_kv_token_s >= 0).all()


def test_chunks_of_a_step_start_its_attention_once(model, profile):
    """A prompt of 512 in one chunk or as two halves: as many pairs to attend to, and one sequence more to sample."""
    whole_s, halves_s = (model.step_s(0, 0, chunks) for chunks in ([(512, 0)], [(256, 0), (256, 256)]))
    sampled_s = interpolate(profile.lm_head, 2) - interpolate(profile.lm_head, 1) + profile.overhead.per_sequence_s
    assert profile.prefill_attention[0] > 0
    assert halves_s == pytest.approx(whole_s + sampled_s, rel=1e-9)


def test_the_70b_at_64_sequences_decodes_1500_tokens_a_second_at_best():
    """The source document's "1,500 tokens/s" is decode throughput at 64 sequences, at the fast end of the band."""
    profile = read_profile("llama-3.3-70b-w4a16-a100-80gb-x2")
    at_64 = 64 / ProfiledStepTime(profile, 256, 2048).step_s(64, 64 * 700, [])
    assert 1200 < at_64 < 1450
    assert at_64 < 1500 < at_64 / profile.step_time_band.low


def test_two_ways_of_inferring_int4_agree_on_full_batches():
    """From mixtures of experts, and from TensorRT-LLM: within 5 % where 64 decode, within the band with one."""
    found, other = (
        ProfiledStepTime(read_profile(f"llama-3.3-70b-w4a16-a100-80gb-x2{variant}"), 256, 2048)
        for variant in ("", "-trt-llm")
    )
    assert found.step_s(64, 64 * 700, []) == pytest.approx(other.step_s(64, 64 * 700, []), rel=0.05)
    assert found.step_s(1, 700, []) == pytest.approx(other.step_s(1, 700, []), rel=0.15)


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
    """17 to 24 sequences run through the dense layers as 24; their logits and attention are their own."""
    profile = read_profile("llama-3.1-8b-bf16-a100-80gb-x1")
    model = ProfiledStepTime(profile, 256, 2048)

    def dense_s(sequences):
        own = (profile.lm_head, profile.decode_attention)
        overhead_s = profile.overhead.per_step_s + profile.overhead.per_sequence_s * sequences
        return model.step_s(sequences, 0, []) - overhead_s - sum(interpolate(part, sequences) for part in own)

    assert [dense_s(n) for n in range(17, 25)] == pytest.approx([interpolate(profile.dense, 24)] * 8)
    assert dense_s(16) == pytest.approx(interpolate(profile.dense, 16))
    # Above the largest graph nothing is padded.
    longer = model.step_s(0, 0, [(514, 0)]) - model.step_s(0, 0, [(513, 0)])
    assert longer > 0


def test_without_graphs_nothing_is_padded():
    profile = read_profile("llama-3.3-70b-bf16-a100-80gb-x2")
    padded, eager = (ProfiledStepTime(profile, 256, 2048, enforce_eager=eager) for eager in (False, True))
    assert eager.step_s(17, 1000, []) < padded.step_s(17, 1000, [])
    assert eager.step_s(24, 1000, []) == padded.step_s(24, 1000, [])


def test_without_graphs_a_step_takes_as_long_as_launching_its_layers():
    """A small model on a fast GPU waits for the host; the more its layers, the longer."""
    for name in ("llama-3.1-8b-bf16-h100-80gb-x1", "llama-3.3-70b-w4a16-a100-80gb-x2"):
        profile = read_profile(name)
        launch_s = profile.overhead.eager_per_layer_s * profile.model.layers
        eager = ProfiledStepTime(profile, 256, 2048, enforce_eager=True)
        assert launch_s > 0.015
        assert eager.step_s(1, 0, []) == pytest.approx(launch_s)
        base_s, per_kv_token_s = eager.table(256, 2048).decode[1]
        assert eager.step_s(1, 8000, []) == pytest.approx(base_s + 8000 * per_kv_token_s)


def test_the_v0_engine_takes_more_for_each_step():
    profile = read_profile("qwen3-32b-bf16-h100-80gb-x1")
    v1, v0 = (ProfiledStepTime(profile, 256, 2048, v0_engine=old) for old in (False, True))
    for batch in ((1, 700, []), (64, 50_000, [(512, 0)])):
        assert v0.step_s(*batch) - v1.step_s(*batch) == pytest.approx(profile.overhead.v0_per_step_s)
    assert EngineSettings(vllm_version="0.7.2").is_v0
    assert not any(EngineSettings(vllm_version=version).is_v0 for version in (None, "0.8.0", "0.33.0"))


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


def test_beyond_the_measured_range_times_still_grow(profile):
    beyond = ProfiledStepTime(profile, 4096, 65_536)
    full = beyond.table(4096, 65_536).decode[[1024, 2048, 4096]].tolist()
    ends = beyond.table(4096, 65_536).window_per_kv_token_s[[1024, 2048, 4096]]
    assert all(per_kv_token_s >= end for (_, per_kv_token_s), end in zip(full, ends, strict=True))
    assert [base_s for base_s, _ in full] == sorted(base_s for base_s, _ in full)


def _measured():
    """Real serving runs of quality A and A- for which a profile ships."""
    shipped = {
        (name, profile.gpu, str(profile.tensor_parallel)): profile
        for profile in map(read_profile, PROFILES)
        if profile.quantisation == "bf16"
        for name in profile.model.hf_names
    }
    with MEASUREMENTS.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            profile = shipped.get((row["model"], row["gpu"].lower().removesuffix("-sxm"), row["tp"]))
            if profile and row["quality"] in {"A", "A-"} and row["itl_server_ms"] and row["rate_rps"]:
                yield row, profile


@pytest.mark.needs("measurements")
def test_decode_steps_last_as_long_as_in_served_runs():
    """Median within 4 %, all within 15 %: spread between vLLM versions and hosts on one GPU is itself 10 %."""
    errors = {}
    for row, profile in _measured():
        sequences = 1 + round(float(row["rate_rps"]) * (float(row["e2e_mean_ms"]) - float(row["ttft_mean_ms"])) / 1e3)
        prompt = sum(int(tokens) for tokens in re.findall(r"\d+", row["prompt_len_spec"])[:2])
        context = round(1.05 * prompt + float(row["output_len_spec"]) / 2)
        model = ProfiledStepTime(profile, int(float(row["max_num_seqs"])), int(float(row["max_num_batched_tokens"])))
        errors[row["id"]] = 1e3 * model.step_s(sequences, sequences * context, []) / float(row["itl_server_ms"]) - 1
    assert len(errors) >= 40
    assert np.median(np.abs(list(errors.values()))) < 0.04
    assert {name: error for name, error in errors.items() if abs(error) > 0.15} == {}
    ours = [error for name, error in errors.items() if name.startswith(("blis-38-", "blis-55-"))]
    assert len(ours) == 4  # A100 and L40S
    assert max(map(abs, ours)) < 0.06


def test_attention_grows_less_where_windows_are_full():
    """MedGemma 27B: 52 of 62 layers read the last 1,024 tokens. Four decodes of 3,000 tokens, by hand."""
    profile = read_profile("medgemma-27b-bf16-l40s-x2")
    assert profile.window_tokens == 1024
    model = ProfiledStepTime(profile, 64, 2048)
    grows = interpolate(profile.decode_attention_per_kv_token, 4)
    ends = interpolate(profile.window_attention_per_kv_token, 4)
    within_s = model.step_s(4, 4 * 1024, []) - model.step_s(4, 0, [])
    assert within_s == pytest.approx(4 * 1024 * grows)
    beyond_s = model.step_s(4, 4 * 3000, []) - model.step_s(4, 4 * 1024, [])
    assert beyond_s == pytest.approx(4 * 1976 * (grows - ends))
    # Ten layers of 62 go on, with the same heads: a sixth of the growth, within what the kernel's start hides.
    many = (
        interpolate(profile.decode_attention_per_kv_token, 64),
        interpolate(profile.window_attention_per_kv_token, 64),
    )
    assert 1 - many[1] / many[0] == pytest.approx(10 / 62, abs=0.05)
    # Beside a prompt likewise.
    beside = [model.step_s(4, kv_tokens, [(512, 0)]) for kv_tokens in (4 * 1024, 4 * 3000)]
    assert beside[1] - beside[0] == pytest.approx(beyond_s)
