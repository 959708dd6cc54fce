"""How many requests a workload is expected to send in each cell of the calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.errors import Fault, ScenarioError
from simulator.scenario.workloads import WEEKDAYS, SyntheticWorkload
from simulator.units import HOUR_S, MONTH_HOURS, WEEK_S
from simulator.workload.calendar import spread
from simulator.workload.conversations import mean_conversation
from simulator.workload.departments import length_spread
from simulator.workload.lengths import mean_tokens
from simulator.workload.profiles import hour_of_week
from simulator.workload.thinking import mean_output
from simulator.workload.trend import day_trend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import Volume
    from simulator.workload.calendar import ClinicalCalendar


_REQUESTS: Final = {
    "notes_per_day": "note",
    "denials_per_month": "appeal",
    "messages_per_month": "message",
    "charts_per_month": "chart",
    "scans_per_month": "report",
}


def request_names(scenario: Scenario) -> dict[str, str]:
    """What a request of each workload is, as far as the way its volume is stated tells."""
    names = {}
    for name, load in scenario.workloads.items():
        # A conversation is several requests.
        volume = getattr(load, "volume", None) if getattr(load, "turns", None) is None else None
        stated = (what for way, what in _REQUESTS.items() if getattr(volume, way, None) is not None)
        names[name] = next(stated, "request")
    return names


def requests_per_month(workload: SyntheticWorkload) -> float | None:
    """Requests of a month (with turns, conversations), or None when the volume is stated per working day."""
    volume = _volume(workload)
    if volume.clinicians is not None:
        return None
    if volume.tokens_per_month is not None:
        return volume.tokens_per_month / mean_tokens_of(workload)
    if volume.requests_per_month is not None:
        return volume.requests_per_month / requests_of_one(workload)
    return next(
        count
        for count in (
            volume.denials_per_month,
            volume.messages_per_month,
            volume.charts_per_month,
            volume.scans_per_month,
        )
        if count is not None
    )


def _volume(workload: SyntheticWorkload) -> Volume:
    if workload.volume is None:
        raise ValueError("a workload that follows another has no volume of its own")
    return workload.volume


def followed(workload: SyntheticWorkload, scenario: Scenario) -> tuple[SyntheticWorkload, float] | None:
    """The workload that one follows, and its own requests for each that begins there; None where it follows none."""
    if workload.follows is None:
        return None
    before = scenario.workloads[workload.follows.workload]
    assert isinstance(before, SyntheticWorkload)
    return before, workload.follows.share * requests_of_one(before)


def requests_of_one(workload: SyntheticWorkload) -> float:
    """Expected requests of what begins: one, or those of a conversation."""
    return 1.0 if workload.turns is None else mean_conversation(workload).requests


def mean_tokens_of(workload: SyntheticWorkload) -> float:
    """Expected prompt and output tokens of a request; with turns of a conversation."""
    if workload.turns is not None:
        return mean_conversation(workload).tokens
    spread = length_spread(workload)
    return mean_tokens(workload.prompt_tokens, spread=spread) + mean_output(workload, spread=spread)[0]


def expected_requests(
    workload: SyntheticWorkload, scenario: Scenario, calendar: ClinicalCalendar
) -> NDArray[np.float64]:
    """Expected requests in each cell (with turns, conversations), day-to-day variation left out.

    A volume per month holds for exactly the horizon when that is a calendar month or as long as the billing month;
    otherwise it fixes the rate of an ordinary week, month hours / 168 of which make a month. A volume per working day
    holds for each active day.

    A trend multiplies that. What follows another workload is as much as that, as if all of it were answered at once.

    Raises:
        ScenarioError: The profile has no weight on the active days.
    """
    if (before := followed(workload, scenario)) is not None:
        return before[1] * expected_requests(before[0], scenario, calendar)
    expected = without_trend(workload, scenario, calendar)
    if workload.trend is None:
        return expected
    return expected * day_trend(workload.trend, calendar.cells.days)[calendar.cells.day]


def without_trend(workload: SyntheticWorkload, scenario: Scenario, calendar: ClinicalCalendar) -> NDArray[np.float64]:
    """`expected_requests` as the volume says. Raises ScenarioError."""
    if (before := followed(workload, scenario)) is not None:
        return before[1] * without_trend(before[0], scenario, calendar)
    cells = calendar.cells
    active = {WEEKDAYS.index(day) for day in workload.days}
    week = hour_of_week(workload.profile)
    week[[day for day in range(7) if day not in active]] = 0.0
    if week.sum() == 0.0:
        message = f"the profile has no weight on the active days {', '.join(workload.days)}"
        raise ScenarioError([Fault("scenario", 0, "workloads", message)])
    factors = calendar.day_factors(active, workload.holiday_factor, workload.after_holiday_factor)
    weekday = [day.weekday() for day in cells.days]
    monthly = requests_per_month(workload)
    if monthly is None:
        day_sums = week.sum(axis=1, keepdims=True)
        per_day = np.divide(week, day_sums, out=np.zeros_like(week), where=day_sums > 0)
        volume = _volume(workload)
        daily = (volume.clinicians or 0.0) * (volume.notes_per_day or 0.0)
        return daily * spread(per_day[weekday] * factors[:, None], cells)
    shape = spread(week[weekday] * factors[:, None], cells)
    if is_the_month(scenario):
        total = shape.sum()
        return np.asarray(monthly * shape / total) if total > 0.0 else shape
    return np.asarray(monthly * WEEK_S / (month_hours(scenario) * HOUR_S) * shape / week.sum())


def ordinary_month(workload: SyntheticWorkload, scenario: Scenario, plain: NDArray[np.float64]) -> tuple[float, bool]:
    """Expected requests (with turns, conversations) of the billed month without a trend.

    Args:
        workload: The workload.
        scenario: Its scenario.
        plain: `without_trend` of it.

    Returns:
        How many; and whether the month is the horizon, with its own holidays and working days.
    """
    if (before := followed(workload, scenario)) is not None:
        many, whole = ordinary_month(before[0], scenario, plain / before[1])
        return before[1] * many, whole
    monthly, whole = requests_per_month(workload), is_the_month(scenario)
    if monthly is not None:
        return monthly, whole
    if whole:
        return float(plain.sum()), True
    volume = _volume(workload)
    weight = hour_of_week(workload.profile).sum(axis=1)
    days = sum(weight[WEEKDAYS.index(day)] > 0.0 for day in set(workload.days))
    daily = (volume.clinicians or 0.0) * (volume.notes_per_day or 0.0)
    return daily * days * month_hours(scenario) * HOUR_S / WEEK_S, False


def is_the_month(scenario: Scenario) -> bool:
    """Whether the horizon is a month; a clock change may make it an hour longer or shorter than the billed one."""
    return (
        scenario.horizon.month is not None
        or abs(scenario.horizon.duration_s - month_hours(scenario) * HOUR_S) <= HOUR_S
    )


def month_hours(scenario: Scenario) -> float:
    """Hours of the month that volumes and bills refer to."""
    month = scenario.prices.month
    if month == "calendar":
        return scenario.horizon.duration_s / HOUR_S if scenario.horizon.month else float(MONTH_HOURS)
    return float(MONTH_HOURS) if month is None else month / HOUR_S
