"""What a router needs of a backend, met alike by a cluster and a metered API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from simulator.engine.arrival import Arrival


class Backend(Protocol):
    """Something that answers requests; what it refuses or loses it hands to the `on_lost` it was made with."""

    def submit(self, arrival: Arrival) -> None:
        """Take a request now."""

    def room(self, arrival: Arrival) -> bool:
        """Whether a request sent now would start at once."""

    def expected_ttft_s(self, arrival: Arrival, /) -> float:
        """Time to first token that a router would expect of a request sent now."""


class Hosted(Backend, Protocol):
    """A cluster, which is full to a degree."""

    @property
    def serves(self) -> bool:
        """Whether any of its replicas takes requests."""

    @property
    def fullness(self) -> float:
        """Requests in flight, relative to what it can run at once."""

    def room(self, arrival: Arrival, share: float = 1.0) -> bool:
        """Whether a request could start now if only this share of the cluster were to be used."""
