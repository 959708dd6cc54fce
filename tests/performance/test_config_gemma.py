"""Gemma 4's E models: layers without keys of their own, tables of their own for every layer, an encoder for sound."""

from __future__ import annotations

import json

import pytest

from simulator.performance.architecture import known_model
from simulator.performance.config_json import from_config
from simulator.performance.kv_groups import kv_plan
from simulator.units import GIB

TEXT = {
    "model_type": "gemma4_text", "num_attention_heads": 8, "vocab_size": 262_144, "head_dim": 256,
    "global_head_dim": 512, "sliding_window": 512, "hidden_size_per_layer_input": 256,
    "vocab_size_per_layer_input": 262_144, "max_position_embeddings": 131_072, "tie_word_embeddings": True,
}  # fmt: skip
E2B = TEXT | {
    "num_hidden_layers": 35, "hidden_size": 1536, "num_key_value_heads": 1, "intermediate_size": 6144,
    "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 7, "num_kv_shared_layers": 20,
    "use_double_wide_mlp": True,
}  # fmt: skip
E4B = TEXT | {
    "num_hidden_layers": 42, "hidden_size": 2560, "num_key_value_heads": 2, "intermediate_size": 10_240,
    "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 7, "num_kv_shared_layers": 18,
}  # fmt: skip


def wrapped(text, **more):
    return {
        "architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4", "text_config": text,
        "vision_config": {
            "model_type": "gemma4_vision", "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 16,
            "patch_size": 16, "pooling_kernel_size": 3,
        },
        "audio_config": {"model_type": "gemma4_audio", "hidden_size": 1024, "num_hidden_layers": 12},
        **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "parameters", "kinds"),
    [
        # Parameters of the model that `transformers` 5.19 builds of the same values.
        ("gemma-4-E2B", E2B, 5_104_297_504, {"window": 12, "full": 3}),
        ("gemma-4-E4B", E4B, 7_941_100_832, {"window": 20, "full": 4}),
    ],
)
def test_shape_of_the_e_models(name, text, parameters, kinds):
    shape, faults = from_config(wrapped(text), name)
    assert faults == []
    assert shape.parameters == pytest.approx(parameters, rel=0.004)
    assert {one.kind: one.layers for one in shape.kv_layers} == kinds
    known = known_model(name)
    assert known.same_shape(shape)
    assert known.context_tokens == 131_072


def test_e2b_as_a_public_log_has_it():
    """One MI300X, 155.04 GiB for KV, 16,384 tokens a step: 275.45 requests of 32,768, 9,026,017 tokens.

    By hand: a token takes 2 KiB in a full layer and 1 KiB under a window, whose blocks are twice as long; three layers
    a group. A request holds 2,048 blocks of the full ones, and 1,025 of each of four groups with a window.
    """
    plan = kv_plan(known_model("gemma-4-e2b"), 1, 2, 16, 16_384, (0, 28))
    assert plan.bytes_per_block == 3 * 16 * 2048
    assert plan.request_blocks(32_768) == 2048 + 4 * 1025
    blocks = int(155.04 * GIB / plan.bytes_per_block)
    assert plan.concurrency(blocks, 32_768) == pytest.approx(275.45, abs=0.02)
    assert plan.logged_tokens(blocks, 32_768, (0, 28)) == pytest.approx(9_026_017, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"num_kv_shared_layers": 35}, "num_kv_shared_layers: leaves no layer"),
        ({"num_kv_shared_layers": 31}, "num_kv_shared_layers: leaves no layer"),
        ({"num_kv_shared_layers": -1}, "num_kv_shared_layers: -1"),
        ({"layer_types": ["linear_attention"] * 35}, "layer_types: linear_attention is not supported"),
        ({"sliding_window": None, "hidden_size_per_layer_input": "many"}, "hidden_size_per_layer_input: 'many'"),
    ],
)
def test_what_is_not_understood_is_refused(change, fault):
    shape, faults = from_config(wrapped(E2B | change), "gemma-4-E2B")
    assert shape is None
    assert any(one.startswith(fault) for one in faults), faults


def test_without_layer_types_every_sixth_layer_and_the_last_are_full():
    """As `transformers` fills in: of 35 layers five, and the last; no layer shares, none is wider."""
    text = {key: value for key, value in E2B.items() if key not in {"layer_types", "num_kv_shared_layers"}}
    shape, _ = from_config(wrapped(text), "m")
    assert {one.kind: one.layers for one in shape.kv_layers} == {"window": 29, "full": 6}
    assert shape.dense_feed_forward_parameters == 35 * 3 * 1536 * 6144


def test_another_encoder_for_sound_is_refused():
    config = json.loads(json.dumps(wrapped(E2B)))
    config["audio_config"]["model_type"] = "whisper"
    assert from_config(config, "m")[1] == ["audio_config: an encoder for sound is not supported but Gemma 4's"]
