"""Break-evens of an API whose contract is code of one's own, each against arithmetic by hand."""

from __future__ import annotations

import pytest

import simulator
from simulator.results import run
from tests.experiment.small import small

PRICE = "1000 USD/1M tokens"
LINES = {
    "minimum": lambda month: max(0.0, 1500.0 - float(month.others_usd)),
    "free_tier": lambda month: -min(month.tokens, 500_000.0) / 1e6 * 1000.0,
    "credit": lambda month: -min(100.0, float(month.others_usd)),
    "rebate": lambda month: -0.3 * max(0.0, float(month.others_usd) - 200.0),
}
#: Tokens a month from which 730 USD of rent are no more than the bill: 1,000 USD a million.
FROM_TOKENS = {"minimum": 0, "free_tier": 1_230_000, "credit": 830_000, "rebate": (200 + 530 / 0.7) * 1000}


@pytest.mark.parametrize("name", LINES)
def test_a_contract_of_code_breaks_even_where_its_bill_does(name):
    api = {"prices": {"prompt": PRICE, "output": PRICE}, "costs": {"lines": {"fee": {"kind": "custom", "name": name}}}}
    changes = {f"hosting_patterns.api.api.{key}": value for key, value in api.items()}
    with simulator.using(cost_lines=LINES):
        decision = run(small(changes), patterns=["api", "rented"], replications=1, tables=False, band=False).decision
    (row,) = decision.break_even
    assert row.tokens_per_month == pytest.approx(FROM_TOKENS[name], abs=2)
    # Another model has its own price and none of this contract.
    models = {one.api: one for one in decision.break_even_by_model}
    assert models["bedrock/llama-3.3-70b"].tokens_per_month == pytest.approx(730 / 0.72e-6, rel=0.001)
