"""The price book beside two other collections: litellm's table, which it is generated from, and genai-prices."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest

from simulator.cost.prices import load_price_book
from simulator.scenario.api_presets import api_presets
from tests.parts import ROOT

BOOK = load_price_book("2026-11")
PROVIDERS = {
    "azure": "azure", "bedrock": "aws", "openai": "openai", "together": "together", "anthropic": "anthropic",
    "gemini": "google", "vertex": "google", "mistral": "mistral", "deepseek": "deepseek", "groq": "groq",
    "fireworks": "fireworks",
}  # fmt: skip
ZONE = "genai-prices has Azure's global meters only; a zone costs a tenth more, Europe's a fifth for GPT-6"
ZONES = [key for key in BOOK.api_prices if key.startswith("azure/gpt") and key.endswith("-data-zone")]
ELSEWHERE = "genai-prices has no such row of Azure's and answers with another seller's"
CACHED = "genai-prices has no price of cached tokens under the seller's own name"
OFF_PEAK = "genai-prices has DeepSeek's price by the hour of the day, half of it off the peak"
#: A moment off DeepSeek's peak, on the day of the book: prices that depend on the hour differ at any hour of the test.
AT = datetime(2026, 11, 29, 23, tzinfo=UTC)
EXCEPTIONS = {
    "azure/gpt-4-turbo-regional": "genai-prices has Azure's global meters only",
    "azure/gpt-4-turbo-government": "genai-prices has Azure's global meters only",
    "azure/deepseek-v3.2": ELSEWHERE,
    "azure/deepseek-v4-flash": ELSEWHERE,
    "azure/deepseek-v4-flash-0731": ELSEWHERE,
    "azure/deepseek-v4-pro": ELSEWHERE,
    "azure/gpt-oss-120b": ELSEWHERE,
    "bedrock/nova-pro-eu": "genai-prices has the price of the United States; the European profile is dearer",
    "deepseek/deepseek-flash": OFF_PEAK,
    "deepseek/deepseek-v4-flash": OFF_PEAK,
    "deepseek/deepseek-v4-pro": OFF_PEAK,
    "fireworks/glm-4.7": CACHED,
    "fireworks/minimax-m2.1": CACHED,
    "together/llama-3.3-70b": "genai-prices says 0.88 USD, two others 1.04 USD: the more recent and higher is kept",
} | dict.fromkeys(ZONES, ZONE)
#: As many of the book's models genai-prices 0.2.3 does not know.
ABSENT = 40
#: Where its name of a model is not the table's.
NAMES = {
    "bedrock/claude-sonnet-4.5": "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock/claude-haiku-4.5": "global.anthropic.claude-haiku-4-5-20251001-v1:0",
}


def theirs(key, context=None, tokens=1000):
    """USD per million prompt, cached and output tokens, out of requests of a real size: its prices have tiers.

    Raises LookupError for what it does not know.
    """
    entry, seller = BOOK.api_prices[key], key.partition("/")[0]

    def usd(name, prompt, cached=0, output=0):
        used = genai_prices.Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=output)
        price = genai_prices.calc_price(
            used, model_ref=name, provider_id=PROVIDERS[seller], price_context=context, genai_request_timestamp=AT
        )
        return price.total_price * (1_000_000 // tokens)

    row = entry.litellm_row.partition("/")[2] or entry.litellm_row
    for name in filter(None, (NAMES.get(key), row, entry.model)):
        try:
            return usd(name, tokens), usd(name, tokens, tokens), usd(name, 0, 0, tokens)
        except LookupError:
            continue
    raise LookupError(key)


def ours(entry):
    rates = entry.rates("standard")
    return tuple(price.usd_per_million for price in (rates.prompt, rates.cached_prompt, rates.output))


@pytest.fixture(scope="module")
def known():
    """What genai-prices says of each model it knows."""
    found = {}
    for key in BOOK.api_prices:
        try:
            found[key] = theirs(key)
        except LookupError:
            continue
    return found


def test_genai_prices_agrees_or_the_reason_is_known(known):
    differs = {key for key, price in known.items() if price != ours(BOOK.api_prices[key])}
    assert differs == EXCEPTIONS.keys()
    assert len(BOOK.api_prices) - len(known) < ABSENT
    assert len(known.keys() - differs) > 200


def test_the_zones_it_does_not_know_cost_a_tenth_or_a_fifth_more(known):
    assert len(ZONES) > 40
    for key in ZONES:
        assert BOOK.api_prices[key].region == ("eu" if "-eu-" in key else "us")
        dearer = Decimal("1.2") if "-eu-" in key and "gpt-6" in key else Decimal("1.1")
        for price, found in zip(known[key], ours(BOOK.api_prices[key]), strict=True):
            # Azure's meters of cached tokens are rounded to a tenth of a cent.
            assert abs(price * dearer - found) <= Decimal("0.0005"), key


def test_it_agrees_on_batches_of_openai(known):
    batches = [key for key in BOOK.on_sale() if key.startswith("openai/") and BOOK.api_prices[key].batch_prompt]
    assert len(batches) > 20
    for key in batches:
        entry = BOOK.api_prices[key]
        prompt, _, output = theirs(key, {"processing": "batch"})
        assert (prompt, output) == (entry.batch_prompt.usd_per_million, entry.batch_output.usd_per_million), key


def test_its_traps_are_still_there():
    """Why requests of a real size are asked for, and batches of OpenAI alone."""
    assert theirs("openai/gpt-5.4", tokens=1_000_000)[0] == 2 * theirs("openai/gpt-5.4")[0]
    assert theirs("azure/gpt-4.1", {"processing": "batch"}) == theirs("azure/gpt-4.1")


def test_long_prompts_cost_what_it_says_of_them():
    """A request of one token more than the limit costs the dearer price from its first token in both collections."""
    compared = 0
    for key in ("openai/gpt-5.4", "openai/gpt-5.5", "openai/gpt-6-luna", "openai/gpt-6-sol", "gemini/gemini-2.5-pro"):
        long = BOOK.api_prices[key].long_prompts
        assert theirs(key, tokens=500_000)[0] == long.prompt.usd_per_million, key
        compared += 1
    assert compared == 5


@pytest.mark.needs("litellm")
def test_entries_with_a_row_are_what_the_table_says():
    command = [sys.executable, str(ROOT / "tools" / "price_book.py"), BOOK.id, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_most_entries_come_from_the_table_and_name_it():
    origin = BOOK.generated_from
    rows = [entry for entry in BOOK.api_prices.values() if entry.litellm_row]
    assert len(rows) > 290
    for entry in rows:
        assert f"litellm {origin.version} price table" in entry.source
        assert entry.captured_on == origin.captured_on
    assert origin.licence == "MIT"


def test_how_long_a_request_a_model_takes_goes_with_its_prices_and_presets():
    """A price beyond a number of tokens is of use where prompts may be so long; a preset says what the book says."""
    for key, entry in BOOK.api_prices.items():
        above = entry.long_prompts.above_tokens if entry.long_prompts else 0
        assert entry.context_tokens is None or entry.context_tokens > above, key
        assert entry.longest_prompt_tokens is None or above < entry.longest_prompt_tokens < entry.context_tokens, key
        # None, or nearly: the table has a figure for all but those whose long prompts have a price.
        assert entry.context_tokens or above, key
    for name, preset in api_presets().items():
        known, said = BOOK.api_prices.get(name), preset["settings"]
        if known is not None:
            assert (said.get("context_tokens"), said.get("longest_prompt_tokens")) == (
                known.context_tokens,
                known.longest_prompt_tokens,
            ), name
