"""The simulation's time, which compiled code may bring forward where nothing else is due."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any

import simpy
from simpy.events import NORMAL, URGENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    #: What is due, as SimPy queues it: when, how urgent, its number, and the event.
    Entry = tuple[float, Any, int, simpy.Event]


class Alarm:
    """Something that is due again and again, and often comes to nothing: then compiled code may see to it.

    Args:
        env: Simulation environment.
        due_s: One number: when it is due, while it is lent to compiled code; else infinite.
        order: One number: its place among those that are lent, and after them each time that it was moved.
        ring: Called when it is due, besides whoever waits for the event.
    """

    __slots__ = ("_env", "_ring", "due_s", "event", "order")

    def __init__(
        self,
        env: simpy.Environment,
        due_s: NDArray[np.float64],
        order: NDArray[np.int64],
        ring: Callable[[simpy.Event], None] | None = None,
    ) -> None:
        self._env, self._ring = env, ring
        self.due_s, self.order = due_s, order
        self.event: _Due | None = None

    def at(self, at_s: float) -> simpy.Event:
        """The event of its being due at a moment."""
        return self._push(at_s, _Due(self._env, self, self._ring))

    def lend(self, event: _Due, at_s: float, order: int) -> None:
        """Compiled code may see to it."""
        self.event, self.due_s[0], self.order[0] = event, at_s, order

    def take_back(self) -> None:
        """It is due when compiled code has left it to be; where that is never, nobody waits any more."""
        at_s, event = self.due_s.item(0), self.event
        self.due_s[0], self.event = inf, None
        if at_s < inf:
            self._push(at_s, event or _Due(self._env, self, self._ring))
        elif event is not None:
            event.callbacks.clear()

    def stop(self) -> None:
        """Nobody is called any more."""
        self._ring = None

    def _push(self, at_s: float, event: _Due) -> simpy.Event:
        heappush(self._env._queue, (at_s, NORMAL, next(self._env._eid), event))
        return event


class _Due(simpy.Event):
    """An alarm is due."""

    __slots__ = ("alarm",)

    def __init__(self, env: simpy.Environment, alarm: Alarm, ring: Callable[[simpy.Event], None] | None) -> None:
        super().__init__(env)
        self._ok, self._value, self.alarm = True, None, alarm
        if ring is not None:
            self.callbacks.append(ring)


class Clock(simpy.Environment):
    """A SimPy environment in which a process may take several steps of its own at once.

    Between two events nothing can happen but what a process does itself; so it may as well do it in one go, and say
    afterwards what time it is.
    """

    def bring_to(self, now_s: float) -> None:
        """It is this late; no event was due before."""
        assert self._now <= now_s <= self.peek()
        self._now = now_s

    def at(self, at_s: float) -> simpy.Event:
        """An event at a moment to come, to the last bit; a timeout from now would round it."""
        event = simpy.Event(self)
        event._ok, event._value = True, None
        heappush(self._queue, (at_s, NORMAL, next(self._eid), event))
        return event

    def soon(self, act: Callable[[simpy.Event], None]) -> None:
        """Act as a process that is started now would: after what is being done."""
        event = simpy.Event(self)
        event._ok, event._value = True, None
        event.callbacks.append(act)
        self.schedule(event, URGENT)

    def lend(self) -> list[Entry]:
        """The alarms that are due before anything else is, for compiled code to see to."""
        queue = self._queue
        lent: list[Entry] = []
        while queue and isinstance(event := queue[0][3], _Due):
            event.alarm.lend(event, queue[0][0], len(lent))
            lent.append(heappop(queue))
        return lent

    def take_back(self, lent: Sequence[Entry], alarms: Iterable[Alarm]) -> None:
        """What was lent is due as before; what was moved then, as if it had been done one by one.

        Args:
            lent: From `lend`.
            alarms: All there are: some may have been set that were not.
        """
        for entry in lent:
            alarm = entry[3].alarm  # type: ignore[attr-defined]
            if alarm.order.item(0) < len(lent):
                heappush(self._queue, entry)
                alarm.due_s[0], alarm.event = inf, None
        moved = [alarm for alarm in alarms if alarm.event is not None or alarm.due_s.item(0) < inf]
        for alarm in sorted(moved, key=lambda alarm: alarm.order.item(0)):
            alarm.take_back()

    def stop(self) -> None:
        """Nothing of what is still due will happen: who waits for it is let go, and all they hold."""
        for *_, event in self._queue:
            # A process knows what it waits for, which knows the process.
            if event.callbacks is not None:
                event.callbacks.clear()
        self._queue.clear()
