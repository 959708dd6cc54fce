"""Counts and moments as logs write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.trace.importers.values import instants_ns, numbers, seconds_ns

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")
#: 2024-05-14 00:00:01 UTC.
T0 = 1_715_644_801
QUIET = settings(max_examples=40)


def moment(value, zone=UTC_ZONE, form=None):
    found, bad = instants_ns([value], zone, form)
    return None if bad[0] else int(found[0])


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-14T00:00:01Z", "2024-05-14 00:00:01+00:00", "2024-05-14T02:00:01+0200", "2024-05-14 02:00:01 +02",
        "2024-05-14 00:00:01", "2024-05-14T00:00:01.000000000Z", "2024-05-14T00:00:01,0", " 2024-05-14 00:00:01 ",
        "2024-05-14 00:00:01 UTC", str(T0), T0, f"{T0}.000", float(T0), T0 * 1000, f"{T0}000000", T0 * 10**9,
    ],
)  # fmt: skip
def test_one_moment_in_many_forms(value):
    assert moment(value) == T0 * 10**9


@pytest.mark.parametrize(
    "value",
    ["now", "today", "", None, True, {}, [], "2024", "2024-02-30", "2024-05-14 24:00:01", "14.05.2024", "-5", "1e9",
     "NaN", float("nan"), float("inf"), 10**40, 5, "946684799", "4102444800", "9" * 19, "x" * 500, "\ud800",
     "2024-05-14T00:00:01Z; DROP", "٢٠٢٤-٠٥-١٤"],
)  # fmt: skip
def test_what_is_no_moment(value):
    assert moment(value) is None
    # Nor does it spoil what stands beside it.
    found, bad = instants_ns([T0, value, "2024-05-14"], UTC_ZONE)
    assert bad.tolist() == [False, True, False]
    assert found[0] == T0 * 10**9


def test_fractions_are_kept_to_the_nanosecond():
    assert moment(f"{T0}.123456789") == pytest.approx(T0 * 10**9 + 123_456_789, abs=200)
    assert moment(T0 * 10**9 + 1) == T0 * 10**9 + 1
    assert moment("2024-05-14T00:00:01.1234567Z") == T0 * 10**9 + 123_456_700


@QUIET
@given(st.datetimes(datetime(2001, 1, 1), datetime(2098, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - drawn
def test_a_zone_is_an_offset(local, minutes):
    offset = timedelta(minutes=minutes)
    sign = "-" if minutes < 0 else "+"
    text = f"{local.isoformat()}{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    meant = (local - offset).replace(tzinfo=UTC)
    since = meant - datetime(1970, 1, 1, tzinfo=UTC)
    assert moment(text, BERLIN) == since // timedelta(microseconds=1) * 1000


def test_clock_changes():
    # At 02:00 clocks in Berlin went to 03:00, and in October back.
    before, after = moment("2024-03-31 01:59:59", BERLIN), moment("2024-03-31 03:00:00", BERLIN)
    assert after - before == 10**9
    assert moment("2024-03-31 02:30:00", BERLIN) is None
    twice = moment("2024-10-27 02:30:00", BERLIN)
    assert twice == moment("2024-10-27 02:30:00+02:00", BERLIN)
    assert moment("2024-10-27 03:30:00", BERLIN) - twice == 2 * 3600 * 10**9


def test_other_forms_are_named():
    assert moment("14/May/2024:00:00:01 +0000") is None
    assert moment("14/May/2024:00:00:01 +0000", form="%d/%b/%Y:%H:%M:%S %z") == T0 * 10**9
    assert moment("14.05.2024 02:00:01", BERLIN, "%d.%m.%Y %H:%M:%S") == T0 * 10**9
    assert moment("14.05.24", BERLIN, "%d.%m.%Y %H:%M:%S") is None


@QUIET
@given(st.lists(st.one_of(
    st.integers(), st.floats(), st.text(max_size=12), st.none(), st.booleans(), st.lists(st.none(), max_size=1),
    st.from_regex(r"[-+]?[0-9]{1,9}(\.[0-9]{1,3})?", fullmatch=True),
)))  # fmt: skip
def test_any_column_becomes_numbers_and_moments(values):
    found = numbers(values)
    assert (found.dtype, len(found)) == (np.float64, len(values))
    for value, number in zip(values, found.tolist(), strict=True):
        if isinstance(value, bool) or value is None or isinstance(value, list):
            assert np.isnan(number)
        elif isinstance(value, int):
            assert number == value or abs(value) >= 2**53
    for column, bad in (instants_ns(values, BERLIN), seconds_ns(values, 1e-3)):
        assert (column.dtype, bad.dtype) == (np.int64, np.bool_)
        assert len(column) == len(bad) == len(values)
        assert (column[~bad] >= 0).all()


def test_a_column_of_numbers_reads_alike_alone_and_mixed():
    plain = ["1", "2.5", "-3", "4e2", "007"]
    assert numbers(plain).tolist() == numbers([*plain, 5])[:-1].tolist() == [1, 2.5, -3, 400, 7]
    assert np.isnan(numbers(["0x1F", "1_000", "1,000", "١٢", "True", ""])).all()
