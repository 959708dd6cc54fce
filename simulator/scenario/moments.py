"""Moments as people write them: `tue 10:00`, `every day 03:00`, `2026-04-07 10:00 Europe/Paris`, `+36h`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from simulator.scenario.base import known_time_zone
from simulator.scenario.workloads import WEEKDAYS
from simulator.units import parse_duration_s

if TYPE_CHECKING:
    from simulator.scenario.horizon import Horizon

_WORKING_DAYS = WEEKDAYS[:5]
_CLOCK = r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?: (?P<zone>[A-Z]\S*))?"
_WEEKLY = re.compile(rf"(?P<every>every )?(?P<day>{'|'.join((*WEEKDAYS, 'day', 'weekday'))}) {_CLOCK}")
_DATED = re.compile(rf"(?P<date>\d{{4}}-\d\d-\d\d) {_CLOCK}")
_EXPECTED = "expected such as 'tue 10:00', 'every tue 10:00', 'every day 03:00', '2026-04-07 10:00' or '+36h'"


def _check(text: str) -> str:
    found = _DATED.fullmatch(text) or _WEEKLY.fullmatch(text)
    if text.startswith("+"):
        parse_duration_s(text[1:])
    elif found is None:
        raise ValueError(_EXPECTED)
    elif found.re is _DATED:
        date.fromisoformat(found["date"])
    elif found["day"] in ("day", "weekday") and not found["every"]:
        raise ValueError(_EXPECTED)
    if found is not None and found["zone"]:
        known_time_zone(found["zone"])
    return text


Moment = Annotated[str, AfterValidator(_check), Field(json_schema_extra={"examples": ["every tue 10:00"]})]


def moments_s(text: str, horizon: Horizon) -> tuple[float, ...]:
    """When that is, in seconds since the start of the horizon; only what lies within it.

    A day and a time without `every` is the first such moment. Times are local, or of the time zone that is named; one
    that a clock change skips is an hour later, one that happens twice is the first.
    """
    if text.startswith("+"):
        found = [*after_start_s(text)]
    elif dated := _DATED.fullmatch(text):
        found = [_seconds(date.fromisoformat(dated["date"]), dated, horizon)]
    else:
        weekly = _WEEKLY.fullmatch(text)
        assert weekly is not None
        found = _weekly(weekly, horizon)
    return tuple(at_s for at_s in found if 0.0 <= at_s < horizon.duration_s)


def after_start_s(text: str) -> tuple[float, ...]:
    """The same for moments after the start alone, such as `+36h`.

    Raises:
        ValueError: It needs a calendar.
    """
    if not text.startswith("+"):
        raise ValueError(f"'{text}' needs a calendar")
    return (parse_duration_s(text[1:]),)


def _weekly(weekly: re.Match[str], horizon: Horizon) -> list[float]:
    zone = _zone(weekly, horizon)
    first, last = (moment.astimezone(zone).date() for moment in (horizon.start_local, horizon.end_local))
    groups = {"day": WEEKDAYS, "weekday": _WORKING_DAYS}
    wanted = groups.get(weekly["day"], (weekly["day"],))
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    found = [_seconds(day, weekly, horizon) for day in days if WEEKDAYS[day.weekday()] in wanted]
    return found if weekly["every"] else [at_s for at_s in found if at_s >= 0.0][:1]


def _zone(found: re.Match[str], horizon: Horizon) -> tzinfo | None:
    return ZoneInfo(found["zone"]) if found["zone"] else horizon.start_local.tzinfo


def _seconds(day: date, found: re.Match[str], horizon: Horizon) -> float:
    clock = time(int(found["hour"]), int(found["minute"]))
    local = datetime.combine(day, clock, tzinfo=_zone(found, horizon))
    # Through UTC and back: a time that is skipped becomes one that exists.
    return local.astimezone(UTC).timestamp() - horizon.start_local.timestamp()
