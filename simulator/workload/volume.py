"""How many requests a workload is expected to send in each cell of the calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.errors import Fault, ScenarioError
from simulator.scenario.workloads import WEEKDAYS
from simulator.units import HOUR_S, MONTH_HOURS, WEEK_S
from simulator.workload.calendar import spread
from simulator.workload.lengths import mean_tokens
from simulator.workload.profiles import hour_of_week
from simulator.workload.trend import day_trend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import SyntheticWorkload
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
    volume = workload.volume
    if volume.clinicians is not None:
        return None
    if volume.tokens_per_month is not None:
        return volume.tokens_per_month / mean_tokens_of(workload)
    if volume.requests_per_month is not None and workload.turns is not None:
        return volume.requests_per_month / workload.turns.mean
    return next(
        count
        for count in (
            volume.requests_per_month,
            volume.denials_per_month,
            volume.messages_per_month,
            volume.charts_per_month,
            volume.scans_per_month,
        )
        if count is not None
    )


def mean_tokens_of(workload: SyntheticWorkload) -> float:
    """Expected prompt and output tokens of a request; with turns of a conversation, whatever its `longest` prompt.

    A geometric number of requests with mean m has m (m - 1) expected pairs; the later of each sends along the question
    and answer of the earlier.
    """
    prompt, output = mean_tokens(workload.prompt_tokens), mean_tokens(workload.output_tokens, workload.max_tokens)
    if workload.turns is None:
        return prompt + output
    mean = workload.turns.mean
    return mean * (prompt + output) + mean * (mean - 1.0) * (output + workload.turns.question_tokens)


def expected_requests(
    workload: SyntheticWorkload, scenario: Scenario, calendar: ClinicalCalendar
) -> NDArray[np.float64]:
    """Expected requests in each cell (with turns, conversations), day-to-day variation left out.

    A volume per month holds for exactly the horizon when that is a calendar month or as long as the billing month;
    otherwise it fixes the rate of an ordinary week, month hours / 168 of which make a month. A volume per working day
    holds for each active day.

    A trend multiplies that.

    Raises:
        ScenarioError: The profile has no weight on the active days.
    """
    expected = _without_trend(workload, scenario, calendar)
    if workload.trend is None:
        return expected
    return expected * day_trend(workload.trend, calendar.cells.days)[calendar.cells.day]


def _without_trend(workload: SyntheticWorkload, scenario: Scenario, calendar: ClinicalCalendar) -> NDArray[np.float64]:
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
        daily = (workload.volume.clinicians or 0.0) * (workload.volume.notes_per_day or 0.0)
        return daily * spread(per_day[weekday] * factors[:, None], cells)
    shape = spread(week[weekday] * factors[:, None], cells)
    month_s = month_hours(scenario) * HOUR_S
    # A clock change may make the horizon an hour longer or shorter than the month it is.
    if scenario.horizon.month is not None or abs(scenario.horizon.duration_s - month_s) <= HOUR_S:
        total = shape.sum()
        return np.asarray(monthly * shape / total) if total > 0.0 else shape
    return np.asarray(monthly * WEEK_S / month_s * shape / week.sum())


def month_hours(scenario: Scenario) -> float:
    """Hours of the month that volumes and bills refer to."""
    month = scenario.prices.month
    if month == "calendar":
        return scenario.horizon.duration_s / HOUR_S if scenario.horizon.month else float(MONTH_HOURS)
    return float(MONTH_HOURS) if month is None else month / HOUR_S
