"""vLLM's loop over the running list, for when order decides who gets tokens and blocks, and preemption."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm import kv_groups, waiting
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.decoding import join_decoding, leave_decoding
from simulator.engine.vllm.kv_cache import computed, release, take
from simulator.engine.vllm.running import (
    chunk_tokens,
    computed_tokens,
    hashed_tokens,
    join_prefilling,
    leave_running,
    prompt_computed,
    tick,
)
from simulator.engine.vllm.state import DECODING, DRAINING, NONE

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def advance_in_order(s: State, r: int) -> int:
    """Give the running sequences their tokens one after another; returns what is left of the budget."""
    rep, sequences = s.replicas[r], s.sequences
    budget = s.settings[0].max_num_batched_tokens
    slot = rep.first_running
    while slot != NONE:
        sequences[slot].granted_tokens = 0
        slot = sequences[slot].next
    slot = rep.first_running
    while slot != NONE and budget > 0:
        tokens = _wanted(s, r, slot, budget)
        if tokens == 0:
            slot = sequences[slot].next
            continue
        following, returned, ousted = _allocate(s, r, slot, tokens)
        budget += returned
        if not ousted:
            sequences[slot].granted_tokens = tokens
            budget -= tokens
        elif not s.settings[0].by_priority:
            # It was its own victim and the last; by priority, those behind it have more and may still fit.
            break
        slot = following
    _commit_in_order(s, r)
    return int(budget)


@compiled
def _wanted(s: State, r: int, slot: int, budget: int) -> int:
    place = s.sequences[slot].place
    if place == DECODING:
        return 1
    if place == DRAINING:
        return 0
    return chunk_tokens(s, r, slot, s.sequences[slot].computed_tokens, budget)


@compiled
def _allocate(s: State, r: int, slot: int, tokens: int) -> tuple[int, int, bool]:
    """Take the blocks for these tokens, from victims if need be.

    Returns:
        The next sequence in order, the tokens that victims gave back, and whether it was a victim itself.
    """
    rep, sequence, size = s.replicas[r], s.sequences[slot], s.settings[0].block_size
    done = computed_tokens(s, r, slot)
    if s.settings[0].kinds:
        kv_groups.settle(s, r, slot, kv_groups.settled_now(s, r, slot))
        need = kv_groups.table_blocks(s, done + tokens) - kv_groups.table_blocks(s, done)
    else:
        need = -(-(done + tokens) // size) - -(-done // size)
    returned = 0
    while need > rep.free:
        victim = victim_of(s, r)
        following = sequence.next
        returned += s.sequences[victim].granted_tokens
        _preempt(s, r, victim)
        if victim == slot:
            return int(following), int(returned), True
    if s.settings[0].kinds:
        rep.free -= need
    else:
        take(s, r, need)
    computed(s, r, slot, hashed_tokens(s, slot, done + tokens))
    return int(sequence.next), int(returned), False


@compiled
def victim_of(s: State, r: int) -> int:
    """The last to arrive of the least urgent; among equals vLLM takes the first in the running list, as `max` does."""
    rep, sequences = s.replicas[r], s.sequences
    victim = rep.last_running
    if s.settings[0].by_priority:
        victim = slot = rep.first_running
        while slot != NONE:
            one, other = sequences[slot], sequences[victim]
            if one.rank > other.rank or (one.rank == other.rank and one.ready_s > other.ready_s):
                victim = slot
            slot = one.next
    return int(victim)


@compiled
def _commit_in_order(s: State, r: int) -> None:
    rep, sequences = s.replicas[r], s.sequences
    slot = rep.first_running
    while slot != NONE:
        if sequences[slot].place == DECODING and sequences[slot].granted_tokens == 0:
            leave_decoding(s, r, slot)
            sequences[slot].flying_tokens = 0
        slot = sequences[slot].next
    tick(s, r, rep.decoding)
    rejoining = rep.clock
    chunks = rep.prefilling
    rep.prefilling = 0
    for position in range(chunks):
        slot = s.seats[r, position].prefilling
        if sequences[slot].granted_tokens:
            prompt_computed(s, r, slot, sequences[slot].granted_tokens)
        else:
            sequences[slot].flying_tokens = 0
            join_prefilling(s, r, slot)
    slot = rep.first_running
    while slot != NONE:
        sequence = sequences[slot]
        if sequence.place == DECODING and sequence.granted_tokens == 0:
            sequence.computed_tokens = sequence.total_tokens - (sequence.end_clock - rejoining + 1)
            join_decoding(s, r, slot)
        slot = sequence.next


@compiled
def _preempt(s: State, r: int, victim: int) -> None:
    """Free a victim's blocks and put it back in the queue; its tokens are recomputed when it returns."""
    sequence = s.sequences[victim]
    tokens = computed_tokens(s, r, victim)
    granted = sequence.granted_tokens
    # vLLM hashes blocks when it schedules them, and does not take that back.
    hashed = hashed_tokens(s, victim, tokens + granted)
    release(s, r, victim, tokens + granted, hashed, True)
    if sequence.place in (DECODING, DRAINING):
        sequence.known_tokens = tokens + 1
    put_back(s, r, victim)


@compiled
def put_back(s: State, r: int, victim: int) -> None:
    """A victim waits again, before all others, and nothing of it is computed."""
    rep, sequence = s.replicas[r], s.sequences[victim]
    leave_running(s, r, victim)
    sequence.computed_tokens = 0
    sequence.preemptions += 1
    rep.preemptions += 1
    rep.step_preempted += 1
    waiting.push_back(s, r, victim)
    if rep.running == 0:
        # Alone in its pool it goes the same way each time: the second time shows it, the third is like the second.
        rep.alone += 1
        if rep.alone > 2:
            raise AssertionError("a request that runs alone preempts itself for ever: it never fits its KV blocks")
