"""The price book beside two other collections: litellm's table, which it is generated from, and genai-prices."""

from __future__ import annotations

import subprocess
import sys

import genai_prices
import pytest

from simulator.cost.prices import load_price_book
from tests.parts import ROOT

BOOK = load_price_book("2026-11")
PROVIDERS = {"azure": "azure", "bedrock": "aws", "openai": "openai", "together": "together"}
ZONE = "genai-prices has Azure's global meters only; a data zone costs a tenth more"
EXCEPTIONS = {
    "azure/gpt-4-turbo-regional": "genai-prices has Azure's global meters only",
    "azure/gpt-4-turbo-government": "genai-prices has Azure's global meters only",
    "together/llama-3.3-70b": "genai-prices says 0.88 USD, two others 1.04 USD: the more recent and higher is kept",
} | {key: ZONE for key in BOOK.api_prices if key.startswith("azure/gpt") and key.endswith("-data-zone")}
#: genai-prices 0.2.3 has no Llama on Azure.
ABSENT = {"azure/llama-3.3-70b", "azure/llama-3.3-70b-data-zone"}
#: Where its name of a model is not the provider's.
NAMES = {
    "bedrock/claude-sonnet-4.5": "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock/claude-haiku-4.5": "global.anthropic.claude-haiku-4-5-20251001-v1:0",
    "together/llama-3.3-70b": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
}


def theirs(key, context=None, tokens=1000):
    """USD per million prompt, cached and output tokens, out of requests of a real size: its prices have tiers."""
    entry = BOOK.api_prices[key]

    def usd(prompt, cached=0, output=0):
        used = genai_prices.Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=output)
        provider, model = PROVIDERS[key.partition("/")[0]], NAMES.get(key, entry.model)
        return genai_prices.calc_price(used, model_ref=model, provider_id=provider, price_context=context).total_price

    scale = 1_000_000 // tokens
    return usd(tokens) * scale, usd(tokens, tokens) * scale, usd(0, 0, tokens) * scale


def ours(entry):
    rates = entry.rates("standard")
    return tuple(price.usd_per_million for price in (rates.prompt, rates.cached_prompt, rates.output))


@pytest.mark.parametrize("key", [key for key in BOOK.api_prices if key not in ABSENT])
def test_genai_prices_agrees_or_the_reason_is_known(key):
    agrees = theirs(key) == ours(BOOK.api_prices[key])
    assert agrees == (key not in EXCEPTIONS), EXCEPTIONS.get(key, "differs without a known reason")


@pytest.mark.parametrize("key", [key for key, reason in EXCEPTIONS.items() if reason == ZONE])
def test_the_zones_it_does_not_know_cost_a_tenth_more(key):
    assert tuple(price * 11 / 10 for price in theirs(key)) == ours(BOOK.api_prices[key])


@pytest.mark.parametrize("key", sorted(ABSENT))
def test_what_it_does_not_have_it_still_does_not_have(key):
    with pytest.raises(LookupError):
        theirs(key)


@pytest.mark.parametrize("key", [key for key in BOOK.api_prices if key.startswith("openai/")])
def test_it_agrees_on_batches_of_openai(key):
    entry = BOOK.api_prices[key]
    prompt, _, output = theirs(key, {"processing": "batch"})
    assert (prompt, output) == (entry.batch_prompt.usd_per_million, entry.batch_output.usd_per_million)


def test_its_traps_are_still_there():
    """Why requests of a real size are asked for, and batches of OpenAI alone."""
    assert theirs("openai/gpt-5.4", tokens=1_000_000)[0] == 2 * theirs("openai/gpt-5.4")[0]
    assert theirs("azure/gpt-4.1", {"processing": "batch"}) == theirs("azure/gpt-4.1")


@pytest.mark.needs("litellm")
def test_entries_with_a_row_are_what_the_table_says():
    command = [sys.executable, str(ROOT / "tools" / "price_book.py"), BOOK.id, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_most_entries_come_from_the_table_and_name_it():
    origin = BOOK.generated_from
    rows = [entry for entry in BOOK.api_prices.values() if entry.litellm_row]
    assert len(rows) > 25
    for entry in rows:
        assert f"litellm {origin.version} price table" in entry.source
        assert entry.captured_on == origin.captured_on
    assert origin.licence == "MIT"
