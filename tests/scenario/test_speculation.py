"""What may be said about speculative decoding, and what is wrong with the rest."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from simulator.scenario.patterns import EngineSettings
from simulator.scenario.speculation import SpeculativeDecoding

EAGLE = {
    "method": "eagle3", "num_speculative_tokens": 3, "acceptance_rates": [0.7, 0.5, 0.3], "draft_step_share": 0.05,
    "acceptance_source": "our log",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "place", "told"),
    [
        ({"acceptance_rates": [0.7, 0.5]}, ("acceptance_rates",), "2 rates for 3"),
        ({"acceptance_rates": [0.5, 0.7, 0.3]}, ("acceptance_rates", 1), "0.7 is above 0.5"),
        ({"acceptance_rates": [1.2, 0.7, 0.3]}, ("acceptance_rates", 0), "1.2"),
        ({"acceptance_rates": [0.7, 0.5, -0.1]}, ("acceptance_rates", 2), "-0.1"),
        ({"acceptance_source": ""}, ("acceptance_source",), "at least 1"),
        ({"num_speculative_tokens": 0, "acceptance_rates": []}, ("num_speculative_tokens",), "greater than 0"),
        ({"num_speculative_tokens": 65, "acceptance_rates": [0.1] * 65}, ("num_speculative_tokens",), "64"),
        ({"draft_step_share": None}, ("draft_step_share",), "one pass of eagle3"),
        ({"draft_step_share": -0.1}, ("draft_step_share",), "greater than or equal to 0"),
        ({"method": "medusa"}, ("method",), "'ngram', 'eagle3', 'mtp' or 'draft_model'"),
        ({"acceptance": [0.5]}, ("acceptance",), "not permitted"),
    ],
)
def test_faults_say_where_and_what(changes, place, told):
    with pytest.raises(ValidationError) as caught:
        SpeculativeDecoding(**(EAGLE | changes))
    errors = caught.value.errors()
    found = [getattr(error.get("ctx", {}).get("error"), "key", error["loc"]) for error in errors]
    assert place in found
    assert any(told in f"{error['msg']} {error['input']}" for error in errors)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"long_prefill_token_threshold": 3}, "long_prefill_token_threshold 3 would cut a step's 4 tokens"),
        ({"max_num_batched_tokens": 3}, "3 max_num_batched_tokens cannot verify 4 tokens"),
        ({"max_model_len": 4}, "no request of 4 max_model_len has room for 4 tokens"),
        ({"vllm_version": "0.11.0"}, "vllm_version is 0.11.0"),
    ],
)
def test_what_of_vllms_other_settings_does_not_go_with_it(settings, told):
    made = SpeculativeDecoding(**EAGLE)
    with pytest.raises(ValidationError, match=told):
        EngineSettings(**settings, speculative=made)
    EngineSettings(speculative=made, long_prefill_token_threshold=4, max_num_batched_tokens=4, max_model_len=5)


@pytest.mark.parametrize(
    ("method", "lookahead", "slots", "hashed"),
    [("ngram", 0, 0, 0), ("eagle3", 3, 0, 1), ("mtp", 3, 0, 1), ("draft_model", 3, 1, 0)],
)
def test_what_each_method_takes_of_budget_and_blocks(method, lookahead, slots, hashed):
    made = SpeculativeDecoding(**(EAGLE | {"method": method}))
    assert (made.lookahead_tokens, made.slots, made.hash_lookahead_tokens) == (lookahead, slots, hashed)
    assert made.tokens_per_step == pytest.approx(2.5)
