"""The stretch of calendar that is simulated."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import field_validator

from simulator.scenario.base import Config, Faults, FieldError, Seconds, TimeZone, check

_MONTH = re.compile(r"(19|20)\d\d-(0[1-9]|1[0-2])")
_DATE = re.compile(r"(19|20)\d\d-\d\d-\d\d")
_COUNTRY = re.compile(r"[A-Z]{2,3}(-[A-Z0-9]{1,6})?")


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


class Horizon(Config):
    """The stretch of calendar that is simulated: a calendar month, or a start with a duration or an end."""

    month: str | None = None
    """A calendar month such as 2027-04; give this, or `start` with `duration` or `end`."""
    start: str | None = None
    """First day, such as 2027-04-05 (local midnight)."""
    end: str | None = None
    """Day after the last one."""
    duration: Seconds | None = None
    """Length, such as 28d."""
    time_zone: TimeZone = "UTC"
    """IANA name of the clinic's time zone, such as America/Chicago."""
    holidays: str | None = None
    """Country whose public holidays apply, with an optional subdivision: US, GB-ENG."""

    @check
    def _one_stretch(self) -> Faults:
        given = {name for name in ("month", "start", "end", "duration") if getattr(self, name) is not None}
        if given not in ({"month"}, {"start", "end"}, {"start", "duration"}):
            yield ValueError("give a month, or a start with a duration, or a start with an end")
        if self.end_local <= self.start_local:
            key = "end" if self.end else "duration"
            yield FieldError((key,), "the horizon must end after it starts")

    @field_validator("month")
    @classmethod
    def _month_form(cls, value: str | None) -> str | None:
        if value is not None and not _MONTH.fullmatch(value):
            raise ValueError("expected a month such as 2027-04, from 1900 to 2099")
        return value

    @field_validator("start", "end")
    @classmethod
    def _date_form(cls, value: str | None) -> str | None:
        if value is not None and not _is_date(value):
            raise ValueError("expected a date such as 2027-04-05, from 1900 to 2099")
        return value

    @field_validator("holidays")
    @classmethod
    def _country_form(cls, value: str | None) -> str | None:
        if value is not None and not _COUNTRY.fullmatch(value):
            raise ValueError("expected a country with an optional subdivision, such as US, GB-ENG or DE-BY")
        return value

    @property
    def start_local(self) -> datetime:
        """Local midnight at which the horizon starts."""
        day = date.fromisoformat(f"{self.month}-01" if self.month else str(self.start))
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.time_zone))

    @property
    def end_local(self) -> datetime:
        """Local time at which the horizon ends."""
        start = self.start_local
        if self.month:
            following = (start.replace(tzinfo=None) + timedelta(days=32)).replace(day=1)
            return following.replace(tzinfo=start.tzinfo)
        if self.end:
            return datetime.fromisoformat(self.end).replace(tzinfo=start.tzinfo)
        utc = ZoneInfo("UTC")
        return (start.astimezone(utc) + timedelta(seconds=self.duration or 0.0)).astimezone(start.tzinfo)

    @property
    def duration_s(self) -> float:
        """Real seconds between start and end; a daylight-saving change makes a day 23 or 25 hours long."""
        return self.end_local.timestamp() - self.start_local.timestamp()
