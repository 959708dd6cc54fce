"""What a scenario says about replicas that come and go with the demand, or with the clock."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.scenario.apis import LognormalDelay
from simulator.scenario.base import Config, Faults, FieldError, Seconds, Share, check
from simulator.scenario.fault_sources import NEW_NODE
from simulator.scenario.moments import Moment

Count = Annotated[int, Field(ge=0, le=1024)]


class _Autoscaling(Config):
    node_start: LognormalDelay = NEW_NODE
    """From asking for a machine until a replica serves on it, its own start-up included."""
    drain: Seconds = 300.0
    """How long a replica that is no longer wanted may take to finish; what it has not finished then is lost."""

    def most(self) -> int:
        """Largest number it names."""
        return 0

    def first(self, replicas: int) -> int:
        """Replicas at the start, of so many at most."""
        raise NotImplementedError


class Change(Config):
    """So many replicas from some moment on."""

    at: Moment
    """When, such as `every weekday 07:00`."""
    replicas: Count
    """How many are wanted from then on; 0 gives all of them back."""


class ScheduledScaling(_Autoscaling):
    """As many replicas as a timetable says."""

    kind: Literal["schedule"]
    first_replicas: Count
    """Replicas at the start of the horizon."""
    changes: Annotated[list[Change], Field(min_length=1)]
    """Later numbers; of two for one moment the one listed last counts."""

    def most(self) -> int:
        """See the base."""
        return max(self.first_replicas, *(change.replicas for change in self.changes))

    def first(self, replicas: int) -> int:  # noqa: ARG002
        """See the base."""
        return self.first_replicas


class QueueScaling(_Autoscaling):
    """More replicas while requests wait, fewer while there is little to do."""

    kind: Literal["queue"]
    at_least: Count = 1
    """Fewest replicas; 0 gives all of them back when nothing has come for `idle_for`, as serverless GPUs are."""
    every: Annotated[Seconds, Field(gt=0)] = 15.0
    """How often it looks; Kubernetes' default."""
    waiting_per_replica: Annotated[float, Field(gt=0, le=10_000)] = 4.0
    """Requests waiting per replica that serves, from which on one more is started."""
    fill_at_most: Annotated[Share, Field(gt=0)] = 0.8
    """Share of its `max_num_seqs` in flight, from which on one more is started."""
    fill_at_least: Share = 0.3
    """Share that the remaining replicas would have in flight, below which one is given back."""
    idle_for: Annotated[Seconds, Field(gt=0)] = 300.0
    """How long it must have been so before one is given back; Kubernetes' default window."""

    @check
    def _in_order(self) -> Faults:
        if self.fill_at_least >= self.fill_at_most:
            yield FieldError(("fill_at_least",), "must be below fill_at_most, or replicas come and go for ever")

    def most(self) -> int:
        """See the base."""
        return self.at_least

    def first(self, replicas: int) -> int:
        """See the base."""
        return min(self.at_least, replicas)


Autoscaling = Annotated[ScheduledScaling | QueueScaling, Field(discriminator="kind")]
