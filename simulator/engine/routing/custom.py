"""A router of one's own: it is asked for each request, and sees what a router could see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.routing.policies import Decision, SloAware
from simulator.errors import SimulatorError
from simulator.extensions import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.engine.arrival import Arrival
    from simulator.engine.backend import Backend, Hosted
    from simulator.engine.site import Site


class Backends:
    """What a router of one's own may know of the backends, which are numbered: clusters, then APIs.

    Attributes:
        names: Of the backends.
        clusters: How many of them are clusters.
        workloads: Names of the workloads, which `Arrival.workload` indexes.
    """

    def __init__(
        self, names: Sequence[str], workloads: Sequence[str], backends: Sequence[Backend], clusters: Sequence[Hosted]
    ) -> None:
        self.names, self.workloads, self.clusters = tuple(names), tuple(workloads), len(clusters)
        self._backends, self._hosted = backends, clusters

    def room(self, number: int, arrival: Arrival) -> bool:
        """Whether a request sent there now would start at once."""
        return self._backends[number].room(arrival)

    def fullness(self, number: int) -> float:
        """Requests in flight in a cluster, relative to what it can run at once; 0 of an API, which does not say."""
        return self._hosted[number].fullness if number < self.clusters else 0.0

    def serves(self, number: int) -> bool:
        """Whether any replica of a cluster takes requests; an API always does, as far as one can see."""
        return self._hosted[number].serves if number < self.clusters else True


class Custom(SloAware):
    """Asks the router of that name; see `Backends`."""

    def __init__(self, site: Site, backends: Sequence[Backend], clusters: Sequence[Hosted]) -> None:
        super().__init__(site, backends, clusters)
        routing = site.pattern.routing
        self._name, options = getattr(routing, "name", ""), getattr(routing, "options", {})
        view = Backends(site.pattern.backend_names, site.table.workloads, backends, clusters)
        self._router = find("routers", self._name)(view, **options)

    def choose(self, arrival: Arrival, allowed: Sequence[int]) -> Decision:
        """See `Policy`."""
        number = self._router.choose(arrival, tuple(allowed))
        if number is None:
            return Decision(None, self._name)
        if number not in allowed:
            may = ", ".join(map(str, allowed))
            raise SimulatorError(f"the router '{self._name}' chose {number!r} for a request that may use {may}")
        return Decision(int(number), self._name, self._reason(int(number), allowed))
