"""Replicas that come and go: by a timetable, or with the queue.

What is asked for takes its time: a machine is paid for from the moment it is asked for, and serves later. One that is
given back first finishes what it has; what is asked for meanwhile, and no other machine can be, starts on it when it is
free.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import partial
from math import inf, isnan, nan
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from simulator.engine.clock import Alarm
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import Records, record_of
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


#: How an autoscaler looks at a queue (`QueueScaling`), how many replicas it wants, since when there is little to do,
#: NaN while there is not, and how many requests had come when it looked last; when it looks next (`Alarm`).
SCALER = record_of(
    i8="wanted seats at_least at_most order came",
    f8="every_s waiting_per_replica fill_at_most fill_at_least idle_for_s calm_since_s due_s",
)


class ScalerState(Records):
    """An autoscaler as compiled code sees it.

    Attributes:
        scaler: One `SCALER`.
    """

    arrays: ClassVar[dict[str, tuple[Any, int]]] = {"scaler": (SCALER, 1)}

    @classmethod
    def of(cls, config: QueueScaling | None = None, replicas: int = 0, seats: int = 0) -> ScalerState:
        """One that looks at a queue, for so many replicas of so many seats at most, or one that does not."""
        about = np.zeros(1, SCALER)
        about["at_most"], about["seats"], about["calm_since_s"], about["due_s"] = replicas, seats, nan, inf
        if config is not None:
            about["every_s"], about["idle_for_s"], about["at_least"] = config.every, config.idle_for, config.at_least
            for name in ("waiting_per_replica", "fill_at_most", "fill_at_least"):
                about[name] = getattr(config, name)
        return cls(scaler=about)


@compiled
def more_wanted(s: ScalerState, now_s: float, waiting: int, in_flight: int, came: int) -> int:
    """Look at the queue: whether one more replica is wanted, or one less, -1.

    What is on its way counts as if it were there, or each look would ask for one more. The last replica is given back
    only when nothing has come: what came and was answered between two looks was there all the same.
    """
    one = s.scaler[0]
    quiet = came == one.came
    one.came = came
    wanted, rest = one.wanted, one.wanted - 1
    if wanted:
        full = in_flight > one.fill_at_most * one.seats * wanted
        grows = full or waiting > one.waiting_per_replica * wanted
    else:
        grows = waiting > 0
    if grows:
        one.calm_since_s = nan
        return int(wanted < one.at_most)
    calm = rest >= one.at_least and in_flight + waiting <= one.fill_at_least * one.seats * rest
    calm = calm and (rest > 0 or quiet)
    if not calm or isnan(one.calm_since_s):
        one.calm_since_s = now_s if calm else nan
    elif now_s - one.calm_since_s >= one.idle_for_s:
        one.calm_since_s = nan
        return -1
    return 0


#: Python looks seldom, and need not compile it.
_MORE_WANTED: Final = getattr(more_wanted, "py_func", more_wanted)


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

    Attributes:
        state: What compiled code works on.
        alarm: Of its next look at the queue.
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
        self.state = ScalerState.of(config if isinstance(config, QueueScaling) else None, fleet.size, fleet.seats)
        self._about = about = self.state.scaler
        self.alarm = Alarm(env, about["due_s"], about["order"])
        about["wanted"] = first = config.first(fleet.size)
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
        while True:
            yield self.alarm.at(self._env.now + config.every)
            if more := _MORE_WANTED(self.state, self._env.now, *self._cluster.queue(), self._cluster.came):
                self._want(int(self._about[0].wanted) + more)

    def _change(self, replicas: int, _: simpy.Event) -> None:
        self._want(replicas)

    def _want(self, replicas: int) -> None:
        self._about["wanted"] = count = min(replicas, self._fleet.size)
        wanted = [number for number, state in enumerate(self._states) if state is _State.WANTED]
        for replica in wanted[count:]:
            self._states[replica] = _State.LEAVING
            self._env.process(self._stop(replica))
        self._fill()

    def _fill(self) -> None:
        """Start as many of those that are off as are missing; those that leave follow when they are off."""
        off = [number for number, state in enumerate(self._states) if state is _State.OFF]
        for replica in off[: max(0, int(self._about[0].wanted) - self._states.count(_State.WANTED))]:
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
