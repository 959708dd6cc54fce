from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost import tco

money = st.decimals(min_value=0, max_value=10**10, places=6)
shares = st.floats(min_value=0, max_value=1)


@given(st.lists(st.decimals(min_value=0, max_value=10**6, places=12), max_size=20), st.randoms())
def test_amounts_add_exactly_in_any_order(amounts, random):
    shuffled = random.sample(amounts, len(amounts))
    assert sum(amounts, Decimal(0)) == sum(shuffled, Decimal(0)) == sum(map(Fraction, amounts), Fraction(0))


@given(st.fractions(min_value=-(10**9), max_value=10**9))
def test_decimals_are_the_nearest_trillionth(amount):
    decimal = tco.to_decimal(amount)
    assert decimal.as_tuple().exponent == -12
    assert abs(Fraction(decimal) - amount) <= Fraction(1, 2 * 10**12)


@given(st.integers(min_value=0, max_value=10**12), st.integers(min_value=1, max_value=240))
def test_instalments_repay_the_purchase(price_usd, months):
    instalment = tco.amortised_usd(Decimal(price_usd), months)
    assert abs(Fraction(instalment) * months - price_usd) <= Fraction(months, 2 * 10**12)


def test_a_purchase_needs_a_month():
    with pytest.raises(ValueError, match="at least one month"):
        tco.amortised_usd(Decimal(1), 0)


@given(shares, shares, st.integers(1, 8), st.integers(1, 8))
def test_power_lies_between_idle_and_rated_and_grows_with_work(a, b, gpus, replicas):
    def watts(busy_fraction):
        return tco.average_power_w(
            gpu_idle_w=100,
            gpu_busy_w=360.5,
            host_w=400,
            busy_fraction=busy_fraction,
            gpus=gpus,
            replicas=replicas,
        )

    low, high = sorted((a, b))
    assert watts(0) <= watts(low) <= watts(high) <= watts(1)
    assert watts(1) == replicas * (gpus * Fraction("360.5") + 400)


@given(money, st.floats(min_value=1, max_value=3), shares)
def test_staff_cost_at_most_a_loaded_salary(salary, loading, share):
    usd = tco.staff_usd(salary, share, loading)
    assert 0 <= usd <= tco.staff_usd(salary, 1.0, loading)


def test_loading_multiplies_the_base_pay():
    # 35 % of 135,000 USD a year, loaded by 1.3: 5,119 USD a month.
    assert tco.staff_usd(Decimal(135_000), share=0.35, loading=1.3) == Decimal("5118.75")


def test_floats_mean_what_they_show():
    assert tco.exact(0.1) == Fraction(1, 10)
    assert tco.staff_usd(Decimal(12), share=0.1) == Decimal("0.1")


def test_unless_told_nothing_is_fetched_in_the_end():
    price = Decimal(32_000)
    assert tco.interest_usd(price, 36, 0.06) == tco.interest_usd(price, 36, 0.06, Decimal(0))
    assert tco.interest_usd(price, 36, 0.06) < tco.interest_usd(price, 36, 0.06, Decimal(1))
    assert tco.amortised_usd(price, 36) == tco.amortised_usd(price, 36, Decimal(0))
