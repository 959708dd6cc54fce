"""Break-evens by model, at the source document's cluster."""

import pytest

from simulator.cost.prices import load_price_book
from simulator.decision.crossings import crossings_by_model, serves_same_model
from simulator.units import TokenPrice
from tests.decision.test_verdict import result
from tests.experiment.small import small

BOOK = load_price_book("2026-11")
#: 1,500 tokens/s for 30 days.
CAPACITY = {"rented": 3_888_000_000}


@pytest.fixture(scope="module")
def rows():
    """Break-evens of a cluster of 5,900 USD, three prompt tokens for each of output."""
    found = crossings_by_model(small(), [result("rented", 5900)], BOOK, CAPACITY)
    return {row.api: row for row in found}


@pytest.mark.parametrize(
    ("api", "millions", "within"),
    [
        ("azure/gpt-4-turbo", 393, True),
        ("azure/gpt-4o", 1349, True),
        ("azure/gpt-4.1", 1686, True),
        ("azure/gpt-5.4", 1049, True),
        ("bedrock/claude-sonnet-4.5", 983, True),
        ("bedrock/llama-3.3-70b", 8194, False),
        ("azure/gpt-6-luna", 29_500, False),
    ],
)
def test_the_break_even_is_a_property_of_the_model(rows, api, millions, within):
    row = rows[api]
    assert round(row.tokens_per_month / 1e6) == millions
    assert row.within_capacity is within
    assert row.capacity_share == pytest.approx(row.tokens_per_month / 3.888e9)
    assert ("never" in row.text) is not within


def test_every_model_of_the_book_has_one_and_dearer_ones_come_first(rows):
    assert set(rows) == set(BOOK.api_prices)
    volumes = [row.tokens_per_month for row in rows.values()]
    assert volumes == sorted(volumes)
    # Law: volume times price is the fixed cost, to the price of one token.
    for row in rows.values():
        at = TokenPrice.per_million(str(row.usd_per_million_tokens)).cost_usd(row.tokens_per_month)
        assert float(at) == pytest.approx(5900.0, abs=1e-3)


def test_models_that_are_gone_are_marked(rows):
    assert not rows["azure/gpt-4-turbo"].available
    assert rows["azure/gpt-5.4"].available


def test_like_is_compared_with_like():
    scenario = small({"hosting_patterns.rented.cluster": {"model": "llama-3.3-70b", "gpu": "a100-80gb"}})
    pattern = scenario.hosting_patterns["rented"]
    assert serves_same_model(pattern, "bedrock/llama-3.3-70b")
    assert serves_same_model(pattern, "azure/llama-3.3-70b-data-zone")
    assert not serves_same_model(pattern, "azure/gpt-4.1")
    assert not serves_same_model(small().hosting_patterns["rented"], "bedrock/llama-3.3-70b")
