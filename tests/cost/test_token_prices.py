"""What reading from and writing to a provider's cache costs, by kind of deployment, and what long prompts do."""

from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.api_lines import token_rates
from simulator.cost.bill import monthly_bill
from simulator.cost.overrides import override_faults, scenario_book
from simulator.cost.prices import LongPrompts, load_price_book
from simulator.cost.usage import ApiUse, Usage
from simulator.scenario.apis import MeteredApi
from simulator.scenario.costs import Prices
from simulator.scenario.patterns import ApiPattern
from simulator.workload.work import LONG_PROMPTS

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
    wrong = {MODEL: {"long_prompts": {"above_tokens": 5, "prompt": "1 USD/1M tokens", "output": "1 USD/1M tokens"}}}
    (fault,) = override_faults(Prices(overrides=wrong))
    assert fault[0] == (MODEL, "long_prompts", "above_tokens")
    assert "272000" in fault[1]


def test_decimals_are_exact():
    assert BOOK.api(MODEL).rates("batch").cached_prompt.usd_per_million == Decimal("0.13")


def bill(use, kind="standard", **api):
    timing = {} if kind == "batch" else {"ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}
    given = {"kind": "metered_api", "api": {"model": MODEL, "deployment": {"kind": kind}, **timing, **api}}
    usage = Usage(730.0, {}, {MODEL: use}, use.prompt_tokens, use.output_tokens)
    return monthly_bill(ApiPattern.model_validate(given), usage, BOOK, Decimal(730))


def test_a_bill_has_what_was_written_to_the_cache():
    """10M prompt tokens, 6M found, 3M written, 2M of output: 1 × 2.50 + 6 × 0.25 + 3 × 3.75 + 2 × 15 = 45.25 USD."""
    use = ApiUse(10_000_000, 6_000_000, 2_000_000, 3_000_000)
    assert {line.key: line.usd for line in bill(use).lines} == {
        "api_prompt": Decimal("2.50"),
        "api_cached_prompt": Decimal("1.50"),
        "api_cache_write": Decimal("11.25"),
        "api_output": Decimal(30),
    }
    # Where writing costs no more it is no line of its own: 4 × 5 + 6 × 0.50 + 2 × 30.
    dear = bill(use, "priority")
    assert ([line.key for line in dear.lines], dear.total_usd) == (
        ["api_prompt", "api_cached_prompt", "api_output"],
        Decimal(83),
    )


def test_long_prompts_are_billed_apart():
    """Of 10M prompt tokens 4M, 1M of them cached, and half a million of output belong to requests of over 272,000."""
    use = ApiUse(10_000_000, 2_000_000, 1_000_000, 0, {272_000: ApiUse(4_000_000, 1_000_000, 500_000)})
    found = {line.key: float(line.usd) for line in bill(use).lines}
    assert found == pytest.approx(
        {
            "api_prompt": 5 * 2.5,
            "api_cached_prompt": 0.25,
            "api_output": 7.5,
            "api_long_prompt": 3 * 5.0,
            "api_long_cached_prompt": 0.5,
            "api_long_output": 0.5 * 22.5,
        }
    )
    # What lies above another number of tokens is not what this model prices.
    other = ApiUse(10_000_000, 2_000_000, 1_000_000, 0, {200_000: ApiUse(4_000_000, 1_000_000, 500_000)})
    assert float(bill(other).total_usd) == 8 * 2.5 + 2 * 0.25 + 15


def test_the_numbers_of_tokens_that_are_counted_are_those_that_a_book_may_name():
    assert get_args(LongPrompts.model_fields["above_tokens"].annotation) == LONG_PROMPTS


counts = st.integers(0, 10**9)


@st.composite
def uses(draw):
    parts = draw(st.lists(counts, min_size=7, max_size=7))
    plain, cached, written, long, long_cached, long_written, output = parts
    part = ApiUse(long + long_cached + long_written, long_cached, output // 3, long_written)
    return ApiUse(
        plain + cached + written + part.prompt_tokens,
        cached + long_cached,
        output,
        written + long_written,
        {272_000: part} if part.prompt_tokens else {},
    )


@given(uses(), st.floats(0.0, 50.0), st.sampled_from(KINDS[:3]))
def test_law_times_the_use_is_times_the_bill(use, factor, kind):
    once, often = (float(bill(one, kind).total_usd) for one in (use, use.times(factor, factor)))
    assert often == pytest.approx(factor * once, abs=0.001, rel=1e-6)


@given(uses(), uses(), st.sampled_from(KINDS[:3]))
def test_law_two_months_cost_the_sum_of_both(one, other, kind):
    assert bill(one + other, kind).total_usd == bill(one, kind).total_usd + bill(other, kind).total_usd


@given(uses(), st.sampled_from(KINDS[:3]))
def test_law_lines_sum_to_the_total_and_no_token_is_lost(use, kind):
    found = bill(use, kind)
    assert found.total_usd == sum(line.usd for line in found.lines)
    told = sum(int(line.basis.split(" ")[0].replace(",", "")) for line in found.lines)
    assert told == use.prompt_tokens + use.output_tokens
