"""What a scenario says about failures that a pattern must survive, and how often they come."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from simulator.scenario.base import Config, Seconds

#: A GPU with the replica it is part of; a machine with all its GPUs; the room of a cluster; an API.
Component = Literal["replica", "node", "site", "api"]
Positive = Annotated[Seconds, Field(gt=0)]
YEAR_H: Final = 8760.0

#: Mean of the repair classes of `simulator.scenario.fault_sources` (2.5, 14 and 48 h at 60, 30 and 10 %).
_REPAIR: Final = "10h 30min"


class Failures(Config):
    """How often something fails, and for how long."""

    mean_time_between: Positive
    """Mean time between two failures of one of them."""
    repair: Positive
    """Mean time until it is back."""
    source: str = "scenario"
    """Who says so."""

    @property
    def unavailable(self) -> float:
        """Share of the time in which one of them is down."""
        return self.repair / (self.mean_time_between + self.repair)


def _failures(mean_time_between: str, repair: str, source: str) -> Failures:
    return Failures.model_validate({"mean_time_between": mean_time_between, "repair": repair, "source": source})


class FailureRates(Config):
    """How often what a pattern is made of fails; replace what you know better."""

    replica: Failures = _failures(
        "2115d",
        _REPAIR,
        "419 interruptions of 16,384 GPUs in 54 days (Llama 3, arXiv 2407.21783); repair assumed",
    )
    """A GPU, which takes the replica it is part of with it; the mean time between is that of one GPU."""
    node: Failures = _failures(
        "154d", _REPAIR, "6.5 failures in 1,000 node-days (Meta's RSC-1, arXiv 2410.21680); repair assumed"
    )
    """A machine, with all replicas on it."""
    site: Failures = _failures("730d", "4h", "assumed: power, cooling or network of a room, once in two years")
    """The room of a cluster: every cluster stands at a site of its own unless `cluster.site` says otherwise."""
    api: Failures = _failures(
        "30d",
        "2h",
        "99.7 %, about what PulsAPI measured of OpenAI and Anthropic in Q1 2026; contracts promise 99.9 %",
    )
    """An API as a whole."""
    gpus_per_node: Annotated[int, Field(ge=1, le=16)] | None = None
    """GPUs of a machine; those of the offer a cluster is rented as when absent, else 8."""
