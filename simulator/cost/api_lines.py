"""What a metered API charges in a month for tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from simulator.cost import tco
from simulator.cost.lines import BillLine, total
from simulator.cost.prices import PriceBook
from simulator.cost.usage import ApiUse
from simulator.errors import PriceNotFound
from simulator.scenario.apis import MeteredApi, Provisioned
from simulator.units import TokenPrice


@dataclass(frozen=True, slots=True)
class TokenRates:
    """What one API charges for each kind of token, and who says so."""

    prompt: TokenPrice
    cached_prompt: TokenPrice
    output: TokenPrice
    source: str


def token_rates(api: MeteredApi, book: PriceBook) -> TokenRates:
    """Contract prices where the scenario gives them, else the price book's for this kind of deployment.

    Raises:
        PriceNotFound: The book does not know the model, or no price for its kind of deployment.
    """
    if api.prices is not None:
        cached = api.prices.cached_prompt or api.prices.prompt
        return TokenRates(api.prices.prompt, cached, api.prices.output, api.prices.source)
    entry = book.api(api.model)
    rates = entry.rates(api.deployment.kind)
    if rates is None:
        raise PriceNotFound(f"price book {book.id} has no {api.deployment.kind} price of {api.model}; give prices")
    return TokenRates(*rates, f"{api.model}, {entry.source}")


def unit_price(deployment: Provisioned, model: str, book: PriceBook) -> tuple[Decimal, str]:
    """USD per unit-hour of provisioned throughput, and who says so. Raises PriceNotFound."""
    if deployment.unit_hour is not None:
        return deployment.unit_hour, "scenario"
    key = deployment.price_key(model)
    entry = book.unit(key)
    return entry.unit_hour, f"{key}, {entry.source}"


def api_lines(api: MeteredApi, use: ApiUse, book: PriceBook, hours: float, month_hours: Decimal) -> Iterator[BillLine]:
    """Tokens of all attempts in the measured hours, answered or not, scaled to the month, or the hours of its units.

    Working on prompts takes tokens too: as many again as `prompt_iteration` says.

    Raises:
        PriceNotFound: See `token_rates` and `unit_price`.
    """
    if isinstance(api.deployment, Provisioned):
        yield _unit_line(api.deployment, api.model, book, month_hours)
        return
    rates = token_rates(api, book)
    cached = use.cached_prompt_tokens
    scale = tco.exact(month_hours) / tco.exact(hours)
    lines = []
    for key, label, tokens, price in (
        ("api_prompt", "API, prompt tokens", use.prompt_tokens - cached, rates.prompt),
        ("api_cached_prompt", "API, cached prompt tokens", cached, rates.cached_prompt),
        ("api_output", "API, output tokens", use.output_tokens, rates.output),
    ):
        usd = tco.to_decimal(tco.exact(price.usd_per_million) * tokens / 1_000_000 * scale)
        basis = f"{tokens:,} tokens × {price} × {month_hours} h / {hours:g} h measured; {rates.source}"
        lines.append(BillLine(key, label, usd, basis))
    yield from lines
    if api.costs.prompt_iteration > 1.0:
        more = tco.exact(api.costs.prompt_iteration) - 1
        usd = total(lines)
        basis = f"{float(more):g} × {usd:,.2f} USD of tokens; scenario"
        yield BillLine("api_prompt_iteration", "API, work on prompts", tco.to_decimal(tco.exact(usd) * more), basis)


def _unit_line(deployment: Provisioned, model: str, book: PriceBook, month_hours: Decimal) -> BillLine:
    unit_hour, source = unit_price(deployment, model, book)
    usd = tco.rental_usd(unit_hour, month_hours, deployment.units)
    basis = f"{deployment.units} units × {unit_hour} USD/h × {month_hours} h, used or not; {source}"
    return BillLine("provisioned_units", "API, provisioned units", usd, basis)
