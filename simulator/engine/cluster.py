"""Identical replicas behind one address, as a process of the simulation."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from simulator.engine.clock import Alarm
from simulator.engine.record import Loss, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    import simpy

    from simulator.engine.arrival import Arrival
    from simulator.engine.clock import Clock
    from simulator.engine.ledger import Ledger
    from simulator.engine.record import ReplicaLevels
    from simulator.engine.vllm.fleet import Fleet
    from simulator.engine.vllm.forecast import Forecast

_CHUNK = 16_384


class ClusterBackend:
    """A cluster in a SimPy environment.

    Nothing outside can tell when it does its sums, so it serves runs of arrivals at once; what it loses it hands on
    at the moment at which that happened.

    Args:
        env: Simulation environment.
        fleet: Its replicas.
        ledger: The requests.
        horizon_s: End of the simulation.
        on_lost: Takes each request it did not serve, when that happens.
        on_progress: Called now and then with the simulated seconds so far.
    """

    def __init__(
        self,
        env: simpy.Environment,
        fleet: Fleet,
        ledger: Ledger,
        *,
        horizon_s: float,
        on_lost: Callable[[Loss], None],
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        self._env = env
        self._fleet = fleet
        self._ledger = ledger
        self._horizon_s = horizon_s
        self._on_lost = on_lost
        self._on_progress = on_progress

    def serve(self, rows: slice, until_s: float) -> Generator[simpy.Event, object, None]:
        """Serve some arrivals, the next of which comes no sooner than `until_s`.

        A chunk at a time: serve it, pass on the losses one by one, sleep until the next chunk.
        """
        env, arrival_s = self._env, self._ledger.table.arrival_s
        for begin in range(rows.start, max(rows.stop, rows.start + 1), _CHUNK):
            end = min(begin + _CHUNK, rows.stop)
            next_s = min(self._horizon_s, until_s if end == rows.stop else float(arrival_s[end]))
            for loss in self._fleet.run(end, next_s):
                yield env.timeout(max(0.0, loss.at_s - env.now))
                self._on_lost(loss)
            # A process that waited for the horizon would be there for ever, and all it holds.
            if next_s < self._horizon_s:
                yield env.timeout(max(0.0, next_s - env.now))
            if self._on_progress is not None:
                self._on_progress(next_s)

    def close(self) -> tuple[ReplicaLevels, ...]:
        """Stamp what is still under way and return the levels of every replica."""
        return self._fleet.close(self._horizon_s)


class SharedCluster:
    """A cluster among other backends: a `Backend` that takes requests one at a time.

    Args:
        env: Simulation environment.
        fleet: Its replicas.
        forecast: What a router expects of it; None where it does not ask.
        on_lost: Takes each request it did not serve, when that happens.
        keeps: Whether requests wait for a replica while there is none; without, they are refused.

    Attributes:
        alarm: Rings when somebody may have waited too long; there is one only while there is a need.
    """

    def __init__(
        self,
        env: Clock,
        fleet: Fleet,
        forecast: Forecast | None,
        on_lost: Callable[[Loss], None],
        *,
        keeps: bool = False,
    ) -> None:
        self._env = env
        self._fleet = fleet
        self._forecast = forecast
        self._on_lost = on_lost
        self._keeps = keeps
        # What it is set for is not always what is due then: that may have been done by whoever asked before.
        about = fleet.state.fleet
        self._watched_s = about["watched_s"]
        self.alarm = Alarm(env, about["wakes_s"], about["woken"], self._wake)
        # By row, since when it waits for a replica.
        self._kept: dict[int, float] = {}

    def submit(self, arrival: Arrival) -> None:
        """Take a request now."""
        now_s = self._now_s()
        if self._forecast is not None:
            self._forecast.sent(arrival)
        if self._keeps and not self._fleet.serves:
            self._keep(arrival.index, now_s)
        else:
            self._hand_on(self._fleet.offer(arrival.index, now_s, now_s))

    def look(self) -> None:
        """Somebody has sent its replicas a request: what they lost goes on, and who waits is watched."""
        self._hand_on(self._fleet.losses())

    def opened(self) -> None:
        """A replica serves: it gets what has waited for one."""
        kept, self._kept = self._kept, {}
        self._fleet.kept[0] = 0
        for row, since_s in kept.items():
            self._hand_on(self._fleet.offer(row, self._now_s(), since_s))

    def room(self, arrival: Arrival, share: float = 1.0) -> bool:
        """Whether a request could start now if only this share of the cluster were to be used."""
        return self._fleet.room(arrival.index, self._now_s(), share)

    def expected_ttft_s(self, arrival: Arrival) -> float:
        """Time to first token that a router would expect of a request sent now."""
        return inf if self._forecast is None else self._forecast.ttft_s(arrival, self._now_s())

    def queue(self) -> tuple[int, int]:
        """Requests that wait, here or in a replica, and all that replicas have."""
        return self._fleet.queue(self._now_s())

    @property
    def came(self) -> int:
        """Requests that ever came to one of its replicas."""
        return int(self._fleet.state.fleet["came"].item(0))

    @property
    def serves(self) -> bool:
        """Whether it takes requests."""
        return self._keeps or self._fleet.serves

    @property
    def fullness(self) -> float:
        """Requests in flight, relative to what the open replicas can run at once."""
        self._fleet.look(self._now_s())
        return self._fleet.fullness

    def silent(self, row: int) -> bool:
        """Whether a request is here and its client has had no token yet."""
        return row in self._kept or self._fleet.silent(row, self._now_s())

    def cancel(self, row: int) -> bool:
        """Give up on a request; whether it was still here."""
        kept = self._kept.pop(row, None) is not None
        self._fleet.kept[0] = len(self._kept)
        return kept or self._fleet.cancel(row, self._now_s())

    def _keep(self, row: int, now_s: float) -> None:
        self._fleet.keep(row, now_s)
        self._kept[row] = now_s
        self._fleet.kept[0] = len(self._kept)
        if self._fleet.timeout_s < inf:
            timer = self._env.timeout(self._fleet.timeout_s)
            timer.callbacks.append(lambda _: self._give_up(row, now_s))

    def _give_up(self, row: int, since_s: float) -> None:
        if self._kept.get(row) == since_s:
            del self._kept[row]
            self._fleet.kept[0] = len(self._kept)
            self._on_lost(Loss(self._env.now, row, Reason.TIMEOUT, True))

    def _now_s(self) -> float:
        """The time, when everything that was due by now is done."""
        now_s: float = self._env.now
        if self._fleet.watch_s <= now_s:
            self._hand_on(self._fleet.expire(now_s))
        return now_s

    def _hand_on(self, losses: Iterable[Loss]) -> None:
        for loss in losses:
            self._on_lost(loss)
        if self._watched_s.item(0) == inf and self._fleet.watch_s < inf:
            self._watched_s[0] = self._fleet.watch_s
            self._env.soon(self._watch)

    def _watch(self, _: simpy.Event) -> None:
        """Set the alarm."""
        self._watched_s[0] = watch_s = self._fleet.watch_s
        if watch_s < inf:
            self.alarm.at(self._env.now + max(0.0, watch_s - self._env.now))

    def _wake(self, event: simpy.Event) -> None:
        """Somebody may have waited too long."""
        self._hand_on(self._fleet.expire(self._watched_s.item(0)))
        self._watch(event)
