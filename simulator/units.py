"""Quantities as people write them, parsed strictly into one unit each.

Durations become float seconds, money and prices become `Decimal`. Every parser refuses NaN, infinity,
negatives, missing units and absurd magnitudes with a `ValueError` that says what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Final

SECOND_S: Final = 1.0
MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S

#: Hours of an average month, 8,760 / 12: the convention of cloud price calculators.
MONTH_HOURS: Final = Decimal(730)

GIB: Final = 1024**3

_DURATION_UNITS: Final = {
    "ms": 1e-3, "s": 1.0, "min": MINUTE_S, "h": HOUR_S, "d": DAY_S, "w": WEEK_S,
}  # fmt: skip
_MAX_DURATION_S: Final = 20 * 366 * DAY_S
#: Of a price that somebody wrote.
_WRITTEN_DIGITS: Final = 12
_MAX_USD: Final = Decimal("1e10")
_NUMBER: Final = r"([0-9]+(?:_[0-9]{3})*(?:,[0-9]{3})*(?:\.[0-9]+)?)"
_DURATION: Final = re.compile(rf"\s*{_NUMBER}\s*(ms|s|min|h|d|w)\s*")
_MONEY: Final = re.compile(rf"\s*{_NUMBER}\s*([A-Z]{{3}})(?:\s*/\s*(.+?))?\s*")
_ROUGH_NUMBER: Final = re.compile(rf"{_NUMBER}\s*(?:([kKM])\b)?")
_ROUGH_UNITS: Final = {"k": 1000, "K": 1000, "M": 1_000_000}
_PERCENT: Final = re.compile(rf"\s*{_NUMBER}\s*%\s*")


def _plain(number: str) -> str:
    return number.replace(",", "").replace("_", "")


def number_in(text: str) -> str:
    """The plain number that was probably meant by `48mo`, `180k` or `$2,400`; nothing where there is none.

    >>> number_in("48mo"), number_in("180k"), number_in("$2,400.50"), number_in("1.5M"), number_in("many")
    ('48', '180000', '2400.5', '1500000', '')
    """
    match = _ROUGH_NUMBER.search(text)
    if match is None:
        return ""
    number = Decimal(_plain(match[1])) * _ROUGH_UNITS.get(match[2], 1)
    return f"{number.normalize():f}"


def parse_duration_s(value: object) -> float:
    """Seconds of a duration such as `"28d"`, `"1h 30min"`, `"250ms"`.

    Raises:
        ValueError: No unit, unknown unit, negative, not finite, or over twenty years.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = f"{value:g}" if 0 <= value < 1e9 else "30"
        units = ("ms", "s", "min") if value >= 100 else ("s", "min", "h")
        examples = " or ".join(f"'{number}{unit}'" for unit in units)
        raise ValueError(f"a duration needs a unit, such as {examples}")
    if not isinstance(value, str):
        raise ValueError("expected a duration such as '2s', '30min', '12h' or '28d'")
    position, total = 0, 0.0
    while position < len(value):
        match = _DURATION.match(value, position)
        if match is None:
            raise ValueError("expected a duration such as '2s', '30min', '12h' or '28d' (units ms, s, min, h, d, w)")
        total += float(_plain(match[1])) * _DURATION_UNITS[match[2]]
        position = match.end()
    if not value.strip():
        raise ValueError("expected a duration such as '2s', '30min', '12h' or '28d'")
    if not math.isfinite(total) or total > _MAX_DURATION_S:
        raise ValueError("a duration may not exceed twenty years")
    return total


def parse_share(value: object) -> float:
    """A share between 0 and 1, written `"25 %"` or `0.25`.

    Raises:
        ValueError: Outside 0 to 1, not finite, or not a number.
    """
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value)
        if match is None:
            raise ValueError("expected a share such as '25 %' or 0.25")
        share = float(_plain(match[1])) / 100.0
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        share = float(value) if 0 <= value <= 1 else math.nan
    else:
        raise ValueError("expected a share such as '25 %' or 0.25")
    if not 0.0 <= share <= 1.0:
        raise ValueError("a share lies between 0 and 1 (0 % and 100 %)")
    return share


def parse_multiple(value: object) -> float:
    """A share that may exceed the whole, written `"250 %"` or 2.5, up to a thousandfold.

    Raises:
        ValueError: Negative, above a thousandfold, not finite, or not a number.
    """
    found = math.nan
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value)
        found = float(_plain(match[1])) / 100.0 if match else math.nan
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found = float(value)
    if not 0.0 <= found <= 1000.0:
        raise ValueError("expected a share such as '25 %' or 0.25; '250 %' is two and a half times as much")
    return found


_MEMORY: Final = re.compile(rf"\s*{_NUMBER}\s*(B|[KMGT]i?B)\s*")
_MEMORY_UNITS: Final = (
    {"B": 1}
    | {f"{p}B": 1000**n for n, p in enumerate("KMGT", 1)}
    | {f"{p}iB": 1024**n for n, p in enumerate("KMGT", 1)}
)


def parse_memory_bytes(value: object) -> int:
    """Bytes of memory, written `"40 GiB"`, `"500 MB"`, or as a whole number of bytes.

    Raises:
        ValueError: No number, an unknown unit, or none at all.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    else:
        match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("expected memory such as '40 GiB' (units B, MiB, GiB, MB, GB), or a whole number of bytes")
        found = int(Decimal(_plain(match[1])) * _MEMORY_UNITS[match[2]])
    if not 0 < found <= 1 << 50:
        raise ValueError("memory is more than nothing and at most 1,024 TiB")
    return found


#: US dollars of one unit of each other currency, by ISO code.
Rates = Mapping[str, Decimal]
_DOLLARS_ALONE: Final[Rates] = {}


def _parse_money(value: object, per: dict[str, Decimal] | None, example: str, rates: Rates) -> Decimal:
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        raise ValueError(f"an amount of money needs its unit, such as '{example}'")
    match = _MONEY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        rough = number_in(value) if isinstance(value, str) and "-" not in value else ""
        amount_of = f"{rough} {example.partition(' ')[2]}" if rough else example
        raise ValueError(f"expected an amount such as '{amount_of}'")
    unit = " ".join((match[3] or "").split())
    if per is None:
        if unit:
            raise ValueError(f"expected a plain amount such as '{example}', not one per {unit}")
        factor = Decimal(1)
    elif unit in per:
        factor = per[unit]
    else:
        allowed = ", ".join(f"'USD/{name}'" for name in per)
        raise ValueError(f"expected an amount such as '{example}' (units {allowed})")
    try:
        amount = Decimal(_plain(match[1])) * factor * _usd_of(match[2], rates)
    except InvalidOperation as error:  # pragma: no cover - the pattern admits only digits
        raise ValueError(f"expected an amount such as '{example}'") from error
    if amount > _MAX_USD:
        raise ValueError("an amount may not exceed 10 billion USD")
    return amount


def parse_change(value: object) -> float:
    """A change of a year, written `"3 %"`, `"-10 %"` or 0.03.

    Raises:
        ValueError: Not between -90 % and 100 %, or not a number.
    """
    change = math.nan
    if isinstance(value, str):
        negative = value.strip().startswith("-")
        match = _PERCENT.fullmatch(value.strip().removeprefix("-"))
        if match is not None:
            change = float(_plain(match[1])) / 100.0 * (-1.0 if negative else 1.0)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        change = float(value)
    if not -0.9 <= change <= 1.0:
        raise ValueError("expected a change a year such as '3 %', '-10 %' or 0.03, between -90 % and 100 %")
    return change


def _usd_of(currency: str, rates: Rates) -> Decimal:
    """US dollars of one unit of a currency."""
    if currency == "USD":
        return Decimal(1)
    if currency not in rates:
        known = f"; there is one for {', '.join(rates)}" if rates else ""
        raise ValueError(
            f"there is no rate for {currency}{known}: give the amount in USD, or state the rate once, as "
            f"prices: {{rates: {{{currency}: {{usd: 1.08, on: 2026-11-01, source: …}}}}}}"
        )
    return rates[currency]


def parse_usd(value: object, rates: Rates = _DOLLARS_ALONE) -> Decimal:
    """USD of `"20,000 USD"`, or of an amount in a currency whose rate is known.

    Raises ValueError like `parse_duration_s`.
    """
    return _parse_money(value, None, "20000 USD", rates)


def parse_usd_per_hour(value: object, rates: Rates = _DOLLARS_ALONE) -> Decimal:
    """USD per hour of `"2.38 USD/h"`. Raises ValueError like `parse_duration_s`."""
    return _parse_money(value, {"h": Decimal(1)}, "2.38 USD/h", rates)


def parse_usd_per_month(value: object, rates: Rates = _DOLLARS_ALONE) -> Decimal:
    """USD per month of `"50 USD/month"` or `"600 USD/year"`. Raises ValueError like `parse_duration_s`."""
    return _parse_money(value, {"month": Decimal(1), "year": 1 / Decimal(12)}, "50 USD/month", rates)


def parse_usd_per_year(value: object, rates: Rates = _DOLLARS_ALONE) -> Decimal:
    """USD per year of `"135000 USD/year"`. Raises ValueError like `parse_duration_s`."""
    return _parse_money(value, {"year": Decimal(1), "month": Decimal(12)}, "135000 USD/year", rates)


def parse_usd_per_kwh(value: object, rates: Rates = _DOLLARS_ALONE) -> Decimal:
    """USD per kilowatt-hour of `"0.12 USD/kWh"`. Raises ValueError like `parse_duration_s`."""
    return _parse_money(value, {"kWh": Decimal(1)}, "0.12 USD/kWh", rates)


def parse_usd_per_kw_month(value: object, rates: Rates = _DOLLARS_ALONE) -> Decimal:
    """USD per kilowatt and month of `"217.30 USD/kW-month"`. Raises ValueError like `parse_duration_s`."""
    return _parse_money(value, {"kW-month": Decimal(1)}, "217.30 USD/kW-month", rates)


def parse_usd_per_gb(value: object, rates: Rates = _DOLLARS_ALONE) -> Decimal:
    """USD per gigabyte of `"0.087 USD/GB"`. Raises ValueError like `parse_duration_s`."""
    return _parse_money(value, {"GB": Decimal(1)}, "0.087 USD/GB", rates)


def check_money(value: str, rates: Rates = _DOLLARS_ALONE) -> str:
    """An amount of money of any kind but tokens, as it was written. Raises ValueError like `parse_duration_s`."""
    unit = value.partition("/")[2].strip()
    parsers = {
        "": parse_usd, "h": parse_usd_per_hour, "month": parse_usd_per_month, "year": parse_usd_per_year,
        "kWh": parse_usd_per_kwh, "kW-month": parse_usd_per_kw_month, "GB": parse_usd_per_gb,
    }  # fmt: skip
    if unit not in parsers:
        allowed = ", ".join(f"'USD/{name}'" for name in parsers if name)
        raise ValueError(f"expected an amount such as '20000 USD' (units 'USD', {allowed})")
    parsers[unit](value, rates)
    return value


@dataclass(frozen=True, slots=True, order=True)
class TokenPrice:
    """A price of tokens. The unit is in the constructor, so a slip of 1,000 cannot be written.

    Attributes:
        usd_per_million: Exact USD per 1,000,000 tokens.
    """

    usd_per_million: Decimal

    @classmethod
    def per_million(cls, usd: Decimal | str) -> TokenPrice:
        """USD per 1,000,000 tokens."""
        return cls(Decimal(usd))

    @classmethod
    def per_thousand(cls, usd: Decimal | str) -> TokenPrice:
        """USD per 1,000 tokens."""
        return cls(Decimal(usd) * 1000)

    @classmethod
    def per_token(cls, usd: Decimal | str) -> TokenPrice:
        """USD per single token."""
        return cls(Decimal(usd) * 1_000_000)

    def cost_usd(self, tokens: int) -> Decimal:
        """Exact USD of this many tokens."""
        return self.usd_per_million * tokens / 1_000_000

    def __str__(self) -> str:
        exact = self.usd_per_million
        # A price by the hour of audio is divided by its tokens: as many digits as there are is no more exact.
        shown = exact if len(exact.as_tuple().digits) <= _WRITTEN_DIGITS else Context(prec=7).plus(exact)
        return f"{shown:f} USD/1M tokens"


_PER_TOKENS: Final = {
    "1M tokens": Decimal(1), "1K tokens": Decimal(1000), "token": Decimal(1_000_000),
}  # fmt: skip


def in_usd(text: str, rates: Rates) -> str:
    """An amount as it is written, in US dollars: `"90000 EUR/year"` becomes `"97200 USD/year"`.

    What is no amount, or in a currency without a rate, stays as it is.
    """
    match = _MONEY.fullmatch(text)
    if match is None or match[2] not in rates:
        return text
    amount = Decimal(_plain(match[1])) * rates[match[2]]
    return f"{amount.normalize():f} USD" + (f"/{match[3]}" if match[3] else "")


def parse_token_price(value: object, rates: Rates = _DOLLARS_ALONE) -> TokenPrice:
    """Price of `"10 USD/1M tokens"`, `"0.015 USD/1K tokens"` or `"0.00001 USD/token"`.

    Raises:
        ValueError: No unit, unknown unit, negative, or over 100,000 USD per 1M tokens.
    """
    if isinstance(value, TokenPrice):
        return value
    price = TokenPrice(_parse_money(value, _PER_TOKENS, "10 USD/1M tokens", rates))
    if price.usd_per_million > 100_000:
        raise ValueError(f"{price} is more than 100,000 USD per 1M tokens: check the unit (per token, 1K or 1M)")
    return price
