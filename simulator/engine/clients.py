"""Requests that are sent when others are answered: clients with one at a time, conversations, chains of workloads.

What follows an answer is sent a while after its last token, and never where there is none. A request of a client is due
when it arrives in the table, and is sent when one of its workload's clients is free. Either moment then is its arrival.
As `vllm bench serve --max-concurrency` does, what it waits for a client is not part of its times; what no client comes
to by the horizon was never asked.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.arrival import Arrival
from simulator.engine.record import Outcome
from simulator.streams import stream
from simulator.trace.links import Links

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
    """All who wait for answers in a simulation before they send something: clients, and what follows.

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
        #: Rows that are under way and that somebody waits for, and how many of them count.
        self._open, self._opened = np.zeros(64, np.intp), 0
        self._rng = stream(site.seed, site.replication, "clients")
        self._tick_s = inf
        links = site.table.links or Links(np.full(len(site.table), -1), np.zeros(len(site.table)))
        self._delay_s = links.delay_s
        self._follows = links.after >= 0
        #: Those of them that were not sent.
        self._waiting = self._follows.copy()
        self._followers, self._first_follower = links.by_answer()

    def take(self, arrival: Arrival) -> None:
        """A request is due; or could be, if it follows one that were answered by now: that is seen when it is."""
        if not self._follows[arrival.index]:
            self._take(arrival)

    def _take(self, arrival: Arrival) -> None:
        row = arrival.index
        if self._rules[arrival.workload] is not None:
            self._due[arrival.workload].append(row)
            self._send(arrival.workload)
        elif self._first_follower[row] < self._first_follower[row + 1]:
            self._begin(row)
            self._route(arrival)
        else:
            self._route(arrival)

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
        rows = np.setdiff1d(np.flatnonzero((table.arrival_s < self._site.horizon_s) & ~self._waiting), never)
        return rows[np.argsort(table.arrival_s[rows], kind="stable")]

    def _send(self, workload: int) -> None:
        while self._free[workload] and self._due[workload]:
            row = self._due[workload].popleft()
            self._free[workload] -= 1
            self._site.table.arrival_s[row] = self._site.env.now
            self._begin(row)
            self._route(Arrival.of(self._site.table, row))

    def _begin(self, row: int) -> None:
        if self._opened == len(self._open):
            self._open = np.concatenate([self._open, np.zeros_like(self._open)])
        self._open[self._opened] = row
        self._opened += 1

    def _look(self) -> None:
        env, log = self._site.env, self._site.log
        # As an array: in an overload there are tens of thousands, after every event.
        rows = self._open[: self._opened]
        over = log.outcome[rows] != Outcome.UNFINISHED
        if over.any():
            ended, left = rows[over].tolist(), rows[~over]
            self._opened = len(left)
            self._open[: self._opened] = left
            for row in ended:
                self._answered(row)
        if self._tick_s <= env.now:
            self._tick_s = inf
        due_s = min((fleet.due_s for fleet in self._fleets), default=inf) if self._opened else inf
        if due_s < self._tick_s:
            self._tick_s = max(due_s, env.now)
            env.timeout(self._tick_s - env.now).callbacks.append(self._tick)

    def _answered(self, row: int) -> None:
        """A request is over, or will be at a moment that is known: who waited for it goes on."""
        env, log, workload = self._site.env, self._site.log, int(self._site.table.workload[row])
        ended_s = max(env.now, float(log.ended_s[row]))
        if self._rules[workload] is not None:
            env.timeout(ended_s - env.now + self._think_s(workload), workload).callbacks.append(self._back)
        if log.outcome[row] == Outcome.COMPLETED:
            for other in self._followers[self._first_follower[row] : self._first_follower[row + 1]].tolist():
                env.at(ended_s + self._delay_s.item(other)).callbacks.append(partial(self._follow, other))

    def _follow(self, row: int, _event: simpy.Event) -> None:
        site = self._site
        self._waiting[row] = False
        site.table.arrival_s[row] = site.env.now
        self._take(Arrival.of(site.table, row))

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
