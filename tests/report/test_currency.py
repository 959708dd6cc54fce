"""Amounts in any currency, and what people are shown in theirs."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import simulator
from simulator.decision.chance import undecided
from simulator.errors import ScenarioError
from simulator.report.currency import Shown
from simulator.scenario.yaml_source import Document
from simulator.units import (
    in_usd,
    parse_token_price,
    parse_usd,
    parse_usd_per_gb,
    parse_usd_per_hour,
    parse_usd_per_kw_month,
    parse_usd_per_kwh,
    parse_usd_per_month,
    parse_usd_per_year,
)
from tests.decision.test_verdict import result
from tests.experiment.small import small
from tests.report.test_console import shown

EUR = {"EUR": Decimal("1.08")}
RATE = {"usd": 1.25, "on": "2026-11-01", "source": "European Central Bank"}
#: Every amount is the scenario's own, so that none comes from the book in dollars.
PRICED = {
    "hosting_patterns.api.api.prices": {"prompt": "0.72 USD/1M tokens", "output": "0.72 USD/1M tokens"},
    "hosting_patterns.hybrid.api.prices": {"prompt": "0.72 USD/1M tokens", "output": "0.72 USD/1M tokens"},
    "hosting_patterns.rented.costs.staff": [{"role": "engineer", "salary": "120000 USD/year", "share": 0.1}],
    "hosting_patterns.rented.costs.one_off": {"connection": "18000 USD"},
    "hosting_patterns.bought.costs.colocation": "210 USD/kW-month",
    "hosting_patterns.api.api.costs": {"egress": {"price": "0.08 USD/GB"}, "monitoring": "50 USD/month"},
    "constraints.monthly_cost_at_most": "700 USD/month",
}


def in_euros(scenario, *, also=None):
    """The same file with every dollar a euro."""
    text = json.dumps(scenario.resolved).replace(" USD", " EUR")
    data = json.loads(text)
    data["prices"] = {"rates": {"EUR": RATE}, **(also or {})}
    return type(scenario).from_document(Document(data))


@pytest.fixture(scope="module")
def dollars():
    return simulator.run(small(PRICED))


@pytest.fixture(scope="module")
def euros():
    return simulator.run(in_euros(small(PRICED), also={"currency": "EUR"}))


@pytest.mark.parametrize(
    ("parse", "text", "usd"),
    [
        (parse_usd, "18000 EUR", "19440"),
        (parse_usd, "18,000.50 EUR", "19440.54"),
        (parse_usd_per_hour, "1.50 EUR/h", "1.62"),
        (parse_usd_per_month, "1200 EUR/year", "108"),
        (parse_usd_per_year, "90000 EUR/year", "97200"),
        (parse_usd_per_kwh, "0.12 EUR/kWh", "0.1296"),
        (parse_usd_per_kw_month, "200 EUR/kW-month", "216"),
        (parse_usd_per_gb, "0.05 EUR/GB", "0.054"),
    ],
)
def test_an_amount_is_worth_its_rate_in_dollars(parse, text, usd):
    assert parse(text, EUR) == Decimal(usd)
    assert parse(text.replace("EUR", "USD"), EUR) * Decimal("1.08") == Decimal(usd)


def test_tokens_too():
    assert parse_token_price("2 EUR/1M tokens", EUR).usd_per_million == Decimal("2.16")


def test_an_amount_as_text_is_put_into_dollars_and_nothing_else_is():
    assert in_usd("90000 EUR/year", EUR) == "97200 USD/year"
    assert in_usd("2 EUR/1M tokens", EUR) == "2.16 USD/1M tokens"
    for text in ("2 USD/1M tokens", "2 CHF/1M tokens", "a contract of 2 EUR", "EUR", ""):
        assert in_usd(text, EUR) == text


def amounts(thing, path="", *, money=False):
    """Every number of a document under a name of an amount in dollars, and every other one, by path."""
    if isinstance(thing, dict):
        for name, value in thing.items():
            yield from amounts(value, f"{path}.{name}", money=money or "usd" in re.split(r"[_.]", name))
    elif isinstance(thing, list):
        for at, value in enumerate(thing):
            yield from amounts(value, f"{path}.{at}", money=money)
    elif not isinstance(thing, (str, bool, type(None))):
        yield path, money, thing


def judged(results):
    document = json.loads(results.to_json())
    # Models of the book are in dollars whatever the scenario's currency.
    del document["decision"]["break_even_by_model"], document["inputs"]
    document.pop("shown_in", None)
    return {path: (money, value) for path, money, value in amounts(document)}


def test_dollars_called_euros_cost_the_rate_times_as_much_and_change_nothing_else(dollars, euros):
    before, after = judged(dollars), judged(euros)
    assert before.keys() == after.keys()
    assert sum(money for money, _ in before.values()) > 100
    for path, (money, value) in before.items():
        # What a purchase is held against costs whole cents a month, in either currency, for up to 60 months.
        cents = 0.005 * 60 if ".cash_flow." in path else 0.02
        assert after[path][1] == pytest.approx(value * (1.25 if money else 1.0), rel=1e-5, abs=cents), path


@example(191.7, "1.08")  # Half a euro more than a whole one, but for the last bit.
@example(199.8, "1.08")
@given(st.floats(130.0, 1e5), st.sampled_from(["1.08", "1.25", "0.0065", "0.7"]))
def test_law_a_sentence_has_the_amount_that_its_table_has(usd, rate):
    """Rounded to whole dollars and then again it would be another euro, or some forty yen."""
    currency = Shown("XYZ", Decimal(rate), "2026-11-01", "European Central Bank")
    found = currency.amounts(
        {"monthly_cost_usd": {"mean": usd, "ci95": [usd - 0.3, usd]}, "text": f"costs {usd:,.0f} USD"}
    )
    table = f"{found['monthly_cost_usd']['mean']:,.0f}"
    assert found["text"].replace(",", "") == f"costs {table} USD".replace(",", "")


def test_two_amounts_of_one_whole_dollar_are_what_their_sentences_say():
    currency = Shown("EUR", Decimal("1.25"), "2026-11-01", "European Central Bank")
    found = currency.amounts({"a_usd": 984.6, "b_usd": 985.3, "text": "costs 985 USD"})
    assert found["text"] == "costs 788 USD"


def test_what_cannot_be_told_has_its_costs_in_the_shown_currency_too():
    """The cheapest that surely does and one that may do: a sentence with an amount of each."""
    rivals = [result("api", 550, each=[500.0, 600.0]), result("rented", 594, each=[594.0, 594.0])]
    found = Shown("EUR", Decimal("1.1"), "2026-11-01", "European Central Bank").amounts(undecided(rivals))
    assert "; a month api 500 USD, rented 540 USD; " in found.text


def test_euros_are_printed_as_the_same_dollars_would_be(dollars, euros):
    """One page in dollars and the same in euros differ in the currency's name alone, but for rounding a sentence."""
    currency = Shown.of(euros.scenario.prices)
    expected = shown(dollars).replace("USD", "EUR").split()
    found = currency.labelled(shown(currency.amounts(euros))).split()
    assert len(found) == len(expected) > 300
    for one, other in zip(found, expected, strict=True):
        if one != other:
            ours, theirs = (float(re.sub(r"[^\d.]", "", word)) for word in (one, other))
            assert ours == pytest.approx(theirs, rel=0.005, abs=1.0), (one, other)
    assert "USD" not in found
    assert sum("EUR" in word for word in found) > 5


def test_files_for_machines_say_what_the_shown_currency_is_worth(dollars, euros):
    told = json.loads(euros.to_json())
    assert told["currency"] == "USD"
    assert {name: told["shown_in"][name] for name in ("currency", "usd", "on")} == {
        "currency": "EUR",
        "usd": 1.25,
        "on": "2026-11-01",
    }
    for row in told["patterns"]:
        cost = told["shown_in"]["monthly_cost"][row["name"]]["mean"]
        assert cost == pytest.approx(row["monthly_cost_usd"]["mean"] / 1.25, abs=0.01)
    assert "shown_in" not in json.loads(dollars.to_json())


def test_overrides_of_the_book_may_be_in_euros_and_are_kept_in_dollars():
    own = {"bedrock/llama-3.3-70b": {"prompt": "0.50 EUR/1M tokens", "output": "0.60 EUR/1M tokens"}}
    scenario = small({"prices": {"rates": {"EUR": RATE}, "overrides": own}})
    document = json.loads(simulator.run(scenario, patterns=["api"]).to_json())
    entry = document["inputs"]["prices"]["api_prices"]["bedrock/llama-3.3-70b"]
    assert (entry["prompt"], entry["output"]) == ("0.625 USD/1M tokens", "0.75 USD/1M tokens")


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ({"prices.currency": "EUR"}, "prices.currency", "needs its rate"),
        ({"prices.currency": "euro"}, "prices.currency", "three capitals, such as EUR"),
        ({"prices.rates": {"USD": RATE}}, "prices.rates.USD", "the dollar needs none"),
        ({"prices.rates": {"EUR": {**RATE, "usd": -1}}}, "prices.rates.EUR.usd", "greater than 0"),
        ({"prices.rates": {"EUR": {"usd": 1.08}}}, "prices.rates.EUR.source", "missing"),
        (
            {"hosting_patterns.rented.costs.compute.gpu_hour": "1.50 EUR/h"},
            "hosting_patterns.rented.costs.compute.gpu_hour",
            "no rate for EUR: give the amount in USD, or state the rate once, as prices: {rates: {EUR: {usd: 1.08",
        ),
        (
            {"hosting_patterns.rented.costs.compute.gpu_hour": "1.50 CHF/h", "prices.rates": {"EUR": RATE}},
            "hosting_patterns.rented.costs.compute.gpu_hour",
            "there is one for EUR",
        ),
        (
            {"hosting_patterns.rented.costs.compute.gpu_hour": "1.50 eur/h"},
            "hosting_patterns.rented.costs.compute.gpu_hour",
            "expected an amount such as",
        ),
        (
            {"hosting_patterns.rented.costs.compute.gpu_hour": "1.50 EUR/month", "prices.rates": {"EUR": RATE}},
            "hosting_patterns.rented.costs.compute.gpu_hour",
            "'USD/h'",
        ),
    ],
)
def test_what_is_wrong_is_said_with_how_to_state_a_rate(settings, key, says):
    with pytest.raises(ScenarioError) as caught:
        small(settings)
    assert any(fault.key == key and says in fault.message for fault in caught.value.faults), caught.value.faults


def test_a_malformed_rate_is_complained_of_once():
    """Amounts in that currency are not also said to have no rate."""
    settings = {
        "prices.rates": {"EUR": {**RATE, "usd": "1.08"}},
        "hosting_patterns.rented.costs.compute.gpu_hour": "1.50 EUR/h",
    }
    with pytest.raises(ScenarioError) as caught:
        small(settings)
    assert [fault.key for fault in caught.value.faults] == ["prices.rates.EUR.usd"]


@given(st.decimals(1, 10**6, places=2), st.sampled_from(["0.92", "1.08", "0.0067", "3.25"]))
def test_a_sentence_keeps_its_amounts_to_its_decimals(amount, rate):
    currency = Shown("XXX", Decimal(rate))
    said = currency.text(f"it costs {amount:,.2f} USD a month")
    found = Decimal(re.search(r"costs ([\d,.]+) USD", said)[1].replace(",", ""))
    assert abs(found - amount / Decimal(rate)) <= Decimal("0.005")


def test_names_and_versions_are_no_amounts():
    currency = Shown("EUR", Decimal("1.25"))
    for said in ("litellm 1.110.2 price table", "USD a month", "p5.48xlarge", "3 of 4"):
        assert currency.text(said) == said
    assert currency.text("10 USD/1M tokens, 2.5 USD/h and 12,000 USD") == "8 USD/1M tokens, 2.0 USD/h and 9,600 USD"
    assert Shown().text("10 USD") == "10 USD"
