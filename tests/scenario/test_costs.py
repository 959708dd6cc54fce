"""What a scenario says about money: bounds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from simulator.scenario.costs import ExchangeRate


@pytest.mark.parametrize(("usd", "allowed"), [(0.0, False), (1e-9, True), (1e6, True), (1_000_000.5, False)])
def test_a_unit_of_a_currency_is_worth_something_and_no_more_than_a_million_dollars(usd, allowed):
    said = {"usd": usd, "on": "2026-11-30", "source": "a bank"}
    if allowed:
        assert ExchangeRate.model_validate(said).usd == usd
    else:
        with pytest.raises(ValidationError, match="usd"):
            ExchangeRate.model_validate(said)
