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
    ],
)
def test_seconds_of_a_moment(text, found):
    assert list(moments_s(text, WEEK)) == found


def test_every_weekday_has_ten_in_two_weeks():
    assert len(moments_s("every weekday 07:00", WEEK)) == 10
    assert len(moments_s("every day 07:00", WEEK)) == 14


@pytest.mark.parametrize("text", ["tuesday 10:00", "10:00", "day 10:00", "tue 25:00", "2026-02-30 10:00", "+5", "soon"])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Moment).validate_python(text)


def test_without_a_calendar_only_what_is_after_the_start_is_known():
    assert after_start_s("+90min") == (5400.0,)
    with pytest.raises(ValueError, match="needs a calendar"):
        after_start_s("tue 10:00")
