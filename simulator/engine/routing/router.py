"""Which backend gets a request, and what happens to one that its backend lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.arrival import Arrival
from simulator.engine.record import Reason, write_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.engine.backend import Backend
    from simulator.engine.ledger import Ledger
    from simulator.engine.record import Loss
    from simulator.scenario.routing import Routing


class OverflowRouter:
    """Cluster first; the API on capacity, timeout or error, where the workload may leave the site.

    The cluster itself turns requests away while it has no room (`simulator.engine.vllm.dispatch.has_room`).

    Args:
        api: The API.
        ledger: The requests, and where the reason of each failover is written.
        routing: The thresholds.
        may_leave: By workload, whether its requests may go to the API; all may when absent.
    """

    def __init__(
        self,
        api: Backend,
        ledger: Ledger,
        routing: Routing,
        may_leave: Sequence[bool] | None,
    ) -> None:
        self._api = api
        self._table, self._log = ledger.table, ledger.log
        self._routing = routing
        self._may_leave = [True] * len(ledger.table.workloads) if may_leave is None else may_leave

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
