"""What a scenario says about what breaks: at moments it names, or at random with a mean time between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from simulator.scenario.apis import LognormalDelay
from simulator.scenario.base import Config, Faults, Seconds, Share, check
from simulator.scenario.moments import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable

Positive = Annotated[Seconds, Field(gt=0)]

#: Median of 3 min with a p95 of 6: weights, compilation and graph capture (assumed; a 35B model took five minutes
#: cold and half of it with its compile cache; prices and behaviour notes of 2026-11).
WARM_START = LognormalDelay.model_validate({"median": "3min", "sigma": 0.42})
#: Median of 10 min with a p95 of 20: a node, its image and then the model (assumed, from published 3 to 10 and more).
NEW_NODE = LognormalDelay.model_validate({"median": "10min", "sigma": 0.42})


class _Source(Config):
    at: Annotated[list[Moment], Field(min_length=1)] | None = None
    """Moments at which it begins; give these, or a mean time between."""

    def backends(self) -> Iterable[tuple[str, str]]:
        """Backends it names, as (key, name)."""
        return ()


class RandomSource(_Source):
    """Something that comes at moments named, or at random."""

    mean_time_between: Positive | None = None
    """Mean time between two of them, which come at random (exponential)."""

    @check
    def _one_timing(self) -> Faults:
        if (self.at is None) == (self.mean_time_between is None):
            yield ValueError("give either at or mean_time_between")


class Outage(RandomSource):
    """An API that fails or slows down."""

    kind: Literal["outage"]
    api: str
    """Name of the API."""
    duration: LognormalDelay | Positive
    """How long it lasts: a duration, or a median and a spread."""
    error_share: Share = 1.0
    """Share of calls that fail; 1 is an outage, less a brown-out."""
    slowdown: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """What is answered takes this much longer."""

    def backends(self) -> Iterable[tuple[str, str]]:
        """See the base."""
        return (("api", self.api),)


class NetworkLoss(RandomSource):
    """The site cannot reach any API; its own clusters go on."""

    kind: Literal["network_loss"]
    duration: LognormalDelay | Positive
    """How long it lasts."""


class RepairClass(Config):
    """One way a repair goes."""

    share: Annotated[Share, Field(gt=0)]
    """Share of the failures."""
    at_least: Positive
    """Shortest repair."""
    at_most: Positive
    """Longest; between the two all are alike."""

    @check
    def _in_order(self) -> Faults:
        if self.at_most < self.at_least:
            yield ValueError("at_most is shorter than at_least")


#: Soft 1 to 4 h, medium 4 to 24 h, a swap of hardware 24 to 72 h (Meta's research clusters, arXiv 2410.21680, as quoted
#: by vllm-sr-sim); the shares are assumed.
REPAIRS = tuple(
    RepairClass.model_validate({"share": share, "at_least": at_least, "at_most": at_most})
    for share, at_least, at_most in ((0.6, "1h", "4h"), (0.3, "4h", "24h"), (0.1, "24h", "72h"))
)


class Failure(RandomSource):
    """GPUs, nodes or a whole cluster that break down; what runs there is lost, and the caches are."""

    kind: Literal["failure"]
    cluster: str
    """Name of the cluster."""
    scope: Literal["gpu", "node", "cluster"] = "gpu"
    """What breaks: a GPU, with the replica it is part of; a node, with all its replicas; or everything. The mean time
    between is that of one GPU, one node, or the cluster."""
    gpus_per_node: Annotated[int, Field(ge=1, le=16)] = 8
    """GPUs of a node."""
    repair: list[RepairClass] | Positive = Field(default_factory=lambda: list(REPAIRS))
    """How long a repair takes: a duration, or classes with their shares. A replica then starts as after a restart."""

    @check
    def _shares_add_up(self) -> Faults:
        if isinstance(self.repair, list) and abs(sum(one.share for one in self.repair) - 1.0) > 1e-6:
            yield ValueError("the shares of the repair classes must add up to 1")

    def backends(self) -> Iterable[tuple[str, str]]:
        """See the base."""
        return (("cluster", self.cluster),)


class SpotInterruption(RandomSource):
    """The provider takes a replica's machine back; a new one is found and started."""

    kind: Literal["spot_interruption"]
    cluster: str
    """Name of the cluster; the mean time between is that of one replica."""
    notice: Seconds = 120.0
    """From the notice on the replica takes nothing more; AWS gives 2 min, Google and Azure 30 s."""
    replacement: LognormalDelay = NEW_NODE
    """From the loss until the new machine serves."""

    def backends(self) -> Iterable[tuple[str, str]]:
        """See the base."""
        return (("cluster", self.cluster),)


class PlannedRestart(_Source):
    """A driver or model update: one replica after another takes nothing more, finishes, and restarts."""

    kind: Literal["planned_restart"]
    at: Annotated[list[Moment], Field(min_length=1)]
    """Moments at which it begins."""
    cluster: str
    """Name of the cluster."""
    drain: Seconds = 300.0
    """How long a replica may take to finish; what it has not finished then is lost."""
    down: Seconds = 0.0
    """Time of the update itself, before the replica starts again."""

    def backends(self) -> Iterable[tuple[str, str]]:
        """See the base."""
        return (("cluster", self.cluster),)


FaultSource = Annotated[Outage | NetworkLoss | Failure | SpotInterruption | PlannedRestart, Field(discriminator="kind")]
