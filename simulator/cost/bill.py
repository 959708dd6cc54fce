"""The monthly bill of a hosting pattern: what was measured, priced line by line.

Metered lines are scaled from the measured hours to the billed month. Everything else is paid by the month or
by the clock, whatever was measured: an idle GPU costs its rent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

from simulator.cost import tco
from simulator.cost.prices import PriceBook
from simulator.cost.usage import ApiUse, Usage
from simulator.errors import PriceNotFound
from simulator.scenario.apis import MeteredApi
from simulator.scenario.costs import ClusterCosts, Power, Purchase, Rental
from simulator.scenario.patterns import Cluster, HostingPattern
from simulator.units import TokenPrice

_CENT: Final = Decimal("0.01")
_PURCHASE: Final = "purchase"


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of a bill.

    Attributes:
        key: Stable name for machines, unique within a bill.
        label: Name for people.
        usd: Amount for the month, in steps of a trillionth of a dollar.
        basis: The arithmetic in words, with the source of its prices.
    """

    key: str
    label: str
    usd: Decimal
    basis: str


@dataclass(frozen=True, slots=True)
class Bill:
    """What a hosting pattern costs in one month."""

    lines: tuple[BillLine, ...]

    @property
    def total_usd(self) -> Decimal:
        """Sum of the lines."""
        return sum((line.usd for line in self.lines), Decimal(0))

    @property
    def running_usd(self) -> Decimal:
        """The total without the amortisation of purchases: what is still to be paid once they are made."""
        return sum((line.usd for line in self.lines if line.key.rpartition(".")[2] != _PURCHASE), Decimal(0))

    def usd(self, key: str) -> Decimal:
        """Amount of one line, zero where the bill has none of that key."""
        return sum((line.usd for line in self.lines if line.key == key), Decimal(0))

    def rounded(self) -> Bill:
        """Round as an invoice does: each line to the cent, halves up, and the total as the sum of those.

        What is displayed therefore adds up; its total may differ from the exact one by half a cent a line.
        """
        return Bill(tuple(replace(line, usd=line.usd.quantize(_CENT, ROUND_HALF_UP)) for line in self.lines))


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
        return TokenRates(api.prices.prompt, api.prices.prompt, api.prices.output, api.prices.source)
    entry = book.api(api.model)
    rates = entry.rates(api.deployment.kind)
    if rates is None:
        raise PriceNotFound(f"price book {book.id} has no {api.deployment.kind} price of {api.model}; give prices")
    return TokenRates(*rates, f"{api.model}, {entry.source}")


def monthly_bill(pattern: HostingPattern, usage: Usage, book: PriceBook, month_hours: Decimal) -> Bill:
    """Price a hosting pattern for a month of so many hours.

    Args:
        pattern: The candidate answer.
        usage: What one replication measured.
        book: Prices the scenario does not state itself.
        month_hours: Hours of the billed month; 730 by convention.

    Raises:
        PriceNotFound: The pattern names a model or an offer the book does not have.
    """
    lines: list[BillLine] = []
    for name, one in pattern.hosted.items():
        busy_fraction = usage.clusters[name].busy_fraction
        found = _cluster_lines(one.cluster, one.costs, busy_fraction, book, month_hours)
        lines += _named(name, found, alone=len(pattern.hosted) == 1)
    for name, api in pattern.metered.items():
        found = _api_lines(token_rates(api, book), usage.apis[name], usage.hours, month_hours)
        lines += _named(name, found, alone=len(pattern.metered) == 1)
    return Bill(tuple(lines))


def _named(name: str, lines: Iterable[BillLine], *, alone: bool) -> Iterator[BillLine]:
    """The lines of one backend; where there are several of its kind, its name tells them apart."""
    for line in lines:
        yield line if alone else replace(line, key=f"{name}.{line.key}", label=f"{name}: {line.label}")


def upfront_usd(pattern: HostingPattern) -> Decimal:
    """Price of bought hardware, due before the first month; zero for rent and API."""
    bought = (one.costs.compute for one in pattern.hosted.values() if isinstance(one.costs.compute, Purchase))
    return sum(map(_purchase_usd, bought), Decimal(0))


def usd_per_million_tokens(bill: Bill, usage: Usage, month_hours: Decimal) -> Decimal | None:
    """Spread the bill over the month's served prompt and output tokens; None where nothing was served."""
    served = usage.served_prompt_tokens + usage.served_output_tokens
    return tco.usd_per_million(bill.total_usd, served * _month_scale(usage.hours, month_hours)) if served else None


def _month_scale(hours: float, month_hours: Decimal) -> Fraction:
    return tco.exact(month_hours) / tco.exact(hours)


def _cluster_lines(
    cluster: Cluster, costs: ClusterCosts, busy_fraction: float, book: PriceBook, month_hours: Decimal
) -> Iterator[BillLine]:
    if isinstance(costs.compute, Rental):
        yield _rental_line(costs.compute, cluster, book, month_hours)
    else:
        yield _purchase_line(costs.compute)
    if costs.power is not None:
        yield _power_line(costs.power, cluster, min(busy_fraction, 1.0), month_hours)
        if costs.colocation is not None:
            yield _colocation_line(costs.power, cluster, costs.colocation)
    by_the_month = {"storage": costs.storage, "network": costs.network, "monitoring": costs.monitoring}
    for key, usd in by_the_month.items():
        if usd:
            yield BillLine(key, key.capitalize(), tco.to_decimal(tco.exact(usd)), f"{usd:,.2f} USD/month; scenario")
    if costs.staff:
        yield _staff_line(costs)


def _rental_line(rental: Rental, cluster: Cluster, book: PriceBook, month_hours: Decimal) -> BillLine:
    gpus = cluster.tensor_parallel * cluster.replicas
    count, unit, source = gpus, "GPU", "scenario"
    if rental.gpu_hour is not None:
        hourly_usd = rental.gpu_hour
    elif rental.replica_hour is not None:
        hourly_usd, count, unit = rental.replica_hour, cluster.replicas, "replica"
    else:
        offer = book.gpu_offer(str(rental.offer))
        hourly_usd, count, source = (
            offer.instance_hour,
            offer.instances(gpus),
            f"{rental.offer}, {offer.source}",
        )
        unit = f"instance of {offer.gpus_per_instance} GPUs, {gpus} needed"
    usd = tco.rental_usd(hourly_usd, month_hours, count)
    basis = f"{count} × {hourly_usd} USD/h × {month_hours} h, per {unit}; {source}"
    return BillLine("rental", "GPU rental", usd, basis)


def _purchase_usd(purchase: Purchase) -> Decimal:
    return purchase.gpus + purchase.chassis + purchase.infrastructure


def _purchase_line(purchase: Purchase) -> BillLine:
    price_usd, months = _purchase_usd(purchase), purchase.amortisation
    usd = tco.amortised_usd(price_usd, months)
    return BillLine(_PURCHASE, "Hardware, written off", usd, f"{price_usd:,} USD / {months} months; scenario")


def _power_line(power: Power, cluster: Cluster, busy_fraction: float, month_hours: Decimal) -> BillLine:
    watts = _power_w(power, cluster, busy_fraction)
    usd = tco.energy_usd(watts, month_hours, power.price, power.pue)
    basis = (
        f"{float(watts):,.0f} W × PUE {power.pue:g} × {month_hours} h × {power.price} USD/kWh; "
        f"{cluster.replicas} × ({cluster.tensor_parallel} GPUs of {power.gpu_idle_w:g} W idle and "
        f"{power.gpu_busy_w:g} W busy, {busy_fraction:.1%} of the time, {power.host_w:g} W host); scenario"
    )
    return BillLine("power", "Electricity", usd, basis)


def _colocation_line(power: Power, cluster: Cluster, usd_per_kw_month: Decimal) -> BillLine:
    rated_w = _power_w(power, cluster, 1.0)
    usd = tco.colocation_usd(rated_w, usd_per_kw_month)
    basis = f"{float(rated_w) / 1000:,.2f} kW rated × {usd_per_kw_month} USD/kW-month; scenario"
    return BillLine("colocation", "Colocation", usd, basis)


def _power_w(power: Power, cluster: Cluster, busy_fraction: float) -> Fraction:
    return tco.average_power_w(
        gpu_idle_w=power.gpu_idle_w,
        gpu_busy_w=power.gpu_busy_w,
        host_w=power.host_w,
        busy_fraction=busy_fraction,
        gpus=cluster.tensor_parallel,
        replicas=cluster.replicas,
    )


def _staff_line(costs: ClusterCosts) -> BillLine:
    monthly = (tco.staff_usd(person.salary, person.share, person.loading) for person in costs.staff)
    terms = (
        f"{person.role}: {person.salary:,} USD/year / 12 × {person.share:g} × {person.loading:g} loading"
        for person in costs.staff
    )
    return BillLine("staff", "Staff", sum(monthly, Decimal(0)), f"{'; '.join(terms)}; scenario")


def _api_lines(rates: TokenRates, use: ApiUse, hours: float, month_hours: Decimal) -> Iterator[BillLine]:
    cached = use.cached_prompt_tokens
    scale = _month_scale(hours, month_hours)
    for key, label, tokens, price in (
        ("api_prompt", "API, prompt tokens", use.prompt_tokens - cached, rates.prompt),
        ("api_cached_prompt", "API, cached prompt tokens", cached, rates.cached_prompt),
        ("api_output", "API, output tokens", use.output_tokens, rates.output),
    ):
        usd = tco.to_decimal(tco.exact(price.usd_per_million) * tokens / 1_000_000 * scale)
        basis = f"{tokens:,} tokens × {price} × {month_hours} h / {hours:g} h measured; {rates.source}"
        yield BillLine(key, label, usd, basis)
