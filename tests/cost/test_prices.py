import datetime
import json
import subprocess
import sys
from decimal import Decimal
from importlib import resources

import pytest
from pydantic import ValidationError

from simulator.cost.prices import PriceBook, Rates, load_price_book, price_book_ids
from simulator.errors import PriceNotFound
from simulator.units import TokenPrice

CLOSED = datetime.date(2026, 11, 23)


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
        for entry in (*book.api_prices.values(), *book.gpu_offers.values()):
            assert len(entry.source) > 10
            assert entry.captured_on <= book.date
        for entry in book.api_prices.values():
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


def test_azure_data_zones_cost_a_tenth_more_than_global(book):
    zones = [key for key in book.api_prices if key.startswith("azure/") and key.endswith("-data-zone")]
    assert len(zones) >= 6
    for key in zones:
        zone, world = book.api(key), book.api(key.removesuffix("-data-zone"))
        for field in ("prompt", "cached_prompt", "output"):
            if getattr(world, field) is not None:
                usd = getattr(world, field).usd_per_million
                assert getattr(zone, field).usd_per_million == usd * Decimal("1.1")


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
    with pytest.raises(PriceNotFound, match=r"2026-11 has no API 'azure/gpt-4-turbp'.*azure/gpt-4-turbo"):
        book.api("azure/gpt-4-turbp")
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
    assert not book.api("azure/llama-3.3-70b").retired(datetime.date(2099, 1, 1))


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
