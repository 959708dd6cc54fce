"""Moments of a calendar as seconds of simulation."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from simulator.scenario.horizon import Horizon
from simulator.scenario.moments import Moment, after_start_s, moments_s

HOUR_S, DAY_S = 3600.0, 86_400.0
# A Monday, in a week whose Sunday at 02:00 the clock goes forward.
WEEK = Horizon.model_validate({"start": "2026-03-02", "duration": "14d", "time_zone": "America/Chicago"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("+36h", [36 * HOUR_S]),
        ("+15d", []),
        ("tue 10:00", [DAY_S + 10 * HOUR_S]),
        ("2026-03-04 00:30", [2 * DAY_S + HOUR_S / 2]),
        ("2026-02-04 00:30", []),
        ("every tue 10:00", [DAY_S + 10 * HOUR_S, 8 * DAY_S + 9 * HOUR_S]),
        ("every sun 03:30", [6 * DAY_S + 2.5 * HOUR_S, 13 * DAY_S + 2.5 * HOUR_S]),
        # It is skipped, so it is the hour after.
        ("2026-03-08 02:30", [6 * DAY_S + 2.5 * HOUR_S]),
        # Midnight of Berlin, whose clock changes three weeks later, is 17:00 in Chicago, then 18:00.
        ("mon 00:00 Europe/Berlin", [6 * DAY_S + 17 * HOUR_S]),
        ("2026-03-04 12:00 UTC", [2 * DAY_S + 6 * HOUR_S]),
    ],
)
def test_seconds_of_a_moment(text, found):
    assert list(moments_s(text, WEEK)) == found


def test_every_weekday_has_ten_in_two_weeks():
    assert len(moments_s("every weekday 07:00", WEEK)) == 10
    assert len(moments_s("every day 07:00", WEEK)) == 14


@pytest.mark.parametrize(
    "text", ["tuesday 10:00", "10:00", "day 10:00", "tue 25:00", "2026-02-30 10:00", "+5", "soon", "tue 10:00 Mars"]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_python(text)


def test_without_a_calendar_only_what_is_after_the_start_is_known():
    assert after_start_s("+90min") == (5400.0,)
    with pytest.raises(ValueError, match="needs a calendar"):
        after_start_s("tue 10:00")


# From Monday to Tuesday noon, an hour east of UTC.
NOON = Horizon.model_validate({"start": "2026-03-02", "duration": "36h", "time_zone": "Europe/Berlin"})


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        # The start is within the horizon, and its end is not.
        ("every day 00:00", [0, 24]), ("every day 12:00", [12]), ("every day 11:59", [12 - 1 / 60, 36 - 1 / 60]),
        ("+0h", [0]), ("+35h", [35]), ("+36h", []), ("2026-03-03 12:00", []), ("2026-03-03 11:00", [35]),
        ("2026-03-01 23:00", []), ("mon 00:00", [0]), ("tue 11:00", [35]), ("tue 12:00", []), ("wed 00:00", []),
        ("every weekday 01:30", [1.5, 25.5]), ("every sat 01:30", []), ("every mon 01:30", [1.5]),
    ],
)  # fmt: skip
def test_what_lies_within_a_horizon_that_ends_at_noon(text, hours):
    assert list(moments_s(text, NOON)) == pytest.approx([hour * HOUR_S for hour in hours])


def test_without_every_it_is_the_first_alone():
    weeks = Horizon.model_validate({"start": "2026-03-03", "duration": "14d", "time_zone": "UTC"})
    assert moments_s("mon 11:00", weeks) == (6 * DAY_S + 11 * HOUR_S,)
    assert moments_s("every mon 11:00", weeks) == (6 * DAY_S + 11 * HOUR_S, 13 * DAY_S + 11 * HOUR_S)


@pytest.mark.parametrize("text", ["every day 03:00", "every weekday 03:00", "every sun 23:59", "sat 00:00", "+90s"])
def test_what_is_a_moment_is_taken(text):
    assert TypeAdapter(Moment).validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["weekday 10:00", "every 10:00", "every tue 24:00", "tue 10:60", "2026-13-01 10:00", "+"]
)
def test_what_is_nearly_one_is_not(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_python(text)
