"""The stretch that is simulated, beside the calendar of the standard library and days known by heart."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.scenario.horizon import Horizon

DAY_S = 86_400.0


@given(st.integers(1900, 2099), st.integers(1, 12))
def test_law_a_month_is_as_long_as_the_calendar_says(year, month):
    horizon = Horizon(month=f"{year}-{month:02}")
    assert horizon.duration_s == monthrange(year, month)[1] * DAY_S
    assert (horizon.start_local.date(), horizon.end_local.day) == (date(year, month, 1), 1)


@pytest.mark.parametrize(
    ("month", "zone", "hours"),
    [
        # In 2027 clocks go forward on 14 March in Chicago, on 28 March in London; back on 7 November, on 31 October.
        ("2027-03", "America/Chicago", 743), ("2027-11", "America/Chicago", 721),
        ("2027-03", "Europe/London", 743), ("2027-10", "Europe/London", 745), ("2028-02", "Europe/London", 696),
        ("2027-12", "UTC", 744),
    ],
)  # fmt: skip
def test_a_month_has_an_hour_less_or_more_where_clocks_change(month, zone, hours):
    assert Horizon(month=month, time_zone=zone).duration_s == hours * 3600.0


@given(st.dates(date(1900, 1, 1), date(2098, 11, 1)), st.integers(1, 400))
def test_law_an_end_and_a_duration_say_the_same_where_clocks_stay(start, days):
    end = start + timedelta(days=days)
    by_end, by_duration = Horizon(start=f"{start}", end=f"{end}"), Horizon(start=f"{start}", duration=f"{days}d")
    assert by_end.duration_s == by_duration.duration_s == days * DAY_S
    assert by_end.end_local == by_duration.end_local


def test_a_duration_is_real_time_and_an_end_is_local_midnight():
    """A day of 23 hours: 24 hours end at one o'clock of the next."""
    given_ = {"start": "2027-03-14", "time_zone": "America/Chicago"}
    assert Horizon(**given_, end="2027-03-15").duration_s == 23 * 3600.0
    day = Horizon(**given_, duration="24h")
    assert (day.duration_s, day.end_local.isoformat()) == (DAY_S, "2027-03-15T01:00:00-05:00")
    assert Horizon(**given_, duration="0.5s").duration_s == 0.5


STRETCH = "give a month, or a start with a duration, or a start with an end"
ENDS = "the horizon must end after it starts"
DAYS = {"start": "2027-04-05", "duration": "1d"}


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({}, STRETCH), ({"start": "2027-04-05"}, STRETCH), ({"duration": "1d"}, STRETCH),
        ({"end": "2027-04-05"}, STRETCH), ({"month": "2027-04", "duration": "1d"}, STRETCH),
        ({"month": "2027-04", "start": "2027-04-05"}, STRETCH),
        (DAYS | {"end": "2027-04-06"}, STRETCH),
        ({"start": "2027-04-05", "end": "2027-04-05"}, ENDS), ({"start": "2027-04-05", "end": "2027-04-04"}, ENDS),
        ({"start": "2027-04-05", "duration": "0s"}, ENDS),
        ({"month": "2027-13"}, "a month such as"), ({"month": "2027-00"}, "a month such as"),
        ({"month": "2100-01"}, "a month such as"), ({"month": "1899-12"}, "a month such as"),
        (DAYS | {"start": "2027-02-29"}, "a date such as"), (DAYS | {"start": "2100-01-01"}, "a date such as"),
        (DAYS | {"start": "1899-12-31"}, "a date such as"), (DAYS | {"start": "20270405"}, "a date such as"),
        ({"start": "2027-04-05", "end": "2027-04-31"}, "a date such as"),
        (DAYS | {"time_zone": "Chicago"}, "an IANA time zone"), (DAYS | {"holidays": "gb"}, "a country with"),
        (DAYS | {"holidays": "GB-"}, "a country with"), (DAYS | {"holidays": "G"}, "a country with"),
    ],
)  # fmt: skip
def test_what_is_no_stretch_is_refused(given_, said):
    with pytest.raises(ValidationError) as refused:
        Horizon(**given_)
    assert said in str(refused.value)


@pytest.mark.parametrize("holidays", ["GB", "USA", "GB-ENG", "US-TX", "DE-BY", None])
def test_a_country_may_have_a_subdivision(holidays):
    assert Horizon(**DAYS, holidays=holidays).holidays == holidays
