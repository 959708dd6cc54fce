"""How long the engine step just made takes; see `simulator.performance.step_time`, whose sums these are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.engine.vllm.compiled import compiled

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def beyond_s(batch: Any, kv_tokens: int) -> float:  # noqa: ANN401 - a row of `BATCH`
    """What layers with a window do not read of a context that is longer, in the mean of its sequences."""
    return float(batch.window_per_kv_token_s * max(0.0, kv_tokens - batch.window_kv_tokens))


@compiled
def step_s(s: State, r: int) -> float:
    """Seconds of the step that `schedule` made."""
    if s.settings[0].draft_tokens:
        return _drafted_s(s, r)
    return _computed_s(s, r, 0)


@compiled
def _drafted_s(s: State, r: int) -> float:
    """A step that verifies drafts, and the drafter after it: a pass over the same tokens, then one a further token."""
    rep, settings = s.replicas[r], s.settings[0]
    seconds = _computed_s(s, r, rep.step_rows - rep.step_decodes)
    if rep.step_samples:
        batch = s.batches[rep.step_samples]
        pass_s = batch.decode_s + batch.decode_per_kv_token_s * rep.step_samples_kv_tokens
        pass_s -= beyond_s(batch, rep.step_samples_kv_tokens)
        seconds += settings.draft_share * (seconds + (settings.draft_tokens - 1) * pass_s)
    return float(seconds)


@compiled
def _computed_s(s: State, r: int, drafts: int) -> float:
    rep, settings = s.replicas[r], s.settings[0]
    decodes = s.batches[rep.step_decodes]
    if settings.linear:
        context = rep.step_kv_tokens + (rep.step_chunk_tokens + rep.step_chunk_context)
        prompts_s = settings.linear_per_prefill_token_s * (rep.step_chunk_tokens + drafts)
        return float(decodes.decode_s + prompts_s + decodes.decode_per_kv_token_s * context)
    logits_s = 0.0
    if drafts:
        rows = rep.step_decodes + rep.step_chunks
        logits_s = s.logits_s[rows + drafts] - s.logits_s[rows]
    if not rep.step_chunks:
        if drafts:
            base_s = s.dense_s[rep.step_rows] + decodes.alone_s + decodes.per_step_s + logits_s
            attention_s = decodes.decode_per_kv_token_s * rep.step_kv_tokens
            return float(max(base_s, settings.least_s) + attention_s - beyond_s(decodes, rep.step_kv_tokens))
        seconds = decodes.decode_s + decodes.decode_per_kv_token_s * rep.step_kv_tokens
        return float(seconds - beyond_s(decodes, rep.step_kv_tokens))
    seconds = rep.step_chunk_s + logits_s
    if rep.step_decodes:
        seconds += decodes.attention_s + decodes.attention_per_kv_token_s * rep.step_kv_tokens
        seconds -= beyond_s(decodes, rep.step_kv_tokens)
    dense_s = s.dense_s[rep.step_decodes + drafts + rep.step_chunk_tokens]
    return float(dense_s + s.batches[rep.step_decodes + rep.step_chunks].per_step_s + seconds)
