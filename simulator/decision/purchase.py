"""Bought hardware as an investment: what is paid at the start, what is saved each month, and when that evens out.

Savings leave the amortisation out: it is the upfront payment again, and it would count twice.

Parts that last unequally are compared over the longest of their lives. What lasts less is bought again whenever it has
been written off; it is worth the annuity of one life, paid for as long as the pattern is looked at, so that the life
that is left in the last of them counts for what it is (equivalent annual cost: Brealey, Myers and Allen, Principles of
Corporate Finance, chapter 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING

from simulator.cost.bill import upfront_usd
from simulator.cost.cash import Asset, assets_of, once_usd, renewals_usd
from simulator.cost.tco import exact, to_decimal
from simulator.decision.break_even import payback_months
from simulator.decision.screening import cost_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from fractions import Fraction

    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class CashFlow:
    """A purchase beside what it replaces.

    Attributes:
        pattern: The pattern that is bought.
        reference: The pattern it replaces: the cheapest of its kind that buys nothing.
        against: Kind of the reference.
        upfront_usd: Paid before the first month, for hardware and all else that is paid once.
        reference_upfront_usd: What the reference takes before its first month.
        residual_usd: What the hardware still fetches in the end.
        saving_usd_per_month: What the reference costs beyond the purchase's running costs; negative when it costs less.
        payback_months: Until the savings have paid for the purchase for good, what is bought again within `months`
            with it; None when they never do.
        months: How long the hardware is used: its amortisation, the longest where its parts have several.
        renewals_usd: By month, what is paid after it for parts that last less, less what the old ones fetch.
        discount_rate: Yearly rate at which later savings count less.
        npv_usd: Net present value of the purchase over those months, beside the reference.
        cumulative_usd: Undiscounted position beside the reference after 0, 1, … months, renewals paid, what is fetched
            in the end left out.
    """

    pattern: str
    reference: str
    against: str
    upfront_usd: float
    reference_upfront_usd: float
    residual_usd: float
    saving_usd_per_month: float
    payback_months: float | None
    months: int
    renewals_usd: dict[int, float]
    discount_rate: float
    npv_usd: float
    cumulative_usd: list[float]


def cash_flows(scenario: Scenario, results: Sequence[PatternResult]) -> list[CashFlow]:
    """Each purchase against the cheapest pattern of each kind that buys nothing; the cheapest purchase first.

    Args:
        scenario: The scenario.
        results: Patterns that may be chosen, simulated and priced.
    """
    bought = [one for one in results if upfront_usd(scenario.hosting_patterns[one.name]) and one.bill is not None]
    bought.sort(key=lambda one: (cost_of(one), one.name))
    others = [one for one in results if not upfront_usd(scenario.hosting_patterns[one.name])]
    references: dict[str, PatternResult] = {}
    for other in sorted(others, key=lambda one: (cost_of(one), one.name)):
        references.setdefault(other.kind, other)
    return [_cash_flow(scenario, one, other) for one in bought for other in references.values()]


def net_present_value(
    upfront_usd: Decimal,
    saving_usd_per_month: Decimal,
    months: int,
    yearly_rate: float,
    residual_usd: Decimal = Decimal(0),
) -> Decimal:
    """Savings at the end of each month and a residual after the last, discounted at (1 + rate)^(months/12).

    The upfront payment is taken off undiscounted.

    >>> print(round(net_present_value(Decimal(1000), Decimal(100), 12, 0.0), 2))
    200.00
    """
    each, last = _annuity(months, yearly_rate)
    later = exact(saving_usd_per_month) * each + exact(residual_usd) * last
    return to_decimal(later - exact(upfront_usd))


def _annuity(months: int, yearly_rate: float) -> tuple[Fraction, Fraction]:
    """Present value of a dollar at the end of each month, and of one at the end of the last."""
    factors = [(1.0 + yearly_rate) ** (-month / 12.0) for month in range(1, months + 1)]
    return exact(sum(factors)), exact(factors[-1])


def present_usd(asset: Asset, months: int, yearly_rate: float) -> Decimal:
    """Present value of having such hardware for so many months, bought again whenever its life ends.

    100,000 USD that last three years cost as much over six as if they were spent twice, three years apart:

    >>> bought = Asset(Decimal(100_000), Decimal(0), 36)
    >>> print(round(present_usd(bought, 72, 0.07), 2), round(100_000 + 100_000 / 1.07**3, 2))
    181629.79 181629.79
    """
    life, _ = _annuity(asset.months, yearly_rate)
    whole, _ = _annuity(months, yearly_rate)
    once = -exact(net_present_value(asset.paid_usd, Decimal(0), asset.months, yearly_rate, asset.fetches_usd))
    return to_decimal(once * whole / life)


def _paid_back(
    upfront_usd: Decimal, renewals_usd: Mapping[int, Decimal], other_usd: Decimal, running_usd: Decimal
) -> Decimal | None:
    """Months until savings have paid for good; what is bought again after that they pay for in time."""
    paid = upfront_usd + sum(renewals_usd.values())
    for month, once_more_usd in sorted(renewals_usd.items(), reverse=True):
        payback = payback_months(paid, other_usd, running_usd)
        if payback is None or payback > month:
            return payback
        paid -= once_more_usd
    return payback_months(paid, other_usd, running_usd)


def _cash_flow(scenario: Scenario, bought: PatternResult, reference: PatternResult) -> CashFlow:
    pattern = scenario.hosting_patterns[bought.name]
    vat = scenario.prices.vat
    upfront, instead = once_usd(pattern, vat), once_usd(scenario.hosting_patterns[reference.name], vat)
    assets = assets_of(pattern, vat).values()
    months = max(asset.months for asset in assets)
    renewals = renewals_usd(pattern, months, vat)
    running = bought.bill.running_usd if bought.bill else Decimal(0)
    other = Decimal(str(round(cost_of(reference), 2)))
    payback = _paid_back(max(Decimal(0), upfront - instead), renewals, other, running)
    saving, rate = other - running, scenario.prices.discount_rate
    once = upfront - instead - sum((asset.paid_usd for asset in assets), Decimal(0))
    hardware = sum((present_usd(asset, months, rate) for asset in assets), Decimal(0))
    paid = accumulate((renewals.get(month, Decimal(0)) for month in range(1, months + 1)), initial=upfront - instead)
    return CashFlow(
        pattern=bought.name,
        reference=reference.name,
        against=reference.kind,
        upfront_usd=float(upfront),
        reference_upfront_usd=float(instead),
        residual_usd=float(sum((asset.fetches_usd for asset in assets), Decimal(0))),
        saving_usd_per_month=float(saving),
        payback_months=None if payback is None else float(payback),
        months=months,
        renewals_usd={month: float(usd) for month, usd in renewals.items()},
        discount_rate=rate,
        npv_usd=float(net_present_value(once, saving, months, rate) - hardware),
        cumulative_usd=[float(saving * month - usd) for month, usd in enumerate(paid)],
    )
