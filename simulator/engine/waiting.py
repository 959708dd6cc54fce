"""The waiting queue of a replica, first come first served or by priority."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from simulator.engine.sequence import Sequence


class WaitingQueue(Protocol):
    """What the scheduler asks of a queue; sequences that are `gone` are skipped, not searched for."""

    size: int

    def push(self, sequence: Sequence) -> None:
        """Add a new arrival."""

    def push_back(self, sequence: Sequence) -> None:
        """Return a preempted sequence."""

    def head(self) -> Sequence | None:
        """The next sequence to admit."""

    def pop(self) -> Sequence:
        """Take the head, which exists."""

    def forget(self, sequence: Sequence) -> None:
        """Drop a waiting sequence."""


class FcfsQueue:
    """First come, first served; preempted sequences go to the front."""

    __slots__ = ("_queue", "size")

    def __init__(self) -> None:
        self._queue: deque[Sequence] = deque()
        self.size = 0

    def push(self, sequence: Sequence) -> None:  # noqa: D102
        self._queue.append(sequence)
        self.size += 1

    def push_back(self, sequence: Sequence) -> None:  # noqa: D102
        self._queue.appendleft(sequence)
        self.size += 1

    def head(self) -> Sequence | None:  # noqa: D102
        queue = self._queue
        while queue and queue[0].gone:
            queue.popleft()
        return queue[0] if queue else None

    def pop(self) -> Sequence:  # noqa: D102
        self.size -= 1
        return self._queue.popleft()

    def forget(self, sequence: Sequence) -> None:  # noqa: D102
        sequence.gone = True
        self.size -= 1


class PriorityQueue:
    """Smallest priority number first, then arrival; preempted sequences take their old place."""

    __slots__ = ("_heap", "size")

    def __init__(self) -> None:
        self._heap: list[Sequence] = []
        self.size = 0

    def push(self, sequence: Sequence) -> None:  # noqa: D102
        heappush(self._heap, sequence)
        self.size += 1

    push_back = push

    def head(self) -> Sequence | None:  # noqa: D102
        heap = self._heap
        while heap and heap[0].gone:
            heappop(heap)
        return heap[0] if heap else None

    def pop(self) -> Sequence:  # noqa: D102
        self.size -= 1
        return heappop(self._heap)

    def forget(self, sequence: Sequence) -> None:  # noqa: D102
        sequence.gone = True
        self.size -= 1


def waiting_queue(policy: Literal["fcfs", "priority"]) -> WaitingQueue:
    """A queue for vLLM's scheduling policy of that name."""
    return FcfsQueue() if policy == "fcfs" else PriorityQueue()
