"""What a token, a request and a patient cost, on average and at the margin, and what utilisation does to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from simulator.cost import tco
from simulator.cost.bill import Bill, monthly_bill
from simulator.cost.prices import PriceBook
from simulator.cost.usage import ApiUse, Usage
from simulator.scenario.patterns import HostingPattern

#: Shares of a cluster's capacity at which its price of a token is shown; the last is the least it can be.
SHARES: Final = (0.15, 0.30, 0.40, 1.0)


@dataclass(frozen=True, slots=True)
class AtUtilisation:
    """What a million tokens would cost if the cluster served this share of what it can.

    Attributes:
        capacity_share: Tokens served over those a full batch could serve of the same mix.
        tokens_per_month: Prompt and output tokens that is.
        usd_per_million_tokens: The month's bill over them.
    """

    capacity_share: float
    tokens_per_month: int
    usd_per_million_tokens: float


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """The monthly bill per unit.

    Attributes:
        marginal_usd_per_million_tokens: What a million tokens more cost with the same hardware; None where nothing was
            served.
        usd_per_request: The bill over the completed requests; None where there are none.
        usd_per_patient: The bill over the organisation's patients; None where the scenario does not count them.
        at_utilisation: By share of the capacity, the last being full; empty but for clusters without an API.
    """

    marginal_usd_per_million_tokens: float | None
    usd_per_request: float | None
    usd_per_patient: float | None
    at_utilisation: list[AtUtilisation]


def unit_costs(
    pattern: HostingPattern,
    usage: Usage,
    book: PriceBook,
    month_hours: Decimal,
    *,
    patients: int | None = None,
    capacity_share: float | None = None,
) -> UnitCosts:
    """Work out unit costs.

    Args:
        pattern: The hosting pattern.
        usage: What was measured.
        book: Prices the scenario does not state itself.
        month_hours: Hours of the billed month.
        patients: Of the whole organisation.
        capacity_share: How much of what its clusters can serve was served; None where that is not known.

    Raises:
        PriceNotFound: See `monthly_bill`.
    """
    bill, scale = monthly_bill(pattern, usage, book, month_hours), tco.exact(month_hours) / tco.exact(usage.hours)
    tokens = (usage.served_prompt_tokens + usage.served_output_tokens) * scale
    requests = sum(work.requests for part in usage.work.values() for work in part.values()) * scale
    fixed = idle_bill(pattern, usage, book, month_hours).total_usd
    marginal = tco.usd_per_million(bill.total_usd - fixed, tokens) if tokens else None
    levels = (
        [_at(share, tokens * tco.exact(share / capacity_share), fixed, marginal) for share in SHARES]
        if marginal is not None and capacity_share and pattern.hosted and not pattern.metered
        else []
    )
    return UnitCosts(
        marginal_usd_per_million_tokens=None if marginal is None else float(marginal),
        usd_per_request=_over(bill, requests),
        usd_per_patient=None if patients is None else _over(bill, Fraction(patients)),
        at_utilisation=levels,
    )


def idle_bill(pattern: HostingPattern, usage: Usage, book: PriceBook, month_hours: Decimal) -> Bill:
    """The bill of the same month had nobody asked anything: all that does not depend on the volume."""
    nothing = replace(
        usage,
        clusters={name: replace(use, busy_fraction=0.0, tokens=0) for name, use in usage.clusters.items()},
        apis=dict.fromkeys(usage.apis, ApiUse(0, 0, 0)),
    )
    return monthly_bill(pattern, nothing, book, month_hours)


def _at(share: float, tokens: Fraction, fixed: Decimal, marginal: Decimal) -> AtUtilisation:
    usd = tco.usd_per_million(fixed, tokens) + marginal
    return AtUtilisation(share, round(tokens), float(usd))


def _over(bill: Bill, count: Fraction) -> float | None:
    return float(tco.to_decimal(tco.exact(bill.total_usd) / count)) if count else None
