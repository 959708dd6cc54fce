import datetime
import json
import re
import subprocess
import sys
from decimal import Decimal
from importlib import resources

import pytest
from pydantic import ValidationError

from simulator.cost.prices import PriceBook, Rates, load_price_book, price_book_ids
from simulator.errors import PriceNotFound
from simulator.performance.boards import BOARDS
from simulator.performance.profile import available_profiles, read_profile
from simulator.units import TokenPrice

CLOSED = datetime.date(2026, 11, 29)


@pytest.fixture(scope="module")
def book():
    return load_price_book("2026-11")


def test_no_key_is_given_twice_in_a_shipped_book():
    def no_duplicates(pairs):
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys))
        return dict(pairs)

    for book_id in price_book_ids():
        path = resources.files("simulator.cost") / "data" / f"prices-{book_id}.json"
        json.loads(path.read_bytes(), object_pairs_hook=no_duplicates)


def test_every_shipped_price_is_dated_and_sourced():
    for book_id in price_book_ids():
        book = load_price_book(book_id)
        assert book.id == book_id
        assert len(book.sha256) == 64
        for entry in (*book.api_prices.values(), *book.gpu_offers.values(), *book.services.values()):
            assert len(entry.source) > 10
            assert entry.captured_on <= book.date
        for entry in (*book.api_prices.values(), *book.services.values()):
            assert bool(entry.retires_on) == bool(entry.retirement_source)


def test_discounted_tokens_are_not_dearer(book):
    for entry in book.api_prices.values():
        assert entry.cached_prompt is None or entry.cached_prompt <= entry.prompt
        assert entry.batch_prompt is None or entry.batch_prompt <= entry.prompt
        assert entry.batch_output is None or entry.batch_output <= entry.output
        assert entry.priority_output is None or entry.priority_output >= entry.output
        assert entry.flex_prompt is None or entry.flex_prompt <= entry.prompt
        assert entry.flex_output is None or entry.flex_output <= entry.output
        assert entry.output >= entry.prompt


def test_no_entry_costs_nothing_and_every_offer_says_who_signs(book):
    for key, offer in book.gpu_offers.items():
        assert offer.instance_hour > 0, key
        assert (offer.baa_coverage == "unconfirmed") == (offer.baa_source == ""), key
        assert offer.hosted_by == "seller" or offer.basis == "marketplace", key
        assert offer.term_months is None or offer.kind == "reserved", key
        assert offer.kind != "spot" or offer.basis == "marketplace", key


def test_there_is_an_offer_for_every_gpu_with_a_profile_and_for_more(book):
    # Sellers do not say on which board an A100 or H100 sits, and rent out hardly any of 40 GB or NVL.
    profiled = {read_profile(name).gpu for name in available_profiles()} - set(BOARDS)
    offered = {offer.gpu for offer in book.gpu_offers.values()}
    assert profiled | {"b200", "l4", "a10g", "rtx-pro-6000", "mi300x"} <= offered
    sellers = {key.partition("/")[0] for key in book.gpu_offers}
    assert {"aws", "azure", "gcp", "oci", "coreweave", "lambda", "runpod"} <= sellers
    assert {offer.term_months for offer in book.gpu_offers.values()} >= {12, 36}


def test_a_lease_for_longer_or_that_may_be_withdrawn_costs_less(book):
    """A reservation or spot capacity against the same instance on demand, where the book has both of one day."""
    compared = 0
    for key, offer in book.gpu_offers.items():
        usual = book.gpu_offers.get(re.sub(r"-(spot|1y|3y|reserved)$", "", key))
        if usual is not None and offer.kind in ("spot", "reserved"):
            compared += 1
            assert (offer.gpu, offer.gpus_per_instance) == (usual.gpu, usual.gpus_per_instance), key
            assert offer.instance_hour < usual.instance_hour, key
    assert compared > 15


def test_what_had_retired_when_the_book_was_closed_is_read_and_not_offered(book):
    gone = book.api_prices.keys() - book.on_sale().keys()
    assert gone == {
        "azure/gpt-4-turbo",
        "azure/gpt-4-turbo-regional",
        "azure/gpt-4-turbo-government",
        "openai/gpt-4-turbo",
        "together/llama-3.3-70b",
    }
    assert all(book.api(key).retires_on <= book.date for key in gone)
    assert not any(book.api(key).retired(book.date) for key in book.on_sale())


def test_a_successor_is_a_key_of_the_book_or_no_key_at_all(book):
    named = [entry.successor for entry in book.on_sale().values() if entry.successor]
    assert sum(name in book.on_sale() for name in named) > 60
    assert not any("/" in name and name not in book.on_sale() for name in named)


@pytest.mark.parametrize(
    ("key", "prompt", "cached", "output"),
    [
        ("azure/gpt-4-turbo", "10", None, "30"),
        ("azure/gpt-4-turbo-regional", "11", None, "33"),
        ("azure/gpt-4o", "2.5", "1.25", "10"),
        ("azure/gpt-4.1-mini", "0.4", "0.1", "1.6"),
        ("azure/gpt-5.4", "2.5", "0.25", "15"),
        ("azure/llama-3.3-70b", "0.71", None, "0.71"),
        ("bedrock/llama-3.3-70b", "0.72", None, "0.72"),
        ("bedrock/claude-sonnet-4.5", "3", "0.3", "15"),
        ("openai/gpt-6-luna", "0.1", "0.01", "0.5"),
    ],
)
def test_prices_per_million_tokens(book, key, prompt, cached, output):
    entry = book.api(key)
    assert entry.prompt.usd_per_million == Decimal(prompt)
    assert (entry.cached_prompt and entry.cached_prompt.usd_per_million) == (cached and Decimal(cached))
    assert entry.output.usd_per_million == Decimal(output)


def test_gpu_hours_follow_from_instance_hours(book):
    offer = book.gpu_offer("aws/p4de.24xlarge")
    assert offer.gpu_hour_usd == Decimal("3.43088125")
    assert [offer.instances(gpus) for gpus in (1, 2, 8, 9)] == [1, 1, 1, 2]
    assert book.gpu_offer("aws/g6e.12xlarge").gpu_hour_usd == Decimal("2.62316")


def test_unknown_names_are_answered_with_the_nearest(book):
    with pytest.raises(PriceNotFound, match=r"2026-11 has no API 'azure/gpt-5.1-mimi'.*azure/gpt-5-mini"):
        book.api("azure/gpt-5.1-mimi")
    with pytest.raises(PriceNotFound, match=r"no GPU offer 'aws/p4de'.*aws/p4de\.24xlarge"):
        book.gpu_offer("aws/p4de")
    with pytest.raises(PriceNotFound, match=r"no price book '\.\./prices-2026-11'"):
        load_price_book("../prices-2026-11")
    with pytest.raises(PriceNotFound, match="no price book 'zzz'; it has 2026-11"):
        load_price_book("zzz")


def test_prices_grow_stale_after_ninety_days(book):
    entry = book.api("azure/gpt-4.1")
    assert not entry.stale(entry.captured_on + datetime.timedelta(days=90))
    assert entry.stale(entry.captured_on + datetime.timedelta(days=91))
    assert "azure/gpt-4.1" not in book.stale(CLOSED)
    assert set(book.stale(datetime.date(2030, 1, 1))) == set(book.keys())


def test_gpt_4_turbo_stops_answering_on_its_last_day(book):
    entry = book.api("azure/gpt-4-turbo")
    assert not entry.retired(datetime.date(2026, 10, 22))
    assert entry.retired(datetime.date(2026, 10, 23))
    assert not book.api("azure/llama-3.3-70b-data-zone").retired(datetime.date(2099, 1, 1))


def test_a_book_is_frozen_and_its_prices_carry_units(book):
    with pytest.raises(ValidationError, match="frozen"):
        book.id = "other"
    entry = book.api("azure/gpt-4o").model_dump(mode="python", exclude={"prompt"})
    with pytest.raises(ValidationError, match="needs its unit"):
        PriceBook(id="x", date=CLOSED, sha256="", gpu_offers={}, api_prices={"a/b": {**entry, "prompt": 2.5}})


def test_price_book_needs_no_heavy_import():
    heavy = {"pandas", "numpy", "scipy", "plotly", "joblib", "simpy", "holidays"}
    code = f"import sys, simulator.cost.checks, simulator.cost.bill; print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


def test_flex_has_prices_of_its_own_and_cached_tokens_cost_no_more_than_others_do_there(book):
    one, four, quarter = map(TokenPrice.per_million, ("1", "4", "0.25"))
    entry = book.api("azure/gpt-4.1").model_copy(update={"flex_cached_prompt": None})
    flex = entry.model_copy(update={"flex_prompt": one, "flex_output": four})
    assert flex.rates("flex") == Rates(one, one, one, four)
    assert flex.model_copy(update={"flex_cached_prompt": quarter}).rates("flex") == Rates(one, quarter, one, four)
    assert entry.model_copy(update={"flex_prompt": None, "flex_output": four}).rates("flex") is None
