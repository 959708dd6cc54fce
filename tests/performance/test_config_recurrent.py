"""Models with recurrent states, as their files are published."""

from __future__ import annotations

import pytest

from simulator.performance.config_json import from_config
from simulator.performance.kv_groups import kv_plan

FULL = [4, 8, 12, 16, 20, 24, 27]
KIMI_LINEAR = {
    "architectures": ["KimiLinearForCausalLM"], "num_hidden_layers": 27, "hidden_size": 2304, "num_attention_heads": 32,
    "num_key_value_heads": 32, "intermediate_size": 9216, "moe_intermediate_size": 1024, "vocab_size": 163_840,
    "num_experts": 256, "num_experts_per_token": 8, "num_shared_experts": 1, "first_k_dense_replace": 1,
    "moe_layer_freq": 1, "kv_lora_rank": 512, "q_lora_rank": None, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "model_max_length": 1_048_576,
    "linear_attn_config": {
        "full_attn_layers": FULL, "kda_layers": [layer for layer in range(1, 28) if layer not in FULL],
        "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4,
    },
}  # fmt: skip
JAMBA = {
    "architectures": ["JambaForCausalLM"], "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14_336, "vocab_size": 65_536, "max_position_embeddings": 262_144,
}  # fmt: skip
NEMOTRON_H = {
    "architectures": ["NemotronHForCausalLM"], "num_hidden_layers": 4, "hybrid_override_pattern": "M-*-",
    "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 21_504, "vocab_size": 131_072, "mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8,
    "ssm_state_size": 128, "conv_kernel": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "parameters", "kinds", "context"),
    [
        # Parameters of the model that `transformers` 5.19 builds of the same values.
        (KIMI_LINEAR, 49_122_675_072, {"state": 20, "latent": 7}, 1_048_576),
        (JAMBA, 51_570_323_328, {"state": 28, "full": 4}, 262_144),
    ],
    ids=["Kimi Linear", "Jamba"],
)
def test_shapes(config, parameters, kinds, context):
    shape, faults = from_config(config, "m-50b")
    assert faults == []
    assert shape.parameters == pytest.approx(parameters, rel=0.001)
    assert {one.kind: one.layers for one in shape.kv_layers} == kinds
    assert shape.context_tokens == context


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_a_state_of_kimi_linear(gpus):
    """32 heads of 128 by 128 in 32 bits, three convolutions of three steps in 16; split, where the latent is not.

    By hand: 2,170,880 bytes beside 1,152 a token are 1,884.4 tokens, in blocks of 128 tokens 15 of them; on eight GPUs
    271,360 bytes are 235.6 tokens, and two.
    """
    shape, _ = from_config(KIMI_LINEAR, "m")
    state = (32 * 128 * 128 * 4 + 3 * 3 * 4096 * 2) // gpus
    assert shape.kv_layers[0].state_bytes(gpus) == state
    plan = kv_plan(shape, gpus, 2, 16, 8192, (0, 33), prefix_caching=False)
    assert plan.block_size == {1: 1920, 2: 1024, 4: 512, 8: 256}[gpus]
    # Groups of seven layers: of 20 with states three, one of them padded.
    assert [group.kind for group in plan.groups] == ["state"] * 3 + ["latent"]
    assert plan.bytes_per_block == 7 * 1152 * plan.block_size


def test_a_state_of_jamba():
    """8,192 channels of 16 numbers and three steps of a convolution, all in 16 bits; 4 KiB a token beside it."""
    shape, _ = from_config(JAMBA, "m")
    assert shape.kv_layers[0].state_bytes(1) == 2 * 8192 * (16 + 3)
    assert kv_plan(shape, 1, 2, 16, 8192, (0, 33)).block_size == 16 * 5


@pytest.mark.parametrize(("said", "bits"), [(None, 32), ("float32", 32), ("bfloat16", 16), ("float16", 16)])
def test_a_state_of_nemotron_h_is_in_32_bits_unless_its_file_says_otherwise(said, bits):
    shape, _ = from_config(NEMOTRON_H | {"mamba_ssm_cache_dtype": said}, "m")
    convolution = (128 * 64 + 2 * 8 * 128) * 3 * 2
    assert shape.kv_layers[0].state_bytes(1) == 128 * 64 * 128 * bits // 8 + convolution


@pytest.mark.parametrize(
    ("config", "change", "fault"),
    [
        (KIMI_LINEAR, {"linear_attn_config": None}, "linear_attn_config: expected kda_layers and full_attn_layers, 27"),
        (KIMI_LINEAR, {"linear_attn_config": {"kda_layers": [1]}}, "linear_attn_config: expected num_heads"),
        (KIMI_LINEAR, {"q_lora_rank": 1536}, "q_lora_rank"),
        (KIMI_LINEAR, {"linear_attn_config": {"kda_layers": 20, "full_attn_layers": FULL}}, "linear_attn_config"),
        (JAMBA, {"mamba_expand": 0}, "mamba_expand: 0"),
        (JAMBA, {"mamba_dt_rank": -1}, "mamba_dt_rank: -1"),
        (JAMBA, {"attn_layer_period": "eight"}, "attn_layer_period: 'eight'"),
    ],
)
def test_what_is_not_understood_is_refused(config, change, fault):
    shape, faults = from_config(config | change, "m")
    assert shape is None
    assert any(one.startswith(fault) for one in faults), faults
