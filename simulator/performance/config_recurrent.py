"""Architectures with layers whose memory is a state: delta nets, Mamba and Mamba-2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.performance.architecture import KvLayers
from simulator.performance.config_layers import Found, kv, mixture, plain, some
from simulator.performance.config_text import MOST

if TYPE_CHECKING:
    from simulator.performance.config_text import TextConfig


def delta_net(text: TextConfig) -> Found:
    """Gated delta nets but for every fourth layer (Qwen3-Next, Qwen3.5; `mamba_utils.gated_delta_net_state_shape`)."""
    mixed = text.get("num_experts") is not None
    kinds = text.layer_types(layers := text.count("num_hidden_layers"))
    found = mixture(text.without("layer_types")) if mixed else plain(text.without("layer_types"))
    found.pop("kv", None)
    every = text.optional("full_attention_interval", 4)
    full = kinds.count("full_attention") if kinds else layers // every
    keys = text.count("linear_num_key_heads") * text.count("linear_key_head_dim")
    values = text.count("linear_num_value_heads") * text.count("linear_value_head_dim")
    taps = text.count("linear_conv_kernel_dim")
    hidden, head_dim = found["hidden"], found["head_dim"]
    state = values * text.count("linear_key_head_dim")
    double = text.get("mamba_ssm_dtype") == "float32"
    conv = (2 * keys + values) * (taps - 1)
    one_full = hidden * head_dim * (3 * found["heads"] + 2 * found["kv_heads"])
    one_linear = hidden * (2 * keys + 3 * values + 2 * text.count("linear_num_value_heads"))
    found |= {
        "kv": (
            KvLayers(
                kind="state", layers=layers - full, state_16_bits=conv + (0 if double else state),
                state_32_bits=state if double else 0,
            ),
            KvLayers(kind="full", layers=full, heads=found["kv_heads"], head_dim=head_dim),
        ),
        "attention_parameters": full * one_full + (layers - full) * one_linear,
        "other_parameters": (layers - full) * (2 * keys + values) * taps,
    }  # fmt: skip
    return found


def nemotron_h(text: TextConfig) -> Found:
    """Mamba-2, attention, and networks or experts in layers of their own (`mamba_utils.mamba2_state_shape`)."""
    layers, hidden, heads = (
        text.count("num_hidden_layers"),
        text.count("hidden_size"),
        text.count("num_attention_heads"),
    )
    pattern = text.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or len(pattern) != layers or set(pattern) - set("M*-E"):
        text.faults.append(f"hybrid_override_pattern: expected one of M, *, - and E for each of {layers} layers")
        pattern = "M*"
    head_dim, kv_heads = text.count("head_dim", "attention_head_dim"), text.count("num_key_value_heads")
    mamba, full, dense, mixed = (pattern.count(letter) for letter in "M*-E")
    # In vLLM it is 32 bits where the file says nothing (`NemotronHForCausalLMConfig`).
    own, parameters = _mamba2(text, hidden, double=text.get("mamba_ssm_cache_dtype") in {None, "float32"})
    if text.get("moe_latent_size"):
        text.faults.append("moe_latent_size: experts behind a narrower projection are not supported")
    found: Found = {
        "layers": layers, "hidden": hidden, "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "gated": False,
        "intermediate": text.count("intermediate_size"), "vocab": text.count("vocab_size"),
        "tied_embeddings": text.tied, "context_tokens": text.context(),
        "attention_parameters": full * hidden * head_dim * (2 * heads + 2 * kv_heads) + mamba * parameters,
        "kv": (
            *([own.model_copy(update={"layers": mamba})] if mamba else []),
            *([KvLayers(kind="full", layers=full, heads=kv_heads, head_dim=head_dim)] if full else []),
        ),
    }  # fmt: skip
    if not mixed:
        return found | {"feed_forward_parameters": dense * 2 * hidden * found["intermediate"]}
    # Layers that are neither are networks of no width.
    return found | {
        "experts": text.count("n_routed_experts"), "experts_per_token": text.count("num_experts_per_tok"),
        "intermediate": text.count("moe_intermediate_size"), "dense_layers": layers - mixed, "dense_intermediate": 0,
        "shared_intermediate": text.at_least_0("moe_shared_expert_intermediate_size"),
    }  # fmt: skip


def _mamba2(text: TextConfig, hidden: int, *, double: bool = False) -> tuple[KvLayers, int]:
    """A layer of Mamba-2, and the parameters of its matrices."""
    heads = text.count("mamba_num_heads", "mamba_n_heads")
    width = _mamba2_width(text, hidden)
    groups, size = text.count("n_groups", "mamba_n_groups"), text.count("ssm_state_size", "mamba_d_state")
    taps = text.count("conv_kernel", "mamba_d_conv")
    conv, state = (width + 2 * groups * size) * (taps - 1), width * size
    own = KvLayers(
        kind="state", layers=1, state_16_bits=conv + (0 if double else state), state_32_bits=state if double else 0
    )
    return own, hidden * (2 * width + 2 * groups * size + heads) + width * hidden


def _mamba2_width(text: TextConfig, hidden: int) -> int:
    if text.get("mamba_d_head") == "auto":
        return text.optional("mamba_expand", 2) * hidden
    return text.count("mamba_num_heads", "mamba_n_heads") * text.count("mamba_head_dim", "mamba_d_head")


def granite_hybrid(text: TextConfig) -> Found:
    """Mamba-2 but for a few layers; a shared network, and experts where there are any."""
    kinds = text.layer_types(layers := text.count("num_hidden_layers")) or []
    rest = text.without("layer_types")
    found = mixture(rest) if text.get("num_local_experts") else plain(rest)
    full, mamba = kinds.count("attention"), kinds.count("mamba")
    if full + mamba != layers:
        text.faults.append(f"layer_types: expected attention or mamba for each of {layers} layers")
    hidden, head_dim = found["hidden"], found["head_dim"]
    if mamba:
        own, parameters = _mamba2(text, hidden)
        one_full = hidden * head_dim * (2 * found["heads"] + 2 * found["kv_heads"])
        found |= {
            "kv": some(own.model_copy(update={"layers": mamba}), _full(found, full)),
            "attention_parameters": full * one_full + mamba * parameters,
        }
    if not text.get("num_local_experts"):
        found["intermediate"] = text.count("shared_intermediate_size", "intermediate_size")
    return found


def _full(found: Found, layers: int) -> KvLayers | None:
    return kv("full", layers, heads=found["kv_heads"], head_dim=found["head_dim"])


def falcon_h1(text: TextConfig) -> Found:
    """Mamba-2 and attention side by side in every layer (`falcon_h1.py`)."""
    found = plain(text)
    layers, hidden = found["layers"], found["hidden"]
    own, parameters = _mamba2(text, hidden)
    one_full = hidden * found["head_dim"] * (2 * found["heads"] + 2 * found["kv_heads"])
    taps, width = text.count("mamba_d_conv"), _mamba2_width(text, hidden)
    if text.optional("mamba_d_ssm", width) != width:
        text.faults.append("mamba_d_ssm: is not mamba_n_heads times mamba_d_head")
    conv = width + 2 * text.count("mamba_n_groups") * text.count("mamba_d_state")
    return found | {
        "kv": some(own.model_copy(update={"layers": layers}), _full(found, layers)),
        "attention_parameters": layers * (one_full + parameters),
        "other_parameters": layers * conv * taps,
    }  # fmt: skip


def lfm2(text: TextConfig) -> Found:
    """Short convolutions but for a few layers, whose memory is the last inputs (`short_conv_state_shape`)."""
    words = {"first_k_dense_replace": "num_dense_layers"}
    if text.get("tie_embedding") is not None:
        words["tie_word_embeddings"] = "tie_embedding"
    rest = text.called(**words)
    kinds = text.layer_types(layers := text.count("num_hidden_layers"))
    listed = set(text.layer_numbers("full_attn_idxs"))
    full = kinds.count("full_attention") if kinds else len(listed)
    if kinds is None and (not listed or not listed <= set(range(layers))):
        text.faults.append(f"full_attn_idxs: expected which of {layers} layers have attention, or layer_types")
    if kinds and sorted(set(kinds) - {"conv", "full_attention"}):
        text.faults.append(f"layer_types: expected conv or full_attention for each of {layers} layers")
    if text.get("num_experts") is not None:
        found = mixture(rest.without("layer_types"))
    else:
        words |= {} if text.get("intermediate_size") is not None else {"intermediate_size": "block_ff_dim"}
        found = plain(text.called(**words).without("layer_types"))
        if text.get("block_auto_adjust_ff_dim") is not False:
            found["intermediate"] = _adjusted(text, found["intermediate"])
    hidden, taps = found["hidden"], text.count("conv_L_cache")
    width = text.optional("conv_dim", hidden)
    one_full = hidden * found["head_dim"] * (2 * found["heads"] + 2 * found["kv_heads"])
    return found | {
        "kv": some(kv("state", layers - full, state_16_bits=width * (taps - 1)), _full(found, full)),
        "attention_parameters": full * one_full + (layers - full) * 4 * hidden * width or None,
        "other_parameters": (layers - full) * width * taps,
    }


def _adjusted(text: TextConfig, width: int) -> int:
    """Two thirds of what is said, times a factor, in whole blocks (`Lfm2MLP`)."""
    factor = text.get("block_ffn_dim_multiplier")
    width = int(2 * width / 3)
    if isinstance(factor, (int, float)) and 0.0 < factor < 100.0:
        width = int(factor * width)
    block = text.optional("block_multiple_of", 256)
    return -(-width // block) * block


def kimi_linear(text: TextConfig) -> Found:
    """Delta nets with a gate for each channel (KDA), and MLA (`mamba_utils.kda_state_shape`).

    A state is in 32 bits, its convolutions in 16.
    """
    words = {"num_experts_per_tok": "num_experts_per_token", "n_shared_experts": "num_shared_experts"}
    found = mixture(text.called(**words))
    linear = text.get("linear_attn_config")
    linear = linear if isinstance(linear, dict) else {}
    layers, hidden, heads = found["layers"], found["hidden"], found["heads"]
    said = (linear.get(key) for key in ("kda_layers", "full_attn_layers"))
    kinds = [len(one) if isinstance(one, list) else 0 for one in said]
    if sum(kinds) != layers:
        text.faults.append(f"linear_attn_config: expected kda_layers and full_attn_layers, {layers} in all")
    of_linear = [linear.get(key) for key in ("num_heads", "head_dim", "short_conv_kernel_size")]
    if not all(type(number) is int and 0 < number <= MOST for number in of_linear):
        text.faults.append("linear_attn_config: expected num_heads, head_dim and short_conv_kernel_size")
        of_linear = [1, 1, 1]
    own_heads, size, taps = (int(number or 1) for number in of_linear)
    width = own_heads * size
    rank, rope, nope = text.count("kv_lora_rank"), text.count("qk_rope_head_dim"), text.count("qk_nope_head_dim")
    value = text.count("v_head_dim")
    if text.get("q_lora_rank"):
        text.faults.append("q_lora_rank: queries behind a narrower projection are not supported beside delta nets")
    delta = 4 * hidden * width + 2 * size * (hidden + width) + hidden * own_heads
    latent = hidden * (heads * (nope + rope) + rank + rope) + rank * heads * (nope + value) + heads * value * hidden
    found |= {
        "kv": some(
            kv("state", kinds[0], state_16_bits=3 * width * (taps - 1), state_32_bits=width * size),
            kv("latent", kinds[1], heads=1, head_dim=rank + rope),
        ),
        "attention_parameters": kinds[0] * delta + kinds[1] * latent or None,
        "replicated_parameters": kinds[0] * 2 * size * hidden + kinds[1] * hidden * (rank + rope),
        "other_parameters": kinds[0] * 3 * width * taps, "kv_heads": 1, "head_dim": rank + rope,
        "context_tokens": text.optional("model_max_length", 0) if text.get("model_max_length") else text.context(),
    }  # fmt: skip
    return found


def jamba(text: TextConfig) -> Found:
    """Mamba but for every eighth layer; experts in every second (`mamba_utils.mamba1_state_shape`)."""
    found = mixture(text)
    layers, hidden = found["layers"], found["hidden"]
    width, size = text.count("mamba_expand") * hidden, text.count("mamba_d_state")
    rank = text.get("mamba_dt_rank")
    rank = -(-hidden // 16) if rank in {None, "auto"} else text.count("mamba_dt_rank")
    full, mixed = (
        len(range(text.at_least_0(f"{part}_layer_offset"), layers, text.count(f"{part}_layer_period")))
        for part in ("attn", "expert")
    )
    matrices = 3 * hidden * width + width * (2 * rank + 2 * size)
    taps = text.count("mamba_d_conv")
    attention = 2 * hidden * found["head_dim"] * (found["heads"] + found["kv_heads"])
    return found | {
        "kv": some(
            kv("state", layers - full, state_16_bits=width * (taps - 1 + size)),
            kv("full", full, heads=found["kv_heads"], head_dim=found["head_dim"]),
        ),
        "attention_parameters": full * attention + (layers - full) * matrices,
        "other_parameters": (layers - full) * width * (taps + size),
        "dense_layers": layers - mixed, "dense_intermediate": found["intermediate"] if layers > mixed else 0,
    }  # fmt: skip
