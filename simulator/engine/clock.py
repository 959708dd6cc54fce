"""The simulation's time, which compiled code may bring forward where nothing else is due."""

from __future__ import annotations

from heapq import heappush

import simpy
from simpy.events import NORMAL


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

    def stop(self) -> None:
        """Nothing of what is still due will happen: who waits for it is let go, and all they hold."""
        for *_, event in self._queue:
            # A process knows what it waits for, which knows the process.
            if event.callbacks is not None:
                event.callbacks.clear()
        self._queue.clear()
