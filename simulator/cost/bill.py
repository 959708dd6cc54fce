"""The monthly bill of a hosting pattern: what was measured, priced line by line.

Metered lines are scaled from the measured hours to the billed month. Everything else is paid by the month or
by the clock, whatever was measured: an idle GPU costs its rent.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

from simulator.cost import tco
from simulator.cost.api_lines import api_lines
from simulator.cost.cluster_lines import CAPITAL, cluster_lines, hardware_price
from simulator.cost.lines import (
    BillLine,
    Factor,
    compliance_line,
    one_off_lines,
    running_lines,
    share_of,
    total,
    vat_lines,
)
from simulator.cost.own_lines import Month, own_lines
from simulator.cost.prices import PriceBook
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.scenario.apis import MeteredApi
from simulator.scenario.patterns import HostedCluster, HostingPattern

_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Bill:
    """What a hosting pattern costs in one month."""

    lines: tuple[BillLine, ...]

    @property
    def total_usd(self) -> Decimal:
        """Sum of the lines."""
        return total(self.lines)

    @property
    def running_usd(self) -> Decimal:
        """The total without amortisation and interest: what is still to be paid once purchases are made."""
        return total([line for line in self.lines if line.key.rpartition(".")[2] not in CAPITAL])

    def usd(self, key: str) -> Decimal:
        """Amount of one line, zero where the bill has none of that key."""
        return total([line for line in self.lines if line.key == key])

    def rounded(self) -> Bill:
        """Round as an invoice does: each line to the cent, halves up, and the total as the sum of those.

        What is displayed therefore adds up; its total may differ from the exact one by half a cent a line.
        """
        return Bill(tuple(replace(line, usd=line.usd.quantize(_CENT, ROUND_HALF_UP)) for line in self.lines))


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
    for name, bill in backend_bills(pattern, usage, book, month_hours).items():
        siblings = pattern.hosted if name in pattern.hosted else pattern.metered
        lines += named(name, bill.lines, alone=len(siblings) == 1)
    return Bill(tuple(lines))


def backend_bills(pattern: HostingPattern, usage: Usage, book: PriceBook, month_hours: Decimal) -> dict[str, Bill]:
    """The bill of each backend by its name, clusters first. Raises PriceNotFound."""
    bills = {
        name: Bill(tuple(_of_cluster(one, usage.clusters[name], book, usage.hours, month_hours)))
        for name, one in pattern.hosted.items()
    }
    bills |= {
        name: Bill(tuple(_of_api(api, usage.apis[name], book, usage.hours, month_hours)))
        for name, api in pattern.metered.items()
    }
    return bills


def _of_cluster(
    one: HostedCluster, use: ClusterUse, book: PriceBook, hours: float, month_hours: Decimal
) -> list[BillLine]:
    lines = list(cluster_lines(one.cluster, one.costs, use, book, month_hours))
    tokens = use.tokens * _month_scale(hours, month_hours)
    lines += running_lines(one.costs, tokens, book)
    if one.costs.lines:
        gpus, known = one.cluster.replicas * one.cluster.tensor_parallel, {line.key: line.usd for line in lines}
        month = Month(float(month_hours), float(tokens), gpus=gpus, busy_fraction=use.busy_fraction, usd=known)
        lines += own_lines(one.costs.lines, month, lines)
    lines += list(compliance_line(one.costs, lines))
    return [*lines, *vat_lines(book.vat, lines)]


def _of_api(api: MeteredApi, use: ApiUse, book: PriceBook, hours: float, month_hours: Decimal) -> list[BillLine]:
    lines = list(api_lines(api, use, book, hours, month_hours))
    tokens = use.prompt_tokens + use.output_tokens
    beside = list(running_lines(api.costs, tokens * _month_scale(hours, month_hours), book))
    if api.costs.lines or api.provider:
        month = _month_of_api(use, [*lines, *map(_of_the_api, beside)], hours, month_hours)
        beside += own_lines(api.costs.lines, month, [*lines, *beside], api.provider)
    beside += compliance_line(api.costs, [*lines, *beside])
    beside += vat_lines(book.vat, [*lines, *beside])
    own = {line.key for line in lines}
    return [*lines, *(_of_the_api(line, own) for line in beside)]


def _month_of_api(use: ApiUse, lines: Iterable[BillLine], hours: float, month_hours: Decimal) -> Month:
    counts = use.prompt_tokens, use.cached_prompt_tokens, use.output_tokens
    prompt, cached, output = (float(count * _month_scale(hours, month_hours)) for count in counts)
    return Month(float(month_hours), prompt + output, prompt, cached, output, usd={one.key: one.usd for one in lines})


def _of_the_api(line: BillLine, own: Container[str] = ()) -> BillLine:
    """A line that a cluster may have too, told apart from it; those that only an API has are called their own names."""
    # Abbreviations, such as VAT, stay as they are.
    label = f"API, {line.label if line.label[:2].isupper() else line.label[0].lower() + line.label[1:]}"
    factors = _refer(line.factors, lambda key: key if key in own else f"api_{key}")
    return replace(line, key=f"api_{line.key}", label=label, factors=factors)


def _refer(factors: tuple[Factor, ...], name: Callable[[str], str]) -> tuple[Factor, ...]:
    """The same factors where the lines they add up go by other names."""
    if not any(factor.lines for factor in factors):
        return factors
    return tuple(replace(factor, lines=tuple(map(name, factor.lines))) for factor in factors)


def named(name: str, lines: Iterable[BillLine], *, alone: bool) -> Iterator[BillLine]:
    """The lines of one backend; where there are several of its kind, its name tells them apart."""
    for line in lines:
        if alone:
            yield line
            continue
        factors = _refer(line.factors, lambda key: f"{name}.{key}")
        yield replace(line, key=f"{name}.{line.key}", label=f"{name}: {line.label}", factors=factors)


def upfront_usd(pattern: HostingPattern, vat: float = 0.0) -> Decimal:
    """Price of bought hardware and the tax on it, due before the first month; zero for rent and API."""
    return upfront_bill(pattern, vat).total_usd


def upfront_bill(pattern: HostingPattern, vat: float = 0.0) -> Bill:
    """The same, line by line."""
    lines: list[BillLine] = []
    for name, one in pattern.hosted.items():
        lines += named(name, _hardware(one, vat), alone=len(pattern.hosted) == 1)
    return Bill(tuple(lines))


def _hardware(one: HostedCluster, vat: float) -> list[BillLine]:
    bought = one.bought
    if bought is None:
        return []
    price = hardware_price(one.cluster, bought)
    lines = [BillLine("hardware", "Hardware", bought.price_usd, "scenario", "{0}", (price,))]
    if vat:
        usd = tco.to_decimal(tco.exact(bought.price_usd) * tco.exact(vat))
        basis = f"{vat:.3g} of {bought.price_usd:,.2f} USD; scenario"
        lines.append(BillLine("hardware_vat", "VAT on hardware", usd, basis, "{0} * {1}", share_of(lines, vat, "VAT")))
    return lines


def one_off_bill(pattern: HostingPattern, vat: float = 0.0) -> Bill:
    """What is paid once beside hardware, and the tax on it: connections, training, waiting for an agreement."""
    lines: list[BillLine] = []
    for name, one in pattern.hosted.items():
        lines += named(name, _taxed(one_off_lines(one.costs), vat), alone=len(pattern.hosted) == 1)
    for name, api in pattern.metered.items():
        lines += named(name, map(_of_the_api, _taxed(one_off_lines(api.costs), vat)), alone=len(pattern.metered) == 1)
    return Bill(tuple(lines))


def _taxed(lines: Iterable[BillLine], vat: float) -> list[BillLine]:
    found = list(lines)
    return [*found, *vat_lines(vat, found)]


def usd_per_million_tokens(bill: Bill, usage: Usage, month_hours: Decimal) -> Decimal | None:
    """Spread the bill over the month's served prompt and output tokens; None where nothing was served."""
    served = usage.served_prompt_tokens + usage.served_output_tokens
    return tco.usd_per_million(bill.total_usd, served * _month_scale(usage.hours, month_hours)) if served else None


def _month_scale(hours: float, month_hours: Decimal) -> Fraction:
    return tco.exact(month_hours) / tco.exact(hours)
