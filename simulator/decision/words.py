"""Amounts, shares and times as people read them."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Final

from simulator.wording import elapsed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from decimal import Decimal


#: As a limit is said.
LIMIT_WORDS: Final = {
    "ttft_s": "to the first token",
    "ttfat_s": "to the first answer token",
    "e2e_s": "end to end",
    "chain_s": "over the whole chain",
}


def usd(amount: float | Decimal) -> str:
    """Whole dollars from a hundred on, cents below.

    >>> usd(5721.10), usd(0.1374)
    ('5,721', '0.14')
    """
    return f"{amount:,.0f}" if abs(float(amount)) >= 99.995 else f"{amount:,.2f}"


def apart(one: float | Decimal, other: float | Decimal) -> tuple[str, str]:
    """Two amounts that differ, to the cent where whole dollars would not show it.

    >>> apart(984.71, 984.90), apart(5721.10, 900)
    (('984.71', '984.90'), ('5,721', '900'))
    """
    shown = usd(one), usd(other)
    return shown if shown[0] != shown[1] else (f"{one:,.2f}", f"{other:,.2f}")


def volume(tokens: float) -> str:
    """So many tokens, in millions, to three digits or the whole million.

    >>> volume(2_665_123_456), volume(1_234_000), volume(0)
    ('2,665M tokens', '1.23M tokens', '0M tokens')
    """
    millions = tokens / 1e6
    return f"{millions:,.0f}M tokens" if millions >= 100 or not tokens else f"{millions:.3g}M tokens"


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


def share_wanted(share: float) -> str:
    """A share that is wanted.

    >>> share_wanted(0.99), share_wanted(0.995)
    ('99 %', '99.5 %')
    """
    return f"{100.0 * share:g} %"


def kept_within(limits: Iterable[tuple[str, float, float]], wanted: float | None) -> str:
    """How great a share of a workload's requests is within limits, and what is wanted; None where nobody says.

    >>> kept_within([("ttft_s", 3.0, 0.821), ("e2e_s", 45.0, 0.9)], 0.95)
    '82.10 % of its requests within 3 s to the first token, 90.00 % within 45 s end to end, 95 % wanted'

    Args:
        limits: Metric, limit in seconds and share.
        wanted: Share that is wanted within each.
    """
    said = [
        f"{kept_share(share)}{'' if at else ' of its requests'} within {duration(limit_s)} {LIMIT_WORDS[metric]}"
        for at, (metric, limit_s, share) in enumerate(limits)
    ]
    return ", ".join([*said, *([] if wanted is None else [f"{share_wanted(wanted)} wanted"])])


def share_range(ends: tuple[float, float]) -> str:
    """An interval of a share, in which a single exception must not be rounded away.

    >>> share_range((0.84704, 0.99991)), share_range((0.9, 1.0))
    ('84.70 to 99.99 %', '90.00 to 100 %')
    """
    return f"{kept_share(ends[0]).removesuffix(' %')} to {kept_share(ends[1])}"


def seconds(value: float) -> str:
    """A latency to three digits or so, without its unit; from an hour on in hours, with it.

    >>> seconds(1.5160), seconds(23.517), seconds(3200.4), seconds(84_791.0)
    ('1.52', '23.5', '3,200', '23.6 h')
    """
    if value >= 3600.0:
        return elapsed(value)
    return f"{value:.2f}" if value < 10.0 else f"{value:.1f}" if value < 1000.0 else f"{value:,.0f}"


def duration(value_s: float) -> str:
    """A limit in the largest unit that divides it.

    >>> duration(14400.0), duration(120.0), duration(2.5)
    ('4 h', '2 min', '2.5 s')
    """
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if value_s >= size and value_s % size == 0:
            return f"{value_s / size:g} {unit}"
    return f"{value_s:g} s"


def alike(value_s: float, limit_s: float) -> tuple[str, str]:
    """A time and the limit it is held against, both in seconds up to a few minutes.

    >>> alike(122.2, 60.0), alike(4.42, 3.0), alike(30_000.0, 14_400.0), alike(59_000.0, 60.0)
    (('122.2 s', '60 s'), ('4.42 s', '3 s'), ('8.33 h', '4 h'), ('16.4 h', '60 s'))
    """
    if limit_s >= 300.0:
        return elapsed(value_s), duration(limit_s)
    shown = elapsed(value_s) if value_s >= 3600.0 else f"{value_s:.2f} s" if value_s < 10.0 else f"{value_s:.1f} s"
    return shown, f"{limit_s:g} s"


def sentence(text: str, names: Collection[str] = ()) -> str:
    """A clause as a sentence: a capital, unless it starts with a name, and a full stop.

    >>> sentence("no hosting pattern is allowed"), sentence("api_llama costs least"), sentence("api is out", ["api"])
    ('No hosting pattern is allowed.', 'api_llama costs least.', 'api is out.')

    Args:
        text: The clause.
        names: Names that look like words; they stay as they are.
    """
    first = text.split(" ", 1)[0]
    start = text if not first.isalpha() or first in names else text[:1].upper() + text[1:]
    return start if start.endswith((".", "?", "!")) else f"{start}."
