"""The horizon as cells of at most an hour, each with its local weekday, hour and holiday status.

Simulation time is seconds since the start of the horizon, in real time; wall clocks matter only here. A cell never
crosses a local hour, so on the day a clock changes there are 23 or 25 of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from simulator.errors import Fault, ScenarioError
from simulator.units import HOUR_S
from simulator.workload.public_holidays import public_holidays

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.scenario.horizon import Horizon

_UTC = ZoneInfo("UTC")
#: Demand of more than seven weeks is drawn about two weeks at a time, so that a year needs no more memory than a month.
_WHOLE_DAYS, _STRETCH_DAYS = 49, 14
#: Where more requests come in such a stretch they are drawn about so many at a time, for the same reason.
_WHOLE_REQUESTS, _STRETCH_REQUESTS = 2_000_000, 500_000


@dataclass(frozen=True, slots=True)
class Cells:
    """Columns, one entry per cell.

    Attributes:
        start_s: Start, seconds since the start of the horizon.
        length_s: Length, at most 3,600.
        wall_s: Start by the wall clock, seconds since the local midnight of the first day as if no clock ever changed.
        weekday: 0 Monday to 6 Sunday, local.
        hour: 0 to 23, local.
        day: Index into `days`.
        days: Local dates of the horizon.
        cuts_s: When a stretch begins and another one ends, beside those cut by days.
    """

    start_s: NDArray[np.float64]
    length_s: NDArray[np.float64]
    wall_s: NDArray[np.float64]
    weekday: NDArray[np.int64]
    hour: NDArray[np.int64]
    day: NDArray[np.int64]
    days: tuple[date, ...]
    cuts_s: tuple[float, ...] = ()

    @property
    def end_s(self) -> float:
        """End of the last cell, seconds since the start of the horizon."""
        return float(self.start_s[-1] + self.length_s[-1])

    def stretches(self) -> Iterator[tuple[slice, Cells]]:
        """The cells a stretch at a time: which they are, and themselves with all `days`.

        A horizon of up to seven weeks is one stretch, unless it was `cut`; a longer one has one of whole days for about
        every two weeks.
        """
        count = 1 if len(self.days) <= _WHOLE_DAYS else round(len(self.days) / _STRETCH_DAYS)
        by_day = np.searchsorted(self.day, np.linspace(0, len(self.days), count + 1).astype(np.int64))
        edges = np.union1d(by_day, np.searchsorted(self.start_s, self.cuts_s))
        names = "start_s", "length_s", "wall_s", "weekday", "hour", "day"
        for rows in (slice(int(low), int(high)) for low, high in pairwise(edges)):
            yield rows, replace(self, **{name: getattr(self, name)[rows] for name in names})

    def cut(self, expected: NDArray[np.float64]) -> Cells:
        """The same cells in shorter stretches where many requests are expected in one, by cell; none within a cell."""
        cuts_s = [*self.cuts_s]
        for rows, stretch in self.stretches():
            until = np.cumsum(expected[rows])
            if until[-1] > _WHOLE_REQUESTS:
                before = until - expected[rows]
                # A cell begins a stretch where one more share of the requests is full.
                begins = np.diff(before // _STRETCH_REQUESTS, prepend=0.0) > 0.0
                cuts_s += stretch.start_s[begins].tolist()
        return replace(self, cuts_s=tuple(cuts_s))


def spread(demand: NDArray[np.float64], cells: Cells) -> NDArray[np.float64]:
    """Demand per cell from demand per date and wall-clock hour (shape: dates, 24).

    An hour that happens twice shares its demand between both; one that is skipped hands it to the next.
    """
    real_s = np.zeros((len(cells.days), 24))
    np.add.at(real_s, (cells.day, cells.hour), cells.length_s)
    demand = demand.copy()
    for day, hour in np.argwhere(real_s == 0.0):
        later = np.flatnonzero(real_s[day, hour:])
        if len(later):  # otherwise the horizon ends before it
            demand[day, hour + later[0]] += demand[day, hour]
    share = cells.length_s / np.maximum(real_s, HOUR_S)[cells.day, cells.hour]
    return np.asarray(demand[cells.day, cells.hour] * share)


def real_time(cells: Cells, wall_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds since the start of the horizon of wall-clock moments (see `Cells.wall_s`; 0 or more).

    What falls into an hour that happens twice happens the first time; in one that is skipped, an hour later.
    """
    latest = np.maximum.accumulate(cells.wall_s)
    forward = np.flatnonzero(np.diff(latest, prepend=-1.0) > 0.0)
    cell = forward[np.maximum(np.searchsorted(cells.wall_s[forward], wall_s, side="right") - 1, 0)]
    return np.asarray(wall_s + (cells.start_s - cells.wall_s)[cell])


class ClinicalCalendar:
    """The calendar of a horizon.

    Args:
        horizon: What is simulated, where.
    """

    def __init__(self, horizon: Horizon) -> None:
        self._horizon = horizon

    @cached_property
    def cells(self) -> Cells:
        """All cells, in order."""
        zone = ZoneInfo(self._horizon.time_zone)
        begin = self._horizon.start_local.astimezone(_UTC)
        end = self._horizon.end_local.astimezone(_UTC)
        edges = [begin]
        while edges[-1] < end:
            local = edges[-1].astimezone(zone)
            into_hour = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            edges.append(min(edges[-1] + timedelta(hours=1) - into_hour, end))
        local_starts = [edge.astimezone(zone) for edge in edges[:-1]]
        days = tuple(dict.fromkeys(start.date() for start in local_starts))
        number = {day: index for index, day in enumerate(days)}
        midnight = datetime.combine(days[0], time())
        offsets = np.array([(edge - begin).total_seconds() for edge in edges])
        return Cells(
            start_s=offsets[:-1],
            length_s=np.diff(offsets),
            wall_s=np.array([(start.replace(tzinfo=None) - midnight).total_seconds() for start in local_starts]),
            weekday=np.array([start.weekday() for start in local_starts]),
            hour=np.array([start.hour for start in local_starts]),
            day=np.array([number[start.date()] for start in local_starts]),
            days=days,
        )

    @cached_property
    def holidays(self) -> dict[date, str]:
        """Public holidays from a week before the horizon to its end, with their names.

        Raises:
            ScenarioError: The `holidays` package does not know the country or subdivision.
        """
        if self._horizon.holidays is None:
            return {}
        first, last = self.cells.days[0] - timedelta(days=7), self.cells.days[-1]
        try:
            known = public_holidays(self._horizon.holidays, first.year, last.year)
        except NotImplementedError as error:
            message = f"unknown country or subdivision '{self._horizon.holidays}'; expected such as US, GB-ENG or DE-BY"
            raise ScenarioError([Fault("scenario", 0, "horizon.holidays", message)]) from error
        return {day: name for day, name in known if first <= day <= last}

    def day_factors(self, active: set[int], holiday_factor: float, after_holiday_factor: float) -> NDArray[np.float64]:
        """Rate of each day relative to an ordinary one of its weekday.

        Args:
            active: Weekdays (0 Monday) on which the workload is active; others get 0.
            holiday_factor: On a holiday.
            after_holiday_factor: On the first active day after a holiday that fell on an active day.
        """
        factors = np.zeros(len(self.cells.days))
        for index, day in enumerate(self.cells.days):
            if day.weekday() not in active:
                continue
            if day in self.holidays:
                factors[index] = holiday_factor
            else:
                factors[index] = after_holiday_factor if self._follows_holiday(day, active) else 1.0
        return factors

    def _follows_holiday(self, day: date, active: set[int]) -> bool:
        for back in range(1, 8):
            earlier = day - timedelta(days=back)
            if earlier.weekday() in active:
                return earlier in self.holidays
        return False


def to_local(horizon: Horizon, at_s: float) -> datetime:
    """Local time of a moment of the simulation."""
    zone = ZoneInfo(horizon.time_zone)
    return (horizon.start_local.astimezone(_UTC) + timedelta(seconds=at_s)).astimezone(zone)
