from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import SimulatorError
from simulator.scenario.horizon import Horizon
from simulator.workload.calendar import ClinicalCalendar, to_local
from tests.workload.clinic import calendar

ZONES = ["UTC", "America/Chicago", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo"]


@settings(max_examples=40)
@given(
    start=st.dates(date(2026, 1, 1), date(2029, 12, 31)),
    hours=st.integers(1, 24 * 40),
    minutes=st.integers(0, 59),
    zone=st.sampled_from(ZONES),
)
def test_cells_tile_the_horizon_without_crossing_a_local_hour(start, hours, minutes, zone):
    horizon = Horizon(start=str(start), duration=f"{hours}h {minutes}min", time_zone=zone)
    cells = ClinicalCalendar(horizon).cells
    ends = cells.start_s + cells.length_s
    assert cells.start_s[0] == 0.0
    assert ends[-1] == pytest.approx(horizon.duration_s)
    np.testing.assert_allclose(cells.start_s[1:], ends[:-1])
    assert (cells.length_s > 0).all()
    assert (cells.length_s <= 3600).all()
    for index in range(0, len(ends), 37):
        local = to_local(horizon, float(cells.start_s[index]) + 1.0)
        assert (local.hour, local.weekday()) == (cells.hour[index], cells.weekday[index])
        assert local.date() == cells.days[cells.day[index]]


@pytest.mark.parametrize(("day", "hours"), [("2027-03-14", 23), ("2027-03-15", 24), ("2027-11-07", 25)])
def test_a_day_of_a_clock_change_has_23_or_25_hours(day, hours):
    horizon = Horizon(start=day, end=str(date.fromordinal(date.fromisoformat(day).toordinal() + 1)),
                      time_zone="America/Chicago")  # fmt: skip
    cells = ClinicalCalendar(horizon).cells
    assert len(cells.hour) == hours
    assert cells.length_s.sum() == hours * 3600
    assert set(range(24)) - set(cells.hour.tolist()) == ({2} if hours == 23 else set())


def test_holidays_of_a_country_and_of_a_part_of_it():
    us = calendar(month="2027-07", time_zone="America/Chicago", holidays="US")
    assert date(2027, 7, 5) in us.holidays  # Independence Day falls on a Sunday
    england = calendar(month="2027-03", time_zone="Europe/London", holidays="GB-ENG")
    scotland = calendar(month="2027-03", time_zone="Europe/London", holidays="GB-SCT")
    assert date(2027, 3, 29) in england.holidays  # Easter Monday
    assert date(2027, 3, 29) not in scotland.holidays


def test_an_unknown_country_is_an_error_that_says_what_is_allowed():
    for name in ("XX", "GB-XYZ"):
        with pytest.raises(SimulatorError, match=r"horizon\.holidays.*GB-ENG"):
            _ = calendar(month="2027-07", holidays=name).holidays


def factors(weekdays, **horizon):
    days = calendar(time_zone="America/Chicago", holidays="US", **horizon)
    return dict(zip(days.cells.days, days.day_factors(set(weekdays), 0.15, 1.1), strict=True))


def test_a_holiday_and_the_first_active_day_after_it():
    november = factors(range(5), month="2027-11")
    assert november[date(2027, 11, 11)] == 0.15  # Veterans Day, a Thursday
    assert november[date(2027, 11, 12)] == 1.1
    assert november[date(2027, 11, 25)] == 0.15  # Thanksgiving
    assert november[date(2027, 11, 26)] == 1.1
    assert november[date(2027, 11, 29)] == 1.0
    assert november[date(2027, 11, 13)] == 0.0  # a Saturday


def test_a_workload_of_one_day_a_week_catches_up_a_week_after_a_holiday():
    thursdays = factors([3], month="2027-11")
    assert [thursdays[date(2027, 11, day)] for day in (4, 11, 18, 25)] == [1.0, 0.15, 1.1, 0.15]
    assert factors([3], start="2027-12-02", duration="1d")[date(2027, 12, 2)] == 1.1


def test_a_holiday_just_before_the_horizon_still_counts():
    assert factors(range(5), start="2027-07-06", duration="2d")[date(2027, 7, 6)] == 1.1  # observed on Monday 5 July


def test_april_2027_has_22_working_days():
    assert sum(factor == 1.0 for factor in factors(range(5), month="2027-04").values()) == 22
