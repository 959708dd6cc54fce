"""Rooflines and data sheets against GPUs whose kernels were timed."""

from __future__ import annotations

import pytest

from simulator.errors import ProfileError
from simulator.performance import boards, kernel_tables, kernel_wishes
from simulator.performance.architecture import known_model
from simulator.performance.boards import SCALED_BAND
from simulator.performance.build import ASSUMED_BAND, build_profile, step_times
from simulator.performance.kernel_composed import ComposedTimes
from simulator.performance.kernel_tables import KernelTimes
from simulator.performance.roofline import BAND, RooflineTimes

#: Sequences that decode, their context, and tokens of a prompt chunk.
STEPS = ((1, 700, 0), (16, 700, 0), (64, 700, 0), (128, 2000, 0), (16, 700, 512), (8, 700, 2048))


def seconds(times, sequences, context, chunk):
    found = times.dense_s(sequences + chunk) + times.lm_head_s(sequences)
    found += times.decode_attention_s(sequences, context)
    return found + (times.prefill_attention_s(chunk, 0) if chunk else 0.0)


def ratios(one, other, steps=STEPS):
    return [seconds(one, *step) / seconds(other, *step) for step in steps]


@pytest.mark.slow
@pytest.mark.needs("kernel tables")
@pytest.mark.parametrize("gpu", ["a100-80gb", "l40s", "h100-80gb", "h200", "rtx-pro-6000"])
@pytest.mark.parametrize(
    ("name", "quantisation"), [("llama-3.1-8b", "bf16"), ("qwen3-32b", "fp8"), ("qwen3-30b-a3b", "bf16")]
)
def test_no_step_that_was_timed_lies_outside_the_band(name, quantisation, gpu):
    model = known_model(name)
    found = ratios(step_times(model, gpu, 1, quantisation, fitted=False), RooflineTimes(model, gpu, 1, quantisation))
    assert min(found) >= BAND[0]
    assert max(found) <= BAND[1]


@pytest.mark.slow
@pytest.mark.needs("kernel tables")
@pytest.mark.parametrize(
    ("board", "timed", "name"),
    [
        ("h200", "h100-80gb", "llama-3.1-8b"), ("h200", "h100-80gb", "qwen3-14b"),
        ("rtx-pro-6000", "l40s", "llama-3.1-8b"), ("rtx-pro-6000", "l40s", "qwen3-14b"),
    ],
)  # fmt: skip
def test_data_sheets_tell_a_gpu_that_was_timed_from_another(board, timed, name, monkeypatch):
    """As for boards that were not: bandwidth for what reads, arithmetic for what is beyond."""
    for table in (kernel_wishes.SYSTEMS, kernel_wishes.FORMATS):
        monkeypatch.setitem(table, "told", table[timed])
    monkeypatch.setitem(boards.BOARDS, "told", boards._scaled(board, timed))
    monkeypatch.setattr(kernel_tables, "dense_factor", lambda *_: (1.0, 1.0, 1.0))
    model = known_model(name)
    found = ratios(KernelTimes(model, "told", 1, "bf16"), KernelTimes(model, board, 1, "bf16"))
    assert min(found) >= SCALED_BAND[0]
    assert max(found) <= SCALED_BAND[1]


@pytest.mark.slow
@pytest.mark.needs("kernel tables")
def test_parts_put_together_are_the_whole():
    """A model the tables hold as it is, taken apart and put together; experts differ by their router alone."""
    plain = known_model("llama-3.1-8b")
    assert ratios(ComposedTimes(plain, "h100-80gb", 1, "bf16"), KernelTimes(plain, "h100-80gb", 1, "bf16")) == (
        pytest.approx([1.0] * len(STEPS), rel=1e-3)
    )
    mixture = known_model("qwen3-30b-a3b")
    found = ratios(ComposedTimes(mixture, "h100-80gb", 1, "bf16"), KernelTimes(mixture, "h100-80gb", 1, "bf16"))
    assert min(found) > 0.93
    assert max(found) < 1.03


@pytest.mark.slow
@pytest.mark.needs("kernel tables")
def test_a_window_stops_costing_more():
    """gpt-oss: half the layers see 128 tokens. Their attention is the same over 1,000 tokens as over 8,000."""
    model = known_model("gpt-oss-20b")
    windows = model.model_copy(update={"kv": (model.kv[0].model_copy(update={"layers": 24}),)})
    everything = model.model_copy(update={"kv": (model.kv[1].model_copy(update={"layers": 24}),)})
    short, long = (ComposedTimes(windows, "h100-80gb", 1, "mxfp4").decode_attention_s(64, c) for c in (1000, 8000))
    assert long < 1.1 * short
    short, long = (ComposedTimes(everything, "h100-80gb", 1, "mxfp4").decode_attention_s(64, c) for c in (1000, 8000))
    assert long > 4 * short


@pytest.mark.slow
@pytest.mark.needs("kernel tables")
def test_few_tokens_read_few_experts():
    """One token of gpt-oss-120b reads 4 of 128 experts: far less than its 60 GB at 3,350 GB/s take, 18 ms."""
    times = ComposedTimes(known_model("gpt-oss-120b"), "h100-80gb", 1, "mxfp4")
    one, many = (seconds(times, n, 700, 0) for n in (1, 128))
    active = 5.1e9 * 0.6 / 3.35e12
    assert active < one < 0.006
    assert many > 0.018


@pytest.mark.slow
@pytest.mark.needs("kernel tables")
@pytest.mark.parametrize(
    ("name", "gpu", "size", "quantisation", "label"),
    [
        ("gpt-oss-20b", "rtx-4090", 1, "mxfp4", "estimated"),
        ("medgemma-4b", "l4", 1, "bf16", "estimated"),
        ("qwen3.5-27b", "h100-80gb", 1, "bf16", "estimated"),
        ("llama-3.1-8b", "mi300x", 1, "bf16", "estimated"),
        ("llama-3.1-8b", "rtx-pro-6000", 1, "bf16", "derived"),
    ],
)
def test_what_stands_behind_a_profile_is_said(name, gpu, size, quantisation, label):
    profile = build_profile(known_model(name), gpu, size, quantisation)
    assert profile.label == label
    if label == "estimated":
        assert profile.notes
        assert profile.step_time_band.low <= ASSUMED_BAND[0]
        assert profile.step_time_band.high >= ASSUMED_BAND[1]


def test_a_gpu_without_a_data_sheet_is_refused():
    with pytest.raises(ProfileError, match="neither kernel timings nor a data sheet"):
        RooflineTimes(known_model("llama-3.1-8b"), "gtx-1080", 1, "bf16")
