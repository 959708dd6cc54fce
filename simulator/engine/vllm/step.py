"""How long the engine step just made takes; see `simulator.performance.step_time`, whose sums these are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm.compiled import compiled

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def step_s(s: State, r: int) -> float:
    """Seconds of the step that `schedule` made."""
    rep, settings = s.replicas[r], s.settings[0]
    decodes = s.batches[rep.step_decodes]
    if settings.linear:
        context = rep.step_kv_tokens + (rep.step_chunk_tokens + rep.step_chunk_context)
        prompts_s = settings.linear_per_prefill_token_s * rep.step_chunk_tokens
        return float(decodes.decode_s + prompts_s + decodes.decode_per_kv_token_s * context)
    if not rep.step_chunks:
        return float(decodes.decode_s + decodes.decode_per_kv_token_s * rep.step_kv_tokens)
    seconds = rep.step_chunk_s
    if rep.step_decodes:
        seconds += decodes.attention_s + decodes.attention_per_kv_token_s * rep.step_kv_tokens
    dense_s = s.dense_s[rep.step_decodes + rep.step_chunk_tokens]
    return float(dense_s + s.batches[rep.step_decodes + rep.step_chunks].per_step_s + seconds)
