"""Lines of a bill, and those that any backend may have: storage, traffic, people, compliance, what is paid once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from simulator.cost import tco
from simulator.cost.prices import PriceBook
from simulator.errors import PriceNotFound
from simulator.scenario.costs import RunningCosts, Service, Staff
from simulator.units import DAY_S
from simulator.wording import counted

#: Who says what a bill is made of, where it is no price list.
SCENARIO: Final = "scenario"
SIMULATED: Final = "simulated"

#: What is bought of an API ahead, whatever is served.
AHEAD: Final = frozenset({"provisioned_units", "reserved_tokens"})

#: What is no purchase, or is taxed by a line of its own.
UNTAXED: Final = frozenset({"staff", "on_call", "model_updates", "financing", "delay", "purchase", "purchase_vat"})


@dataclass(frozen=True, slots=True)
class Factor:
    """A number that an amount is made of.

    Attributes:
        label: What it is.
        value: The number.
        unit: Its unit; a price where it begins with USD.
        source: Who says so; `SIMULATED` for what a run measured.
        lines: Keys of the lines of the same bill whose sum it is; none for a number of its own.
    """

    label: str
    value: tco.Number
    unit: str = ""
    source: str = SCENARIO
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of a bill.

    Attributes:
        key: Stable name for machines, unique within a bill.
        label: Name for people.
        usd: Amount for the month, in steps of a trillionth of a dollar.
        basis: The arithmetic in words, with the source of its prices.
        formula: The same as a spreadsheet writes it, `{0}`, `{1}` and so on for its factors.
        factors: What it is made of.
    """

    key: str
    label: str
    usd: Decimal
    basis: str
    formula: str = ""
    factors: tuple[Factor, ...] = ()


def backend_of(line: BillLine) -> tuple[str, bool]:
    """What tells a backend's lines from another's: its name where there are several, and whether it is an API."""
    name, _, key = line.key.rpartition(".")
    return name, key.startswith("api_") or key in AHEAD


def total(lines: Sequence[BillLine]) -> Decimal:
    """Sum of the lines."""
    return sum((line.usd for line in lines), Decimal(0))


def share_of(lines: Sequence[BillLine], share: float, label: str) -> tuple[Factor, Factor]:
    """Factors of an amount that is a share of other lines."""
    return Factor(label, share), Factor("of", total(lines), "USD", "this bill", tuple(line.key for line in lines))


def running_lines(costs: RunningCosts, tokens: tco.Number, book: PriceBook) -> Iterator[BillLine]:
    """Lines of one backend through which this many tokens go in the billed month; those of nothing are left out.

    Raises PriceNotFound for a service the book does not have.
    """
    for key, usd in (("storage", costs.storage), ("network", costs.network), ("monitoring", costs.monitoring)):
        if usd:
            yield _by_the_month(key, key.capitalize(), usd)
    if costs.egress is not None:
        price, size = costs.egress.price, costs.egress.bytes_per_token
        usd = tco.egress_usd(tokens, size, price)
        basis = f"{float(tokens):,.0f} tokens × {size:g} bytes × {price} USD/GB; scenario"
        factors = (
            Factor("tokens a month", tokens, "tokens", SIMULATED),
            Factor("bytes of a token", size, "bytes"),
            Factor("price of traffic", price, "USD/GB"),
        )
        yield BillLine("egress", "Egress", usd, basis, "{0} * {1} / 1000000000 * {2}", factors)
    for name, service in costs.services.items():
        yield service_line(name, service, book)
    if costs.staff:
        yield _staff_line(costs.staff)
    if costs.on_call:
        yield _by_the_month("on_call", "On call", costs.on_call)


def compliance_line(costs: RunningCosts, others: Sequence[BillLine]) -> Iterator[BillLine]:
    """What compliance adds to a backend's other lines; nothing where the scenario asks for none."""
    if costs.compliance:
        base = total(others)
        usd = tco.to_decimal(tco.exact(base) * tco.exact(costs.compliance))
        basis = f"{costs.compliance:.3g} of {base:,.2f} USD/month; scenario"
        yield BillLine(
            "compliance", "Compliance", usd, basis, "{0} * {1}", share_of(others, costs.compliance, "compliance")
        )


def vat_lines(share: float, others: Sequence[BillLine]) -> Iterator[BillLine]:
    """Value added tax on a backend's other lines; on hardware apart, which is paid before the first month.

    No tax is charged on what people earn, on interest and on waiting. That on hardware is charged on all of its price
    and written off with it: the residual value brings none of it back.
    """
    if not share:
        return
    yield from (_hardware_vat(line, share) for line in others if line.key == "purchase" and line.usd)
    taxed = [line for line in others if line.key not in UNTAXED]
    if base := total(taxed):
        usd = tco.to_decimal(tco.exact(base) * tco.exact(share))
        basis = f"{share:.3g} of {base:,.2f} USD; scenario"
        yield BillLine("vat", "VAT", usd, basis, "{0} * {1}", share_of(taxed, share, "VAT"))


def _hardware_vat(purchase: BillLine, share: float) -> BillLine:
    """The tax on a purchase, written off over as many months: factors of its line are price, residual and months."""
    price, _, months = purchase.factors
    usd = tco.to_decimal(tco.exact(price.value) * tco.exact(share) / tco.exact(months.value))
    basis = f"{share:.3g} of {price.value:,.2f} USD / {counted(int(months.value), 'month')}; scenario"
    factors = (price, Factor("VAT", share), months)
    return BillLine("purchase_vat", "VAT on hardware", usd, basis, "{0} * {1} / {2}", factors)


def one_off_lines(costs: RunningCosts) -> Iterator[BillLine]:
    """What is paid once, before the first month."""
    for name, usd in costs.one_off.items():
        label = name.replace("_", " ").capitalize()
        yield BillLine(name, label, usd, "scenario", "{0}", (Factor(label, usd, "USD"),))
    if costs.delay is not None:
        days = costs.delay.lasts / DAY_S
        usd = tco.to_decimal(tco.exact(costs.delay.costs) * 12 / 365 * tco.exact(days))
        basis = f"{days:g} days × {costs.delay.costs:,.2f} USD/month × 12 / 365; scenario"
        factors = (Factor("days", days, "days"), Factor("cost of a month", costs.delay.costs, "USD/month"))
        yield BillLine("delay", "Waiting for an agreement", usd, basis, "{0} * {1} * 12 / 365", factors)


def _by_the_month(key: str, label: str, usd: Decimal) -> BillLine:
    basis = f"{usd:,.2f} USD/month; scenario"
    factor = Factor(f"{key.replace('_', ' ')}, price of a month", usd, "USD/month")
    return BillLine(key, label, tco.to_decimal(tco.exact(usd)), basis, "{0}", (factor,))


def service_line(name: str, service: Service, book: PriceBook) -> BillLine:
    """A service by what goes through it. Raises PriceNotFound, also where it is priced by something else."""
    entry = book.service(service.price)
    said = f"{service.price}, {entry.source}"
    hours, tokens = service.audio_hours_per_month, service.tokens_per_month
    if hours is not None and entry.audio_hour is not None:
        usd, terms = tco.exact(entry.audio_hour) * tco.exact(hours), f"{hours:,g} h of audio × {entry.audio_hour} USD/h"
        formula, price = "{0} * {1}", Factor("price of an hour", entry.audio_hour, "USD/h", said)
        amount = Factor(f"audio a month, {name}", hours, "h")
    elif tokens is not None and entry.tokens is not None:
        each = entry.tokens.usd_per_million
        usd, terms = tco.exact(each) * tco.exact(tokens) / 10**6, f"{tokens:,g} tokens × {entry.tokens}"
        formula, price = "{0} / 1000000 * {1}", Factor("price", each, "USD/1M tokens", said)
        amount = Factor(f"tokens a month, {name}", tokens, "tokens")
    else:
        wanted = "tokens_per_month" if entry.audio_hour is None else "audio_hours_per_month"
        raise PriceNotFound(f"'{service.price}' is priced by {wanted.removesuffix('_per_month')}: give {wanted}")
    label = name.replace("_", " ").capitalize()
    basis = f"{terms}; {said}"
    return BillLine(f"service_{name}", label, tco.to_decimal(usd), basis, formula, (amount, price))


def _staff_line(staff: Sequence[Staff]) -> BillLine:
    monthly = (tco.staff_usd(person.salary, person.share, person.loading) for person in staff)
    terms = (
        f"{person.role}: {person.salary:,} USD/year / 12 × {person.share:g} × {person.loading:g} loading"
        for person in staff
    )
    factors = (
        factor
        for person in staff
        for factor in (
            Factor(f"salary, {person.role}", person.salary, "USD/year"),
            Factor(f"share of {person.role}", person.share),
            Factor(f"loading, {person.role}", person.loading),
        )
    )
    formula = " + ".join(f"{{{at}}} / 12 * {{{at + 1}}} * {{{at + 2}}}" for at in range(0, 3 * len(staff), 3))
    basis = f"{'; '.join(terms)}; scenario"
    return BillLine("staff", "Staff", sum(monthly, Decimal(0)), basis, formula, tuple(factors))
