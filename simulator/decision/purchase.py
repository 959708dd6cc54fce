"""Bought hardware as an investment: what is paid at the start, what is saved each month, and when that evens out.

Savings leave the amortisation out: it is the upfront payment again, and it would count twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from simulator.cost.bill import one_off_bill, upfront_usd
from simulator.cost.tco import exact, to_decimal
from simulator.decision.break_even import payback_months
from simulator.decision.screening import cost_of
from simulator.scenario.costs import Purchase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.patterns import HostingPattern
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
        payback_months: Until the savings have paid for the purchase; None when they never do.
        months: How long the hardware is used: its amortisation.
        discount_rate: Yearly rate at which later savings count less.
        npv_usd: Net present value of the purchase over those months, beside the reference.
        cumulative_usd: Undiscounted position beside the reference after 0, 1, … months, what is fetched in the end
            left out.
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
    factors = [(1.0 + yearly_rate) ** (-month / 12.0) for month in range(1, months + 1)]
    later = exact(saving_usd_per_month) * exact(sum(factors)) + exact(residual_usd) * exact(factors[-1])
    return to_decimal(later - exact(upfront_usd))


def once_usd(pattern: HostingPattern, vat: float = 0.0) -> Decimal:
    """All that a pattern takes before its first month: hardware, connections, training, waiting, and the tax on it."""
    return upfront_usd(pattern, vat) + one_off_bill(pattern, vat).total_usd


def _cash_flow(scenario: Scenario, bought: PatternResult, reference: PatternResult) -> CashFlow:
    pattern = scenario.hosting_patterns[bought.name]
    vat = scenario.prices.vat
    upfront, instead = once_usd(pattern, vat), once_usd(scenario.hosting_patterns[reference.name], vat)
    computes = [one.costs.compute for one in pattern.hosted.values() if isinstance(one.costs.compute, Purchase)]
    months = max(compute.amortisation for compute in computes)
    found = (one.bought for one in pattern.hosted.values())
    residual = sum((one.residual_usd for one in found if one is not None), Decimal(0))
    running = bought.bill.running_usd if bought.bill else Decimal(0)
    other = Decimal(str(round(cost_of(reference), 2)))
    more = max(Decimal(0), upfront - instead)
    payback = payback_months(more, other, running)
    saving, rate = other - running, scenario.prices.discount_rate
    return CashFlow(
        pattern=bought.name,
        reference=reference.name,
        against=reference.kind,
        upfront_usd=float(upfront),
        reference_upfront_usd=float(instead),
        residual_usd=float(residual),
        saving_usd_per_month=float(saving),
        payback_months=None if payback is None else float(payback),
        months=months,
        discount_rate=rate,
        npv_usd=float(net_present_value(upfront - instead, saving, months, rate, residual)),
        cumulative_usd=[float(saving * month - (upfront - instead)) for month in range(months + 1)],
    )
