"""The scenario: one question, and the candidate answers to compare."""

from __future__ import annotations

import hashlib
import json
import re
from copy import deepcopy
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, PrivateAttr, field_validator, model_validator

from simulator.scenario.base import Config, FieldError, Name, Seconds, UsdPerMonth
from simulator.scenario.compliance import Compliance
from simulator.scenario.costs import Prices
from simulator.scenario.patterns import HostingPattern
from simulator.scenario.rollout import Rollout
from simulator.scenario.rules import RuleTable
from simulator.scenario.team import Team
from simulator.scenario.workloads import AnyWorkload
from simulator.scenario.yaml_source import Document

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    time_zone: str = "UTC"
    """IANA name of the clinic's time zone, such as America/Chicago."""
    holidays: str | None = None
    """Country whose public holidays apply, with an optional subdivision: US, GB-ENG."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("expected an IANA time zone such as America/Chicago, Europe/London or UTC")
        return value

    @model_validator(mode="after")
    def _one_stretch(self) -> Self:
        given = {name for name in ("month", "start", "end", "duration") if getattr(self, name) is not None}
        if given not in ({"month"}, {"start", "end"}, {"start", "duration"}):
            raise ValueError("give a month, or a start with a duration, or a start with an end")
        if self.end_local <= self.start_local:
            key = "end" if self.end else "duration"
            raise FieldError((key,), "the horizon must end after it starts")
        return self

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


class Constraints(Config):
    """What an answer must respect before its cost counts."""

    phi_may_leave: bool = True
    """Whether protected health information may go to an API under a business associate agreement."""
    monthly_cost_at_most: UsdPerMonth | None = None
    """Budget."""
    team: Team | None = None
    """Who would run a cluster; without it, staffing readiness is not assessed."""


class Experiment(Config):
    """How the question is simulated."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 20261123
    """Root of every random stream."""
    replications: Annotated[int, Field(ge=1, le=1000)] = 5
    """Independent repetitions; intervals come from their spread."""
    warm_up: Seconds = 0.0
    """Time at the beginning of the horizon left out of latency, utilisation and cost."""


class Scenario(Config):
    """One question about where language models should run."""

    schema_version: Literal[1] = 1
    """Version of this file format."""
    name: Name
    """Short name: lower-case letters, digits and underscores."""
    description: str = ""
    """One paragraph for the report."""
    horizon: Horizon
    """What is simulated, and when."""
    workloads: Annotated[dict[Name, AnyWorkload], Field(min_length=1)]
    """The demand, by workload."""
    hosting_patterns: Annotated[dict[Name, HostingPattern], Field(min_length=1)]
    """The candidate answers, by name."""
    constraints: Constraints = Constraints()
    """What an answer must respect."""
    compliance: Compliance | None = None
    """Who may see protected health information; not assessed when absent."""
    prices: Prices = Prices()
    """Price book and billing month."""
    experiment: Experiment = Experiment()
    """Seed, replications, warm-up."""
    rollout: Rollout | None = None
    """How the site grows into this volume, and when its hosting pattern changes; for `simulator rollout`."""
    rules: dict[Name, RuleTable] = Field(default_factory=dict)
    """Rules of thumb of one's own, shown beside the verdict with those of the source document."""

    _document: Document = PrivateAttr(default_factory=lambda: Document({}))

    def with_overrides(self, settings: Mapping[str, Any]) -> Scenario:
        """The same scenario with other values, by dotted key path such as `{"experiment.seed": 7}`.

        Raises:
            ScenarioError: The result is not a valid scenario.
        """
        from simulator.scenario.loading import validate_document
        from simulator.scenario.merging import apply_settings

        document = deepcopy(self._document)
        apply_settings(document, settings)
        return validate_document(document)

    def origin(self, *key: str | int) -> tuple[str, int]:
        """File and line a key was written at, or its nearest ancestor."""
        return self._document.origin(key)

    @property
    def override_names(self) -> tuple[str, ...]:
        """Names of the file's `overrides:` blocks."""
        return self._document.overrides

    @property
    def resolved(self) -> dict[str, Any]:
        """The file as merged with what it extends and what was set, before defaults."""
        return deepcopy(self._document.data)

    @property
    def sha256(self) -> str:
        """Hash of `resolved`."""
        canonical = json.dumps(
            self._document.data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    @model_validator(mode="after")
    def _warm_up_inside(self) -> Self:
        if self.experiment.warm_up >= self.horizon.duration_s:
            raise FieldError(("experiment", "warm_up"), "must be shorter than the horizon")
        return self
