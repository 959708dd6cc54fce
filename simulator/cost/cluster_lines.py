"""What a cluster costs in a month: its GPUs, rented or bought, their power and room, and the work they make."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final

from simulator.cost import tco
from simulator.cost.lines import SIMULATED, BillLine, Factor
from simulator.cost.prices import PriceBook
from simulator.cost.usage import ClusterUse
from simulator.scenario.costs import Bought, ClusterCosts, ModelUpdates, Power, Purchase, Rental
from simulator.scenario.patterns import Cluster, HostedCluster
from simulator.wording import counted

#: Lines that pay for a purchase over time: not to be counted beside its price.
CAPITAL: Final = frozenset({"purchase", "purchase_vat", "financing"})

#: Interest of a month on average: price {0}, residual {1}, months {2} and a yearly rate {3}, see `tco.interest_usd`.
_ANNUITY: Final = "({0} - {1} / (1 + {3} / 12) ^ {2}) * {3} / 12 / (1 - 1 / (1 + {3} / 12) ^ {2}) - ({0} - {1}) / {2}"


def cluster_lines(
    cluster: Cluster, costs: ClusterCosts, use: ClusterUse, book: PriceBook, month_hours: Decimal
) -> Iterator[BillLine]:
    """Lines of a cluster without those that any backend may have. Raises PriceNotFound for an unknown offer."""
    if isinstance(costs.compute, Rental):
        yield from _rental_lines(costs.compute, cluster, min(use.paid_share, 1.0), book, month_hours)
    else:
        yield from _purchase_lines(costs.compute, cluster)
    if costs.power is not None:
        yield _power_line(costs.power, cluster, min(use.busy_fraction, 1.0), month_hours)
        if costs.colocation is not None:
            yield _colocation_line(costs.power, cluster, costs.colocation)
    if costs.model_updates is not None:
        yield _updates_line(costs.model_updates)


def _rental_lines(
    rental: Rental, cluster: Cluster, paid_share: float, book: PriceBook, month_hours: Decimal
) -> Iterator[BillLine]:
    """Rent at the full, committed and spot price, whichever there are."""
    hourly_usd, count, per = _hourly(rental, cluster, book)
    full = always = f"{count} × {hourly_usd} USD/h × {month_hours} h, {per}"
    every_hour = tco.exact(tco.rental_usd(hourly_usd, month_hours, count))
    usd = every_hour * tco.exact(paid_share)
    what, _, source = per.partition("; ")
    owed = clocked = [
        Factor(f"rented, {what}", count),
        Factor("price of an hour", hourly_usd, "USD/h", source),
        Factor("hours of the month", month_hours, "h"),
    ]
    if paid_share < 1:
        full += f"; {paid_share:.3g} of the time, as replicas come and go"
        clocked = [*owed, Factor("share of the time, as replicas come and go", paid_share, "", SIMULATED)]
    spot = Fraction(0) if rental.spot is None else tco.exact(rental.spot.share)
    if spot < 1:
        # What is committed is owed for every hour of the term, used or not.
        rest, basis = (usd, full) if rental.commitment is None else (every_hour, always)
        rest *= 1 - spot
        factors = clocked if rental.commitment is None else owed
        off = []
        if spot:
            basis += f"; {float(1 - spot):.3g} of the hours"
            off.append(Factor("share of the hours at the spot price", float(spot)))
        if rental.commitment is not None:
            discount, months = rental.commitment.discount, rental.commitment.months
            rest *= 1 - tco.exact(discount)
            basis += f"; {discount:.3g} off for {months} months, {float(rest * months):,.2f} USD in all"
            off.append(Factor(f"discount, committed for {months} months", discount))
        formula = " * ".join([_places(0, len(factors)), *(f"(1 - {{{len(factors) + at}}})" for at in range(len(off)))])
        yield BillLine("rental", "GPU rental", tco.to_decimal(rest), basis, formula, (*factors, *off))
    if rental.spot is not None and spot:
        basis = f"{full}; {rental.spot.share:.3g} of the hours, {rental.spot.discount:.3g} off for spot capacity"
        cheap = usd * spot * (1 - tco.exact(rental.spot.discount))
        factors = [*clocked, Factor("share of the hours at the spot price", rental.spot.share)]
        formula = f"{_places(0, len(factors))} * (1 - {{{len(factors)}}})"
        factors.append(Factor("discount of spot capacity", rental.spot.discount))
        yield BillLine("rental_spot", "GPU rental, spot", tco.to_decimal(cheap), basis, formula, tuple(factors))


def _places(first: int, beyond: int) -> str:
    """The product of these factors, as a formula."""
    return " * ".join(f"{{{at}}}" for at in range(first, beyond))


def _hourly(rental: Rental, cluster: Cluster, book: PriceBook) -> tuple[Decimal, int, str]:
    """USD per hour of one thing that is rented, how many of them, and what it is, with its source."""
    gpus = cluster.tensor_parallel * cluster.replicas
    if rental.gpu_hour is not None:
        return rental.gpu_hour, gpus, "per GPU; scenario"
    if rental.replica_hour is not None:
        return rental.replica_hour, cluster.replicas, "per replica; scenario"
    offer = book.gpu_offer(str(rental.offer))
    per = f"per instance of {counted(offer.gpus_per_instance, 'GPU')}, {gpus} needed; {rental.offer}, {offer.source}"
    return offer.instance_hour, offer.instances(gpus), per


def _purchase_lines(purchase: Purchase, cluster: Cluster) -> Iterator[BillLine]:
    bought = purchase.whole(cluster.replicas, cluster.tensor_parallel)
    price_usd, residual_usd = bought
    gpus = cluster.replicas * cluster.tensor_parallel
    factors, months = _purchase_factors(purchase, cluster), purchase.amortisation
    usd = tco.amortised_usd(price_usd, months, residual_usd)
    less = f" less {residual_usd:,} USD residual" if residual_usd else ""
    basis = f"{price_usd:,} USD for {counted(gpus, 'GPU')}{less} / {counted(months, 'month')}; scenario"
    yield BillLine("purchase", "Hardware, written off", usd, basis, "({0} - {1}) / {2}", factors)
    if purchase.interest:
        usd = tco.interest_usd(price_usd, months, purchase.interest, residual_usd)
        basis = f"{price_usd:,} USD at {purchase.interest:.3g} a year over {months} months, mean of the term; scenario"
        rate = Factor("interest a year", purchase.interest)
        yield BillLine("financing", "Interest", usd, basis, _ANNUITY, (*factors, rate))
    if purchase.support:
        usd = tco.to_decimal(tco.exact(price_usd) * tco.exact(purchase.support) / 12)
        basis = f"{purchase.support:.3g} of {price_usd:,} USD a year; scenario"
        share = Factor("support a year", purchase.support)
        yield BillLine("support", "Support contract", usd, basis, "{0} * {1} / 12", (factors[0], share))


def _purchase_factors(purchase: Purchase, cluster: Cluster) -> tuple[Factor, Factor, Factor]:
    """Price, residual value and months."""
    bought = purchase.whole(cluster.replicas, cluster.tensor_parallel)
    return (
        hardware_price(cluster, bought),
        Factor("residual value", bought.residual_usd, "USD"),
        Factor("written off over", purchase.amortisation, "months"),
    )


def renewal_line(one: HostedCluster, months: int, usd: Decimal, vat: float) -> BillLine:
    """What replaces bought hardware within so many months.

    Args:
        one: A cluster that buys its hardware.
        months: How long it is looked at; what falls due with the end of the last one is left out.
        usd: What that comes to.
        vat: Tax on the price; the residual value brings none of it back.
    """
    assert isinstance(one.costs.compute, Purchase)
    price, residual, life = _purchase_factors(one.costs.compute, one.cluster)
    factors = (price, residual, life, *([Factor("VAT", vat)] if vat else []))
    taxed = "{0} * (1 + {3})" if vat else "{0}"
    times = (months - 1) // one.costs.compute.amortisation
    tax = f" and {vat:.3g} VAT" if vat else ""
    less = f" less {residual.value:,} USD that the old one fetches" if residual.value else ""
    basis = (
        f"{counted(times, 'time')} {price.value:,} USD{tax}{less}; it is written off in "
        f"{counted(one.costs.compute.amortisation, 'month')}; scenario"
    )
    return BillLine(
        f"renewal_{months}_months",
        f"Hardware bought again within {months} months",
        usd,
        basis,
        f"INT(({months} - 1) / {{2}}) * ({taxed} - {{1}})",
        factors,
    )


def hardware_price(cluster: Cluster, bought: Bought) -> Factor:
    """What is paid for a cluster, taxes left out."""
    gpus = cluster.replicas * cluster.tensor_parallel
    return Factor(
        f"price of {counted(gpus, 'GPU')} and what holds {'it' if gpus == 1 else 'them'}", bought.price_usd, "USD"
    )


def _power_line(power: Power, cluster: Cluster, busy_fraction: float, month_hours: Decimal) -> BillLine:
    watts = _power_w(power, cluster, busy_fraction)
    usd = tco.energy_usd(watts, month_hours, power.price, power.pue)
    basis = (
        f"{float(watts):,.0f} W × PUE {power.pue:g} × {month_hours} h × {power.price} USD/kWh; "
        f"{cluster.replicas} × ({counted(cluster.tensor_parallel, 'GPU')} of {power.gpu_idle_w:g} W idle and "
        f"{power.gpu_busy_w:g} W busy, {100 * busy_fraction:.1f} % of the time, {power.host_w:g} W host); scenario"
    )
    factors = (
        *_power_factors(power, cluster),
        Factor("GPUs busy", busy_fraction, "of the time", SIMULATED),
        Factor("PUE", power.pue),
        Factor("hours of the month", month_hours, "h"),
        Factor("price of electricity", power.price, "USD/kWh"),
    )
    formula = "{0} * ({1} * ({2} + ({3} - {2}) * {5}) + {4}) / 1000 * {6} * {7} * {8}"
    return BillLine("power", "Electricity", usd, basis, formula, factors)


def _colocation_line(power: Power, cluster: Cluster, usd_per_kw_month: Decimal) -> BillLine:
    rated_w = _power_w(power, cluster, 1.0)
    usd = tco.colocation_usd(rated_w, usd_per_kw_month)
    basis = f"{float(rated_w) / 1000:,.2f} kW rated × {usd_per_kw_month} USD/kW-month; scenario"
    factors = (*_power_factors(power, cluster), Factor("price of floor space", usd_per_kw_month, "USD/kW-month"))
    return BillLine("colocation", "Colocation", usd, basis, "{0} * ({1} * {3} + {4}) / 1000 * {5}", factors)


def _power_factors(power: Power, cluster: Cluster) -> tuple[Factor, ...]:
    return (
        Factor("replicas", cluster.replicas),
        Factor("GPUs of a replica", cluster.tensor_parallel),
        Factor("idle GPU", power.gpu_idle_w, "W"),
        Factor("busy GPU", power.gpu_busy_w, "W"),
        Factor("host", power.host_w, "W"),
    )


def _power_w(power: Power, cluster: Cluster, busy_fraction: float) -> Fraction:
    return tco.average_power_w(
        gpu_idle_w=power.gpu_idle_w,
        gpu_busy_w=power.gpu_busy_w,
        host_w=power.host_w,
        busy_fraction=busy_fraction,
        gpus=cluster.tensor_parallel,
        replicas=cluster.replicas,
    )


def _updates_line(updates: ModelUpdates) -> BillLine:
    usd = tco.weeks_usd(updates.salary, updates.engineer_weeks, updates.every_months, updates.loading)
    basis = (
        f"{updates.engineer_weeks:g} weeks of {updates.salary:,} USD/year / 52 × {updates.loading:g} loading, "
        f"every {updates.every_months:g} months; scenario"
    )
    factors = (
        Factor("weeks of work", updates.engineer_weeks, "weeks"),
        Factor("salary", updates.salary, "USD/year"),
        Factor("loading", updates.loading),
        Factor("every", updates.every_months, "months"),
    )
    return BillLine("model_updates", "Model updates", usd, basis, "{0} * {1} / 52 * {2} / {3}", factors)
