"""Clients that send the next request when the last one is answered: closed loops, and caps on what is under way.

A request of theirs is due when it arrives in the table, and is sent when one of its workload's clients is free: that
moment then is its arrival. As `vllm bench serve --max-concurrency` does, what it waits for a client is not part of its
times; what no client comes to by the horizon was never asked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.arrival import Arrival
from simulator.engine.record import Outcome
from simulator.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import simpy
    from numpy.typing import NDArray

    from simulator.engine.site import Site
    from simulator.engine.vllm.fleet import Fleet


@dataclass(frozen=True, slots=True)
class ClientRule:
    """Clients of one workload.

    Attributes:
        count: How many there are.
        think_s: Mean time from an answer, or from giving up, to the next request.
        exponential: Whether that time is exponential, or always the same.
    """

    count: int
    think_s: float = 0.0
    exponential: bool = False


class Clients:
    """The clients of all workloads in a simulation.

    Args:
        site: What is simulated; the arrival times of its table are written.
        rules: By workload; None where requests come by themselves.
        route: Takes a request that is sent.
        fleets: Clusters, which tell nobody when a request ends.
    """

    def __init__(
        self,
        site: Site,
        rules: Sequence[ClientRule | None],
        route: Callable[[Arrival], None],
        fleets: Sequence[Fleet],
    ) -> None:
        self._site, self._rules, self._route, self._fleets = site, rules, route, fleets
        self._due: list[deque[int]] = [deque() for _ in rules]
        self._free = [rule.count if rule else 0 for rule in rules]
        self._open: list[int] = []
        self._rng = stream(site.seed, site.replication, "clients")
        self._tick_s = inf

    def take(self, arrival: Arrival) -> None:
        """A request is due."""
        if self._rules[arrival.workload] is None:
            self._route(arrival)
        else:
            self._due[arrival.workload].append(arrival.index)
            self._send(arrival.workload)

    def run(self) -> None:
        """Simulate up to the horizon, and see after every event who has been answered."""
        env = self._site.env
        while env.peek() < self._site.horizon_s:
            env.step()
            self._look()

    def sent(self) -> NDArray[np.intp]:
        """The rows that were sent, in the order in which they were."""
        table = self._site.table
        never = [row for due in self._due for row in due]
        rows = np.setdiff1d(np.flatnonzero(table.arrival_s < self._site.horizon_s), never)
        return rows[np.argsort(table.arrival_s[rows], kind="stable")]

    def _send(self, workload: int) -> None:
        while self._free[workload] and self._due[workload]:
            row = self._due[workload].popleft()
            self._free[workload] -= 1
            self._site.table.arrival_s[row] = self._site.env.now
            self._open.append(row)
            self._route(Arrival.of(self._site.table, row))

    def _look(self) -> None:
        env, log = self._site.env, self._site.log
        over = [row for row in self._open if log.outcome[row] != Outcome.UNFINISHED]
        if over:
            self._open = [row for row in self._open if log.outcome[row] == Outcome.UNFINISHED]
            for row in over:
                workload = int(self._site.table.workload[row])
                wait_s = max(0.0, float(log.ended_s[row]) - env.now) + self._think_s(workload)
                env.timeout(wait_s, workload).callbacks.append(self._back)
        if self._tick_s <= env.now:
            self._tick_s = inf
        due_s = min((fleet.due_s for fleet in self._fleets), default=inf) if self._open else inf
        if due_s < self._tick_s:
            self._tick_s = max(due_s, env.now)
            env.timeout(self._tick_s - env.now).callbacks.append(self._tick)

    def _tick(self, _event: simpy.Event) -> None:
        for fleet in self._fleets:
            fleet.look(self._site.env.now)

    def _back(self, event: simpy.Event) -> None:
        workload: int = event.value  # type: ignore[assignment]
        self._free[workload] += 1
        self._send(workload)

    def _think_s(self, workload: int) -> float:
        rule = self._rules[workload]
        if rule is None or not rule.exponential:
            return rule.think_s if rule else 0.0
        return float(self._rng.exponential(rule.think_s))
