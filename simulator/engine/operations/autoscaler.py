"""Replicas that come and go: by a timetable, or with the queue.

What is asked for takes its time: a machine is paid for from the moment it is asked for, and serves later. One that is
given back first finishes what it has; what is asked for meanwhile, and no other machine can be, starts on it when it is
free.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from simulator.scenario.autoscaling import QueueScaling, ScheduledScaling

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import simpy

    from simulator.engine.cluster import SharedCluster
    from simulator.engine.operations.uptime import Uptime
    from simulator.engine.record import Loss
    from simulator.engine.vllm.fleet import Fleet
    from simulator.scenario.autoscaling import Autoscaling

#: How often it looks whether a replica that is no longer wanted has finished.
_POLL_S = 5.0


class _State(Enum):
    WANTED = auto()
    OFF = auto()
    #: No longer wanted, not yet given back.
    LEAVING = auto()


class Autoscaler:
    """The number of replicas of one cluster.

    Args:
        env: Simulation environment.
        config: What the scenario says.
        cluster: The cluster; it keeps requests while no replica serves.
        fleet: Its replicas.
        uptime: Which of them serve.
        rng: Stream of its start-up times.
        on_lost: Takes what a replica had not finished when it was given back.
    """

    def __init__(
        self,
        env: simpy.Environment,
        config: Autoscaling,
        cluster: SharedCluster,
        fleet: Fleet,
        uptime: Uptime,
        rng: np.random.Generator,
        on_lost: Callable[[Loss], None],
    ) -> None:
        self._env = env
        self._config = config
        self._cluster = cluster
        self._fleet = fleet
        self._uptime = uptime
        self._rng = rng
        self._on_lost = on_lost
        self._wanted = first = config.first(fleet.size)
        self._states = [_State.WANTED if replica < first else _State.OFF for replica in range(fleet.size)]
        for replica in range(first, fleet.size):
            uptime.hold(replica, 0.0)
            uptime.stop_paying(replica, 0.0)

    def by_schedule(self, config: ScheduledScaling, moments_s: Callable[[str], Sequence[float]]) -> None:
        """Follow a timetable."""
        # Sorted by time alone, so that of two for one moment the later listed one comes last.
        changes = [(at_s, change.replicas) for change in config.changes for at_s in moments_s(change.at)]
        for at_s, replicas in sorted(changes, key=lambda change: change[0]):
            timer = self._env.timeout(at_s)
            timer.callbacks.append(partial(self._change, replicas))

    def by_queue(self, config: QueueScaling) -> Generator[simpy.Event, object, None]:
        """The process that looks at the queue."""
        seats = self._fleet.seats
        calm_since_s: float | None = None
        while True:
            yield self._env.timeout(config.every)
            wanted = self._wanted
            waiting, in_flight = self._cluster.queue()
            if self._must_grow(config, wanted, waiting, in_flight):
                calm_since_s = None
                self._want(wanted + 1)
                continue
            rest = wanted - 1
            calm = rest >= config.at_least and in_flight + waiting <= config.fill_at_least * seats * rest
            if not calm or calm_since_s is None:
                calm_since_s = self._env.now if calm else None
            elif self._env.now - calm_since_s >= config.idle_for:
                calm_since_s = None
                self._want(rest)

    def _change(self, replicas: int, _: simpy.Event) -> None:
        self._want(replicas)

    def _must_grow(self, config: QueueScaling, wanted: int, waiting: int, in_flight: int) -> bool:
        """What is on its way counts as if it were there, or each look would ask for one more."""
        if not wanted:
            return waiting > 0
        full = in_flight > config.fill_at_most * self._fleet.seats * wanted
        return full or waiting > config.waiting_per_replica * wanted

    def _want(self, replicas: int) -> None:
        self._wanted = min(replicas, self._fleet.size)
        wanted = [number for number, state in enumerate(self._states) if state is _State.WANTED]
        for replica in wanted[self._wanted :]:
            self._states[replica] = _State.LEAVING
            self._env.process(self._stop(replica))
        self._fill()

    def _fill(self) -> None:
        """Start as many of those that are off as are missing; those that leave follow when they are off."""
        off = [number for number, state in enumerate(self._states) if state is _State.OFF]
        for replica in off[: max(0, self._wanted - self._states.count(_State.WANTED))]:
            self._states[replica] = _State.WANTED
            self._env.process(self._start(replica))

    def _start(self, replica: int) -> Generator[simpy.Event, object, None]:
        self._uptime.pay(replica, self._env.now)
        delay = self._config.node_start
        yield self._env.timeout(float(delay.median * np.exp(delay.sigma * self._rng.standard_normal())))
        if self._uptime.release(replica, self._env.now):
            self._cluster.opened()

    def _stop(self, replica: int) -> Generator[simpy.Event, object, None]:
        until_s = self._env.now + self._config.drain
        self._uptime.hold(replica, self._env.now)
        while self._fleet.load(replica, self._env.now) and self._env.now < until_s:
            yield self._env.timeout(min(_POLL_S, until_s - self._env.now))
        for loss in self._uptime.lose(replica, self._env.now):
            self._on_lost(loss)
        self._uptime.stop_paying(replica, self._env.now)
        self._states[replica] = _State.OFF
        self._fill()
