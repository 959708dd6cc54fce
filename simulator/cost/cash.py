"""What is paid in cash: a purchase when it is made, and again whenever it has been written off.

Hardware that has been written off is replaced and the old set sold for its residual value; otherwise the months after
it would have nothing to run on. What falls due with the end of the last month is for the months after: it is not paid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from simulator.cost import tco
from simulator.cost.bill import Bill, named, one_off_bill, upfront_usd
from simulator.cost.cluster_lines import renewal_line
from simulator.cost.lines import BillLine
from simulator.scenario.costs import Purchase
from simulator.scenario.patterns import HostingPattern

#: Months of the first year and of three years.
HORIZONS: Final = (12, 36)


@dataclass(frozen=True, slots=True)
class Asset:
    """Hardware of one cluster.

    Attributes:
        paid_usd: What it takes, the tax on it with it.
        fetches_usd: What it still fetches when it has been written off.
        months: How long it is used.
    """

    paid_usd: Decimal
    fetches_usd: Decimal
    months: int

    def renewals_usd(self, months: int) -> dict[int, Decimal]:
        """By month, what is paid after it to go on for so many months, less what the old one fetches."""
        return dict.fromkeys(range(self.months, months, self.months), self.paid_usd - self.fetches_usd)


@dataclass(frozen=True, slots=True)
class Cash:
    """What is really paid: nothing is written off, and no interest is owed on what was paid at once.

    Attributes:
        before_usd: Before the first month: hardware, and all else that is paid once.
        first_year_usd: That, twelve months of everything but `CAPITAL`, and what is bought again within them.
        three_years_usd: The same after 36 months; what the hardware then still fetches is not taken off.
        renewals_usd: By month, what is paid after it, within three years, for hardware that has been written off, less
            what the old set fetches.
    """

    before_usd: float
    first_year_usd: float
    three_years_usd: float
    renewals_usd: dict[int, float] = field(default_factory=dict)


def assets_of(pattern: HostingPattern, vat: float = 0.0) -> dict[str, Asset]:
    """What a pattern buys, by cluster."""
    tax = 1 + tco.exact(vat)
    return {
        name: Asset(
            tco.to_decimal(tco.exact(bought.price_usd) * tax), bought.residual_usd, one.costs.compute.amortisation
        )
        for name, one in pattern.hosted.items()
        if (bought := one.bought) is not None and isinstance(one.costs.compute, Purchase)
    }


def once_usd(pattern: HostingPattern, vat: float = 0.0) -> Decimal:
    """All that a pattern takes before its first month: hardware, connections, training, waiting, and the tax on it."""
    return upfront_usd(pattern, vat) + one_off_bill(pattern, vat).total_usd


def renewals_usd(pattern: HostingPattern, months: int, vat: float = 0.0) -> dict[int, Decimal]:
    """By month, in order, what is paid after it for all hardware that lasts less than so many months."""
    found: dict[int, Decimal] = {}
    for asset in assets_of(pattern, vat).values():
        for month, paid_usd in asset.renewals_usd(months).items():
            found[month] = found.get(month, Decimal(0)) + paid_usd
    return dict(sorted(found.items()))


def renewal_bill(pattern: HostingPattern, months: int, vat: float = 0.0) -> Bill:
    """All of that, a line for each cluster that buys hardware; one of zero where that lasts."""
    lines: list[BillLine] = []
    for name, asset in assets_of(pattern, vat).items():
        usd = sum(asset.renewals_usd(months).values(), Decimal(0))
        line = renewal_line(pattern.hosted[name], months, usd, vat)
        lines += named(name, [line], alone=len(pattern.hosted) == 1)
    return Bill(tuple(lines))


def cash_usd(pattern: HostingPattern, bill: Bill, months: int, vat: float = 0.0) -> Decimal:
    """All that is paid until the end of so many months."""
    again = sum(renewals_usd(pattern, months, vat).values(), Decimal(0))
    return once_usd(pattern, vat) + months * bill.running_usd + again


def cash_of(pattern: HostingPattern, bill: Bill, vat: float = 0.0) -> Cash:
    """What a pattern of this monthly bill takes."""
    again = {month: float(usd) for month, usd in renewals_usd(pattern, max(HORIZONS), vat).items()}
    before, year, three = (float(cash_usd(pattern, bill, months, vat)) for months in (0, *HORIZONS))
    return Cash(before, year, three, again)
