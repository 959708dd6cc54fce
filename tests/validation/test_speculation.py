"""Speculative decoding beside what others measured: the gain of a small batch, the loss of a large one."""

from __future__ import annotations

import pytest

from simulator.performance.capacity import saturated_requests_per_s
from simulator.performance.profile import read_profile
from simulator.performance.step_time import ProfiledStepTime, verification_s
from simulator.scenario.speculation import SpeculativeDecoding

#: Llama 3.1 8B, one request at a time, MT-Bench: by drafted tokens, the mean accepted length and the time per output
#: token in ms; 7.07 without (E. Ranjan, vLLM issue 20780, 2025-07-10).
VANILLA_MS = 7.07
EAGLE_3 = {2: (2.36, 4.32), 3: (2.79, 4.09), 4: (3.08, 4.05), 5: (3.32, 4.13), 6: (3.46, 4.20), 7: (3.54, 4.29)}
EAGLE_1 = {2: (2.10, 4.37), 3: (2.29, 4.29), 4: (2.39, 4.48), 5: (2.43, 4.71), 6: (2.45, 4.94), 7: (2.47, 5.20)}
CONTEXT_TOKENS = 300


def drafting(tokens, length, share, method="eagle3"):
    """Only the sum of the rates matters here."""
    rates = [(length - 1) / tokens] * tokens
    return SpeculativeDecoding(
        method=method,
        num_speculative_tokens=tokens,
        acceptance_rates=rates,
        acceptance_source="a test",
        draft_step_share=share,
    )


def gain(profile, sequences, made):
    """How many times as fast tokens come."""
    plain, width = (
        ProfiledStepTime(profile, sequences, 8192, query_len=n) for n in (1, 1 + made.num_speculative_tokens)
    )
    without_s, _ = verification_s(plain, None, sequences, sequences * CONTEXT_TOKENS)
    with_s, tokens = verification_s(width, made, sequences, sequences * CONTEXT_TOKENS)
    return without_s / (with_s / tokens)


@pytest.mark.parametrize(("share", "measured"), [(0.172, EAGLE_3), (0.117, EAGLE_1)], ids=["eagle 3", "eagle 1"])
def test_the_gain_of_a_single_request_follows_the_tokens_drafted(share, measured):
    """What a pass of the drafter takes is fitted at four tokens; the other five are predicted."""
    profile = read_profile("llama-3.1-8b-bf16-h100-80gb-x1")
    for tokens, (length, tpot_ms) in measured.items():
        found = gain(profile, 1, drafting(tokens, length, share))
        assert found == pytest.approx(VANILLA_MS / tpot_ms, rel=0.01 if tokens == 4 else 0.05), tokens


def test_it_gains_while_the_gpu_waits_for_memory_and_loses_once_it_computes():
    """A 70B model on four H100 with a draft model: 1.5 times as fast at 1 request/s, 1.4 (chat) to 1.8 times (n-gram on
    summaries) as slow at many (vLLM team, How Speculative Decoding Boosts vLLM Performance by up to 2.8x, 2024-10-17).
    The accepted length is not told there, 2 is assumed; a draft model of 0.5B, 5 % of a step."""
    profile = read_profile("llama-3.3-70b-bf16-h100-80gb-x4")
    made = drafting(4, 2.0, 0.05, "draft_model")
    gains = [gain(profile, sequences, made) for sequences in (1, 4, 16, 64, 128, 256)]
    assert gains == sorted(gains, reverse=True)
    assert 1.4 < gains[0] < 1.7
    assert 1 / 1.8 < gains[-1] < 1 / 1.4
    served = [
        saturated_requests_per_s(
            ProfiledStepTime(profile, 256, 8192, query_len=width),
            kv_tokens=900_000,
            max_num_seqs=256,
            max_num_batched_tokens=8192,
            prompt_tokens=250,
            cached_tokens=0,
            output_tokens=200,
            drafts=drafts,
        )
        for width, drafts in ((1, None), (5, made))
    ]
    assert 1 / 1.8 < served[1] / served[0] < 1 / 1.2
