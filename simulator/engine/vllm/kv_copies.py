"""Prefixes that branch, or of which some block has, or had, two copies: every copy is a run of one block.

They are linked lowest first. Copies of the same block follow each other in the order in which they were cached; vLLM
finds the oldest. A prefix that begins with another one has the first blocks of that, and its own from where it branches
off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.kv_runs import dequeue, enqueue, enqueue_before, forget, link_after, new_run, unlink
from simulator.engine.vllm.state import NONE, UNLIMITED

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def owner_of(s: State, number: int, block: int) -> tuple[int, int]:
    """Of a prefix and those it begins with, the one that has this block, and where another takes over."""
    end = UNLIMITED
    while s.chains[number].start > block:
        end = min(end, s.chains[number].start)
        number = s.chains[number].outer
    return int(number), int(end)


@compiled
def cached_along(s: State, number: int, blocks: int) -> int:
    """How many of the first blocks of a prefix exist."""
    found = 0
    while found < blocks:
        owner, end = owner_of(s, number, found)
        end = min(end, blocks)
        found = max(found, min(end, s.chains[owner].cached))
        if found < end:
            break
    return int(found)


@compiled
def keep_by_block(s: State, r: int, number: int) -> None:
    """A second copy of some block is about to be made: give every block an entry of its own."""
    chain, sequences = s.chains[number], s.sequences
    chain.by_block = True
    old = chain.first_run
    chain.first_run = NONE
    last = NONE
    holder = chain.first_holder
    for block in range(0 if holder == NONE else sequences[holder].held_shared):
        copy = new_run(s, block, block + 1, number)
        link_after(s, copy, last)
        last = copy
    while old != NONE:
        following, place = s.runs[old].next_of_chain, old
        for block in range(s.runs[old].low, s.runs[old].high):
            copy = new_run(s, block, block + 1, number)
            link_after(s, copy, last)
            enqueue_before(s, r, copy, place)
            last = place = copy
        dequeue(s, r, old)
        forget(s, old)
        old = following
    while holder != NONE:
        copy = chain.first_run
        for block in range(sequences[holder].held_shared):
            s.copies[r, sequences[holder].seat, block] = copy
            s.runs[copy].users += 1
            copy = s.runs[copy].next_of_chain
        holder = sequences[holder].next_holder


@compiled
def in_use(s: State, number: int, blocks: int) -> int:
    """How many of the first blocks some sequence holds."""
    count, block, blocks = 0, 0, cached_along(s, number, blocks)
    while block < blocks:
        owner, end = owner_of(s, number, block)
        copy = s.chains[owner].first_run
        while block < min(end, blocks):
            if s.runs[copy].low == block:
                count += s.runs[copy].users > 0
                block += 1
            copy = s.runs[copy].next_of_chain
    return count


@compiled
def hold(s: State, r: int, slot: int, shared: int) -> None:
    """Reuse the oldest copy of each of the first blocks."""
    seat, block = s.sequences[slot].seat, 0
    while block < shared:
        owner, end = owner_of(s, s.sequences[slot].chain, block)
        copy = s.chains[owner].first_run
        while block < min(end, shared):
            run = s.runs[copy]
            if run.low == block:
                if run.users == 0:
                    dequeue(s, r, copy)
                    s.replicas[r].free -= 1
                run.users += 1
                s.copies[r, seat, block] = copy
                block += 1
            copy = run.next_of_chain


@compiled
def add(s: State, r: int, slot: int, held: int, shared: int) -> None:
    """A sequence computes its own copies of these blocks."""
    while held < shared:
        owner, end = owner_of(s, s.sequences[slot].chain, held)
        end = min(end, shared)
        _add_to(s, r, slot, owner, held, end)
        held = end


@compiled
def _add_to(s: State, r: int, slot: int, number: int, held: int, end: int) -> None:
    chain = s.chains[number]
    after, following = NONE, chain.first_run
    for block in range(held, end):
        while following != NONE and s.runs[following].low <= block:
            after, following = following, s.runs[following].next_of_chain
        copy = new_run(s, block, block + 1, number)
        s.runs[copy].users = 1
        link_after(s, copy, after)
        s.copies[r, s.sequences[slot].seat, block] = copy
        after = copy
    copy = chain.first_run
    while copy != NONE and s.runs[copy].low <= chain.cached:
        if s.runs[copy].low == chain.cached:
            chain.cached += 1
        copy = s.runs[copy].next_of_chain


@compiled
def let_go(s: State, r: int, slot: int, shared: int) -> None:
    """A sequence frees its copies, tail first."""
    seat = s.sequences[slot].seat
    for block in range(shared - 1, -1, -1):
        copy = s.copies[r, seat, block]
        s.runs[copy].users -= 1
        if s.runs[copy].users == 0:
            enqueue(s, r, copy)
            s.replicas[r].free += 1


@compiled
def evicted(s: State, number: int) -> None:
    """A copy is overwritten; without another one its block can no longer be found."""
    run = s.runs[number]
    before, after = run.previous_of_chain, run.next_of_chain
    twin = (before != NONE and s.runs[before].low == run.low) or (after != NONE and s.runs[after].low == run.low)
    unlink(s, number)
    if not twin:
        chain = s.chains[run.chain]
        chain.cached = min(chain.cached, run.low)
