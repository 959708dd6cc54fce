"""What most architectures share: attention, windows, and mixtures of experts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from simulator.performance.architecture import KvLayers
from simulator.performance.config_text import amiss

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.performance.config_text import TextConfig

Found = dict[str, Any]


def kv(kind: str, layers: int, **numbers: int | None) -> KvLayers | None:
    """Layers of one kind; None where there are none."""
    return KvLayers.model_validate({"kind": kind, "layers": layers, **numbers}) if layers > 0 else None


def some(*kinds: KvLayers | None) -> tuple[KvLayers, ...]:
    """Those of which there are any."""
    return tuple(one for one in kinds if one is not None)


def plain(text: TextConfig) -> Found:
    """Attention and a gated feed-forward network in every layer."""
    heads = text.count("num_attention_heads")
    hidden = text.count("hidden_size")
    layers = text.count("num_hidden_layers")
    found: Found = {
        "layers": layers, "hidden": hidden, "heads": heads, "kv_heads": text.optional("num_key_value_heads", heads),
        "head_dim": text.optional("head_dim", max(1, hidden // heads)), "vocab": text.count("vocab_size"),
        "tied_embeddings": text.tied, "context_tokens": text.context(), "intermediate": 1,
    }  # fmt: skip
    if text.get("moe_intermediate_size") is None:
        found["intermediate"] = text.count("intermediate_size")
    windowed = windows(text, found)
    if windowed:
        found["kv"] = windowed
    return found


def windows(text: TextConfig, found: Found, always: bool = False) -> tuple[KvLayers, ...]:
    """Kinds of attention layers, in the order in which vLLM meets them; none where all are full."""
    window = text.get("sliding_window")
    kinds = text.layer_types(found["layers"])
    if not always and text.get("use_sliding_window") is False:
        return ()
    if text.get("use_sliding_window") and kinds is None:
        text.faults.append("use_sliding_window: without layer_types it does not say which layers have a window")
    if kinds is None:
        kinds = (["sliding_attention"] if isinstance(window, int) and window else ["full_attention"]) * found["layers"]
    if strange := sorted(set(kinds) - {"sliding_attention", "full_attention"}):
        text.faults.append(f"layer_types: {', '.join(strange)} is not supported in this architecture")
    if "sliding_attention" not in kinds:
        return ()
    if (wrong := amiss("sliding_window", window)) is not None:
        text.faults.append(f"sliding_window: {wrong}")
        return ()
    heads, head_dim = found["kv_heads"], found["head_dim"]
    names = {"sliding_attention": ("window", window), "full_attention": ("full", None)}
    return tuple(
        KvLayers(kind=names[kind][0], span=names[kind][1], layers=count, heads=heads, head_dim=head_dim)  # type: ignore[arg-type]
        for kind, count in Counter(kinds).items()
        if kind in names
    )


def renamed(text: TextConfig, read: Callable[[TextConfig], Found], words: Mapping[str, str]) -> Found:
    """Read as others are, by words of its own, and with a list for what is the same in every layer."""
    return read(text.called(**words).alike(*words))


def every_nth(text: TextConfig, nth: int, wider: int = 0, read: Callable[[TextConfig], Found] | None = None) -> Found:
    """Windows in all layers but each nth, where `layer_types` does not say otherwise; `wider` by so many tokens."""
    found = (read or plain)(text)
    window = text.get("sliding_window")
    if text.get("layer_types") is None and window:
        said = text.get("sliding_window_pattern")
        nth = len(said) if isinstance(said, str) else text.optional("sliding_window_pattern", nth)
        full = found["layers"] // max(1, nth)
        common = {"heads": found["kv_heads"], "head_dim": found["head_dim"]}
        found["kv"] = some(
            kv("window", found["layers"] - full, span=text.count("sliding_window"), **common),
            kv("full", full, **common),
        )
    if wider:
        found["kv"] = tuple(
            one.model_copy(update={"span": one.span + wider}) if one.span else one for one in found.get("kv", ())
        )
    return found


def mixture(text: TextConfig) -> Found:
    """Experts in every layer, or in every layer after some dense ones; a shared one where there is one."""
    found = plain(text)
    layers = found["layers"]
    found["experts"] = text.count("num_local_experts", "num_experts", "n_routed_experts")
    found["experts_per_token"] = text.count("num_experts_per_tok", "experts_per_token", "moe_topk", "top_k_experts")
    if text.get("moe_intermediate_size") is not None:
        found["intermediate"] = text.count("moe_intermediate_size")
    shared = text.at_least_0("shared_expert_intermediate_size") or text.at_least_0("shared_intermediate_size")
    if text.get("n_shared_experts"):
        shared = text.count("n_shared_experts") * found["intermediate"]
    found["shared_intermediate"] = shared
    dense = text.at_least_0("first_k_dense_replace")
    only = text.layer_numbers("mlp_only_layers")
    every = text.optional("decoder_sparse_step", 1)
    if only or every != 1:
        dense += sum(1 for n in range(layers) if n in only or (n + 1) % every)
    if dense >= layers:
        text.faults.append("first_k_dense_replace, mlp_only_layers, decoder_sparse_step: leave no layer with experts")
    elif dense:
        found |= {"dense_layers": dense, "dense_intermediate": text.count("intermediate_size")}
    return found
