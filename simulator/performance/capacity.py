"""How many tokens a second a replica could serve at most, for a given mix of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.performance.step_time import verification_s

if TYPE_CHECKING:
    from simulator.performance.step_time import StepTimeModel
    from simulator.scenario.speculation import SpeculativeDecoding


def saturated_requests_per_s(
    step_time: StepTimeModel,
    *,
    kv_tokens: int,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    prompt_tokens: float,
    cached_tokens: float,
    output_tokens: float,
    drafts: SpeculativeDecoding | None = None,
) -> float:
    """Requests per second of a replica that is never short of work.

    In the long run each request brings its uncached prompt and its output into a batch that is as large as
    `max_num_seqs` and the KV blocks allow: b sequences decode in every step, and in the time of o steps b prompts
    are computed, in chunks that fill the token budget.

    Args:
        step_time: The replica's step time.
        kv_tokens: Tokens of context that fit its KV blocks.
        max_num_seqs: Most sequences in a step.
        max_num_batched_tokens: Token budget of a step.
        prompt_tokens: Mean prompt length.
        cached_tokens: Of those, found in the prefix cache.
        output_tokens: Mean output length.
        drafts: Speculative decoding, if any.
    """
    context = prompt_tokens + 0.5 * output_tokens
    batch = max(1, min(max_num_seqs, int(kv_tokens / (prompt_tokens + output_tokens))))
    step_s, tokens_a_step = verification_s(step_time, drafts, batch, round(batch * context))
    if drafts is None:
        step_s = step_time.step_s(batch, batch * context, [])
    drafted = 0 if drafts is None else drafts.num_speculative_tokens
    chunk = max(1, max_num_batched_tokens - batch * (1 + drafted))
    # The prompt takes the place of one decoding sequence: a step has no room for more than `max_num_seqs`.
    others = batch - 1
    beside = others * drafted
    both_s = step_time.step_s(others, round(others * context), [(chunk, round(cached_tokens))], beside)
    alone_s = step_time.step_s(others, round(others * context), [], beside) if others else 0.0
    per_prompt_token_s = max(0.0, both_s - alone_s) / chunk
    prompt_s = per_prompt_token_s * (prompt_tokens - cached_tokens)
    return batch / (output_tokens / tokens_a_step * step_s + batch * prompt_s)
