"""Counts and moments as logs write them, a column at a time; what cannot be one is marked, never guessed."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    import pandas as pd
    from numpy.typing import NDArray

NS: Final = 1_000_000_000
#: No log of a language model is older or younger: 2000-01-01 and 2100-01-01, in seconds since 1970.
EARLIEST_S, LATEST_S = 946_684_800, 4_102_444_800

_ISO: Final = re.compile(
    r"^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?)?$"
)
_ZONED: Final = re.compile(r"(?:Z|UTC|[T ][\d:.,]+ ?[+-]\d\d(?::?\d\d)?)$")
#: `%z` or `%Z`, which a doubled `%` is not.
_NAMES_ZONE: Final = re.compile(r"^(?:[^%]|%[^zZ])*%[zZ]")
_UTC: Final = re.compile(r" ?UTC$")
_LONGEST: Final = 64
_NUMBER: Final = re.compile(r"^\d{1,19}(?:\.\d*)?$")
#: Nanoseconds of a tick of counts since 1970, by the names that users give them.
TICKS_NS: Final = {"s": NS, "ms": 1_000_000, "us": 1_000, "ns": 1}
#: Days since 1899-12-30 on the local clock, as spreadsheets count.
SERIAL: Final = "excel"
_SERIAL_1970: Final = 25_569.0
#: Forms beside those of ISO 8601 in its usual dress, and what they are in it: RFC 3339's small letters, its basic form,
#: Go's `+0000 UTC` with its monotonic clock, Java's `[Europe/Berlin]` after an offset, a float of nanoseconds.
_UNUSUAL: Final = re.compile(r"[tz\[em]|UTC|^\d{8}T")
_DRESSED: Final = (
    (re.compile(r" m=[+-][\d.]+$"), ""),
    (re.compile(r"(?<=\d|Z)\[[A-Za-z_/+\-\d]+\]$"), ""),
    (re.compile(r"(?<=[+-]\d{4}) [A-Z]{3,4}$"), ""),
    (re.compile(r"^(\d{4}-\d\d-\d\d)t(?=\d)"), r"\1T"),
    (re.compile(r"(?<=\d)z$"), "Z"),
    (re.compile(r"^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?=[.,Z+-]|$)"), r"\1-\2-\3T\4:\5:\6"),
)
_PLAIN_KINDS: Final = frozenset({int, float, type(None)})
_PLAIN: Final = re.compile(r"\s*\d+(?:\.\d*)?\s*", re.ASCII)
_FLOAT: Final = re.compile(r"\d\.\d+[eE]\+?\d\d", re.ASCII)


def numbers(values: Sequence[object]) -> NDArray[np.float64]:
    """Each value as a number, NaN where it is none; text such as `"12"` is one, true and false are not."""
    import pandas as pd
    import pyarrow as pa

    kinds = set(map(type, values))
    if kinds <= _PLAIN_KINDS and len(kinds - {type(None)}) < 2:
        with suppress(OverflowError):
            found = np.array(values, np.float64)  # None is NaN
            return np.where(abs(found) < 2**53, found, np.nan) if int in kinds else found
    try:  # nothing but text, all of it numbers
        return np.asarray(pa.array(values, pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False))
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        pass
    plain = [
        value if type(value) in (str, float) or (type(value) is int and abs(value) < 2**53) else None
        for value in values
    ]
    # A list of nothing but None would come back as objects.
    series = pd.Series(plain, dtype=object)
    return np.asarray(pd.to_numeric(series, errors="coerce").astype(np.float64))


def as_number(value: object) -> float:
    """The same of one value."""
    if type(value) in (int, float):
        return float(value) if abs(value) < 2**53 else math.nan  # type: ignore[arg-type]
    if type(value) is str and len(value) < _LONGEST and _PLAIN.fullmatch(value):
        return float(value)
    return math.nan


def whole(values: NDArray[np.float64], low: int, high: int) -> NDArray[np.bool_]:
    """Which of them are whole numbers within these bounds."""
    return np.asarray((values >= low) & (values <= high) & (values == np.floor(values)))


def seconds_ns(values: Sequence[object], unit_s: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Nanoseconds of counts since a start of the trace's own, and which of them are no such count."""
    count = numbers(values) * unit_s
    bad = ~((count >= 0) & (count < LATEST_S))
    return np.round(np.where(bad, 0.0, count) * NS).astype(np.int64), bad


def instants_ns(
    values: Sequence[object], zone: ZoneInfo, form: str | None = None, unit: str | None = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Nanoseconds since 1970 of moments, and which of them are none.

    Args:
        values: ISO 8601 with a zone or without, or seconds, milli-, micro- or nanoseconds since 1970; mixed at will.
        zone: Of those without. An hour that a clock change repeats is taken as its first, one that it skips is none.
        form: `strptime` format of those that are neither, or mean something else than they look like.
        unit: Of counts, of `TICKS_NS` or `SERIAL`, where their size is not to tell it.
    """
    import pandas as pd

    text = pd.Series(_texts(values), dtype="str")
    found = np.zeros(len(text), np.int64)
    done = np.zeros(len(text), np.bool_)
    if form is not None and len(text):
        found, done = _parsed(text, form, np.full(len(text), bool(_NAMES_ZONE.search(form))), zone)
    if not done.all():
        odd = ~done & text.str.contains(_UNUSUAL).to_numpy(bool)
        if odd.any():
            text[odd] = [_usual(one) for one in text[odd]]
        count = ~done & text.str.match(_NUMBER).to_numpy(bool)
        if count.any():
            found[count], done[count] = _serial(text[count], zone) if unit == SERIAL else _since_1970(text[count], unit)
        iso = ~done & ~count & text.str.match(_ISO).to_numpy(bool)
        if iso.any():
            zoned = text[iso].str.contains(_ZONED).to_numpy(bool)
            found[iso], done[iso] = _parsed(text[iso], "ISO8601", zoned, zone)
    inside = (found >= EARLIEST_S * NS) & (found < LATEST_S * NS)
    return found, ~(done & inside)


def _usual(text: str) -> str:
    """A moment in the dress that is read."""
    if _FLOAT.fullmatch(text):
        return f"{float(text):.0f}"
    for pattern, usual in _DRESSED:
        text = pattern.sub(usual, text)
    return text


def _texts(values: Sequence[object]) -> Any:  # noqa: ANN401 - a column of pandas's or pyarrow's
    """Moments as text without blanks around it, empty where there is none or it is too long to be one."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import compute

    try:
        column = compute.utf8_trim_whitespace(compute.fill_null(pa.array(values, pa.string()), ""))
        if len(column) and compute.max(compute.utf8_length(column)).as_py() < _LONGEST:
            return pd.array(column, dtype="str")
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
        pass
    return [_as_text(value) for value in values]


def _as_text(value: object) -> str:
    if type(value) is str:
        return value.strip().encode("utf-8", "replace").decode() if len(value) < _LONGEST else ""
    return str(value) if type(value) in (int, float) and abs(value) < 1e20 else ""  # type: ignore[arg-type]


def _serial(text: pd.Series[str], zone: ZoneInfo) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days of a spreadsheet, to the millisecond."""
    import pandas as pd

    days = text.astype(np.float64).to_numpy() - _SERIAL_1970
    good = (days >= EARLIEST_S / 86_400) & (days < LATEST_S / 86_400)
    stamps = pd.Series(pd.to_datetime(np.round(np.where(good, days, 0.0) * 86_400_000), unit="ms"))
    first = np.ones(len(stamps), np.bool_)
    stamps = stamps.dt.tz_localize(zone, ambiguous=first, nonexistent="NaT")
    ticks = np.asarray(stamps.dt.tz_convert("UTC").dt.as_unit("ns").astype(np.int64), np.int64)
    return ticks, good & stamps.notna().to_numpy()


def _since_1970(text: pd.Series[str], given: str | None) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Counts since 1970 in the unit that is given, or that their size tells."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import compute

    size = text.astype(np.float64).to_numpy()
    unit = np.select([size < 1e11, size < 1e14, size < 1e17], [NS, 1_000_000, 1_000], 1)
    if given is not None:
        unit = np.full(len(size), TICKS_NS[given])
    good = np.isfinite(size) & (size * unit < LATEST_S * float(NS))
    # As integers, which hold every nanosecond; a fraction is added on its own.
    counts = pa.array(text.where(pd.Series(good, index=text.index), "0"), pa.string())
    head = compute.replace_substring_regex(counts, r"\..*", "").cast(pa.int64())
    part = compute.replace_substring_regex(counts, r"^\d+", "0").cast(pa.float64())
    return head.to_numpy() * unit + np.round(part.to_numpy() * unit).astype(np.int64), good


def _parsed(
    text: pd.Series[str], pattern: str, zoned: NDArray[np.bool_], zone: ZoneInfo
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:

    ticks = np.zeros(len(text), np.int64)
    good = np.zeros(len(text), np.bool_)
    if pattern == "ISO8601":
        text = text.str.replace(",", ".", regex=False).str.replace(_UTC, "Z", regex=True)
    for mask, utc in ((zoned, True), (~zoned, False)):
        if not mask.any():
            continue
        stamps = _moments(text[mask], pattern, utc=utc)
        if not utc:
            first = np.ones(len(stamps), np.bool_)
            stamps = stamps.dt.tz_localize(zone, ambiguous=first, nonexistent="NaT")
        good[mask] = stamps.notna().to_numpy()
        ticks[mask] = stamps.dt.tz_convert("UTC").dt.as_unit("ns").astype(np.int64).to_numpy()
    return ticks, good


def _moments(text: pd.Series[str], pattern: str, *, utc: bool) -> pd.Series[pd.Timestamp]:
    """Moments near enough to be counted in nanoseconds in any zone; year 1, which some write for no time, is none."""
    import pandas as pd

    try:
        stamps = pd.to_datetime(text, format=pattern, utc=utc, errors="coerce")
    except (ValueError, TypeError, OverflowError, re.error):  # zones that differ, or a format that is none
        return pd.Series(pd.NaT, index=text.index, dtype="datetime64[us, UTC]" if utc else "datetime64[us]")
    first, last = (pd.Timestamp(at_s, unit="s", tz="UTC" if utc else None) for at_s in (EARLIEST_S, LATEST_S))
    day = pd.Timedelta(days=1)
    return stamps.where((stamps >= first - day) & (stamps <= last + day))
