"""Configurations that nobody meant: each is read, or refused with a reason; none breaks the reader."""

from __future__ import annotations

import copy
import json
import math
from random import Random

import pytest

from simulator.errors import ProfileError
from simulator.performance.config_families import FAMILIES
from simulator.performance.config_json import from_config, read_model
from simulator.performance.weight_formats import chosen_format, weights_gib
from tests.fuzz.mutations import _change
from tests.performance.test_config_json import DELTA, LLAMA_8B, PUBLISHED, plain

DECI = LLAMA_8B | {
    "architectures": ["DeciLMForCausalLM"],
    "block_configs": [{"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 2.625}}] * 32,
}
QWEN = plain("Qwen3MoeForCausalLM", 48, 2048, 32, 4, 6144, 151936, num_experts=128, num_experts_per_tok=8)
LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
#: One that says all that any architecture asks for.
EVERY = (
    LLAMA_8B | DELTA | LATENT | {
        "linear_num_value_heads": 32, "num_local_experts": 8, "num_experts": 8, "n_routed_experts": 8,
        "num_experts_per_tok": 2, "moe_intermediate_size": 512, "sliding_window": 1024, "mamba_num_heads": 8,
        "mamba_head_dim": 64, "n_groups": 1, "ssm_state_size": 128, "conv_kernel": 4, "n_embd": 64, "n_head": 4,
        "n_positions": 512, "n_layer": 2, "ffn_dim": 256, "max_position_embeddings": 8192, "mlp_only_layers": [0],
        "moe_num_experts": 8, "moe_k": 2, "attention_chunk_size": 8192, "intermediate_size_mlp": 512,
        "hybrid_override_pattern": "M*-E" * 8, "block_configs": DECI["block_configs"],
    }
)  # fmt: skip
SOUND = {**{name: said[0] for name, said in PUBLISHED.items()}, "deci": DECI, "qwen": QWEN}
SOUND |= {name: EVERY | {"architectures": [name]} for name in FAMILIES}


def reason(config):
    shape, faults = from_config(config, "m")
    assert shape is None
    return "\n".join(faults)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LLAMA_8B | {"num_hidden_layers": 10**9}, "num_hidden_layers: 1,000,000,000 is more than 10,000"),
        (LLAMA_8B | {"vocab_size": 10**400}, "vocab_size: a number of many digits is more than 1,000,000,000"),
        (LLAMA_8B | {"max_position_embeddings": 10**400}, "max_position_embeddings: a number of many digits"),
        (LLAMA_8B | {"sliding_window": 10**30}, "sliding_window: 1,000,000,000,000"),
        (LLAMA_8B | {"text_config": 7, "quantization_config": {"quant_method": "none"}}, "quant_method 'none'"),
        (QWEN | {"mlp_only_layers": "3"}, "mlp_only_layers: '3' is no list of layers"),
        (QWEN | {"mlp_only_layers": 3}, "mlp_only_layers: 3 is no list of layers"),
        (QWEN | {"shared_expert_intermediate_size": []}, "shared_expert_intermediate_size: [] is not a whole number"),
        (DECI | {"block_configs": [7] * 31 + [{"attention": {"n_heads_in_group": 0.5}}]}, "31: n_heads_in_group 0.5"),
        (DECI | {"block_configs": [{"ffn": {"ffn_mult": "2"}}] * 32}, "block_configs: 0: n_heads_in_group 1, ffn_mult"),
    ],
)
def test_sizes_that_no_model_has_are_refused_by_name(config, said):
    assert said in reason(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [("patch_size", "x"), ("patch_size", [14, 14]), ("temporal_patch_size", float("nan")), ("hidden_size", 10**40),
     ("deepstack_visual_indexes", 7), ("depth", -1), ("spatial_merge_size", [])],
)  # fmt: skip
def test_sizes_of_an_encoder_are_refused_by_name(key, value):
    name = next(name for name, one in SOUND.items() if "spatial_merge_size" in one.get("vision_config", {}))
    config = copy.deepcopy(SOUND[name])
    config["vision_config"][key] = value
    assert f"vision_config: {key}: " in reason(config)


def test_what_lies_beside_a_configuration_is_a_mapping_too(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    (tmp_path / "hf_quant_config.json").write_text('["FP8"]')
    with pytest.raises(ProfileError, match="hf_quant_config.json: is not what a checkpoint says of its weights"):
        read_model(str(tmp_path))


@pytest.mark.parametrize("name", SOUND)
def test_law_a_spoilt_configuration_is_read_or_refused(name):
    """What is read has weights."""
    for case in range(6):
        draw, config = Random(f"{name} {case}"), copy.deepcopy(SOUND[name])
        for _ in range(draw.randint(1, 3)):
            try:
                config = _change(config, draw)
            except OverflowError:  # a huge number cannot be made a little larger
                continue
        if not isinstance(config, dict):
            continue
        shape, faults = from_config(config, "m")
        assert (shape is None) == bool(faults)
        if shape is not None:
            assert 0 < weights_gib(shape, 1, chosen_format(shape, None)) < math.inf
            assert shape.kv_bytes_per_token(1) >= 0
