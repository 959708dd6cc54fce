from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simulator.cost.prices import load_price_book
from simulator.decision.break_even import (
    BreakEven,
    NoBreakEven,
    blended_price,
    break_even,
    capacity_share,
    capacity_tokens,
    payback_months,
)
from simulator.units import TokenPrice

usd = st.decimals(min_value=0, max_value=10**7, places=2)
prices = st.decimals(min_value="0.01", max_value=1000, places=4).map(TokenPrice.per_million)
counts = st.integers(min_value=0, max_value=10**9)


@given(usd, prices)
def test_break_even_is_the_first_volume_at_which_the_fixed_cost_is_no_dearer(fixed_usd, price):
    found = break_even(fixed_usd, price)
    assert isinstance(found, BreakEven)
    assert price.cost_usd(found.tokens_per_month) >= fixed_usd
    assert found.tokens_per_month == 0 or price.cost_usd(found.tokens_per_month - 1) < fixed_usd


@given(usd, prices, st.integers(min_value=1, max_value=10**12))
def test_capacity_decides_whether_the_break_even_exists(fixed_usd, price, capacity):
    found = break_even(fixed_usd, price, capacity)
    assert isinstance(found, BreakEven) == (found.tokens_per_month <= capacity)
    assert found.capacity_share == capacity_share(found.tokens_per_month, capacity)


def test_a_break_even_at_full_capacity_still_exists():
    found = break_even(Decimal(15), TokenPrice.per_million("15"), 1_000_000)
    assert found == BreakEven(1_000_000, 1.0)


@given(usd, usd, prices)
def test_dearer_clusters_break_even_later(a, b, price):
    low, high = sorted((a, b))
    assert break_even(low, price).tokens_per_month <= break_even(high, price).tokens_per_month


def test_a_free_api_is_never_undercut():
    found = break_even(Decimal(1), TokenPrice.per_million("0"), 10**9)
    assert isinstance(found, NoBreakEven)
    assert found.tokens_per_month is None
    assert "nothing per token" in found.reason


@pytest.mark.parametrize(
    ("model", "tokens_m"),
    [
        ("azure/gpt-4-turbo", 393),
        ("azure/gpt-4o", 1_349),
        ("azure/gpt-4.1", 1_686),
        ("azure/gpt-5.4", 1_049),
        ("bedrock/claude-sonnet-4.5", 983),
    ],
)
def test_the_break_even_depends_on_the_model_one_compares_with(model, tokens_m):
    entry = load_price_book("2026-11").api(model)
    price = blended_price(entry.prompt, entry.output, prompt_tokens=3, output_tokens=1)
    found = break_even(Decimal(5900), price, capacity_tokens(1500, Decimal(720)))
    assert isinstance(found, BreakEven)
    assert round(found.tokens_per_month / 1e6) == tokens_m


@pytest.mark.parametrize(
    ("model", "tokens_m", "share"),
    [("bedrock/llama-3.3-70b", 8_194, 2.11), ("openai/gpt-6-luna", 29_500, 7.59)],
)
def test_some_models_are_beyond_the_cluster(model, tokens_m, share):
    entry = load_price_book("2026-11").api(model)
    price = blended_price(entry.prompt, entry.output, prompt_tokens=3, output_tokens=1)
    found = break_even(Decimal(5900), price, capacity_tokens(1500, Decimal(720)))
    assert isinstance(found, NoBreakEven)
    assert round(found.tokens_per_month / 1e6) == tokens_m
    assert round(found.capacity_share, 2) == share
    assert f"{tokens_m:,}M tokens a month" in found.reason


@given(prices, prices, counts, counts)
def test_a_blend_costs_what_its_parts_cost(prompt, output, prompts, outputs):
    assume(prompts + outputs)
    blend = blended_price(prompt, output, prompt_tokens=prompts, output_tokens=outputs)
    exact_usd = prompt.cost_usd(prompts) + output.cost_usd(outputs)
    assert abs(blend.cost_usd(prompts + outputs) - exact_usd) < Decimal("1e-6")
    assert min(prompt, output) <= blend <= max(prompt, output)


@pytest.mark.parametrize("mix", [(0, 0), (-1, 2), (2, -1)])
def test_a_mix_needs_tokens(mix):
    ten = TokenPrice.per_million("10")
    with pytest.raises(ValueError, match="a mix needs"):
        blended_price(ten, ten, prompt_tokens=mix[0], output_tokens=mix[1])


@given(st.decimals(min_value="0.0001", max_value=100, places=6))
def test_prices_per_token_thousand_and_million_agree(per_thousand):
    price = TokenPrice.per_thousand(per_thousand)
    assert price == TokenPrice.per_token(per_thousand / 1000) == TokenPrice.per_million(per_thousand * 1000)
    assert price.cost_usd(1000) == per_thousand


@given(usd, usd, st.integers(min_value=1, max_value=10**7))
def test_savings_over_the_payback_equal_the_purchase(upfront, running, saving):
    months = payback_months(upfront, running + saving, running)
    assert abs(months * saving - upfront) < Decimal("1e-4")


@pytest.mark.parametrize("reference", [99, 100])
def test_without_savings_nothing_is_paid_back(reference):
    assert payback_months(Decimal(1000), Decimal(reference), Decimal(100)) is None


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="not negative"):
        break_even(Decimal(-1), TokenPrice.per_million("1"))
    with pytest.raises(ValueError, match="must be positive"):
        capacity_share(1, 0)


def test_costs_that_meet_beyond_what_a_cluster_can_serve_are_told_by_hand():
    """5,000 USD at 2 USD a million are 2,500M tokens, of 1,000M that it can serve."""
    found = break_even(Decimal(5000), TokenPrice(Decimal(2)), 1_000_000_000)
    assert found == NoBreakEven(
        "the costs meet at 2,500M tokens a month, 250.0 % of the 1,000M this cluster can serve", 2_500_000_000, 2.5
    )
    assert isinstance(break_even(Decimal(2000), TokenPrice(Decimal(2)), 1_000_000_000), BreakEven)
