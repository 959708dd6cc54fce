"""Amounts and shares as people read them."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal


def usd(amount: float | Decimal) -> str:
    """Whole dollars from a hundred on, cents below.

    >>> usd(5721.10), usd(0.1374)
    ('5,721', '0.14')
    """
    return f"{amount:,.0f}" if abs(float(amount)) >= 99.995 else f"{amount:,.2f}"


def percent(share: float) -> str:
    """A share, small ones to two significant digits.

    >>> percent(0.1052), percent(0.000037), percent(0.0)
    ('10.5 %', '0.0037 %', '0 %')
    """
    if 0.0 < share < 1e-6:
        return "< 0.0001 %"
    return f"{100.0 * share:.1f} %" if share >= 0.0995 else f"{100.0 * share:.2g} %"


def kept_share(share: float) -> str:
    """A share in which a single exception must not be rounded away.

    >>> kept_share(0.98999), kept_share(0.999999), kept_share(1.0)
    ('98.99 %', '99.99 %', '100 %')
    """
    return "100 %" if share >= 1.0 else f"{floor(share * 1e4 + 1e-9) / 100.0:.2f} %"
