"""Rules of thumb that name a hosting pattern from a few numbers, as data."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulator.scenario.base import Config

Kind = Literal["metered_api", "self_hosted", "hybrid"]
Measure = Literal["tokens_per_month", "variation", "ttft_limit_s", "payback_months", "ml_engineers"]


class Range(Config):
    """Values from one bound to another."""

    at_least: float | None = None
    """Lowest value; none when absent."""
    below: float | None = None
    """First value beyond; none when absent."""

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.at_least is not None and self.below is not None and self.at_least >= self.below:
            raise ValueError("at_least must be less than below")
        return self

    def holds(self, value: float) -> bool:
        """Whether a value is within."""
        return (self.at_least is None or value >= self.at_least) and (self.below is None or value < self.below)


class Rule(Config):
    """One line of a table."""

    when: dict[Measure, Range] = Field(default_factory=dict)
    """Measures and the ranges all of them must be in."""
    workloads: list[str] | None = None
    """Beginnings of the names of workloads it is about; all when absent."""
    answers: Annotated[list[Kind], Field(min_length=1)]
    """Kinds of pattern it names; several leave a choice."""
    text: str = ""
    """The rule in words."""


class RuleTable(Config):
    """A table of rules."""

    title: str
    """What it is called."""
    source: str
    """Who says so."""
    scope: Literal["site", "workload"] = "site"
    """Whether it is about all workloads together, or each by itself."""
    first_match: bool = False
    """Whether the order counts; otherwise two rules that hold at once contradict each other."""
    rules: Annotated[list[Rule], Field(min_length=1)]
    """The rules."""
