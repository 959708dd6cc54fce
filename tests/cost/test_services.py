"""Speech to text and embeddings in a bill, beside arithmetic by hand and another collection of prices."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.bill import monthly_bill
from simulator.cost.checks import price_faults
from simulator.cost.escalation import escalated
from simulator.cost.overrides import book_excerpt, scenario_book
from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, Usage
from simulator.errors import ScenarioError
from simulator.scenario.rollout import Escalation
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
MONTH = Decimal(730)
USAGE = Usage(730.0, {}, {"api": ApiUse(3_000_000, 0, 1_000_000)}, 3_000_000, 1_000_000)
DICTATION = {"price": "deepgram/nova-3-medical", "audio_hours_per_month": 12_000}
SEARCH = {"price": "azure/text-embedding-3-large", "tokens_per_month": 500_000_000}


def bill_of(services, more=None):
    scenario = small({"hosting_patterns.api.api.costs.services": services, **(more or {})})
    (name,) = scenario.hosting_patterns["api"].metered
    usage = replace(USAGE, apis={name: USAGE.apis["api"]})
    bill = monthly_bill(scenario.hosting_patterns["api"], usage, scenario_book(scenario.prices), MONTH)
    return {line.key: line for line in bill.lines}, bill


def test_services_are_lines_of_a_bill():
    """Deepgram's table price is 0.00008667 USD a second: 0.312 an hour, for 12,000 hours 3,744. Azure's large
    embeddings are 0.143 USD per million: 71.50 for 500 million."""
    lines, _ = bill_of({"dictation": DICTATION, "search_index": SEARCH})
    assert lines["api_service_dictation"].usd == Decimal(3744)
    assert lines["api_service_search_index"].usd == Decimal("71.5")
    assert "12,000 h of audio × 0.312 USD/h; deepgram/nova-3-medical, litellm" in lines["api_service_dictation"].basis
    assert lines["api_service_search_index"].label == "API, search index"


def test_a_contract_takes_the_place_of_a_list_price_in_any_currency():
    contract = {
        "prices.overrides": {"deepgram/nova-3-medical": {"audio_hour": "0.25 EUR/h"}},
        "prices.rates": {"EUR": {"usd": 1.2, "on": "2026-11-02", "source": "ECB"}},
        "prices.vat": 0.19,
    }
    lines, _ = bill_of({"dictation": DICTATION}, contract)
    plain, _ = bill_of({}, contract)
    assert lines["api_service_dictation"].usd == Decimal(3600)
    assert lines["api_vat"].usd - plain["api_vat"].usd == Decimal(684)


def test_services_escalate_as_apis_do():
    lines, bill = bill_of({"dictation": DICTATION})
    later = {line.key: line for line in escalated(bill, Escalation.model_validate({"api": "10 %"}), 2).lines}
    assert float(later["api_service_dictation"].usd) == pytest.approx(float(lines["api_service_dictation"].usd) * 1.21)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ({"price": "deepgram/nova-9", "audio_hours_per_month": 1}, "has no service 'deepgram/nova-9'; did you mean"),
        ({"price": "deepgram/nova-3", "tokens_per_month": 1}, "priced by audio_hours: give audio_hours_per_month"),
        ({"price": "voyage/voyage-4", "audio_hours_per_month": 1}, "priced by tokens: give tokens_per_month"),
    ],
)
@pytest.mark.parametrize("key", ["api.api.costs", "rented.costs", "hybrid.api.costs", "hybrid.costs"])
def test_what_the_book_does_not_have_is_said_before_anything_runs(key, service, message):
    scenario = small({f"hosting_patterns.{key}.services": {"dictation": service}})
    ((where, said),) = price_faults(scenario.hosting_patterns[key.partition(".")[0]], BOOK)
    assert where == f"{key.partition('.')[2]}.services.dictation.price"
    assert message in said


@pytest.mark.parametrize("quantity", [{}, {"audio_hours_per_month": 1, "tokens_per_month": 1}])
def test_a_service_has_one_quantity(quantity):
    with pytest.raises(ScenarioError, match="give one of audio_hours_per_month and tokens_per_month"):
        small({"hosting_patterns.api.api.costs.services": {"dictation": {"price": "deepgram/nova-3"} | quantity}})


@pytest.mark.parametrize("key", ["openai/text-embedding-3-large", "openai/text-embedding-3-small"])
def test_another_collection_has_the_same_price_of_embeddings(key):
    used = genai_prices.Usage(input_tokens=1_000_000, output_tokens=0)
    theirs = genai_prices.calc_price(used, model_ref=key.partition("/")[2], provider_id="openai").total_price
    assert BOOK.services[key].tokens.usd_per_million == theirs


def test_no_service_had_retired_and_each_has_one_price_that_is_more_than_nothing():
    assert len(BOOK.services) > 30
    for entry in BOOK.services.values():
        assert entry.retires_on is None or entry.retires_on > BOOK.date
        assert (entry.audio_hour or entry.tokens.usd_per_million) > 0


def test_a_result_holds_the_services_it_was_priced_with_and_no_others():
    assert list(book_excerpt(small().prices, {"deepgram/nova-3"})["services"]) == ["deepgram/nova-3"]
    assert "services" not in book_excerpt(small().prices, {"azure/gpt-4.1"})


@given(st.sampled_from(sorted(BOOK.services)), st.integers(1, 10**7), st.integers(2, 9))
def test_law_so_many_times_as_much_costs_so_many_times_as_much(key, amount, times):
    quantity = "tokens_per_month" if BOOK.services[key].tokens else "audio_hours_per_month"
    lines = [bill_of({"one": {"price": key, quantity: many}})[0] for many in (amount, amount * times)]
    once, often = (line["api_service_one"].usd for line in lines)
    assert often == once * times
