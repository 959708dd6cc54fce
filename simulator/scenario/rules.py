"""Rules of thumb that name a hosting pattern from a few numbers, as data."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, TypeAdapter

from simulator.scenario.base import Config, Faults, check

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["metered_api", "self_hosted", "hybrid"]
Measure = Literal[
    "tokens_per_month", "variation", "ttft_limit_s", "payback_months", "ml_engineers", "fine_tuned", "experimental"
]


class Range(Config):
    """Values from one bound to another."""

    at_least: float | None = None
    """Lowest value; none when absent."""
    above: float | None = None
    """Last value before the lowest; give this or `at_least`."""
    below: float | None = None
    """First value beyond; none when absent."""
    at_most: float | None = None
    """Highest value; give this or `below`."""

    @check
    def _holds_something(self) -> Faults:
        for one, other in (("at_least", "above"), ("below", "at_most")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                yield ValueError(f"give {one} or {other}, not both")
        low, high = self.ends
        if low is not None and high is not None and not (low < high or (low == self.at_least == self.at_most)):
            first, last = "above" if self.at_least is None else "at_least", "at_most" if self.below is None else "below"
            yield ValueError(f"{first} must be less than {last}")

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Where it begins and ends, whether the ends belong to it or not."""
        low = self.above if self.at_least is None else self.at_least
        return low, self.at_most if self.below is None else self.below

    def holds(self, value: float) -> bool:
        """Whether a value is within."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )


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

    def is_about(self, workload: str | None) -> bool:
        """Whether it is about a workload, or about a site where none is given."""
        return self.workloads is None or (workload is not None and workload.startswith(tuple(self.workloads)))


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

    def matching(self, known: Mapping[str, float], workload: str | None = None) -> list[Rule]:
        """Rules that hold; only the first where the order counts. A measure nobody knows makes a rule fail."""
        found = [
            rule
            for rule in self.rules
            if rule.is_about(workload)
            and all(name in known and limits.holds(known[name]) for name, limits in rule.when.items())
        ]
        return found[:1] if self.first_match else found


@cache
def shipped_tables() -> dict[str, RuleTable]:
    """The rule tables of the source document, by name."""
    raw = resources.files("simulator.scenario").joinpath("data", "rule-tables.json").read_bytes()
    return TypeAdapter(dict[str, RuleTable]).validate_python(json.loads(raw))
