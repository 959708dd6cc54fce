"""What reading from and writing to a provider's cache costs, by kind of deployment, and what long prompts do."""

from __future__ import annotations

from decimal import Decimal

import pytest

from simulator.cost.api_lines import token_rates
from simulator.cost.overrides import scenario_book
from simulator.cost.prices import load_price_book
from simulator.scenario.apis import MeteredApi
from simulator.scenario.costs import Prices

MODEL = "openai/gpt-5.4"
KINDS = ("standard", "batch", "priority", "flex")
#: litellm 1.110.2, rows gpt-5.4 and claude-sonnet-4-5, in USD per 1M tokens.
OWN = {
    "prompt": "2.50 USD/1M tokens",
    "cached_prompt": "0.25 USD/1M tokens",
    "output": "15 USD/1M tokens",
    "batch_prompt": "1.25 USD/1M tokens",
    "batch_cached_prompt": "0.13 USD/1M tokens",
    "batch_output": "7.50 USD/1M tokens",
    "priority_prompt": "5 USD/1M tokens",
    "priority_cached_prompt": "0.50 USD/1M tokens",
    "priority_output": "30 USD/1M tokens",
    "flex_prompt": "1.25 USD/1M tokens",
    "flex_output": "7.50 USD/1M tokens",
    "cache_write": "3.75 USD/1M tokens",
    "cache_write_hour": "6 USD/1M tokens",
    "long_prompts": {
        "above_tokens": 272_000,
        "prompt": "5 USD/1M tokens",
        "cached_prompt": "0.50 USD/1M tokens",
        "output": "22.50 USD/1M tokens",
        "batch_prompt": "2.50 USD/1M tokens",
        "batch_output": "11.25 USD/1M tokens",
    },
}
BOOK = scenario_book(Prices(overrides={MODEL: OWN}))


def rates(kind="standard", **api):
    timing = {} if kind == "batch" else {"ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}
    return token_rates(MeteredApi.model_validate({"model": MODEL, "deployment": {"kind": kind}, **timing, **api}), BOOK)


def usd(rates):
    return [
        float(getattr(rates, name).usd_per_million) for name in ("prompt", "cached_prompt", "cache_write", "output")
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("standard", [2.5, 0.25, 3.75, 15.0]),
        ("batch", [1.25, 0.13, 1.25, 7.5]),
        ("priority", [5.0, 0.5, 5.0, 30.0]),
    ],
)
def test_each_kind_of_deployment_has_its_own_price_of_cached_tokens(kind, expected):
    assert usd(rates(kind).usual) == expected


def test_without_a_price_of_its_own_the_cache_costs_the_prompt_price_of_its_kind():
    entry = BOOK.api(MODEL).model_copy(update={"flex_cached_prompt": None})
    assert usd(entry.rates("flex")) == [1.25, 1.25, 1.25, 7.5]


def test_what_is_kept_for_an_hour_is_dearer_to_write():
    assert usd(rates(prompt_cache={"kept": "5min"}).usual)[2] == 3.75
    assert usd(rates(prompt_cache={"kept": "1h"}).usual)[2] == 6.0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("standard", [5.0, 0.5, 5.0, 22.5]), ("batch", [2.5, 2.5, 2.5, 11.25]), ("priority", [5.0, 0.5, 5.0, 22.5])],
)
def test_long_prompts_have_prices_of_their_own(kind, expected):
    """Priority has none for them (OpenAI serves them as standard), so the standard ones are taken."""
    found = rates(kind)
    assert (found.above_tokens, usd(found.long)) == (272_000, expected)


def test_a_contract_may_price_the_cache_too():
    prices = {"prompt": "2 USD/1M tokens", "cache_write": "2.40 USD/1M tokens", "output": "8 USD/1M tokens"}
    found = rates(prices=prices)
    assert (usd(found.usual), found.long) == ([2.0, 2.0, 2.4, 8.0], None)


def test_a_shipped_price_of_the_cache_is_the_whole_price_of_a_token():
    """A table that says 0 for writing means that it costs nothing more; here that is no entry."""
    for key, entry in load_price_book("2026-11").api_prices.items():
        parts = [entry, *([entry.long_prompts] if entry.long_prompts else [])]
        for part, kind in [(part, kind) for part in parts for kind in KINDS]:
            found = part.rates(kind)
            assert found is None or found.cached_prompt <= found.prompt <= found.cache_write, (key, kind)
        if entry.long_prompts:
            assert entry.long_prompts.prompt >= entry.prompt, key
        assert entry.cache_write_hour is None or entry.cache_write_hour >= entry.cache_write, key


def test_overrides_of_long_prompts_say_what_is_wrong():
    from simulator.cost.overrides import override_faults

    wrong = {MODEL: {"long_prompts": {"above_tokens": 5, "prompt": "1 USD/1M tokens", "output": "1 USD/1M tokens"}}}
    (fault,) = override_faults(Prices(overrides=wrong))
    assert fault[0] == (MODEL, "long_prompts", "above_tokens")
    assert "272000" in fault[1]


def test_decimals_are_exact():
    assert BOOK.api(MODEL).rates("batch").cached_prompt.usd_per_million == Decimal("0.13")
