"""The decoding sequences of a replica, which differ only in when they end.

They are not visited at each step: a *decode clock* counts the steps they have all taken, a heap says which ends
next, and `block_size` counters say how many cross a block boundary at each tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm import adapters, kv_groups
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import DECODING, DRAINING, NONE

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def join_decoding(s: State, r: int, slot: int) -> None:
    """A sequence whose known tokens are computed decodes from the next step on."""
    rep, sequence = s.replicas[r], s.sequences[slot]
    sequence.place = DECODING
    sequence.end_clock = rep.clock + sequence.total_tokens - sequence.computed_tokens
    rep.decode_kv_tokens += sequence.computed_tokens
    if s.settings[0].kinds:
        kv_groups.join_clock(s, r, slot)
    else:
        s.boundaries[r, _residue(s, slot)] += 1
    if s.settings[0].max_loras:
        adapters.count_decoding(s, r, slot, 1)
    rep.decoding += 1
    _rise(s, r, rep.decoding - 1, slot)


@compiled
def leave_decoding(s: State, r: int, slot: int) -> None:
    """It ends, stalls or is driven out."""
    rep, sequence = s.replicas[r], s.sequences[slot]
    rep.decode_kv_tokens -= sequence.total_tokens - (sequence.end_clock - rep.clock)
    if s.settings[0].kinds:
        kv_groups.leave_clock(s, r, slot)
    else:
        s.boundaries[r, _residue(s, slot)] -= 1
    if s.settings[0].max_loras:
        adapters.count_decoding(s, r, slot, -1)
    rep.decoding -= 1
    place, last = sequence.heap_place, s.seats[r, rep.decoding].ends
    if last != slot:
        _sink(s, r, place, last)
        _rise(s, r, s.sequences[last].heap_place, last)


@compiled
def next_end(s: State, r: int) -> int:
    """Decode clock at which the next sequence ends; there is one."""
    return int(s.sequences[s.seats[r, 0].ends].end_clock)


@compiled
def pop_ended(s: State, r: int) -> int:
    """Take out the sequence that ends next: its last token is in flight."""
    slot = int(s.seats[r, 0].ends)
    leave_decoding(s, r, slot)
    s.sequences[slot].place = DRAINING
    return slot


@compiled
def goes_on(s: State, r: int) -> int:
    """The sequence that ends next, where only its thinking ends: from now on its answer does; NONE where it ends."""
    slot = int(s.seats[r, 0].ends)
    sequence = s.sequences[slot]
    rest = sequence.rest_tokens
    if rest == 0:
        return NONE
    sequence.rest_tokens = 0
    sequence.total_tokens += rest
    sequence.end_clock += rest
    _sink(s, r, 0, slot)
    return slot


@compiled
def decode_blocks(s: State, r: int, steps: int) -> int:
    """Blocks that all decoding sequences need for so many steps."""
    size = s.settings[0].block_size
    rounds, rest = steps // size, steps % size
    need = rounds * s.replicas[r].decoding
    first = s.replicas[r].clock % size
    for tick in range(first, first + rest):
        need += s.boundaries[r, tick if tick < size else tick - size]
    return int(need)


@compiled
def steps_within(s: State, r: int, blocks: int) -> int:
    """Most quiet steps that need no more than `blocks`."""
    size, decoding = s.settings[0].block_size, s.replicas[r].decoding
    steps = blocks // decoding * size
    blocks %= decoding
    tick = s.replicas[r].clock % size
    while s.boundaries[r, tick] <= blocks:
        blocks -= s.boundaries[r, tick]
        steps += 1
        tick = tick + 1 if tick + 1 < size else 0
    return int(steps)


@compiled
def _residue(s: State, slot: int) -> int:
    """Decode clock, modulo the block size, at which it needs a new block."""
    sequence = s.sequences[slot]
    return int((sequence.end_clock - sequence.total_tokens) % s.settings[0].block_size)


@compiled
def _ends_before(s: State, one: int, other: int) -> bool:
    a, b = s.sequences[one], s.sequences[other]
    return bool(a.end_clock < b.end_clock or (a.end_clock == b.end_clock and a.order < b.order))


@compiled
def _rise(s: State, r: int, place: int, slot: int) -> None:
    while place > 0:
        parent = (place - 1) >> 1
        other = s.seats[r, parent].ends
        if not _ends_before(s, slot, other):
            break
        s.seats[r, place].ends = other
        s.sequences[other].heap_place = place
        place = parent
    s.seats[r, place].ends = slot
    s.sequences[slot].heap_place = place


@compiled
def _sink(s: State, r: int, place: int, slot: int) -> None:
    size = s.replicas[r].decoding
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _ends_before(s, s.seats[r, child + 1].ends, s.seats[r, child].ends):
            child += 1
        other = s.seats[r, child].ends
        if not _ends_before(s, other, slot):
            break
        s.seats[r, place].ends = other
        s.sequences[other].heap_place = place
        place = child
    s.seats[r, place].ends = slot
    s.sequences[slot].heap_place = place
