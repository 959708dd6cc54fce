from datetime import date

import numpy as np
import pytest

from simulator.errors import SimulatorError
from simulator.workload.lengths import mean_tokens
from simulator.workload.profiles import hour_of_week
from simulator.workload.volume import requests_per_month
from tests.workload.clinic import APRIL, WEEK, WEEKDAYS_ONLY, expected, scenario, source

LOGNORMAL = {"kind": "lognormal", "median": 900, "sigma": 0.8, "at_most": 4000}


def per_day(calendar, requests):
    cells = calendar.cells
    return dict(zip(cells.days, np.bincount(cells.day, weights=requests), strict=True))


@pytest.mark.parametrize("month", ["2027-02", "2027-03", "2027-04", "2027-11", "2027-12"])
@pytest.mark.parametrize("profile", ["clinical_documentation", "prior_auth_appeals", "flat"])
def test_a_calendar_month_gets_exactly_its_volume(month, profile):
    _, requests = expected(
        {**APRIL, "month": month}, profile=profile, holiday_factor=0.15, after_holiday_factor=1.1,
        volume={"denials_per_month": 4000},
    )  # fmt: skip
    assert requests.sum() == pytest.approx(4000)


def test_notes_per_day_follow_the_working_days_of_the_calendar():
    """1,200 clinicians x 15 notes x 22 working days, not x 30."""
    _, requests = expected(
        volume={"clinicians": 1200, "notes_per_day": 15}, profile="clinical_documentation", days=WEEKDAYS_ONLY
    )
    assert requests.sum() == pytest.approx(396_000)
    assert requests.sum() * 800 == pytest.approx(316.8e6)


def test_notes_per_day_are_the_same_on_every_working_day():
    calendar, requests = expected(
        {**APRIL, "month": "2027-11"}, volume={"clinicians": 10, "notes_per_day": 15}, days=WEEKDAYS_ONLY,
        profile="clinical_documentation", holiday_factor=0.0,
    )  # fmt: skip
    days = per_day(calendar, requests)
    assert {round(days[day], 9) for day in days if day.weekday() < 5} == {0.0, 150.0}
    assert days[date(2027, 11, 25)] == 0.0
    assert all(days[day] == 0.0 for day in days if day.weekday() >= 5)


@pytest.mark.parametrize(("prices", "hours"), [(None, 730), ({"month": "720h"}, 720)])
def test_a_week_gets_its_share_of_the_month(prices, hours):
    _, requests = expected(WEEK, prices, profile="patient_messages")
    assert requests.sum() == pytest.approx(1000 * 168 / hours)


def test_a_week_follows_the_profile():
    calendar, requests = expected(WEEK, profile="radiology_anomaly")
    cells = calendar.cells
    np.testing.assert_allclose(requests / requests.sum(), hour_of_week("radiology_anomaly")[cells.weekday, cells.hour])


def test_a_holiday_takes_its_part_out_of_a_week():
    thanksgiving = {"start": "2027-11-22", "duration": "7d", "time_zone": "America/Chicago"}
    _, ordinary = expected(thanksgiving, days=WEEKDAYS_ONLY)
    calendar, with_holiday = expected(
        {**thanksgiving, "holidays": "US"}, days=WEEKDAYS_ONLY, holiday_factor=0.2, after_holiday_factor=1.5
    )
    before, after = per_day(calendar, ordinary), per_day(calendar, with_holiday)
    assert after[date(2027, 11, 25)] == pytest.approx(0.2 * before[date(2027, 11, 25)])
    assert after[date(2027, 11, 26)] == pytest.approx(1.5 * before[date(2027, 11, 26)])
    assert after[date(2027, 11, 24)] == pytest.approx(before[date(2027, 11, 24)])


@pytest.mark.parametrize(("monday", "clock_change"), [("2027-03-08", "2027-03-14"), ("2027-11-01", "2027-11-07")])
def test_nine_o_clock_is_nine_o_clock_whatever_the_clocks_do(monday, clock_change):
    """Demand belongs to wall-clock hours, so a clock change moves none of the ordinary ones."""
    calendar, requests = expected({**WEEK, "start": monday, "duration": "14d"}, profile="radiology_anomaly")
    cells = calendar.cells
    sunday = cells.days.index(date.fromisoformat(clock_change))
    for hour in (0, 9, 23):
        at_hour = cells.hour == hour
        changed = requests[at_hour & (cells.day == sunday)]
        assert changed.size == 1
        np.testing.assert_allclose(requests[at_hour & (cells.weekday == 6)], changed[0])


def test_tokens_per_month_are_divided_by_what_a_request_really_has():
    settings = {"prompt_tokens": LOGNORMAL, "output_tokens": LOGNORMAL, "max_tokens": 1500}
    workload = scenario(notes=source(volume={"tokens_per_month": 500e6}, **settings)).workloads["notes"]
    mean = mean_tokens(workload.prompt_tokens) + mean_tokens(workload.output_tokens, 1500)
    assert requests_per_month(workload) == pytest.approx(500e6 / mean)
    assert mean_tokens(workload.output_tokens, 1500) < mean_tokens(workload.output_tokens)


@pytest.mark.parametrize(
    "way",
    ["requests_per_month", "denials_per_month", "messages_per_month", "charts_per_month", "scans_per_month"],
)
def test_every_way_to_give_a_volume(way):
    assert expected(volume={way: 1234})[1].sum() == pytest.approx(1234)


def test_inactive_days_get_nothing_and_the_others_their_part():
    calendar, requests = expected(days=["tue", "thu"], profile="clinical_documentation")
    assert set(calendar.cells.weekday[requests > 0].tolist()) == {1, 3}
    assert requests.sum() == pytest.approx(1000)


@pytest.mark.parametrize(
    "horizon", [{"start": "2027-03-14", "duration": "23h"}, {"start": "2027-11-07", "duration": "25h"}]
)
def test_a_day_of_a_clock_change_asks_as_much_as_any_other(horizon):
    settings = {"profile": "radiology_anomaly", "volume": {"clinicians": 100, "notes_per_day": 10}}
    calendar, requests = expected({**WEEK, **horizon}, **settings)
    assert requests.sum() == pytest.approx(1000)
    ordinary, usual = expected({**WEEK, "start": "2027-04-04", "duration": "1d"}, **settings)
    for hour in set(range(24)) - {2, 3}:
        ours = requests[calendar.cells.hour == hour].sum()
        assert ours == pytest.approx(usual[ordinary.cells.hour == hour].sum())


def test_a_horizon_as_long_as_the_billing_month_gets_exactly_its_volume():
    _, requests = expected({**WEEK, "duration": "30d"}, {"month": "720h"}, profile="clinical_documentation")
    assert requests.sum() == pytest.approx(1000)


@pytest.mark.parametrize(("until", "exact"), [({"end": "2027-04-01"}, True), ({"duration": "742h"}, False)])
def test_a_month_with_a_clock_change_is_a_whole_month(until, exact):
    """March 2027 in Chicago has 743 hours, and is billed as one of 744."""
    horizon = {"start": "2027-03-01", "time_zone": "America/Chicago", **until}
    days, requests = expected(horizon, {"month": "744h"}, profile="radiology_anomaly")
    assert (days.cells.end_s / 3600.0 == 743.0) == exact
    assert (requests.sum() == pytest.approx(1000, rel=1e-12)) == exact


def test_a_profile_without_weight_on_the_active_days_is_an_error():
    with pytest.raises(SimulatorError, match="no weight on the active days mon"):
        expected(profile="prior_auth_appeals", days=["mon"])
