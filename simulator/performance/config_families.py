"""How each architecture's `config.json` says what a shape needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from simulator.performance.architecture import KvLayers
from simulator.performance.config_layers import Found, every_nth, kv, mixture, plain, renamed, some
from simulator.performance.config_older import bloom, chatglm, dbrx, falcon, gpt2, gptj, minicpm3, opt, ungated
from simulator.performance.config_recurrent import (
    delta_net,
    falcon_h1,
    granite_hybrid,
    jamba,
    kimi_linear,
    lfm2,
    nemotron_h,
)
from simulator.performance.config_text import MOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.performance.config_text import TextConfig


@dataclass(frozen=True, slots=True)
class Family:
    """Architectures that are read alike.

    Attributes:
        name: Class of the text model.
        read: Makes the fields of a shape of its configuration.
        defaults: What `transformers` fills in where a file says nothing.
    """

    name: str
    read: Callable[[TextConfig], Found]
    defaults: Mapping[str, Any]


def _gpt_oss(text: TextConfig) -> Found:
    """Every other layer has a window, whatever `layer_types` says (`gpt_oss.py`)."""
    found = mixture(text.without("layer_types", "sliding_window"))
    full = found["layers"] // 2
    common = {"heads": found["kv_heads"], "head_dim": found["head_dim"]}
    window = text.count("sliding_window")
    found["kv"] = some(kv("window", found["layers"] - full, span=window, **common), kv("full", full, **common))
    return found


def _ernie(text: TextConfig) -> Found:
    """Dense layers first, then experts in all, by words of its own."""
    if text.optional("moe_layer_interval", 1) != 1:
        text.faults.append("moe_layer_interval: layers with experts between dense ones are not supported")
    words = {
        "num_experts": "moe_num_experts", "num_experts_per_tok": "moe_k", "n_shared_experts": "moe_num_shared_experts",
        "first_k_dense_replace": "moe_layer_start_index",
    }  # fmt: skip
    return mixture(text.called(**words))


def _afmoe(text: TextConfig) -> Found:
    """A gate beside the queries, and dense layers first (`afmoe.py`)."""
    nth = text.optional("global_attn_every_n_layers", 4)
    found = every_nth(text.called(n_shared_experts="num_shared_experts", first_k_dense_replace="num_dense_layers"), nth,
                      read=mixture)  # fmt: skip
    one = found["hidden"] * found["head_dim"] * (3 * found["heads"] + 2 * found["kv_heads"])
    return found | {"attention_parameters": found["layers"] * one}


def _minicpm(text: TextConfig) -> Found:
    """As Llama; one of them has experts, which differ."""
    if text.get("num_experts"):
        text.faults.append("num_experts: experts of a MiniCPM are not supported")
    return plain(text)


def _deepseek_1(text: TextConfig) -> Found:
    """Experts with keys and values as most have them."""
    if text.optional("moe_layer_freq", 1) != 1:
        text.faults.append("moe_layer_freq: layers with experts between dense ones are not supported")
    return mixture(text)


def _gemma4(text: TextConfig) -> Found:
    """Full layers have longer heads, fewer of them for keys, and one matrix for keys and values.

    The last of the E models' layers have no keys of their own, and networks twice as wide; each layer adds to every
    token what a table of its own has for it (vLLM 0.33, `model_executor/models/gemma4.py`).
    """
    mixed = bool(text.get("enable_moe_block"))
    rest = text.without("layer_types", "sliding_window")
    found = plain(rest) if not mixed else mixture(rest)
    layers, hidden, heads = found["layers"], found["hidden"], found["heads"]
    kinds = text.layer_types(layers) or ["full" if number % 6 == 5 else "sliding" for number in range(layers)]
    full = ["full" in kind for kind in kinds]
    # `transformers` makes the last one full, whatever is said.
    full[-1] = True
    if strange := sorted(set(kinds) - {"sliding_attention", "full_attention", "sliding", "full"}):
        text.faults.append(f"layer_types: {', '.join(strange)} is not supported in this architecture")
    own = max(0, layers - text.at_least_0("num_kv_shared_layers"))
    if sorted(set(full[:own])) != sorted(set(full)):
        text.faults.append("num_kv_shared_layers: leaves no layer whose keys the others could share")
    wide = text.optional("global_head_dim", 512)
    wide_heads = text.optional("num_global_key_value_heads", found["kv_heads"])
    sizes = {False: (found["kv_heads"], found["head_dim"]), True: (wide_heads, wide)}
    window = text.count("sliding_window")
    kv_heads, head_dim = sizes[False]
    found["kv"] = some(
        kv("window", full[:own].count(False), span=window, heads=kv_heads, head_dim=head_dim),
        kv("full", full[:own].count(True), heads=wide_heads, head_dim=wide),
    )
    # vLLM holds keys and values apart, even where they are the same.
    found["attention_parameters"] = sum(
        hidden * sizes[one][1] * (2 * heads + (2 * sizes[one][0] if number < own else 0))
        for number, one in enumerate(full)
    )
    if mixed:
        # Beside the experts each layer has the dense network.
        found["shared_intermediate"] = text.count("intermediate_size")
    elif text.get("use_double_wide_mlp") and own < layers:
        widths = found["intermediate"] * (2 * layers - own)
        found |= {"feed_forward_parameters": 3 * hidden * widths, "intermediate": widths // layers}
    if each := text.at_least_0("hidden_size_per_layer_input"):
        table = text.optional("vocab_size_per_layer_input", found["vocab"]) + hidden
        found["other_parameters"] = layers * each * (table + 2 * hidden)
    return found


def _llama4(text: TextConfig) -> Found:
    """Every fourth layer attends to all; the others within chunks. A shared expert as wide as the others."""
    found = plain(text)
    layers = found["layers"]
    every = text.optional("interleave_moe_layer_step", 1)
    found |= {
        "experts": text.count("num_local_experts"), "experts_per_token": text.count("num_experts_per_tok"),
        "shared_intermediate": found["intermediate"],
    }  # fmt: skip
    if dense := layers - layers // every:
        found |= {"dense_layers": dense, "dense_intermediate": text.count("intermediate_size_mlp")}
    roped = text.get("no_rope_layers")
    full = roped.count(0) if isinstance(roped, list) and roped else layers // 4
    common = {"heads": found["kv_heads"], "head_dim": found["head_dim"]}
    chunk = text.get("attention_chunk_size")
    if isinstance(chunk, int) and chunk and full < layers:
        found["kv"] = some(kv("chunk", layers - full, span=chunk, **common), kv("full", full, **common))
    return found


def _latent(text: TextConfig) -> Found:
    """MLA: one latent vector a token, its rotary part beside it (`model_executor/layers/mla.py`)."""
    rest = text.without("layer_types")
    found = mixture(rest) if text.get("n_routed_experts") else plain(rest)
    hidden, heads, layers = found["hidden"], found["heads"], found["layers"]
    rank, rope, nope = text.count("kv_lora_rank"), text.count("qk_rope_head_dim"), text.count("qk_nope_head_dim")
    value = text.count("v_head_dim")
    low = text.at_least_0("q_lora_rank")
    whole = hidden * (rank + rope + low)
    split = (low or hidden) * heads * (nope + rope) + rank * heads * (nope + value) + heads * value * hidden
    extra = 0
    if index := text.at_least_0("index_head_dim"):
        index_heads = text.count("index_n_heads")
        whole += low * index_heads * index + hidden * (index + index_heads)
        # One key of 8 bits with a scale of 32 for each 128 numbers.
        extra = index + index // 128 * 4
    found |= {
        "kv": (KvLayers(kind="latent", layers=layers, heads=1, head_dim=rank + rope, extra_bytes=extra),),
        "attention_parameters": layers * (whole + split),
        "replicated_parameters": layers * whole,
        "kv_heads": 1,
        "head_dim": rank + rope,
    }
    return found


def _deci(text: TextConfig) -> Found:
    """Llama with layers that lack attention or have networks of their own widths (Nemotron's pruned models)."""
    hidden, heads, layers = (
        text.count("hidden_size"),
        text.count("num_attention_heads"),
        text.count("num_hidden_layers"),
    )
    head_dim = text.optional("head_dim", max(1, hidden // heads))
    blocks = text.get("block_configs")
    by_heads: Counter[int] = Counter()
    attention = feed_forward = 0
    if not isinstance(blocks, list) or len(blocks) != layers:
        text.faults.append(f"block_configs: expected one for each of {layers} layers")
        blocks = []
    for number, block in enumerate(blocks):
        one, network = (_part_of(block, name) for name in ("attention", "ffn"))
        group, times = one.get("n_heads_in_group") or 1, network.get("ffn_mult") or 0
        if not (isinstance(group, int) and 1 <= group <= heads and _is_size(times)):
            text.faults.append(f"block_configs: {number}: n_heads_in_group {group!r:.40}, ffn_mult {times!r:.40}")
            continue
        if one.get("replace_with_linear") or network.get("replace_with_linear") or one.get("window_length"):
            text.faults.append(f"block_configs: {number}: linear layers and windows are not supported")
        if not one.get("no_op"):
            kv_heads = heads // group
            by_heads[kv_heads] += 1
            attention += hidden * head_dim * (2 * heads + 2 * kv_heads)
        if not network.get("no_op") and times:
            width = int(2 * times * hidden / 3)
            feed_forward += 3 * hidden * -(-width // 256) * 256
    return {
        "layers": layers, "hidden": hidden, "heads": heads, "kv_heads": max(by_heads, default=1), "head_dim": head_dim,
        "intermediate": max(1, feed_forward // (3 * hidden * layers)), "vocab": text.count("vocab_size"),
        "tied_embeddings": text.tied, "context_tokens": text.context(), "attention_parameters": attention or None,
        "feed_forward_parameters": feed_forward or None,
        "kv": tuple(KvLayers(kind="full", layers=n, heads=h, head_dim=head_dim) for h, n in by_heads.items()),
    }  # fmt: skip


def _part_of(block: object, name: str) -> dict[str, Any]:
    found = block.get(name) if isinstance(block, dict) else None
    return found if isinstance(found, dict) else {}


def _is_size(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MOST


_GEMMA: Final = {
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208,
    "tie_word_embeddings": True, "sliding_window": 4096, "max_position_embeddings": 131_072,
}  # fmt: skip
_GEMMA2: Final = {**_GEMMA, "vocab_size": 256_000, "max_position_embeddings": 8192}
_COHERE: Final = {"tie_word_embeddings": True, "vocab_size": 256_000, "max_position_embeddings": 8192}
_MISTRAL4: Final = {
    "hidden_size": 4096, "intermediate_size": 12_288, "moe_intermediate_size": 2048, "num_hidden_layers": 36,
    "num_attention_heads": 32, "vocab_size": 131_072, "n_shared_experts": 1, "n_routed_experts": 128,
    "num_experts_per_tok": 4, "kv_lora_rank": 256, "q_lora_rank": 1024, "qk_rope_head_dim": 64, "qk_nope_head_dim": 64,
    "v_head_dim": 128, "max_position_embeddings": 1_048_576,
}  # fmt: skip
_LLAMA4: Final = {"vocab_size": 202_048, "attention_chunk_size": 8192, "num_local_experts": 16, "head_dim": 128}
_JAMBA: Final = {
    "num_experts": 16, "num_experts_per_tok": 2, "expert_layer_period": 2, "expert_layer_offset": 1,
    "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2,
}  # fmt: skip
_HUNYUAN_WORDS: Final = {
    "num_experts_per_tok": "moe_topk", "n_shared_experts": "num_shared_expert",
    "moe_intermediate_size": "moe_intermediate_size",
}  # fmt: skip
_EXAONE_WORDS: Final = {"n_shared_experts": "num_shared_experts"}
_ALIKE: Final[tuple[tuple[Callable[[TextConfig], Found], Mapping[str, Any], tuple[str, ...]], ...]] = (
    (plain, {}, (
        "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Phi3ForCausalLM",
        "GraniteForCausalLM", "Ministral3ForCausalLM", "MinistralForCausalLM", "GlmForCausalLM", "Glm4ForCausalLM",
        "OlmoForCausalLM", "Olmo2ForCausalLM", "SeedOssForCausalLM", "StableLmForCausalLM", "InternLM2ForCausalLM",
        "InternLM3ForCausalLM", "MiMoForCausalLM", "HunYuanDenseV1ForCausalLM", "OrionForCausalLM", "SolarForCausalLM",
        "HyperCLOVAXForCausalLM",
    )),
    (partial(renamed, read=plain, words={"num_hidden_layers": "num_layers"}), {}, ("ExaoneForCausalLM",)),
    (_minicpm, {"tie_word_embeddings": True}, ("MiniCPMForCausalLM",)),
    (minicpm3, {"tie_word_embeddings": True}, ("MiniCPM3ForCausalLM",)),
    (chatglm, {}, ("ChatGLMModel", "ChatGLMForConditionalGeneration")),
    (plain, {"tie_word_embeddings": True}, ("SmolLM3ForCausalLM", "Ernie4_5ForCausalLM")),
    (plain, {**_GEMMA2, "head_dim": 256, "sliding_window": None, "num_key_value_heads": None}, ("GemmaForCausalLM",)),
    (plain, _COHERE, ("CohereForCausalLM",)),
    (partial(every_nth, nth=4, wider=1), {**_COHERE, "sliding_window": 4096}, ("Cohere2ForCausalLM",)),
    (partial(every_nth, nth=2), _GEMMA2, ("Gemma2ForCausalLM",)),
    (partial(every_nth, nth=6), _GEMMA, ("Gemma3ForCausalLM",)),
    (partial(every_nth, nth=4), {"sliding_window": 4096}, ("Olmo3ForCausalLM",)),
    (partial(every_nth, nth=4), {}, ("Exaone4ForCausalLM",)),
    (ungated, {}, (
        "ApertusForCausalLM", "ArceeForCausalLM", "NemotronForCausalLM", "PhiForCausalLM", "GPTNeoXForCausalLM",
    )),
    (ungated, {"tie_word_embeddings": True}, ("Starcoder2ForCausalLM",)),
    (bloom, {"tie_word_embeddings": True}, ("BloomForCausalLM",)),
    (opt, {"tie_word_embeddings": True}, ("OPTForCausalLM",)),
    (falcon, {"multi_query": True, "tie_word_embeddings": True}, ("FalconForCausalLM",)),
    (gpt2, {"tie_word_embeddings": True}, ("GPT2LMHeadModel",)),
    (gptj, {}, ("GPTJForCausalLM",)),
    (mixture, {}, (
        "MixtralForCausalLM", "Qwen3MoeForCausalLM", "Qwen2MoeForCausalLM", "Glm4MoeForCausalLM",
        "GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM", "OlmoeForCausalLM", "PhiMoEForCausalLM",
        "MiniMaxM2ForCausalLM", "Dots1ForCausalLM",
    )),
    (partial(renamed, read=mixture, words={"n_shared_experts": "num_shared_experts"}), {}, (
        "BailingMoeForCausalLM", "BailingMoeV2ForCausalLM",
    )),
    (partial(renamed, read=mixture, words=_HUNYUAN_WORDS), {"tie_word_embeddings": True}, ("HunYuanMoEV1ForCausalLM",)),
    (partial(every_nth, nth=4, read=partial(renamed, read=mixture, words=_EXAONE_WORDS)), {}, (
        "ExaoneMoeForCausalLM", "ExaoneMoEForCausalLM",
    )),
    (_afmoe, {}, ("AfmoeForCausalLM",)),
    (_deepseek_1, {}, ("DeepseekForCausalLM",)),
    (dbrx, {}, ("DbrxForCausalLM",)),
    (_ernie, {"tie_word_embeddings": True}, ("Ernie4_5_MoeForCausalLM",)),
    (_gpt_oss, {}, ("GptOssForCausalLM",)),
    (_gemma4, {**_GEMMA, "vocab_size": 262_144, "sliding_window": 512}, ("Gemma4ForCausalLM",)),
    (_llama4, _LLAMA4, ("Llama4ForCausalLM",)),
    (_latent, {}, (
        "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "DeepseekV32ForCausalLM", "GlmMoeDsaForCausalLM",
        "KimiK2ForCausalLM", "Glm4MoeLiteForCausalLM", "MistralLarge3ForCausalLM",
    )),
    (_latent, _MISTRAL4, ("Mistral4ForCausalLM",)),
    (delta_net, {"linear_conv_kernel_dim": 4}, (
        "Qwen3NextForCausalLM", "Qwen3_5ForCausalLM", "Qwen3_5MoeForCausalLM",
    )),
    (_deci, {}, ("DeciLMForCausalLM",)),
    (nemotron_h, {}, ("NemotronHForCausalLM",)),
    (falcon_h1, {}, ("FalconH1ForCausalLM",)),
    (lfm2, {"tie_word_embeddings": True}, ("Lfm2ForCausalLM", "Lfm2MoeForCausalLM")),
    (granite_hybrid, {}, ("GraniteMoeHybridForCausalLM",)),
    (kimi_linear, {}, ("KimiLinearForCausalLM",)),
    (jamba, _JAMBA, ("JambaForCausalLM",)),
)  # fmt: skip
FAMILIES: Final[dict[str, Family]] = {
    name: Family(name, read, defaults) for read, defaults, names in _ALIKE for name in names
}
#: Text models inside wrappers, by what they call themselves.
_BY_TYPE: Final = {
    "gemma3_text": "Gemma3ForCausalLM", "gemma4_text": "Gemma4ForCausalLM", "mistral": "MistralForCausalLM",
    "ministral3": "Ministral3ForCausalLM", "llama": "LlamaForCausalLM", "llama4_text": "Llama4ForCausalLM",
    "qwen2": "Qwen2ForCausalLM", "qwen2_5_vl_text": "Qwen2ForCausalLM", "qwen2_5_vl": "Qwen2ForCausalLM",
    "qwen2_vl": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "qwen3_vl_text": "Qwen3ForCausalLM",
    "qwen3_vl_moe_text": "Qwen3MoeForCausalLM", "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM", "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    "glm4v_moe_text": "Glm4MoeForCausalLM", "kimi_k2": "DeepseekV3ForCausalLM", "deepseek_v3": "DeepseekV3ForCausalLM",
    "mistral4": "Mistral4ForCausalLM", "gpt_oss": "GptOssForCausalLM", "phi3": "Phi3ForCausalLM",
}  # fmt: skip
#: What wrappers hold whose text part does not call itself anything.
_BY_WRAPPER: Final = {"Gemma3ForConditionalGeneration": "gemma3_text", "Llama4ForConditionalGeneration": "llama4_text"}


def text_family(part: Mapping[str, Any], wrapper: str | None) -> Family | None:
    """The family of a wrapper's text model; None where it is not supported."""
    kind = str(part.get("model_type") or _BY_WRAPPER.get(str(wrapper), ""))
    return FAMILIES.get(_BY_TYPE.get(kind, ""))
