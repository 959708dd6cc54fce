"""The arithmetic of owning and renting, as pure functions.

Amounts are worked out in `Fraction`, which loses nothing, and handed over as `Decimal` in steps of a
trillionth of a dollar: coarse enough that adding lines is exact in any order, fine enough that nobody will
ever see the step. Floats such as a share or a power enter through their shortest decimal form, so 0.1 means
one tenth.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

_STEPS: Final = 10**12

Number = Decimal | Fraction | float | int


@lru_cache(4096, typed=True)
def exact(value: Number) -> Fraction:
    """Take a number as it is written: `exact(0.1)` is one tenth."""
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


def to_decimal(amount: Fraction) -> Decimal:
    """Round to the nearest trillionth, halves to even."""
    return Decimal(f"{round(amount * _STEPS)}e-12")


def rental_usd(hourly_usd: Decimal, hours: Number, count: int = 1) -> Decimal:
    """USD of renting `count` things at an hourly price.

    >>> print(round(rental_usd(Decimal("2.38"), hours=720), 2))
    1713.60
    """
    return to_decimal(exact(hourly_usd) * exact(hours) * count)


def amortised_usd(price_usd: Decimal, months: int, residual_usd: Decimal = Decimal(0)) -> Decimal:
    """USD a month of a purchase written off in equal months down to what it still fetches.

    >>> print(round(amortised_usd(Decimal(32_000), months=36), 2))
    888.89
    """
    if months < 1:
        raise ValueError(f"a purchase is written off over at least one month, not {months}")
    return to_decimal((exact(price_usd) - exact(residual_usd)) / months)


def interest_usd(price_usd: Decimal, months: int, yearly_rate: float, residual_usd: Decimal = Decimal(0)) -> Decimal:
    """USD a month of interest, on average, where a purchase is paid off in equal instalments.

    The instalments are those of an annuity at a twelfth of the yearly rate, at the end of whose term the residual
    value is still owed and paid by the sale. 32,000 USD at 6 % over three years take instalments of 973.50 USD:

    >>> print(round(interest_usd(Decimal(32_000), 36, 0.06) + amortised_usd(Decimal(32_000), 36), 2))
    973.50
    """
    rate = exact(yearly_rate) / 12
    if not rate:
        return Decimal(0)
    discount = 1 / (1 + rate) ** months
    instalment = (exact(price_usd) - exact(residual_usd) * discount) * rate / (1 - discount)
    return to_decimal(instalment - (exact(price_usd) - exact(residual_usd)) / months)


def weeks_usd(salary_usd_per_year: Decimal, weeks: float, every_months: float, loading: float = 1.0) -> Decimal:
    """USD a month of so many weeks of somebody's work, of the 52 of a year, once in so many months.

    >>> print(round(weeks_usd(Decimal(135_000), weeks=1, every_months=4) * 12, 2))
    7788.46
    """
    return to_decimal(exact(salary_usd_per_year) / 52 * exact(weeks) * exact(loading) / exact(every_months))


def egress_usd(tokens: Number, bytes_per_token: float, usd_per_gb: Decimal) -> Decimal:
    """USD of carrying this many tokens, a gigabyte being 10^9 bytes.

    >>> print(round(egress_usd(1_000_000_000, 4, Decimal("0.087")), 3))
    0.348
    """
    return to_decimal(exact(tokens) * exact(bytes_per_token) / 10**9 * exact(usd_per_gb))


def staff_usd(salary_usd_per_year: Decimal, share: float, loading: float = 1.0) -> Decimal:
    """USD a month of a share of a salary, times the employer's loading.

    >>> print(round(staff_usd(Decimal(135_000), share=0.25), 2))
    2812.50
    """
    return to_decimal(exact(salary_usd_per_year) / 12 * exact(share) * exact(loading))


def average_power_w(
    *, gpu_idle_w: float, gpu_busy_w: float, host_w: float, busy_fraction: float, gpus: int, replicas: int = 1
) -> Fraction:
    """Average watts of `replicas` servers of `gpus` GPUs each, without the room's overhead.

    A GPU draws `idle + (busy - idle) × busy_fraction`. Two A100 PCIe at 300 W in a 400 W server, always busy:

    >>> print(average_power_w(gpu_idle_w=100, gpu_busy_w=300, host_w=400, busy_fraction=1.0, gpus=2))
    1000
    """
    gpu_w = exact(gpu_idle_w) + (exact(gpu_busy_w) - exact(gpu_idle_w)) * exact(busy_fraction)
    return (gpu_w * gpus + exact(host_w)) * replicas


def energy_usd(power_w: Number, hours: Number, usd_per_kwh: Decimal, pue: float = 1.0) -> Decimal:
    """USD of drawing this power for so many hours in a room of this power usage effectiveness.

    >>> print(round(energy_usd(1000, hours=730, usd_per_kwh=Decimal("0.12"), pue=1.54), 2))
    134.90
    """
    return to_decimal(exact(power_w) / 1000 * exact(pue) * exact(hours) * exact(usd_per_kwh))


def colocation_usd(rated_power_w: Number, usd_per_kw_month: Decimal) -> Decimal:
    """USD a month of floor space for equipment of this rated power.

    >>> print(round(colocation_usd(1300, Decimal("217.30")), 2))
    282.49
    """
    return to_decimal(exact(rated_power_w) / 1000 * exact(usd_per_kw_month))


def usd_per_million(usd: Decimal, tokens: Number) -> Decimal:
    """USD per 1,000,000 tokens. `tokens` must be positive.

    >>> print(round(usd_per_million(Decimal(5900), 1_555_200_000), 3))
    3.794
    """
    return to_decimal(exact(usd) * 1_000_000 / exact(tokens))
