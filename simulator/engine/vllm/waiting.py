"""The queues of a replica: what is on its way to the engine core, and what waits to be admitted.

The waiting queue is first come, first served, or by priority: then one queue per rank, the smallest first. A preempted
sequence goes to the front, or by priority to its old place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import INBOX, NONE, WAITING

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def post(s: State, r: int, slot: int) -> None:
    """Add a sequence to the inbox, by the time at which it is ready; the later of equals goes last."""
    rep, sequences = s.replicas[r], s.sequences
    sequence = sequences[slot]
    after = rep.last_inbox
    while after != NONE and sequences[after].ready_s > sequence.ready_s:
        after = sequences[after].previous
    before = rep.first_inbox if after == NONE else sequences[after].next
    sequence.place = INBOX
    sequence.previous = after
    sequence.next = before
    if after == NONE:
        rep.first_inbox = slot
    else:
        sequences[after].next = slot
    if before == NONE:
        rep.last_inbox = slot
    else:
        sequences[before].previous = slot
    rep.inbox += 1


@compiled
def collect(s: State, r: int, slot: int) -> None:
    """Take a sequence out of the inbox."""
    rep, sequences = s.replicas[r], s.sequences
    before, after = sequences[slot].previous, sequences[slot].next
    if before == NONE:
        rep.first_inbox = after
    else:
        sequences[before].next = after
    if after == NONE:
        rep.last_inbox = before
    else:
        sequences[after].previous = before
    rep.inbox -= 1


@compiled
def push(s: State, r: int, slot: int) -> None:
    """Add a new arrival to the waiting queue."""
    _insert(s, r, slot, s.queues[r, s.sequences[slot].rank].last)


@compiled
def push_back(s: State, r: int, slot: int) -> None:
    """Return a preempted sequence."""
    sequences = s.sequences
    after = NONE
    if s.settings[0].by_priority:
        sequence = sequences[slot]
        before = s.queues[r, sequence.rank].first
        while before != NONE and (
            sequences[before].ready_s < sequence.ready_s
            or (sequences[before].ready_s == sequence.ready_s and sequences[before].index < sequence.index)
        ):
            after = before
            before = sequences[before].next
    _insert(s, r, slot, after)


@compiled
def head(s: State, r: int) -> int:
    """The next sequence to admit, or NONE."""
    for rank in range(s.settings[0].ranks):
        first = s.queues[r, rank].first
        if first != NONE:
            return int(first)
    return NONE


@compiled
def leave(s: State, r: int, slot: int) -> None:
    """Take a sequence out of the waiting queue."""
    sequences = s.sequences
    queue = s.queues[r, sequences[slot].rank]
    before, after = sequences[slot].previous, sequences[slot].next
    if before == NONE:
        queue.first = after
    else:
        sequences[before].next = after
    if after == NONE:
        queue.last = before
    else:
        sequences[after].previous = before
    s.replicas[r].waiting -= 1


@compiled
def _insert(s: State, r: int, slot: int, after: int) -> None:
    sequences = s.sequences
    sequence = sequences[slot]
    queue = s.queues[r, sequence.rank]
    before = queue.first if after == NONE else sequences[after].next
    sequence.place = WAITING
    sequence.previous = after
    sequence.next = before
    if after == NONE:
        queue.first = slot
    else:
        sequences[after].next = slot
    if before == NONE:
        queue.last = slot
    else:
        sequences[before].previous = slot
    s.replicas[r].waiting += 1
