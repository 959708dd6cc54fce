"""Which replicas of a cluster serve, for how long they did, and for how long they were paid for."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.vllm.monitor import INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.engine.record import Loss
    from simulator.engine.vllm.fleet import Fleet


class Uptime:
    """The replicas of a cluster as something that comes and goes.

    A replica serves while nothing holds it down; several things may at once.

    Args:
        fleet: The replicas.
        horizon_s: End of the simulation.
    """

    def __init__(self, fleet: Fleet, horizon_s: float) -> None:
        replicas = fleet.size
        self._fleet = fleet
        self._holds = [0] * replicas
        self._unpaid = [0] * replicas
        self._up = _Stretches(replicas, horizon_s)
        self._paid = _Stretches(replicas, horizon_s)

    @property
    def serving(self) -> list[int]:
        """Replicas that take requests."""
        return [replica for replica, holds in enumerate(self._holds) if not holds]

    def hold(self, replica: int, now_s: float) -> None:
        """Something keeps it from taking requests from now on; what it has it finishes."""
        self._holds[replica] += 1
        if self._holds[replica] == 1:
            self._fleet.look(now_s)
            self._fleet.drain(replica)
            self._up.end(replica, now_s)

    def lose(self, replica: int, now_s: float) -> Iterator[Loss]:
        """What a replica that is held has not finished is lost."""
        return self._fleet.fail(replica, now_s)

    def release(self, replica: int, now_s: float) -> bool:
        """That something is over; whether the replica serves again, empty and with nothing cached."""
        self._holds[replica] -= 1
        if self._holds[replica]:
            return False
        self._fleet.restart(replica)
        self._up.begin(replica, now_s)
        return True

    def stop_paying(self, replica: int, now_s: float) -> None:
        """Its GPUs are given back."""
        self._unpaid[replica] += 1
        if self._unpaid[replica] == 1:
            self._paid.end(replica, now_s)

    def pay(self, replica: int, now_s: float) -> None:
        """Its GPUs are rented again."""
        self._unpaid[replica] -= 1
        if not self._unpaid[replica]:
            self._paid.begin(replica, now_s)

    def close(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds in which each replica served, and was paid for, by replica and hour."""
        return self._up.close(), self._paid.close()


class _Stretches:
    """Seconds by replica and hour; at first all have begun."""

    def __init__(self, replicas: int, horizon_s: float) -> None:
        self._horizon_s = horizon_s
        self._since_s: list[float | None] = [0.0] * replicas
        self._seconds = np.zeros((replicas, max(1, ceil(horizon_s / INTERVAL_S))))

    def begin(self, replica: int, now_s: float) -> None:
        self._since_s[replica] = now_s

    def end(self, replica: int, now_s: float) -> None:
        since_s, self._since_s[replica] = self._since_s[replica], None
        if since_s is not None:
            edges = np.arange(self._seconds.shape[1] + 1) * INTERVAL_S
            inside = np.clip(edges, since_s, max(since_s, min(now_s, self._horizon_s)))
            self._seconds[replica] += np.diff(inside)

    def close(self) -> NDArray[np.float64]:
        for replica in range(len(self._since_s)):
            self.end(replica, self._horizon_s)
        return self._seconds
