"""KV blocks of a replica: counts, prefix reuse and least-recently-used eviction, in runs of blocks.

Follows vLLM 0.33 (`v1/core/block_pool.py`, `v1/core/kv_cache_manager.py`). A freed block that holds a hashed
(full, reusable) part of a sequence goes to the tail of the free queue, any other to its front, so the queue is
always *unhashed blocks, then hashed ones by age*: a number and a queue. A sequence frees its blocks tail first,
so what is left of a prefix is always its beginning: one length per prefix. Hence every operation costs the same
however long the sequences are.

Two things break the pattern. Two sequences that compute the same prefix block at once, or a prompt that is all prefix
and recomputes its last block, leave two copies. And prefixes that begin with another one form a tree, of which each
holds only what comes after it branches off. Such prefixes are kept block by block (`kv_copies`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm import kv_copies, kv_groups
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.kv_runs import dequeue, enqueue, forget, link_lowest, new_run, unlink
from simulator.engine.vllm.running import computed_tokens, hashed_tokens
from simulator.engine.vllm.state import NONE

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def hit_blocks(s: State, slot: int) -> int:
    """Leading blocks of a waiting sequence whose KV exists already.

    The last known token is always recomputed, for its logits, so a fully cached sequence loses one block.
    """
    if not s.settings[0].prefix_caching:
        return 0
    sequence = s.sequences[slot]
    hit = 0
    if sequence.chain != NONE:
        answers_so_far(s, sequence.replica, sequence.chain, NONE)
        hit = cached_blocks(s, slot)
    if sequence.resumable != NONE:
        run = s.runs[sequence.resumable]
        if hit == run.low:
            hit = max(hit, run.high)
    return int(min(hit, (sequence.known_tokens - 1) // s.settings[0].block_size))


@compiled
def cached_blocks(s: State, slot: int) -> int:
    """Leading blocks of its prefix, and of those that it begins with, whose KV exists."""
    sequence = s.sequences[slot]
    chain = s.chains[sequence.chain]
    if chain.outer != NONE:
        return kv_copies.cached_along(s, sequence.chain, sequence.shared_blocks)
    return int(min(chain.cached, sequence.shared_blocks))


@compiled
def blocks_short(s: State, slot: int, hit: int, tokens: int) -> int:
    """Free blocks that a waiting sequence needs to hold `tokens`, counting free ones it would reuse."""
    sequence = s.sequences[slot]
    in_use = 0
    if sequence.chain != NONE:
        blocks = min(hit, sequence.shared_blocks)
        if s.chains[sequence.chain].by_block:
            in_use = kv_copies.in_use(s, sequence.chain, blocks)
        else:
            in_use = min(_held(s, sequence.chain), blocks)
    return int(-(-tokens // s.settings[0].block_size) - in_use)


@compiled
def admit_blocks(s: State, r: int, slot: int, hit: int, tokens: int, room: int) -> None:
    """Give a waiting sequence, of which `tokens` are computed then, its reused blocks and new ones up to `room`."""
    sequence = s.sequences[slot]
    if s.settings[0].kinds:
        s.replicas[r].free -= kv_groups.table_blocks(s, tokens)
        sequence.settled_tokens = 0
        return
    shared = 0
    if sequence.chain != NONE:
        shared = min(hit, cached_blocks(s, slot))
        _hold(s, r, slot, shared)
    sequence.held_shared = shared
    number = sequence.resumable
    if number != NONE:
        sequence.resumable = NONE
        run = s.runs[number]
        run.owner = NONE
        if run.low == shared and shared < hit:
            s.replicas[r].free -= hit - run.low
            run.low = hit
            if run.low == run.high:
                dequeue(s, r, number)
                forget(s, number)
    take(s, r, -(-room // s.settings[0].block_size) - hit)
    if _goes_on(s, slot):
        s.chains[sequence.chain].growing += 1
    computed(s, r, slot, tokens)


@compiled
def computed(s: State, r: int, slot: int, tokens: int) -> None:
    """Make the blocks of a prefix findable up to `tokens`, which are known, as soon as they are scheduled."""
    chain = s.sequences[slot].chain
    if chain == NONE:
        return
    answers_so_far(s, r, chain, slot)
    findable(s, r, slot, tokens)


@compiled
def findable(s: State, r: int, slot: int, tokens: int) -> None:
    """Likewise, where nobody else computes the same."""
    sequence = s.sequences[slot]
    held, shared = sequence.held_shared, min(tokens // s.settings[0].block_size, sequence.shared_blocks)
    if shared <= held:
        return
    chain = s.chains[sequence.chain]
    if not chain.by_block and chain.cached > held:
        kv_copies.keep_by_block(s, r, sequence.chain)
    if held:
        _leave_holders(s, slot)
    sequence.held_shared = shared
    _join_holders(s, slot)
    if chain.by_block:
        kv_copies.add(s, r, slot, held, shared)
    else:
        chain.cached = shared


@compiled
def _goes_on(s: State, slot: int) -> bool:
    """Whether its answer belongs to its prefix too: the next turn of a conversation begins with it."""
    sequence, settings = s.sequences[slot], s.settings[0]
    # The hash of a block may cover what comes after it: then the answer decides on the last block of the prompt too.
    return bool(sequence.shared_blocks > (sequence.prompt_tokens - settings.hash_lookahead) // settings.block_size)


@compiled
def is_growing(s: State, slot: int) -> bool:
    """Whether some running sequence is adding to what a waiting one may reuse."""
    chain = s.sequences[slot].chain
    while chain != NONE:
        if s.chains[chain].growing:
            return True
        chain = s.chains[chain].outer
    return False


@compiled
def answers_so_far(s: State, r: int, chain: int, besides: int) -> None:
    """Make findable what has been decoded of a prefix.

    Nobody looks for an answer before it is there, so it is done when a sequence ends: only if the next turn comes
    earlier, as a recorded one may, there is something to do here.
    """
    while chain != NONE:
        itself = besides != NONE and s.sequences[besides].chain == chain and _goes_on(s, besides)
        if s.chains[chain].growing > itself:
            slot = s.replicas[r].first_running
            while slot != NONE:
                if slot != besides and s.sequences[slot].chain == chain and _goes_on(s, slot):
                    findable(s, r, slot, _hashed_by_now(s, r, slot))
                slot = s.sequences[slot].next
        chain = s.chains[chain].outer


@compiled
def _hashed_by_now(s: State, r: int, slot: int) -> int:
    if s.settings[0].draft_tokens:
        return int(s.sequences[slot].hashed_tokens)
    return int(hashed_tokens(s, slot, computed_tokens(s, r, slot)))


@compiled
def release(s: State, r: int, slot: int, tokens: int, hashed: int, resumable: bool) -> None:
    """Free all blocks of a sequence that holds `tokens`, of which `hashed` fill reusable blocks."""
    if s.settings[0].kinds:
        kv_groups.release_tables(s, r, slot, tokens)
        return
    rep, sequence, size = s.replicas[r], s.sequences[slot], s.settings[0].block_size
    if _goes_on(s, slot):
        computed(s, r, slot, hashed)
        s.chains[sequence.chain].growing -= 1
    held = -(-tokens // size)
    shared = sequence.held_shared
    full = max(min(hashed // size, held), shared) if s.settings[0].prefix_caching else shared
    rep.unhashed += held - full
    if full > shared:
        run = new_run(s, shared, full, NONE)
        enqueue(s, r, run)
        if resumable:
            sequence.resumable = run
            s.runs[run].owner = slot
    rep.free += held - shared
    if shared:
        _let_go(s, r, slot, shared)
    sequence.held_shared = 0


@compiled
def take(s: State, r: int, blocks: int) -> None:
    """Take new blocks; the caller has checked `free`. The oldest reusable ones go last, ends of prefixes first."""
    rep = s.replicas[r]
    rep.free -= blocks
    if blocks <= rep.unhashed:
        rep.unhashed -= blocks
        return
    blocks -= rep.unhashed
    rep.unhashed = 0
    while blocks > 0:
        number = rep.oldest_run
        run = s.runs[number]
        taken = min(run.high - run.low, blocks)
        run.high -= taken
        blocks -= taken
        empty = run.high == run.low
        if run.chain != NONE:
            chain = s.chains[run.chain]
            if chain.by_block:
                kv_copies.evicted(s, number)
            else:
                chain.cached = run.high
                if empty:
                    unlink(s, number)
        if empty:
            dequeue(s, r, number)
            forget(s, number)


@compiled
def _held(s: State, chain: int) -> int:
    """Leading blocks of a prefix in use by some sequence: its holders are linked by how many they hold."""
    first = s.chains[chain].first_holder
    return 0 if first == NONE else int(s.sequences[first].held_shared)


@compiled
def _hold(s: State, r: int, slot: int, shared: int) -> None:
    if not shared:
        return
    sequence = s.sequences[slot]
    chain = s.chains[sequence.chain]
    held = _held(s, sequence.chain)
    sequence.held_shared = shared
    _join_holders(s, slot)
    if chain.by_block:
        kv_copies.hold(s, r, slot, shared)
        return
    rep = s.replicas[r]
    while held < shared:
        number = chain.first_run
        run = s.runs[number]
        reused = min(run.high, shared)
        rep.free -= reused - run.low
        run.low = reused
        held = reused
        if run.low == run.high:
            unlink(s, number)
            dequeue(s, r, number)
            forget(s, number)


@compiled
def _let_go(s: State, r: int, slot: int, shared: int) -> None:
    _leave_holders(s, slot)
    number = s.sequences[slot].chain
    if s.chains[number].by_block:
        kv_copies.let_go(s, r, slot, shared)
        return
    still_held = _held(s, number)
    if still_held < shared:
        run = new_run(s, still_held, shared, number)
        link_lowest(s, run)
        enqueue(s, r, run)
        s.replicas[r].free += shared - still_held


@compiled
def _join_holders(s: State, slot: int) -> None:
    sequences = s.sequences
    sequence = sequences[slot]
    chain = s.chains[sequence.chain]
    after, before = NONE, chain.first_holder
    while before != NONE and sequences[before].held_shared > sequence.held_shared:
        after, before = before, sequences[before].next_holder
    sequence.previous_holder = after
    sequence.next_holder = before
    if after == NONE:
        chain.first_holder = slot
    else:
        sequences[after].next_holder = slot
    if before != NONE:
        sequences[before].previous_holder = slot


@compiled
def _leave_holders(s: State, slot: int) -> None:
    sequences = s.sequences
    before, after = sequences[slot].previous_holder, sequences[slot].next_holder
    if before == NONE:
        s.chains[sequences[slot].chain].first_holder = after
    else:
        sequences[before].next_holder = after
    if after != NONE:
        sequences[after].previous_holder = before
