"""What rules of thumb say about the size of a cluster, and where they contradict each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from simulator.scenario.base import Config, Faults, check

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Measure = Literal["failover_share", "overflow_usd_per_month"]


class Threshold(Config):
    """A rule of thumb about one measure."""

    id: str
    """Short name."""
    measure: Measure
    """What it looks at."""
    above: float | None = None
    """Holds beyond this; give this or `below`."""
    below: float | None = None
    """Holds under this."""
    says: Literal["add", "keep", "remove"]
    """What to do with the replicas."""
    text: str
    """The rule in words."""
    where: str
    """Where in its source it stands."""

    @check
    def _one_bound(self) -> Faults:
        if (self.above is None) == (self.below is None):
            yield ValueError("give either above or below")

    def holds(self, value: float) -> bool:
        """Whether a value is beyond the bound; the bound itself is not."""
        return value > self.above if self.above is not None else value < (self.below or 0.0)


class Thresholds(Config):
    """The rules of one source."""

    source: str
    """Who says so."""
    rules: Annotated[list[Threshold], Field(min_length=1)]
    """What they say."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule of thumb and whether it holds."""

    id: str
    text: str
    where: str
    measure: Measure
    value: float
    says: str
    holds: bool


@cache
def thresholds() -> Thresholds:
    """The rules of the source document."""
    raw = resources.files("simulator.decision").joinpath("data", "capacity-rules.json").read_bytes()
    return Thresholds.model_validate(json.loads(raw))


def judged(values: Mapping[Measure, float]) -> list[RuleResult]:
    """Every rule, held against what was measured."""
    return [
        RuleResult(rule.id, rule.text, rule.where, rule.measure, known, rule.says, rule.holds(known))
        for rule in thresholds().rules
        for known in (values[rule.measure],)
    ]


def contradictions(rules: Sequence[RuleResult]) -> list[str]:
    """Rules that hold at once and say different things, and a threshold that stands twice with one of them passed."""
    held = [rule for rule in rules if rule.holds]
    found = [
        f"'{first.text}' says {first.says}, '{second.text}' says {second.says}"
        for first, second in combinations(held, 2)
        if first.says != second.says
    ]
    # The same thing said with two limits: between them one holds and the other does not.
    found += [
        f"'{first.text}' holds, '{second.text}' does not: the same advice with two limits"
        for first in held
        for second in rules
        if not second.holds and (first.measure, first.says) == (second.measure, second.says)
    ]
    return found
