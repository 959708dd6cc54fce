"""Requests and tokens of a replication, on average."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.analysis.metrics import Group


@dataclass(frozen=True, slots=True)
class Requests:
    """Mean requests of a replication, rounded so that the outcomes sum to the arrivals."""

    arrived: int
    completed: int
    rejected: int
    timed_out: int
    cancelled: int
    unfinished: int
    failed_over: dict[str, int]
    lost: dict[str, int] = field(default_factory=dict)

    @property
    def failover_share(self) -> float:
        """Share of the arrivals that left their first backend."""
        return sum(self.failed_over.values()) / self.arrived if self.arrived else 0.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """Mean tokens of the completed requests of a replication."""

    prompt: int
    cached_prompt: int
    output: int


def mean_of(groups: Sequence[Group], pick: Callable[[Group], int]) -> float:
    """Mean over replications of what a function finds."""
    return sum(pick(group) for group in groups) / len(groups)


def mean_requests(groups: Sequence[Group]) -> Requests:
    """Mean requests of a replication."""
    names = list(groups[0].outcomes)
    means = {name: mean_of(groups, lambda group, name=name: group.outcomes[name]) for name in names}  # type: ignore[misc]
    whole = {name: int(mean) for name, mean in means.items()}
    arrived = round(sum(means.values()))
    # The largest remainders take what rounding down has left.
    for name in sorted(names, key=lambda name: whole[name] - means[name])[: arrived - sum(whole.values())]:
        whole[name] += 1
    failed_over = {
        reason: round(mean_of(groups, lambda group, reason=reason: group.failed_over[reason]))  # type: ignore[misc]
        for reason in groups[0].failed_over
    }
    lost = {
        reason: round(mean_of(groups, lambda group, reason=reason: group.lost[reason]))  # type: ignore[misc]
        for reason in groups[0].lost
    }
    return Requests(arrived=arrived, **whole, failed_over=failed_over, lost=lost)


def sum_requests(parts: Sequence[Requests]) -> Requests:
    """Of several workloads together."""
    return Requests(
        arrived=sum(part.arrived for part in parts),
        completed=sum(part.completed for part in parts),
        rejected=sum(part.rejected for part in parts),
        timed_out=sum(part.timed_out for part in parts),
        cancelled=sum(part.cancelled for part in parts),
        unfinished=sum(part.unfinished for part in parts),
        failed_over={reason: sum(part.failed_over[reason] for part in parts) for reason in parts[0].failed_over},
        lost={reason: sum(part.lost[reason] for part in parts) for reason in parts[0].lost},
    )


def sum_tokens(parts: Sequence[Tokens]) -> Tokens:
    """Of several workloads together."""
    return Tokens(
        prompt=sum(part.prompt for part in parts),
        cached_prompt=sum(part.cached_prompt for part in parts),
        output=sum(part.output for part in parts),
    )
