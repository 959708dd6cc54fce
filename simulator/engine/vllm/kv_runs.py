"""Runs of hashed KV blocks: the free queue they wait in, oldest first, and the list of each prefix, lowest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import NONE

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def new_run(s: State, low: int, high: int, chain: int) -> int:
    """A run of blocks; there are never more than blocks, because none is empty."""
    fleet = s.fleet[0]
    number = fleet.free_run
    if number == NONE:
        number = fleet.unused_run
        fleet.unused_run += 1
    else:
        fleet.free_run = s.runs[number].next
    run = s.runs[number]
    run.low = low
    run.high = high
    run.chain = chain
    run.owner = NONE
    run.users = 0
    return int(number)


@compiled
def forget(s: State, number: int) -> None:
    """Its blocks are gone, or in use: the record can be used again."""
    run, fleet = s.runs[number], s.fleet[0]
    if run.owner != NONE:
        s.sequences[run.owner].resumable = NONE
    run.next = fleet.free_run
    fleet.free_run = number


@compiled
def enqueue(s: State, r: int, number: int) -> None:
    """Its blocks are free now: the youngest of all."""
    rep, run = s.replicas[r], s.runs[number]
    run.previous = rep.newest_run
    run.next = NONE
    if rep.newest_run == NONE:
        rep.oldest_run = number
    else:
        s.runs[rep.newest_run].next = number
    rep.newest_run = number


@compiled
def dequeue(s: State, r: int, number: int) -> None:
    """Its blocks are no longer free."""
    rep, run = s.replicas[r], s.runs[number]
    if run.previous == NONE:
        rep.oldest_run = run.next
    else:
        s.runs[run.previous].next = run.next
    if run.next == NONE:
        rep.newest_run = run.previous
    else:
        s.runs[run.next].previous = run.previous


@compiled
def link_lowest(s: State, number: int) -> None:
    """Put a run before all others of its prefix."""
    link_after(s, number, NONE)


@compiled
def link_after(s: State, number: int, after: int) -> None:
    """Put a run behind another one of its prefix."""
    run = s.runs[number]
    chain = s.chains[run.chain]
    before = chain.first_run if after == NONE else s.runs[after].next_of_chain
    run.previous_of_chain = after
    run.next_of_chain = before
    if after == NONE:
        chain.first_run = number
    else:
        s.runs[after].next_of_chain = number
    if before != NONE:
        s.runs[before].previous_of_chain = number


@compiled
def unlink(s: State, number: int) -> None:
    """Take a run out of the list of its prefix."""
    run = s.runs[number]
    if run.previous_of_chain == NONE:
        s.chains[run.chain].first_run = run.next_of_chain
    else:
        s.runs[run.previous_of_chain].next_of_chain = run.next_of_chain
    if run.next_of_chain != NONE:
        s.runs[run.next_of_chain].previous_of_chain = run.previous_of_chain


@compiled
def enqueue_before(s: State, r: int, number: int, before: int) -> None:
    """Its blocks take a place in the free queue."""
    run, other = s.runs[number], s.runs[before]
    run.previous = other.previous
    run.next = before
    if other.previous == NONE:
        s.replicas[r].oldest_run = number
    else:
        s.runs[other.previous].next = number
    other.previous = number
