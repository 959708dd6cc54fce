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
