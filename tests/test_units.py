from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.units import (
    TokenPrice,
    parse_duration_s,
    parse_memory_bytes,
    parse_share,
    parse_token_price,
    parse_usd,
    parse_usd_per_month,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2s", 2), ("250ms", 0.25), ("1h 30min", 5400), ("28d", 28 * 86400), ("1w", 604800), ("0s", 0), (" 1.5 h ", 5400)],
)
def test_durations(text, seconds):
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", " ", "2", "s", "-1s", "1e3s", "nan s", "inf s", "2 s x", 5, None, True, "9999999w", "１s"]
)
def test_no_durations(text):
    with pytest.raises(ValueError, match=r"duration|year"):
        parse_duration_s(text)


def test_money():
    assert parse_usd("20,000 USD") == Decimal(20000)
    assert parse_usd("1_000.50 USD") == Decimal("1000.50")
    assert parse_usd_per_month("600 USD/year") == Decimal(50)
    assert parse_share("25 %") == parse_share(0.25) == 0.25


@pytest.mark.parametrize(
    "text", ["20000", "USD", "20 EUR", "-5 USD", "5 USD/month", "1e5 USD", "99999999999 USD", 5, None]
)
def test_no_money(text):
    with pytest.raises(ValueError, match=r"amount|exceed"):
        parse_usd(text)


@given(st.decimals(0, 1000, places=6))
def test_a_price_is_the_same_per_token_per_thousand_and_per_million(usd):
    million = TokenPrice.per_million(usd)
    assert TokenPrice.per_thousand(usd / 1000) == TokenPrice.per_token(usd / 1_000_000) == million
    assert parse_token_price(f"{usd:f} USD/1M tokens") == million
    assert million.cost_usd(1_000_000) == usd


def test_the_unit_of_a_token_price_cannot_be_left_out_or_slip():
    with pytest.raises(ValueError, match="expected an amount such as"):
        parse_token_price("15 USD")
    with pytest.raises(ValueError, match="check the unit"):
        parse_token_price("15 USD/token")


def test_memory_needs_a_unit_or_is_bytes():
    assert parse_memory_bytes("40 GiB") == 40 * 2**30 == parse_memory_bytes(40 * 2**30)
    assert parse_memory_bytes("1.5 GB") == 1_500_000_000
    assert parse_memory_bytes("1,024 MiB") == parse_memory_bytes("1GiB")
    for wrong in ("40", "40 G", "GiB", "-1 GiB", 0, -5, 1.5, True, None, "2000 TiB"):
        with pytest.raises(ValueError, match="memory"):
            parse_memory_bytes(wrong)
