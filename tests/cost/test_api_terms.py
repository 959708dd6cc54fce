"""What a contract adds to a month's tokens or takes off them, worked out by hand and held by laws."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.cost.bill import monthly_bill
from simulator.cost.escalation import escalated
from simulator.cost.tco import exact
from simulator.cost.usage import ApiUse
from simulator.scenario.rollout import Escalation
from tests.cost.test_bill import BOOK, MONTH, metered, of, tokens
from tests.cost.test_formulas import agree

PRICES = {"prompt": "2 USD/1M tokens", "cached_prompt": "0.5 USD/1M tokens", "output": "8 USD/1M tokens"}
#: 6M prompt tokens at 2 USD, 4M cached ones at 0.50, 1M answers at 8: 22 USD.
USE = ApiUse(10_000_000, 4_000_000, 1_000_000)


def bill(terms, use=USE, hours=730.0, vat=0.0, **api):
    pattern = metered(prices=PRICES, terms=terms, **api)
    return monthly_bill(pattern, of(hours, 0.0, use), BOOK.model_copy(update={"vat": vat}), MONTH)


@pytest.mark.parametrize(
    ("terms", "line", "usd", "total"),
    [
        ({"free_tokens": 2_750_000}, "api_free_tokens", "-5.5", "16.5"),
        ({"free_tokens": 11_000_001}, "api_free_tokens", "-22", "0"),
        ({"free_prompt_tokens": 2_500_000}, "api_free_prompt_tokens", "-3.5", "18.5"),
        ({"free_prompt_tokens": 10_000_001}, "api_free_prompt_tokens", "-14", "8"),
        ({"free_output_tokens": 250_000}, "api_free_output_tokens", "-2", "20"),
        ({"discount": "25 %"}, "api_discount", "-5.5", "16.5"),
        ({"minimum": "30 USD/month"}, "api_minimum", "8", "30"),
        ({"minimum": "22 USD/month"}, "api_minimum", "0", "22"),
        ({"fee": "100 USD/month"}, "api_fee", "100", "122"),
        ({"fee": "100 USD/month", "minimum": "30 USD/month"}, "api_minimum", "8", "130"),
        # Free tokens, then the discount on 16.50 USD, then what falls short of 15 USD.
        ({"free_tokens": 2_750_000, "discount": "20 %", "minimum": "15 USD/month"}, "api_minimum", "1.8", "15"),
    ],
)
def test_by_hand(terms, line, usd, total):
    found = bill(terms)
    assert found.usd(line) == Decimal(usd)
    assert found.total_usd == Decimal(total)


def test_work_on_prompts_uses_up_free_tokens_and_fills_the_minimum():
    found = bill({"free_tokens": 5_500_000, "minimum": "50 USD/month"}, costs={"prompt_iteration": 2.0})
    # 44 USD for 22M tokens, a quarter of them free.
    assert found.usd("api_free_tokens") == -11
    assert found.usd("api_minimum") == 17


def test_free_tokens_are_those_of_a_month_whatever_was_measured():
    assert bill({"free_tokens": 2_750_000}, hours=73.0).total_usd == 220 - Decimal("5.5")


def test_each_api_has_its_own_terms():
    other = bill({"minimum": "30 USD/month"}, use=ApiUse(0, 0, 0))
    assert other.total_usd == 30


def test_tax_and_compliance_are_due_on_what_is_paid():
    found = bill({"minimum": "30 USD/month"}, vat=0.2, costs={"compliance": "10 %"})
    assert found.usd("api_compliance") == 3
    assert found.total_usd == Decimal("39.6")


contracts = st.fixed_dictionaries(
    {},
    optional={
        "discount": st.sampled_from(["5 %", "37.5 %", "100 %"]),
        "minimum": st.integers(0, 10**6).map("{} USD/month".format),
        "fee": st.integers(0, 10**4).map("{} USD/month".format),
    },
)
free = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"free_tokens": st.integers(1, 10**12)}),
    st.fixed_dictionaries(
        {}, optional={f"free_{kind}_tokens": st.integers(1, 10**12) for kind in ("prompt", "output")}
    ),
)


@st.composite
def uses(draw):
    prompt = draw(tokens)
    return ApiUse(prompt, draw(st.integers(0, prompt)), draw(tokens))


@given(contracts, free, uses(), st.sampled_from([1.0, 2.5]), st.sampled_from([1.0, 91.7, 730.0]))
def test_law_between_the_minimum_and_what_it_costs_without_a_contract(terms, gratis, use, iteration, hours):
    costs = {"prompt_iteration": iteration}
    found = bill({**terms, **gratis}, use, hours, costs=costs)
    agree(found)
    alone = bill({}, use, hours, costs=costs).total_usd
    fee, least = (Decimal(terms.get(key, "0 ").split()[0]) for key in ("fee", "minimum"))
    tokens_usd = found.total_usd - fee
    assert least - Decimal("1e-9") <= tokens_usd <= max(alone, least) + Decimal("1e-9")


@given(contracts, free, uses(), st.integers(2, 50))
def test_law_more_tokens_never_cost_less(terms, gratis, use, times):
    more = ApiUse(use.prompt_tokens * times, use.cached_prompt_tokens * times, use.output_tokens * times)
    less, dearer = (bill({**terms, **gratis}, one).total_usd for one in (use, more))
    assert dearer >= less - Decimal("1e-6")


@given(contracts, free, uses(), st.floats(-0.5, 0.5), st.integers(0, 36))
def test_law_dearer_tokens_are_the_bill_at_the_dearer_price(terms, gratis, use, yearly, months):
    """But for a fee, which follows the prices, and the minimum, which does not."""
    later = escalated(bill({**terms, **gratis}, use), Escalation(api=yearly), Fraction(months, 12))
    agree(later)
    factor = (1.0 + yearly) ** (months / 12)
    # The same at the beginning, of tokens that cost as much more.
    start = bill({**{key: value for key, value in terms.items() if key != "minimum"}, **gratis}, use)
    fee = Decimal(terms.get("fee", "0 ").split()[0])
    least = exact(Decimal(terms.get("minimum", "0 ").split()[0]))
    expected = max(least, exact(start.total_usd - fee) * exact(factor)) + exact(fee) * exact(factor)
    assert float(later.total_usd) == pytest.approx(float(expected), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("api", "key"),
    [
        ({"terms": {"free_tokens": 1, "free_prompt_tokens": 1}}, ("free_prompt_tokens",)),
        ({"terms": {"free_tokens": 1, "free_output_tokens": 1}}, ("free_output_tokens",)),
        ({"terms": {"minimum": "-1 USD/month"}}, ("minimum",)),
        ({"terms": {"minimum": "5 USD/h"}}, ("minimum",)),
        ({"terms": {"discount": "120 %"}}, ("discount",)),
        ({"terms": {"fee": "1 USD/month"}, "deployment": {"kind": "provisioned", "units": 15}}, ("terms",)),
    ],
)
def test_what_is_refused(api, key):
    with pytest.raises(ValidationError) as fault:
        metered(**api)
    assert any(key == error["loc"][-1:] or key[0] in str(error) for error in fault.value.errors())
