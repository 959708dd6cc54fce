"""Break-evens of an API whose contract is code of one's own, each against arithmetic by hand."""

from __future__ import annotations

import pytest

import simulator
from simulator.decision.cost_curve import cost_at
from simulator.results import run
from tests.experiment.small import small

PRICE = "1000 USD/1M tokens"
LINES = {
    "minimum": lambda month: max(0.0, 1500.0 - float(month.others_usd)),
    "free_tier": lambda month: -min(month.tokens, 500_000.0) / 1e6 * 1000.0,
    "credit": lambda _: -100.0,
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
    another_model_has_none_of_it(decision)


#: The same in keys, and more. At 1,000 USD a million both fees come off the 730 USD first.
TERMS = {
    "minimum": ({"minimum": "1500 USD/month"}, 0),
    "within the minimum": ({"minimum": "700 USD/month"}, 730_000),
    "free tokens": ({"free_tokens": 500_000}, 1_230_000),
    "discount": ({"discount": "20 %"}, 912_500),
    "fee": ({"fee": "100 USD/month"}, 630_000),
    "all": (
        {"free_tokens": 500_000, "discount": "20 %", "minimum": "600 USD/month", "fee": "30 USD/month"},
        1_375_000,
    ),
    "all, and more than the rent": ({"free_tokens": 500_000, "minimum": "701 USD/month", "fee": "30 USD/month"}, 0),
}


@pytest.mark.parametrize("name", TERMS)
def test_a_contract_of_keys_breaks_even_where_its_bill_does(name):
    terms, from_tokens = TERMS[name]
    api = {"prices": {"prompt": PRICE, "output": PRICE}, "terms": terms}
    changes = {f"hosting_patterns.api.api.{key}": value for key, value in api.items()}
    results = run(small(changes), patterns=["api", "rented"], replications=1, tables=False, band=False)
    (row,) = results.decision.break_even
    assert row.tokens_per_month == pytest.approx(from_tokens, abs=2)
    assert row.cluster_usd <= row.api_usd
    slope = 1000.0 * (1.0 - float(terms.get("discount", "0 %").removesuffix(" %")) / 100)
    assert row.usd_per_million_tokens == pytest.approx(slope)
    another_model_has_none_of_it(results.decision)
    # The curve beside it has a point where the bill bends, and lies on the bill there.
    (line,) = [one for one in results.decision.cost_curve.series if one.pattern == "api"]
    least = cost_at(line, 0)
    if least:
        minimum, fee = (float(terms.get(key, "0 ").split()[0]) for key in ("minimum", "fee"))
        assert least == minimum + fee


def another_model_has_none_of_it(decision):
    models = {one.api: one for one in decision.break_even_by_model}
    assert models["bedrock/llama-3.3-70b"].tokens_per_month == pytest.approx(730 / 0.72e-6, rel=0.001)
