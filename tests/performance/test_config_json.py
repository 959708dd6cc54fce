"""Configurations as models publish them: each is read as what it is, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ProfileError
from simulator.performance.architecture import known_models
from simulator.performance.config_json import from_config, read_model
from simulator.performance.weight_formats import chosen_format, weights_gib

SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304,
    "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14,
}  # fmt: skip
QWEN_VIT = {
    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "out_hidden_size": 5120,
    "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "model_type": "qwen3_5",
}  # fmt: skip


def plain(architecture, layers, hidden, heads, kv_heads, intermediate, vocab, **more):
    return {
        "architectures": [architecture], "num_hidden_layers": layers, "hidden_size": hidden,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "intermediate_size": intermediate,
        "vocab_size": vocab, **more,
    }  # fmt: skip


LLAMA_8B = plain("LlamaForCausalLM", 32, 4096, 32, 8, 14336, 128256)
MISTRAL_SMALL = plain("MistralForCausalLM", 40, 5120, 32, 8, 32768, 131072, head_dim=128, sliding_window=None)
DEEPSEEK = plain(
    "DeepseekV3ForCausalLM", 61, 7168, 128, 128, 18432, 129280, first_k_dense_replace=3, kv_lora_rank=512,
    moe_intermediate_size=2048, n_routed_experts=256, n_shared_experts=1, num_experts_per_tok=8, q_lora_rank=1536,
    qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128,
    quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"},
)  # fmt: skip
DELTA = {
    "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
    "linear_value_head_dim": 128, "head_dim": 256,
}  # fmt: skip
GPT_OSS = plain(
    "GptOssForCausalLM", 36, 2880, 64, 8, 2880, 201088, head_dim=64, sliding_window=128, num_local_experts=128,
    num_experts_per_tok=4, layer_types=["sliding_attention", "full_attention"] * 18,
    quantization_config={
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "lm_head"],
    },
)  # fmt: skip

COHERE2 = {"head_dim": 128, "sliding_window": 4096, "sliding_window_pattern": 4}
OLDER = plain("GPTNeoXForCausalLM", 44, 6144, 64, 64, 24576, 50432)

#: By the model's name: what its file says, its billions of parameters as published, and the bytes of a token of full
#: context in all its layers, worked out by hand: 2 x 2 bytes x layers x key-value heads x head size.
PUBLISHED = {
    "Llama-3.1-8B": (LLAMA_8B, 8.03, 4 * 32 * 8 * 128),
    "gpt-oss-120b": (GPT_OSS, 116.8, 4 * 36 * 8 * 64),
    "gpt-oss-20b": (
        GPT_OSS | {"num_hidden_layers": 24, "num_local_experts": 32, "layer_types": None}, 20.9, 4 * 24 * 8 * 64,
    ),
    # As Google publishes it: heads, head size and vocabulary are what `transformers` fills in.
    "medgemma-4b-it": (
        {
            "architectures": ["Gemma3ForConditionalGeneration"], "mm_tokens_per_image": 256, "model_type": "gemma3",
            "text_config": {
                "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
                "sliding_window": 1024,
            },
            "vision_config": SIGLIP,
        },
        4.30, 4 * 34 * 4 * 256,
    ),
    "medgemma-27b-text-it": (
        plain("Gemma3ForCausalLM", 62, 5376, 32, 16, 21504, 262144, head_dim=128, sliding_window=1024),
        27.0, 4 * 62 * 16 * 128,
    ),
    "gemma-4-31B-it": (
        {
            "architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4",
            "text_config": plain(
                "", 60, 5376, 32, 16, 21504, 262144, model_type="gemma4_text", head_dim=256, global_head_dim=512,
                num_global_key_value_heads=4, attention_k_eq_v=True, enable_moe_block=False, sliding_window=1024,
                layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 10, num_kv_shared_layers=0,
            ),
            "vision_config": {"model_type": "gemma4_vision", "hidden_size": 1152, "num_hidden_layers": 27},
        },
        31.3, 4 * (50 * 16 * 256 + 10 * 4 * 512),
    ),
    "Qwen3-30B-A3B": (
        plain(
            "Qwen3MoeForCausalLM", 48, 2048, 32, 4, 6144, 151936, head_dim=128, moe_intermediate_size=768,
            num_experts=128, num_experts_per_tok=8, decoder_sparse_step=1, mlp_only_layers=[], sliding_window=None,
        ),
        30.5, 4 * 48 * 4 * 128,
    ),
    "Qwen3-235B-A22B": (
        plain(
            "Qwen3MoeForCausalLM", 94, 4096, 64, 4, 12288, 151936, head_dim=128, moe_intermediate_size=1536,
            num_experts=128, num_experts_per_tok=8,
        ),
        235.0, 4 * 94 * 4 * 128,
    ),
    "Qwen3-Next-80B-A3B-Instruct": (
        plain(
            "Qwen3NextForCausalLM", 48, 2048, 16, 2, 5120, 151936, moe_intermediate_size=512, num_experts=512,
            num_experts_per_tok=10, shared_expert_intermediate_size=512, linear_num_value_heads=32, **DELTA,
        ),
        80.0, 4 * 12 * 2 * 256,
    ),
    "Qwen3.5-27B": (
        {
            "architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5", "vision_config": QWEN_VIT,
            "text_config": plain(
                "", 64, 5120, 24, 4, 17408, 248320, model_type="qwen3_5_text", linear_num_value_heads=48,
                mamba_ssm_dtype="float32", **DELTA
            ),
        },
        27.4, 4 * 16 * 4 * 256,
    ),
    "Mistral-Small-24B-Instruct-2501": (MISTRAL_SMALL, 23.6, 4 * 40 * 8 * 128),
    "Mistral-Small-3.2-24B-Instruct-2506": (
        {
            "architectures": ["Mistral3ForConditionalGeneration"], "spatial_merge_size": 2,
            "text_config": MISTRAL_SMALL | {"model_type": "mistral"},
            "vision_config": {
                "model_type": "pixtral", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
            },
        },
        24.0, 4 * 40 * 8 * 128,
    ),
    "Ministral-8B-Instruct-2410": (
        plain(
            "MistralForCausalLM", 36, 4096, 32, 8, 12288, 131072, head_dim=128, sliding_window=32768,
            layer_types=["full_attention", *["sliding_attention"] * 3] * 9,
        ),
        8.02, 4 * 36 * 8 * 128,
    ),
    "Llama-4-Scout-17B-16E-Instruct": (
        {
            "architectures": ["Llama4ForConditionalGeneration"], "model_type": "llama4",
            "text_config": {
                "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
                "num_experts_per_tok": 1,
                "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "num_local_experts": 16,
                "model_type": "llama4_text", "interleave_moe_layer_step": 1,
            },
        },
        108.6, 4 * 48 * 8 * 128,
    ),
    "DeepSeek-R1": (DEEPSEEK, 671.0, 2 * 61 * (512 + 64)),
    "GLM-4.5-Air": (
        plain(
            "Glm4MoeForCausalLM", 46, 4096, 96, 8, 10944, 151552, head_dim=128, moe_intermediate_size=1408,
            n_routed_experts=128, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=1,
        ),
        106.8, 4 * 46 * 8 * 128,
    ),
    "phi-4": (plain("Phi3ForCausalLM", 40, 5120, 40, 10, 17920, 100352, sliding_window=None), 14.7, 4 * 40 * 10 * 128),
    "granite-3.3-8b-instruct": (
        plain("GraniteForCausalLM", 40, 4096, 32, 8, 12800, 49159, tie_word_embeddings=True), 8.17, 4 * 40 * 8 * 128,
    ),
    "Qwen2.5-7B-Instruct": (
        plain("Qwen2ForCausalLM", 28, 3584, 28, 4, 18944, 152064, use_sliding_window=False, sliding_window=131072),
        7.62, 4 * 28 * 4 * 128,
    ),
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": (
        plain(
            "NemotronHForCausalLM", 52, 2688, 32, 2, 1856, 131072, head_dim=128, moe_intermediate_size=1856,
            hybrid_override_pattern="MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", mamba_head_dim=64,
            mamba_num_heads=64, n_groups=8, ssm_state_size=128, conv_kernel=4, mamba_ssm_cache_dtype="float32",
            n_routed_experts=128, n_shared_experts=1, moe_shared_expert_intermediate_size=3712, num_experts_per_tok=6,
        ),
        31.6, 4 * 6 * 2 * 128,
    ),
    # Billions from here on: the parameters of the model that `transformers` 5.19 builds of the same values.
    "gemma-7b": (plain("GemmaForCausalLM", 28, 3072, 16, 16, 24576, 256000, head_dim=256), 8.538, 4 * 28 * 16 * 256),
    "gemma-2-9b": (plain("Gemma2ForCausalLM", 42, 3584, 16, 8, 14336, 256000), 9.242, 4 * 42 * 8 * 256),
    "gemma-2-27b": (
        plain("Gemma2ForCausalLM", 46, 4608, 32, 16, 36864, 256000, head_dim=128), 27.227, 4 * 46 * 16 * 128,
    ),
    "c4ai-command-r-v01": (plain("CohereForCausalLM", 40, 8192, 64, 64, 22528, 256000), 34.981, 4 * 40 * 64 * 128),
    "c4ai-command-r7b-12-2024": (
        plain("Cohere2ForCausalLM", 32, 4096, 32, 8, 14336, 256000, **COHERE2), 8.028, 4 * 32 * 8 * 128,
    ),
    "c4ai-command-a-03-2025": (
        plain("Cohere2ForCausalLM", 64, 12288, 96, 8, 36864, 256000, **COHERE2), 111.058, 4 * 64 * 8 * 128,
    ),
    "GLM-4-9B-0414": (plain("Glm4ForCausalLM", 40, 4096, 32, 2, 13696, 151552, head_dim=128), 9.4, 4 * 40 * 2 * 128),
    "EXAONE-4.0-32B": (
        plain(
            "Exaone4ForCausalLM", 64, 5120, 40, 8, 27392, 102400, head_dim=128, sliding_window=4096,
            sliding_window_pattern="LLLG",
        ),
        32.0, 4 * 64 * 8 * 128,
    ),
    "OLMo-2-0325-32B": (plain("Olmo2ForCausalLM", 64, 5120, 40, 8, 27648, 100352), 32.234, 4 * 64 * 8 * 128),
    "Olmo-3-7B": (plain("Olmo3ForCausalLM", 32, 4096, 32, 32, 11008, 100278), 7.298, 4 * 32 * 32 * 128),
    "SmolLM3-3B": (plain("SmolLM3ForCausalLM", 36, 2048, 16, 4, 11008, 128256), 3.075, 4 * 36 * 4 * 128),
    "Seed-OSS-36B": (
        plain("SeedOssForCausalLM", 64, 5120, 80, 8, 27648, 155136, head_dim=128), 36.151, 4 * 64 * 8 * 128,
    ),
    "Apertus-70B-2509": (plain("ApertusForCausalLM", 80, 8192, 64, 8, 43008, 131072), 70.6, 4 * 80 * 8 * 128),
    "Minitron-8B-Base": (
        plain("NemotronForCausalLM", 32, 4096, 48, 8, 16384, 256000, head_dim=128), 8.272, 4 * 32 * 8 * 128,
    ),
    "phi-2": (plain("PhiForCausalLM", 32, 2560, 32, 32, 10240, 51200), 2.78, 4 * 32 * 32 * 80),
    "gpt-neox-20b": (OLDER, 20.555, 4 * 44 * 64 * 96),
    "stablelm-2-12b": (plain("StableLmForCausalLM", 40, 5120, 32, 8, 13824, 100352), 12.143, 4 * 40 * 8 * 160),
    "gpt-j-6b": (
        {
            "architectures": ["GPTJForCausalLM"], "n_embd": 4096, "n_head": 16, "n_layer": 28, "n_positions": 2048,
            "vocab_size": 50400,
        },
        6.051, 4 * 28 * 16 * 256,
    ),
    "opt-30b": (
        plain("OPTForCausalLM", 48, 7168, 56, 56, 0, 50272, ffn_dim=28672, max_position_embeddings=2048),
        29.975, 4 * 48 * 56 * 128,
    ),
    "falcon-7b": (plain("FalconForCausalLM", 32, 4544, 71, 71, 0, 65024, multi_query=True), 6.922, 4 * 32 * 64),
    "falcon-40b": (
        plain("FalconForCausalLM", 60, 8192, 128, 0, 0, 65024, num_kv_heads=8, new_decoder_architecture=True),
        41.303, 4 * 60 * 8 * 64,
    ),
    "ERNIE-4.5-21B-A3B": (
        plain(
            "Ernie4_5_MoeForCausalLM", 28, 2560, 20, 4, 12288, 103424, head_dim=128, moe_intermediate_size=1536,
            moe_k=6, moe_num_experts=64, moe_num_shared_experts=2, moe_layer_start_index=1, moe_layer_interval=1,
        ),
        21.825, 4 * 28 * 4 * 128,
    ),
    "Qwen1.5-MoE-A2.7B": (
        plain(
            "Qwen2MoeForCausalLM", 24, 2048, 16, 16, 5632, 151936, moe_intermediate_size=1408, num_experts=60,
            num_experts_per_tok=4, shared_expert_intermediate_size=5632,
        ),
        14.316, 4 * 24 * 16 * 128,
    ),
    "OLMoE-1B-7B": (
        plain("OlmoeForCausalLM", 16, 2048, 16, 16, 1024, 50304, num_experts=64, num_experts_per_tok=8),
        6.919, 4 * 16 * 16 * 128,
    ),
    "Phi-3.5-MoE-instruct": (
        plain("PhiMoEForCausalLM", 32, 4096, 32, 8, 6400, 32064, num_local_experts=16, num_experts_per_tok=2),
        41.873, 4 * 32 * 8 * 128,
    ),
    "MiniMax-M2": (
        plain(
            "MiniMaxM2ForCausalLM", 62, 3072, 48, 8, 1536, 200064, head_dim=128, num_local_experts=256,
            num_experts_per_tok=8,
        ),
        228.69, 4 * 62 * 8 * 128,
    ),
    "GLM-4.6": (
        plain(
            "Glm4MoeForCausalLM", 92, 5120, 96, 8, 12288, 151552, head_dim=128, moe_intermediate_size=1536,
            n_routed_experts=160, n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=3,
        ),
        352.796, 4 * 92 * 8 * 128,
    ),
    # Of 17.39 GiB for 810,208 tokens (kaito-project/kaito#2132): 23,047 bytes a token, blocks rounded.
    "Mistral-Small-4-119B-2603": (
        {
            "architectures": ["Mistral3ForConditionalGeneration"], "spatial_merge_size": 2,
            "text_config": {"model_type": "mistral4"}, "vision_config": {"model_type": "pixtral"},
        },
        119.4, 2 * 36 * (256 + 64),
    ),
    "BioMedLM": (
        {
            "architectures": ["GPT2LMHeadModel"], "n_embd": 2560, "n_head": 20, "n_layer": 32, "n_positions": 1024,
            "n_inner": None, "vocab_size": 28896,
        },
        2.59, 4 * 32 * 20 * 128,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations(name):
    config, billions, token_bytes = PUBLISHED[name]
    shape, faults = from_config(config, name)
    assert faults == []
    assert shape.parameters / 1e9 == pytest.approx(billions, rel=0.006)
    assert shape.kv_bytes_per_token(1) == token_bytes


def shape_of(name):
    return from_config(PUBLISHED[name][0], name)[0]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("gpt-oss-120b", {("window", 128): 18, ("full", None): 18}),
        ("gpt-oss-20b", {("window", 128): 12, ("full", None): 12}),
        ("medgemma-4b-it", {("window", 1024): 29, ("full", None): 5}),
        ("medgemma-27b-text-it", {("window", 1024): 52, ("full", None): 10}),
        ("Ministral-8B-Instruct-2410", {("full", None): 9, ("window", 32768): 27}),
        ("Llama-4-Scout-17B-16E-Instruct", {("chunk", 8192): 36, ("full", None): 12}),
        ("Qwen3-Next-80B-A3B-Instruct", {("state", None): 36, ("full", None): 12}),
        ("DeepSeek-R1", {("latent", None): 61}),
        ("Qwen2.5-7B-Instruct", {("full", None): 28}),
        ("gemma-2-9b", {("window", 4096): 21, ("full", None): 21}),
        # One more than the file says: the window does not count the token itself (`commandr.py`).
        ("c4ai-command-a-03-2025", {("window", 4097): 48, ("full", None): 16}),
        ("EXAONE-4.0-32B", {("window", 4096): 48, ("full", None): 16}),
        ("Olmo-3-7B", {("window", 4096): 24, ("full", None): 8}),
        ("GLM-4-9B-0414", {("full", None): 40}),
    ],
)
def test_what_layers_keep(name, kinds):
    assert {(one.kind, one.span): one.layers for one in shape_of(name).kv_layers} == kinds


def test_every_layer_of_the_first_mistral_has_a_window():
    shape, _ = from_config(plain("MistralForCausalLM", 32, 4096, 32, 8, 14336, 32000, sliding_window=4096), "m")
    assert [(one.kind, one.span, one.layers) for one in shape.kv_layers] == [("window", 4096, 32)]


def test_latent_attention_is_on_every_gpu():
    """MLA's vector is not divided: eight GPUs hold it eight times."""
    shape = shape_of("DeepSeek-R1")
    assert shape.kv_bytes_per_token(8) == shape.kv_bytes_per_token(1) == 70_272
    assert shape_of("Qwen3-30B-A3B").kv_bytes_per_token(4) * 4 == shape_of("Qwen3-30B-A3B").kv_bytes_per_token(1)


def compressed(weights, inputs=None, ignore=("lm_head",), **more):
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    groups = {"group_0": group}
    return {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": list(ignore), **more}


INT4 = {"num_bits": 4, "type": "int", "group_size": 128}
INT8, FLOAT8 = {"num_bits": 8, "type": "int"}, {"num_bits": 8, "type": "float"}
FP8_KV = {"num_bits": 8, "type": "float", "strategy": "tensor"}


@pytest.mark.parametrize(
    ("said", "expected", "kv_bits"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}, "w4a16", 16),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True}, "w4a16", 16),
        (compressed(INT4), "w4a16", 16),
        (compressed(INT8, INT8), "int8", 16),
        (compressed(FLOAT8, FLOAT8), "fp8", 16),
        (compressed(FLOAT8, FLOAT8, kv_cache_scheme=FP8_KV), "fp8", 8),
        ({"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}, "fp8", 16),
        ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "fp8", 16),
        (compressed({"num_bits": 4, "type": "float", "group_size": 16}, INT4), "nvfp4", 16),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_scheme": FP8_KV}, "nvfp4", 8),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}, "fp8", 8),
    ],
)
def test_formats(said, expected, kv_bits):
    shape, faults = from_config(LLAMA_8B | {"quantization_config": said}, "m")
    assert faults == []
    assert (shape.checkpoint_format, shape.kv_cache_bits) == (expected, kv_bits)
    assert chosen_format(shape, None) == expected


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "'bitsandbytes' is not modelled"),
        ({"quant_method": "gguf"}, "'gguf' is not modelled"),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "weights of 8 bits"),
        ({"quant_method": "awq", "bits": 3}, "weights of 3 bits"),
        (compressed(INT8), "weights of 8 bits (int) with activations of 16 bits"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "'MIXED_PRECISION' is not modelled"),
        (compressed(INT4, kv_cache_scheme={"num_bits": 4, "type": "int"}), "a KV cache of 4 bits (int)"),
        ("awq", "is not a mapping"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"-:.*down_proj.*": {}}}, "dynamic, rules of its own"),
        ({"quant_method": "gptq", "bits": "4"}, "weights of '4' bits"),
        ({"quant_method": "mxfp4"}, "mxfp4 is for experts, and this model has none"),
        (compressed(INT4, sparsity_config={"format": "sparse-24-bitmask"}), "sparsity_config: sparse-24-bitmask"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"targets": ["re:.*experts.*"], "weights": INT4}},
            },
            "targets ['re:.*experts.*'] are not modelled",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"weights": INT4}, "b": {"weights": FLOAT8, "input_activations": FLOAT8}},
            },
            "layers in several formats",
        ),
    ],
)
def test_formats_that_are_not_modelled_are_refused(said, reason):
    shape, faults = from_config(LLAMA_8B | {"quantization_config": said}, "m")
    assert shape is None
    assert len(faults) == 1
    assert reason in faults[0]


def test_a_format_beside_the_configuration_is_found(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    (tmp_path / "hf_quant_config.json").write_text(
        json.dumps(
            {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
        )
    )
    shape = read_model(str(tmp_path))
    assert (shape.checkpoint_format, shape.kv_cache_bits) == ("fp8", 8)


def test_a_wish_against_the_checkpoint_is_refused():
    shape, _ = from_config(LLAMA_8B | {"quantization_config": {"quant_method": "awq", "bits": 4}}, "m")
    assert chosen_format(shape, "W4A16") == "w4a16"
    with pytest.raises(ProfileError, match="comes in w4a16"):
        chosen_format(shape, "bf16")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM"),
        ({"architectures": []}, r"architectures: \[\]"),
        ({"layer_types": ["full_attention"] * 31}, "layer_types: expected a name for each of 32 layers"),
        ({"layer_types": ["mamba"] * 32}, "layer_types: mamba is not supported"),
        ({"use_sliding_window": True, "sliding_window": 4096}, "use_sliding_window"),
        ({"layer_types": ["sliding_attention"] * 32, "sliding_window": "long"}, "sliding_window: 'long'"),
        ({"hidden_size": True}, "hidden_size: True"),
        ({"num_key_value_heads": 7}, "num_key_value_heads: 7 do not divide 32 heads"),
        ({"num_key_value_heads": 64}, "num_key_value_heads: 64 do not divide 32 heads"),
    ],
)
def test_what_is_not_understood_is_refused(change, reason, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B | change))
    with pytest.raises(ProfileError, match=reason):
        read_model(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "gpu", "gpus", "quantisation", "gib"),
    [
        ("gpt-oss-120b", "h100-80gb", 1, "mxfp4", 64.38),  # vllm-project/vllm#33155
        ("gpt-oss-120b", "a100-80gb", 4, "mxfp4", 17.22),  # dennislee22/vLLM-benchmarking
        ("gpt-oss-20b", "h100-80gb", 1, "mxfp4", 13.47),  # llm-d-planner, empirical-vllm-memory-results
        ("gpt-oss-20b", "a100-80gb", 1, "mxfp4", 13.72),
        ("Qwen3-30B-A3B", "rtx-4090", 4, "bf16", 14.25),  # vllm-project/vllm#17469
        ("Qwen3.5-27B", "rtx-5090", 2, "fp8", 14.28),  # vllm-project/recipes, Qwen3.8-27B
    ],
)
def test_weights_are_those_servers_reported(name, gpu, gpus, quantisation, gib):
    assert weights_gib(shape_of(name), gpus, quantisation, gpu) == pytest.approx(gib, rel=0.015)


def test_known_models_are_what_their_configurations_say():
    """The shipped shapes beside those read of a file here."""
    known = {name.rsplit("/", 1)[-1]: shape for shape in known_models() for name in shape.hf_names}
    for name in PUBLISHED:
        if name in known:
            assert shape_of(name).same_shape(known[name]), name


@given(
    st.dictionaries(
        st.sampled_from(sorted(GPT_OSS)), st.none() | st.integers(-1, 9) | st.text(max_size=3) | st.lists(st.integers())
    )
)
def test_a_broken_file_never_breaks_the_reader(change):
    shape, faults = from_config(GPT_OSS | change, "m")
    assert (shape is None) == bool(faults)


@pytest.mark.needs("kernel tables")
def test_real_files_are_read_or_refused_with_a_reason():
    """The configurations that come with the kernel tables: their names say how many parameters there are."""
    import re

    import aiconfigurator_core

    read = 0
    for path in sorted((Path(aiconfigurator_core.__file__).parent / "model_configs").glob("*_config.json")):
        content = json.loads(path.read_text("utf-8"))
        # Llama 4 is named by what a token passes.
        if "architectures" not in content or "Llama-4" in path.name:
            continue
        shape, faults = from_config(content, path.name)
        assert (shape is None) == bool(faults)
        stated = re.search(r"[-_](\d+(?:\.\d+)?)B[-_]", path.name)
        if shape is None or stated is None or float(stated[1]) < 4:
            continue
        read += 1
        # Names round, and leave encoders and embeddings out.
        assert shape.parameters / 1e9 == pytest.approx(float(stated[1]), rel=0.06, abs=0.8), path.name
    assert read >= 30


def test_a_checkpoint_with_experts_in_4_bits_alone():
    """Kimi-K2-Thinking: 594 GB as published; attention, shared experts and the dense layer stay in 16 bits."""
    kept = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]
    shapes = {"num_attention_heads": 64, "num_key_value_heads": 64, "vocab_size": 163840, "n_routed_experts": 384}
    said = compressed({"num_bits": 4, "type": "int", "group_size": 32}, ignore=kept)
    config = DEEPSEEK | shapes | {"first_k_dense_replace": 1, "quantization_config": said}
    shape, faults = from_config(config, "Kimi-K2-Thinking")
    assert faults == []
    assert (shape.checkpoint_format, shape.kept, shape.group_size) == ("w4a16", ("attention", "feed_forward"), 32)
    # One card holds it without a copy of what every card of several has.
    weights = weights_gib(shape, 1, "w4a16") * 1024**3
    assert weights / 1e9 == pytest.approx(594, rel=0.03)
    in_16_bits = shape.attention_matrices + shape.dense_feed_forward_parameters + shape.embedding_parameters
    assert weights == pytest.approx(shape.expert_parameters * (0.5 + 2 / 32) + 2 * in_16_bits)


@pytest.mark.parametrize(
    ("config", "billions", "kinds"),
    [
        (plain("Phi3ForCausalLM", 32, 3072, 32, 32, 8192, 32064, sliding_window=2047), 3.82, {"window": 32}),
        (
            plain(
                "Qwen2_5_VLForConditionalGeneration", 28, 3584, 28, 4, 18944, 152064, model_type="qwen2_5_vl",
                use_sliding_window=False, sliding_window=32768,
                vision_config=QWEN_VIT | {
                    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "model_type": "qwen2_5_vl",
                },
            ),
            8.29, {"full": 28},
        ),
        (
            plain(
                "GraniteMoeHybridForCausalLM", 40, 1536, 12, 4, 512, 100352, tie_word_embeddings=True,
                layer_types=["mamba"] * 36 + ["attention"] * 4, num_local_experts=64, num_experts_per_tok=6,
                shared_intermediate_size=1024, mamba_n_heads=48, mamba_d_head=64, mamba_n_groups=1, mamba_d_state=128,
                mamba_d_conv=4,
            ),
            6.94, {"state": 36, "full": 4},
        ),
    ],
)  # fmt: skip
def test_others_nobody_asked_for(config, billions, kinds):
    """Text fields at the top of a wrapper; a window without `layer_types`; Granite 4 Tiny."""
    shape, faults = from_config(config, "m")
    assert faults == []
    assert shape.parameters / 1e9 == pytest.approx(billions, rel=0.006)
    assert {one.kind: one.layers for one in shape.kv_layers} == kinds
