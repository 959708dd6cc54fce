"""Encoder times by hand, and beside a public trace."""

from __future__ import annotations

import pytest

from simulator.errors import ProfileError
from simulator.performance.architecture import known_model
from simulator.performance.boards import SHEETS
from simulator.performance.encoder_time import encoder_s
from simulator.performance.image_tokens import picture_of
from simulator.performance.profile import read_profile
from simulator.performance.step_time import ProfiledStepTime

GEMMA = read_profile("medgemma-27b-bf16-l40s-x2")
ONE = GEMMA.model_copy(update={"tensor_parallel": 1})


def test_by_hand():
    """MedGemma's picture is 4,096 patches, each of which sees all: by arithmetic, for it is far from memory-bound."""
    encoder = GEMMA.model.encoder
    operations = 4096 * 2 * encoder.parameters + 27 * 4 * 1152 * 4096**2
    found_s = encoder_s(ONE, picture_of(ONE.model, 2048, 2500))
    assert found_s == pytest.approx(operations / (0.6 * 362e12))
    assert encoder_s(GEMMA, picture_of(ONE.model, 2048, 2500)) > found_s / 2, "two GPUs talk to each other"


def test_beside_a_public_trace():
    """vLLM 0.19.1, Qwen2.5-VL-7B on an H100, an image of 1920 x 1080 px: 2,718 prompt tokens, of which the text and
    marks are few; 126 ms in the engine, 167 ms before it (vllm-project/vllm issue 41267, 2026-04-29).

    The text model is Qwen2.5-7B, whose step for so long a prompt is read off the profile of the 8B nearest to it.
    """
    model = known_model("qwen2.5-vl-7b")
    picture = picture_of(model, 1920, 1080)
    assert picture.tokens == 2693 < 2718
    text = read_profile("llama-3.1-8b-bf16-h100-80gb-x1")
    own = text.model_copy(update={"model": model})
    step_s = ProfiledStepTime(text, 1, 8192).step_s(0, 0, [(2718, 0)])
    engine_s = step_s + encoder_s(own, picture)
    assert engine_s == pytest.approx(0.126, rel=0.35)
    assert encoder_s(own, picture) / engine_s > 0.15, "the encoder is a good part of it"


def test_a_window_and_a_larger_gpu_make_it_faster_and_pixels_slower():
    model = known_model("qwen2.5-vl-7b")
    l40s = ONE.model_copy(update={"model": model})
    whole = model.model_copy(update={"encoder": model.encoder.model_copy(update={"window_layers": 0})})
    small, large = picture_of(model, 1000, 1000), picture_of(model, 2000, 2000)
    assert encoder_s(l40s, large) > 4 * encoder_s(l40s, small), "attention grows with the square"
    assert encoder_s(l40s.model_copy(update={"model": whole}), large) > 2 * encoder_s(l40s, large)
    faster = [encoder_s(l40s.model_copy(update={"gpu": gpu}), large) for gpu in sorted(SHEETS, key=_speed)]
    assert faster == sorted(faster, reverse=True)


def _speed(gpu):
    return SHEETS[gpu].tflops


def test_what_is_not_known_is_said():
    shape = GEMMA.model
    bare = shape.model_copy(update={"name": "mine", "encoder": shape.encoder.model_copy(update={"layers": 0})})
    with pytest.raises(ProfileError, match="build it again"):
        encoder_s(GEMMA.model_copy(update={"model": bare}), picture_of(bare, 100, 100))
