"""Which backend gets a request, and what happens to one that its backend lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from simulator.engine.record import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simpy import Environment

    from simulator.engine.arrival import Arrival
    from simulator.engine.cluster import ClusterBackend
    from simulator.engine.metered_api import ApiBackend
    from simulator.engine.record import RequestLog
    from simulator.scenario.patterns import Overflow


class Router(Protocol):
    """Takes every request of a run."""

    def route(self, arrival: Arrival) -> None:
        """Send a request to a backend now."""


class OverflowRouter:
    """Cluster first; the API on capacity, timeout or error, where the workload may leave the site.

    Args:
        env: Simulation environment.
        cluster: The cluster.
        api: The API.
        routing: The thresholds.
        log: Where the reason of each failover is written.
        may_leave: By workload, whether its requests may go to the API.
    """

    def __init__(
        self,
        env: Environment,
        cluster: ClusterBackend,
        api: ApiBackend,
        routing: Overflow,
        log: RequestLog,
        may_leave: Sequence[bool],
    ) -> None:
        self._env = env
        self._cluster = cluster
        self._api = api
        self._routing = routing
        self._log = log
        self._may_leave = may_leave

    def route(self, arrival: Arrival) -> None:
        """Send a request to the cluster while it has room."""
        if self._may_leave[arrival.workload] and not self._cluster.has_room(arrival, self._routing.max_in_flight):
            self._fail_over(arrival, Reason.CAPACITY)
        else:
            self._cluster.submit(arrival)

    def lost(self, arrival: Arrival, reason: Reason) -> None:
        """Send a request the cluster lost to the API, or write down how it ended."""
        refused = reason is not Reason.TIMEOUT
        if self._may_leave[arrival.workload] and not (refused and self._routing.on_error == "fail"):
            self._fail_over(arrival, reason)
        else:
            write_loss(self._log, arrival, reason, self._env.now)

    def _fail_over(self, arrival: Arrival, reason: Reason) -> None:
        self._log.failover[arrival.index] = reason
        self._api.submit(arrival)


def write_loss(log: RequestLog, arrival: Arrival, reason: Reason, now_s: float) -> None:
    """End a request that no other backend takes."""
    log.outcome[arrival.index] = Outcome.TIMED_OUT if reason is Reason.TIMEOUT else Outcome.REJECTED
    log.ended_s[arrival.index] = now_s
