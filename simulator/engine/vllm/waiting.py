"""The queues of a replica: what is on its way to the engine core, and what waits to be admitted.

The waiting queue is first come, first served, or by priority: then one queue per rank, the smallest first. A preempted
sequence goes to the front, or by priority to its old place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm.adapters import may_start
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import INBOX, NONE, WAITING

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State

#: Queues of a replica by number: its inbox, then one for each rank of priority.
_INBOX, _WAITING = 0, 1


@compiled
def post(s: State, r: int, slot: int) -> None:
    """Add a sequence to the inbox, by the time at which it is ready; the later of equals goes last."""
    sequences = s.sequences
    after = s.queues[r, _INBOX].last
    while after != NONE and sequences[after].ready_s > sequences[slot].ready_s:
        after = sequences[after].previous
    _link(s, r, _INBOX, slot, after)
    sequences[slot].place = INBOX
    s.replicas[r].inbox += 1


@compiled
def next_in_inbox(s: State, r: int) -> int:
    """The sequence that reaches the engine core next, or NONE."""
    return int(s.queues[r, _INBOX].first)


@compiled
def collect(s: State, r: int, slot: int) -> None:
    """Take a sequence out of the inbox."""
    _unlink(s, r, _INBOX, slot)
    s.replicas[r].inbox -= 1


@compiled
def push(s: State, r: int, slot: int) -> None:
    """Add a new arrival to the waiting queue."""
    _insert(s, r, slot, s.queues[r, _WAITING + s.sequences[slot].rank].last)


@compiled
def push_back(s: State, r: int, slot: int) -> None:
    """Return a preempted sequence."""
    sequences = s.sequences
    after = NONE
    if s.settings[0].by_priority:
        sequence = sequences[slot]
        before = s.queues[r, _WAITING + sequence.rank].first
        while before != NONE and (
            sequences[before].ready_s < sequence.ready_s
            or (sequences[before].ready_s == sequence.ready_s and sequences[before].index < sequence.index)
        ):
            after = before
            before = sequences[before].next
    _insert(s, r, slot, after)


@compiled
def head(s: State, r: int) -> int:
    """The next sequence to admit, or NONE: one whose adapter has no slot is passed over."""
    for rank in range(s.settings[0].ranks):
        first = s.queues[r, _WAITING + rank].first
        if s.settings[0].max_loras:
            while first != NONE and not may_start(s, r, first):
                first = s.sequences[first].next
        if first != NONE:
            return int(first)
    return NONE


@compiled
def leave(s: State, r: int, slot: int) -> None:
    """Take a sequence out of the waiting queue."""
    _unlink(s, r, _WAITING + s.sequences[slot].rank, slot)
    s.replicas[r].waiting -= 1


@compiled
def _insert(s: State, r: int, slot: int, after: int) -> None:
    _link(s, r, _WAITING + s.sequences[slot].rank, slot, after)
    s.sequences[slot].place = WAITING
    s.replicas[r].waiting += 1


@compiled
def _link(s: State, r: int, q: int, slot: int, after: int) -> None:
    queue, sequences = s.queues[r, q], s.sequences
    before = queue.first if after == NONE else sequences[after].next
    sequences[slot].previous = after
    sequences[slot].next = before
    if after == NONE:
        queue.first = slot
    else:
        sequences[after].next = slot
    if before == NONE:
        queue.last = slot
    else:
        sequences[before].previous = slot


@compiled
def _unlink(s: State, r: int, q: int, slot: int) -> None:
    queue, sequences = s.queues[r, q], s.sequences
    before, after = sequences[slot].previous, sequences[slot].next
    if before == NONE:
        queue.first = after
    else:
        sequences[before].next = after
    if after == NONE:
        queue.last = before
    else:
        sequences[after].previous = before
