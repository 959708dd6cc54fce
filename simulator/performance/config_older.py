"""Architectures without a gate in their feed-forward networks, and those before the words were agreed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.performance.config_layers import Found, plain

if TYPE_CHECKING:
    from simulator.performance.config_text import TextConfig


def ungated(text: TextConfig) -> Found:
    """As most, with two matrices in a feed-forward network in place of three."""
    return plain(text) | {"gated": False}


def opt(text: TextConfig) -> Found:
    """OPT: learnt positions, two more than it says (`opt.py`)."""
    found = ungated(text.called(intermediate_size="ffn_dim"))
    if text.optional("word_embed_proj_dim", found["hidden"]) != found["hidden"]:
        text.faults.append("word_embed_proj_dim: embeddings of another width than the layers are not supported")
    return found | {"other_parameters": (text.count("max_position_embeddings") + 2) * found["hidden"]}


def falcon(text: TextConfig) -> Found:
    """Falcon: one key-value head, unless it has the newer decoder or no multi-query attention."""
    heads, hidden = text.count("num_attention_heads"), text.count("hidden_size")
    kv_heads = 1 if text.get("multi_query") else heads
    if text.get("new_decoder_architecture"):
        kv_heads = text.optional("num_kv_heads", heads)
    return {
        "layers": text.count("num_hidden_layers"), "hidden": hidden, "heads": heads, "kv_heads": kv_heads,
        "head_dim": max(1, hidden // heads), "intermediate": text.optional("ffn_hidden_size", 4 * hidden),
        "gated": False, "vocab": text.count("vocab_size"), "tied_embeddings": text.tied,
        "context_tokens": text.context(),
    }  # fmt: skip


def gptj(text: TextConfig) -> Found:
    """GPT-J: GPT-2's words, rotary positions."""
    return gpt2(text) | {"other_parameters": 0}


def gpt2(text: TextConfig) -> Found:
    """GPT-2: no gate, learnt positions, the head tied to the embedding."""
    hidden, heads = text.count("n_embd"), text.count("n_head")
    positions = text.count("n_positions")
    return {
        "layers": text.count("n_layer"), "hidden": hidden, "heads": heads, "kv_heads": heads,
        "head_dim": max(1, hidden // heads), "intermediate": text.optional("n_inner", 4 * hidden), "gated": False,
        "vocab": text.count("vocab_size"), "tied_embeddings": text.tied,
        "context_tokens": positions, "other_parameters": positions * hidden,
    }  # fmt: skip


def bloom(text: TextConfig) -> Found:
    """BLOOM: positions by a slope for each head, which takes no parameters."""
    rest = text.called(num_hidden_layers="n_layer") if text.get("n_layer") is not None else text
    hidden = rest.count("hidden_size", "n_embed")
    heads = rest.count("num_attention_heads", "n_head")
    return {
        "layers": rest.count("num_hidden_layers"), "hidden": hidden, "heads": heads, "kv_heads": heads,
        "head_dim": max(1, hidden // heads), "intermediate": 4 * hidden, "gated": False,
        "vocab": rest.count("vocab_size"), "tied_embeddings": rest.tied,
        "context_tokens": rest.optional("seq_length", 2048),
    }  # fmt: skip


def chatglm(text: TextConfig) -> Found:
    """ChatGLM 2 and 3, GLM-4-9B as it was first published: groups of heads by another word (`chatglm.py`)."""
    words = {
        "num_hidden_layers": "num_layers",
        "intermediate_size": "ffn_hidden_size",
        "vocab_size": "padded_vocab_size",
    }
    if text.get("multi_query_attention"):
        words["num_key_value_heads"] = "multi_query_group_num"
    found = plain(text.called(**words))
    return found | {"context_tokens": text.optional("seq_length", 8192)}


def dbrx(text: TextConfig) -> Found:
    """DBRX: sizes of attention and of experts in parts of their own."""
    parts = [text.part(name) for name in ("attn_config", "ffn_config")]
    hidden, heads = text.count("d_model"), text.count("n_heads")
    attention, experts = parts
    return {
        "layers": text.count("n_layers"), "hidden": hidden, "heads": heads,
        "kv_heads": attention.optional("kv_n_heads", heads), "head_dim": max(1, hidden // heads),
        "intermediate": experts.count("ffn_hidden_size"), "vocab": text.count("vocab_size"),
        "experts": experts.count("moe_num_experts"), "experts_per_token": experts.count("moe_top_k"),
        "tied_embeddings": text.tied, "context_tokens": text.optional("max_seq_len", 2048),
    }  # fmt: skip


def minicpm3(text: TextConfig) -> Found:
    """MiniCPM3: latents in its matrices, and yet keys and values of every head in the cache (`minicpm3.py`)."""
    found = plain(text)
    hidden, heads = found["hidden"], found["heads"]
    low, rank = text.count("q_lora_rank"), text.count("kv_lora_rank")
    nope, rope = text.count("qk_nope_head_dim"), text.count("qk_rope_head_dim")
    value = text.optional("v_head_dim", found["head_dim"])
    whole = hidden * (low + rank + rope)
    split = low * heads * (nope + rope) + rank * heads * (nope + value) + heads * value * hidden
    return found | {
        "kv_heads": heads, "head_dim": nope + rope, "attention_parameters": found["layers"] * (whole + split),
        "replicated_parameters": found["layers"] * whole,
    }  # fmt: skip
