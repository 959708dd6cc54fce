"""What a scenario says about the years to come: how use grows, and when the hosting pattern changes."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, field_validator

from simulator.scenario.base import (
    Config,
    Faults,
    FieldError,
    Multiple,
    Name,
    PositiveFloat,
    Share,
    Usd,
    YearlyChange,
    check,
)
from simulator.wording import article

_MONTH = re.compile(r"(19|20)\d\d-(0[1-9]|1[0-2])")

#: Months since the start, the first of which is 1.
Month = Annotated[int, Field(ge=1, le=120)]
Ceiling = Annotated[float, Field(gt=0, le=100)]


class Point(Config):
    """How far adoption was, or will be, in one month."""

    month: Month
    """Month since the start, the first of which is 1."""
    share: Multiple
    """Share of the scenario's volume; above 100 % it outgrows it."""


Points = Annotated[list[Point], Field(min_length=1, max_length=120)]


def _ascending(points: list[Point]) -> list[Point]:
    months = [point.month for point in points]
    if months != sorted(set(months)):
        raise ValueError("give each month once, in order")
    return points


class LogisticAdoption(Config):
    """Slow, then fast, then slow again: ceiling / (1 + exp(-rate (month - midpoint)))."""

    kind: Literal["logistic"]
    midpoint: Annotated[float, Field(ge=-120, le=240)]
    """Month in which half of the ceiling is reached."""
    rate: Annotated[float, Field(gt=0, le=10)]
    """Steepness, per month."""
    ceiling: Ceiling = 1.0
    """Share of the scenario's volume that is reached in the end; above 1 it outgrows it."""


class SaturatingAdoption(Config):
    """Fast, then slower and slower: ceiling (1 - exp(-month / time constant))."""

    kind: Literal["saturating"]
    time_constant: Annotated[float, Field(gt=0, le=1200)]
    """Months after which 63 % of the ceiling are reached."""
    ceiling: Ceiling = 1.0
    """Share of the scenario's volume that is reached in the end; above 1 it outgrows it."""


class TableAdoption(Config):
    """Shares by month, straight lines from nothing at month 0 through them, and flat after the last."""

    kind: Literal["table"]
    points: Points
    """Months and shares."""

    _in_order = field_validator("points")(_ascending)


class ExponentialAdoption(Config):
    """The same per cent more each month: first (1 + monthly growth) ** (month - 1), up to the ceiling."""

    kind: Literal["exponential"]
    first: Annotated[Multiple, Field(gt=0)]
    """Share of the scenario's volume in month 1."""
    monthly_growth: Annotated[Multiple, Field(gt=0, le=10)]
    """How much more each month than in the one before, such as 20 %."""
    ceiling: Annotated[Multiple, Field(gt=0)] | None = None
    """Share at which it ends; none when absent, however far it goes."""

    @check
    def _starts_below_its_ceiling(self) -> Faults:
        if self.ceiling is not None and self.ceiling < self.first:
            yield FieldError(("ceiling",), "may not be less than first")


class FittedAdoption(Config):
    """A curve through what a site has seen so far, by least squares."""

    kind: Literal["fitted"]
    curve: Literal["logistic", "saturating"]
    """Shape of the curve."""
    observed: Points
    """What was seen."""
    ceiling: Ceiling | None = None
    """Share reached in the end, where it is known; fitted when absent, which takes one more point."""

    _in_order = field_validator("observed")(_ascending)

    @check
    def _enough_points(self) -> Faults:
        need = (2 if self.curve == "logistic" else 1) + (self.ceiling is None)
        if len(self.observed) < need:
            known = "with" if self.ceiling is not None else "without"
            yield FieldError(
                ("observed",), f"{article(self.curve)} curve {known} a ceiling takes at least {need} points"
            )


Adoption = Annotated[
    LogisticAdoption | SaturatingAdoption | ExponentialAdoption | TableAdoption | FittedAdoption,
    Field(discriminator="kind"),
]


class Phase(Config):
    """A hosting pattern from some moment on; the moment comes in the first month in which what is given holds."""

    pattern: Name
    """Hosting pattern."""
    replicas: Annotated[int, Field(gt=0, le=1024)] | None = None
    """Replicas of its cluster in this phase, such as a node more than before; those of the pattern when absent. What is
    bought is paid when it is added; the replicas that were there are not bought again."""
    from_month: Month | None = None
    """Month since the start; give this or one of the next three, except in the first phase."""
    from_date: str | None = None
    """Calendar month, such as 2027-01."""
    from_users: PositiveFloat | None = None
    """As many users as this or more; needs `users`."""
    from_tokens_per_month: PositiveFloat | None = None
    """As many tokens a month as this or more."""
    one_off: Usd = Decimal(0)
    """Paid once when the phase begins, on top of the hardware it buys: migration, training."""

    @field_validator("from_date")
    @classmethod
    def _month_form(cls, value: str | None) -> str | None:
        if value is not None and not _MONTH.fullmatch(value):
            raise ValueError("expected a month such as 2027-04, from 1900 to 2099")
        return value

    @property
    def name(self) -> str:
        """The pattern, and its replicas where the phase says how many."""
        return self.pattern if self.replicas is None else f"{self.pattern}_x{self.replicas}"

    @property
    def conditions(self) -> list[str]:
        """Names of what was given to say when it begins."""
        names = ("from_month", "from_date", "from_users", "from_tokens_per_month")
        return [name for name in names if getattr(self, name) is not None]


class Escalation(Config):
    """How much dearer each kind of thing gets from one year to the next; what is not named keeps its price."""

    salaries: YearlyChange = 0.0
    """Salaries, allowances and engineers' weeks."""
    energy: YearlyChange = 0.0
    """Electricity."""
    api: YearlyChange = 0.0
    """Tokens, provisioned units and reservations of metered APIs."""


class Rollout(Config):
    """How a site grows into the scenario's volume, month by month."""

    months: Annotated[int, Field(ge=1, le=60)] = 36
    """Months that are simulated."""
    start: str | None = None
    """First month, such as 2027-01; the first of the scenario's horizon when absent."""
    adoption: Adoption
    """The projection: what share of the scenario's volume is reached when."""
    actual: Adoption | None = None
    """What really happened, or what it points to; shown beside the projection."""
    users: PositiveFloat | None = None
    """Users at the scenario's volume."""
    phases: Annotated[list[Phase], Field(min_length=1, max_length=20)]
    """Hosting patterns in their order."""
    escalation: Escalation = Escalation()
    """What gets dearer or cheaper over the years: every month has the prices of its own, the first those of today."""
    resale: Share = 0.0
    """What hardware fetches before it is written off, when no later phase uses it or the last month is over: this
    share of the price that is not written off yet, in equal months, beside its `residual`."""
    review_every: Annotated[int, Field(ge=1, le=12)] = 3
    """Months between two reviews of the choice."""

    @field_validator("start")
    @classmethod
    def _month_form(cls, value: str | None) -> str | None:
        if value is not None and not _MONTH.fullmatch(value):
            raise ValueError("expected a month such as 2027-04, from 1900 to 2099")
        return value

    @check
    def _phases_begin(self) -> Faults:
        for number, phase in enumerate(self.phases):
            given = phase.conditions
            if number == 0 and given:
                yield FieldError(("phases", 0, given[0]), "the first phase begins with the rollout")
            if number and len(given) != 1:
                message = "give exactly one of from_month, from_date, from_users and from_tokens_per_month"
                yield FieldError(("phases", number), message)
            if phase.from_users is not None and self.users is None:
                yield FieldError(("phases", number, "from_users"), "needs rollout.users, those at full volume")
