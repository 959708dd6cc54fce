"""What a scenario says about money: bounds."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from simulator.scenario.costs import ExchangeRate, rates_of


@pytest.mark.parametrize(("usd", "allowed"), [(0.0, False), (1e-9, True), (1e6, True), (1_000_000.5, False)])
def test_a_unit_of_a_currency_is_worth_something_and_no_more_than_a_million_dollars(usd, allowed):
    said = {"usd": usd, "on": "2026-11-30", "source": "a bank"}
    if allowed:
        assert ExchangeRate.model_validate(said).usd == usd
    else:
        with pytest.raises(ValidationError, match="usd"):
            ExchangeRate.model_validate(said)


@pytest.mark.parametrize("wrong", [0, 0.0, -1, True, "1.08", None, float("inf"), float("nan")])
def test_a_rate_that_is_not_sound_counts_as_one_until_it_is_complained_of(wrong):
    """Amounts of its currency are then read without a fault of their own, and nothing is divided by nothing."""
    rates = {"EUR": {"usd": 1.08}, "CHF": {"usd": wrong}, "GBP": 3, "SEK": {}}
    assert rates_of({"prices": {"rates": rates}}) == {
        "EUR": Decimal("1.08"), "CHF": Decimal(1), "GBP": Decimal(1), "SEK": Decimal(1),
    }  # fmt: skip


@pytest.mark.parametrize("data", [None, [], {"prices": 3}, {"prices": {"rates": [1]}}, {"prices": {}}])
def test_where_no_rates_are_there_are_none(data):
    assert rates_of(data) == {}
