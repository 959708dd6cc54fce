"""Which backend gets a request, and what happens to one that its backend lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.arrival import Arrival
from simulator.engine.record import Reason, write_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.engine.backend import Backend
    from simulator.engine.record import Loss, RequestLog
    from simulator.scenario.routing import Routing
    from simulator.workload.request import RequestTable


class OverflowRouter:
    """Cluster first; the API on capacity, timeout or error, where the workload may leave the site.

    The cluster itself turns requests away while it has no room (`simulator.engine.dispatch.has_room`).

    Args:
        api: The API.
        table: The requests.
        routing: The thresholds.
        log: Where the reason of each failover is written.
        may_leave: By workload, whether its requests may go to the API; all may when absent.
    """

    def __init__(
        self,
        api: Backend,
        table: RequestTable,
        routing: Routing,
        log: RequestLog,
        may_leave: Sequence[bool] | None,
    ) -> None:
        self._api = api
        self._table = table
        self._routing = routing
        self._log = log
        self._may_leave = [True] * len(table.workloads) if may_leave is None else may_leave

    def lost(self, loss: Loss) -> None:
        """Send a request the cluster did not serve to the API, or write down how it ended."""
        arrival = Arrival.of(self._table, loss.row)
        refused = loss.sent and loss.reason is not Reason.TIMEOUT
        if self._may_leave[arrival.workload] and not (refused and self._routing.on_error == "fail"):
            self._log.failover[loss.row] = loss.reason
            if not loss.sent:
                self._log.target[loss.row] = 1
                self._log.decision[loss.row] = 1 if self._api.room(arrival) else 2
            self._api.submit(arrival)
        else:
            write_loss(self._log, loss)
