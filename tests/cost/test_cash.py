"""Cash is the sum of dated payments, whoever prints it: the bill, the workbook and the comparison of a purchase."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.bill import Bill, BillLine, monthly_bill
from simulator.cost.cash import assets_of, cash_of, cash_usd, once_usd, renewal_bill, renewals_usd
from simulator.scenario.patterns import SelfHostedPattern
from tests.cost.test_bill import BOOK, CLUSTER, MONTH, PURCHASE, metered, self_hosted, usage
from tests.cost.test_formulas import agree


def bought(life, price=32_000, residual=0, **costs):
    compute = {"kind": "purchase", "gpus": f"{price} USD", "amortisation": life, "residual": f"{residual} USD"}
    return self_hosted(compute, **costs)


def test_it_is_what_is_paid_and_nothing_written_off():
    """32,000 USD and the review at once; then monitoring and its share of support, no instalment and no interest."""
    compute = {**PURCHASE, "interest": "6 %", "support": "12 %"}
    pattern = self_hosted(compute, monitoring="200 USD/month", one_off={"review": "1000 USD"})
    cash = cash_of(pattern, monthly_bill(pattern, usage(), BOOK, MONTH))
    assert (cash.before_usd, cash.first_year_usd, cash.three_years_usd) == (
        33_000,
        33_000 + 12 * 520,
        33_000 + 36 * 520,
    )
    assert cash_of(metered(), monthly_bill(metered(), usage(10**9), BOOK, MONTH)).three_years_usd == 36 * 2000


@pytest.mark.parametrize(
    ("life", "first_year", "three_years", "again"),
    [
        # A set of 24 months is replaced once within 36: 32,000, then 32,000 less the 2,000 that the old one fetches.
        (24, 32_000, 62_000, {24: 30_000}),
        (12, 32_000, 92_000, {12: 30_000, 24: 30_000}),
        (18, 32_000, 62_000, {18: 30_000}),
        # Five months: after 5 and 10 in the first year, after 15, 20, 25, 30 and 35 later.
        (5, 92_000, 242_000, dict.fromkeys((5, 10, 15, 20, 25, 30, 35), 30_000)),
        # What is written off with the last month serves to its end.
        (36, 32_000, 32_000, {}),
        (60, 32_000, 32_000, {}),
    ],
)
def test_what_lasts_less_is_bought_again(life, first_year, three_years, again):
    pattern = bought(life, residual=2_000, network="20 USD/month")
    cash = cash_of(pattern, monthly_bill(pattern, usage(), BOOK, MONTH))
    assert (cash.before_usd, cash.renewals_usd) == (32_000, again)
    assert (cash.first_year_usd - 12 * 20, cash.three_years_usd - 36 * 20) == (first_year, three_years)


def test_its_tax_is_paid_again_with_it():
    """20 % on 32,000 USD, twice; what the old set fetches brings none of it back."""
    pattern = bought(24, residual=2_000)
    cash = cash_of(pattern, monthly_bill(pattern, usage(), BOOK, MONTH), 0.2)
    assert (cash.before_usd, cash.three_years_usd) == (38_400, 38_400 + 36_400)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 10**6), st.integers(0, 100)), min_size=1, max_size=3),
    st.integers(0, 5_000),
    st.integers(0, 1_000),
    st.integers(1, 120),
    st.sampled_from([0.0, 0.19]),
)
def test_it_is_the_sum_of_dated_payments(parts, running, review, months, vat):
    """A ledger kept month by month: a set that is worn out is replaced before the next month begins."""
    clusters, ledger = {}, Fraction(0)
    tax = 1 + Fraction(str(vat))
    for number, (life, price, left) in enumerate(parts):
        compute = {"kind": "purchase", "gpus": f"{price} USD", "amortisation": life}
        compute["residual"] = f"{price * left // 100} USD"
        one_off = {"one_off": {"review": f"{review} USD"}} if not number else {}
        clusters[f"part_{number}"] = {"cluster": CLUSTER, "costs": {"compute": compute, **one_off}}
        ledger += price * tax
        age = 0
        for _ in range(months):
            if age == life:
                ledger += price * tax - price * left // 100
                age = 0
            age += 1
    ledger += review * tax + months * running
    pattern = SelfHostedPattern.model_validate({"kind": "self_hosted", "clusters": clusters})
    bill = Bill((BillLine("network", "Network", Decimal(running), ""), BillLine("purchase", "", Decimal(9), "")))
    assert Fraction(cash_usd(pattern, bill, months, vat)) == pytest.approx(ledger, abs=1e-6)
    again = renewal_bill(pattern, months, vat)
    assert again.total_usd == sum(renewals_usd(pattern, months, vat).values())
    assert once_usd(pattern, vat) + again.total_usd + months * running == cash_usd(pattern, bill, months, vat)
    assert len(again.lines) == len(assets_of(pattern, vat)) == len(parts)
    # As a spreadsheet works it out.
    agree(again)
