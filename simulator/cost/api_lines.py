"""What a metered API charges in a month for tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from simulator.cost import tco
from simulator.cost.api_terms import terms_lines
from simulator.cost.lines import SIMULATED, BillLine, Factor, share_of, total
from simulator.cost.prices import PriceBook, Rates
from simulator.cost.usage import ApiUse
from simulator.errors import PriceNotFound
from simulator.scenario.apis import MeteredApi, Provisioned, Reserved
from simulator.units import TokenPrice
from simulator.wording import counted

#: Prompt tokens that stand for a second of audio where a service is priced by its length: a unit of measure, on which
#: its price by the hour does not depend. One in 100 ms, as OpenAI's realtime API counts what a user says.
AUDIO_TOKENS_PER_S: Final = 10


@dataclass(frozen=True, slots=True)
class TokenRates:
    """What one API charges for each kind of token, and who says so.

    Attributes:
        usual: For most requests.
        long: For whole requests of more prompt tokens than `above_tokens`; None where they cost no more.
        above_tokens: Where long prompts begin; None without `long`.
        source: Who says so.
    """

    usual: Rates
    long: Rates | None
    above_tokens: int | None
    source: str


def token_rates(api: MeteredApi, book: PriceBook) -> TokenRates:
    """Contract prices where the scenario gives them and they hold, else the price book's for this kind of deployment.

    Speech to text is charged by the length of the audio, `AUDIO_TOKENS_PER_S` prompt tokens a second.

    Long prompts cost the standard price of long prompts where their price in this kind of deployment is not known.

    Raises:
        PriceNotFound: The book does not know the model, or no price for its kind of deployment.
    """
    if api.prices is not None and api.prices.holds(book.on):
        own = api.prices
        usual = Rates(own.prompt, own.cached_prompt or own.prompt, own.cache_write or own.prompt, own.output)
        return TokenRates(usual, None, None, own.source)
    if api.model in book.services:
        return _service_rates(api, book)
    entry, kind = book.api(api.model), api.deployment.kind
    kept_s = api.prompt_cache.kept if api.prompt_cache else 0.0
    found = entry.rates(kind, kept_s=kept_s)
    if found is None:
        raise PriceNotFound(f"price book {book.id} has no {kind} price of {api.model}; give prices")
    long = entry.long_prompts
    dearer = None if long is None else long.rates(kind, kept_s=kept_s) or long.rates("standard", kept_s=kept_s)
    above = None if long is None else long.above_tokens
    return TokenRates(found, dearer, above, f"{api.model}, {entry.source}")


def _service_rates(api: MeteredApi, book: PriceBook) -> TokenRates:
    """What speech to text or embeddings charge: for what comes in, by its length, and nothing for what comes out."""
    entry, kind = book.services[api.model], api.deployment.kind
    if kind != "standard":
        raise PriceNotFound(f"price book {book.id} has no {kind} price of {api.model}; give prices")
    said, asked = f"{api.model}, {entry.source}", entry.tokens
    if entry.audio_hour is not None:
        asked = TokenPrice(entry.audio_hour * 1_000_000 / (3600 * AUDIO_TOKENS_PER_S))
        said = f"{api.model}, {entry.audio_hour} USD/h of audio, {AUDIO_TOKENS_PER_S} tokens a second; {entry.source}"
    assert asked is not None
    return TokenRates(Rates(asked, asked, asked, TokenPrice(Decimal(0))), None, None, said)


def unit_price(deployment: Provisioned, model: str, book: PriceBook) -> tuple[Decimal, str]:
    """USD per unit-hour of provisioned throughput, and who says so. Raises PriceNotFound."""
    if deployment.unit_hour is not None:
        return deployment.unit_hour, "scenario"
    key = deployment.price_key(model)
    entry = book.unit(key)
    return entry.unit_hour, f"{key}, {entry.source}"


def api_lines(api: MeteredApi, use: ApiUse, book: PriceBook, hours: float, month_hours: Decimal) -> Iterator[BillLine]:
    """Tokens of all attempts in the measured hours, answered or not, scaled to the month, or the hours of its units.

    Working on prompts takes tokens too: as many again as `prompt_iteration` says. What a contract adds or takes off
    comes last.

    Raises:
        PriceNotFound: See `token_rates` and `unit_price`.
    """
    if isinstance(api.deployment, Provisioned):
        yield _unit_line(api.deployment, api.model, book, month_hours)
        return
    if isinstance(api.deployment, Reserved):
        yield _reserved_line(api.deployment)
        return
    rates, scale = token_rates(api, book), tco.exact(month_hours) / tco.exact(hours)
    long = use.long.get(rates.above_tokens or 0) if rates.long else None
    parts = [("", "", rates.usual, use.without(long) if long else use)]
    if long and rates.long:
        parts.append(("long_", f" of requests of more than {rates.above_tokens:,}", rates.long, long))
    lines = []
    for key, words, part_rates, part in parts:
        for kind, label, tokens, price in _by_kind(part_rates, part):
            usd = tco.to_decimal(tco.exact(price.usd_per_million) * tokens / 1_000_000 * scale)
            times = "" if hours == month_hours else f" × {month_hours} h / {hours:g} h"
            basis = f"{tokens:,} tokens × {price}{times}; {rates.source}"
            factors = (
                Factor(f"{label}{words} a month", tokens * scale, "tokens", SIMULATED),
                Factor(f"price of {label}{words}", price.usd_per_million, "USD/1M tokens", rates.source),
            )
            name = f"API, {label}{words}"
            lines.append(BillLine(f"api_{key}{kind}", name, usd, basis, "{0} / 1000000 * {1}", factors))
    if api.costs.prompt_iteration > 1.0:
        more = tco.exact(api.costs.prompt_iteration) - 1
        usd = total(lines)
        basis = f"{float(more):g} × {usd:,.2f} USD of tokens; scenario"
        iterated = tco.to_decimal(tco.exact(usd) * more)
        factors = share_of(lines, float(more), "as much again")
        name = "API, work on prompts"
        lines.append(BillLine("api_prompt_iteration", name, iterated, basis, "{0} * {1}", factors))
    yield from lines
    yield from terms_lines(api.terms, lines, api.costs.prompt_iteration)


def _by_kind(rates: Rates, use: ApiUse) -> Iterator[tuple[str, str, int, TokenPrice]]:
    """Kind of tokens, in words, how many, and their price; writing to the cache only where that costs more."""
    written = use.cache_write_tokens if rates.cache_write != rates.prompt else 0
    yield "prompt", "prompt tokens", use.prompt_tokens - use.cached_prompt_tokens - written, rates.prompt
    yield "cached_prompt", "cached prompt tokens", use.cached_prompt_tokens, rates.cached_prompt
    if written:
        yield "cache_write", "prompt tokens written to the cache", written, rates.cache_write
    yield "output", "output tokens", use.output_tokens, rates.output


def _unit_line(deployment: Provisioned, model: str, book: PriceBook, month_hours: Decimal) -> BillLine:
    unit_hour, source = unit_price(deployment, model, book)
    usd = tco.rental_usd(unit_hour, month_hours, deployment.units)
    basis = f"{counted(deployment.units, 'unit')} × {unit_hour} USD/h × {month_hours} h, used or not; {source}"
    factors = (
        Factor("units", deployment.units),
        Factor("price of a unit", unit_hour, "USD/h", source),
        Factor("hours of the month", month_hours, "h"),
    )
    return BillLine("provisioned_units", "API, provisioned units", usd, basis, "{0} * {1} * {2}", factors)


def _reserved_line(deployment: Reserved) -> BillLine:
    """A reservation costs the same in every month, however long that is."""
    tokens = deployment.input_tokens_per_minute, deployment.output_tokens_per_minute
    prices = deployment.input_price, deployment.output_price
    usd = sum((tco.exact(price) * count / 1_000 for price, count in zip(prices, tokens, strict=True)), Fraction(0))
    basis = " + ".join(f"{count:,} / 1,000 × {price} USD" for price, count in zip(prices, tokens, strict=True))
    factors = (
        Factor("prompt tokens a minute", tokens[0], "tokens"),
        Factor("price of 1,000 prompt tokens a minute", prices[0], "USD/month"),
        Factor("output tokens a minute", tokens[1], "tokens"),
        Factor("price of 1,000 output tokens a minute", prices[1], "USD/month"),
    )
    basis, formula = f"{basis}, used or not; scenario", "{0} / 1000 * {1} + {2} / 1000 * {3}"
    label = "API, reserved tokens a minute"
    return BillLine("reserved_tokens", label, tco.to_decimal(usd), basis, formula, factors)
