"""A site's own routing rules: a table in which the first match wins, and what is wrong with one."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from simulator.scenario.base import Config, Faults, Name, PositiveTokens, Tokens, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Priority = Annotated[int, Field(ge=1, le=3)]


class TokenRange(Config):
    """Token counts from one on, and below another."""

    at_least: Tokens = 0
    """Lowest count."""
    below: PositiveTokens | None = None
    """First count that is too high; none when absent."""

    @check
    def _not_empty(self) -> Faults:
        if self.below is not None and self.below <= self.at_least:
            yield ValueError(f"no count is at least {self.at_least} and below {self.below}")

    def holds(self, tokens: int) -> bool:
        """Whether a count is in the range."""
        return self.at_least <= tokens and (self.below is None or tokens < self.below)


class Condition(Config):
    """All of it must hold; what is absent always does."""

    workloads: Annotated[list[Name], Field(min_length=1)] | None = None
    """Workloads it is for."""
    priorities: Annotated[list[Priority], Field(min_length=1)] | None = None
    """Priorities it is for."""
    prompt_tokens: TokenRange = TokenRange()
    """Lengths of the prompt."""
    max_tokens: TokenRange = TokenRange()
    """Output limits the client sent."""
    while_room: bool = False
    """Only while one of its backends has room."""

    def holds(self, case: Case) -> bool:
        """Whether a request meets it, room aside."""
        return (
            (self.workloads is None or case.workload in self.workloads)
            and (self.priorities is None or case.priority in self.priorities)
            and self.prompt_tokens.holds(case.prompt_tokens)
            and self.max_tokens.holds(case.max_tokens)
        )


class RoutingRule(Config):
    """One rule."""

    name: Name
    """Name of the rule, for the record of decisions."""
    when: Condition = Condition()
    """Requests it is for; all when absent."""
    send_to: Annotated[list[str], Field(min_length=1)]
    """Backends, the preferred first."""


class Case(NamedTuple):
    """A request as the rules see it."""

    workload: str
    priority: int
    prompt_tokens: int
    max_tokens: int

    def __str__(self) -> str:
        return (
            f"{self.workload}, priority {self.priority}, prompt of {self.prompt_tokens:,} tokens, "
            f"max_tokens {self.max_tokens:,}"
        )


def cases(rules: Sequence[RoutingRule], workloads: Sequence[str]) -> Iterator[Case]:
    """One request of every kind that the rules can tell apart."""
    prompts = _edges([rule.when.prompt_tokens for rule in rules])
    limits = _edges([rule.when.max_tokens for rule in rules])
    return (Case(*case) for case in product(workloads, (1, 2, 3), prompts, limits))


def _edges(ranges: list[TokenRange]) -> list[int]:
    """The lowest count of every stretch between two limits; counts start at 1."""
    return sorted({1} | {edge for one in ranges for edge in (one.at_least, one.below) if edge})


def matches(rules: Sequence[RoutingRule], case: Case) -> list[RoutingRule]:
    """All rules for a request, room aside, up to the first that needs none."""
    found = []
    for rule in rules:
        if rule.when.holds(case):
            found.append(rule)
            if not rule.when.while_room:
                break
    return found


def gaps(rules: Sequence[RoutingRule], workloads: Sequence[str]) -> list[Case]:
    """Requests that no rule is for, or only rules that want room."""
    return [
        case for case in cases(rules, workloads) if not (found := matches(rules, case)) or found[-1].when.while_room
    ]


def unreachable(rules: Sequence[RoutingRule], workloads: Sequence[str]) -> list[RoutingRule]:
    """Rules that never decide, because earlier ones are for all of their requests."""
    reached = {rule.name for case in cases(rules, workloads) for rule in matches(rules, case)}
    return [rule for rule in rules if rule.name not in reached]


def overlaps(rules: Sequence[RoutingRule], workloads: Sequence[str]) -> dict[tuple[str, str], Case]:
    """By two rules that are both for some request and send it to different backends: the first such request."""
    found: dict[tuple[str, str], Case] = {}
    for case in cases(rules, workloads):
        for_it = [rule for rule in rules if rule.when.holds(case)]
        for later in for_it[1:]:
            if later.send_to != for_it[0].send_to:
                found.setdefault((for_it[0].name, later.name), case)
    return found
