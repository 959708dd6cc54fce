"""Which sequences the next engine step computes: vLLM's scheduling rules, without time.

The rules are those of vLLM 0.33 (`v1/core/sched/scheduler.py`): running sequences first, in order of admission;
then waiting ones while the token budget, `max_num_seqs` and the KV blocks allow, stopping at the first that does
not fit; preemption by recomputation when a running sequence finds no block (`preemption`).

What makes a month affordable is that a run of steps between two changes costs the same as one step, whatever its
length and batch (`decoding`). `simulator.engine.vllm.stepwise` states the same rules step by step and must agree.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from simulator.engine.vllm import kv_groups, waiting
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.decoding import decode_blocks, goes_on, next_end, pop_ended, steps_within
from simulator.engine.vllm.drafts import drop
from simulator.engine.vllm.kv_cache import admit_blocks, blocks_short, computed, hit_blocks, is_growing, release, take
from simulator.engine.vllm.preemption import advance_in_order
from simulator.engine.vllm.running import (
    answers,
    chunk_tokens,
    computed_tokens,
    finish_step,
    hashed_tokens,
    join_running,
    leave_running,
    prompt_computed,
    tick,
)
from simulator.engine.vllm.state import DRAINING, INBOX, NONE, UNLIMITED, VERIFYING, WAITING

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def quiet_steps(s: State, r: int) -> int:
    """How many coming steps decode the same sequences and change nothing else; 0 when the next one does."""
    rep = s.replicas[r]
    if rep.prefilling or not rep.decoding:
        return 0
    if s.settings[0].kinds:
        return _quiet_steps_of_groups(s, r)
    if rep.waiting and _admissible(s, r):
        return 0
    steps = next_end(s, r) - rep.clock
    # Each sequence takes at most one block per `block_size` steps and one more.
    most = rep.decoding * (steps // s.settings[0].block_size + 1)
    if most > rep.free and decode_blocks(s, r, steps) > rep.free:
        return steps_within(s, r, rep.free)
    return int(steps)


@compiled
def _quiet_steps_of_groups(s: State, r: int) -> int:
    """Likewise; a window may free blocks in between, for which the head of the queue waits."""
    rep = s.replicas[r]
    kv_groups.look_behind(s, r)
    needed = UNLIMITED
    budget = s.settings[0].max_num_batched_tokens - rep.decoding
    slot = waiting.head(s, r) if rep.waiting else NONE
    if slot != NONE and rep.running < s.settings[0].max_num_seqs and budget > 0:
        needed = _needed(s, r, slot, 0, budget)
        if needed <= rep.free:
            return 0
    return kv_groups.quiet_ticks(s, r, next_end(s, r) - rep.clock, needed)


@compiled
def advance(s: State, r: int, steps: int) -> None:
    """Take `steps` quiet steps."""
    rep = s.replicas[r]
    if s.settings[0].kinds:
        kv_groups.pass_ticks(s, r, steps)
    else:
        blocks = decode_blocks(s, r, steps)
        if blocks:
            take(s, r, blocks)
    rep.clock += steps
    rep.decode_kv_tokens += steps * rep.decoding


@compiled
def schedule(s: State, r: int, now_s: float) -> None:
    """Make the next step by the full rules; the fields `step_*` of the replica say what it computes."""
    rep = s.replicas[r]
    rep.step_decodes = rep.step_kv_tokens = rep.step_preempted = 0
    rep.step_chunks = rep.step_chunk_tokens = rep.step_chunk_context = rep.step_copies = rep.step_reads = 0
    rep.step_chunk_s = s.settings[0].prefill_fixed_s
    if s.settings[0].kinds:
        kv_groups.look_behind(s, r)
    budget = _advance_running(s, r)
    if budget == NONE:
        budget = advance_in_order(s, r)
    if s.settings[0].kinds:
        kv_groups.look_behind(s, r)
    while rep.decoding and next_end(s, r) <= rep.clock:
        slot = goes_on(s, r)
        if slot == NONE:
            finish_step(s, r, pop_ended(s, r))
        else:
            answers(s, r, slot)
    if not rep.step_preempted and rep.waiting:
        _admit(s, r, budget, now_s)


@compiled
def complete(s: State, r: int, slot: int) -> None:
    """The last token of a sequence is out: free its blocks."""
    sequence = s.sequences[slot]
    if sequence.place == DRAINING:
        leave_running(s, r, slot)
        release(s, r, slot, sequence.total_tokens, sequence.total_tokens, False)
    else:
        # It was preempted with its last token in flight.
        waiting.leave(s, r, slot)


@compiled
def abort(s: State, r: int, slot: int) -> int:
    """Drop a sequence wherever it is; returns the tokens computed for it."""
    place = s.sequences[slot].place
    if place == VERIFYING:
        return int(drop(s, r, slot))
    if place == INBOX:
        waiting.collect(s, r, slot)
        return 0
    tokens = computed_tokens(s, r, slot)
    if place == WAITING:
        waiting.leave(s, r, slot)
    else:
        hashed = hashed_tokens(s, slot, tokens)
        leave_running(s, r, slot)
        release(s, r, slot, tokens, hashed, False)
    return tokens


@compiled
def _advance_running(s: State, r: int) -> int:
    """Give every running sequence its tokens; NONE when they compete for the budget or for blocks."""
    rep, size, kinds = s.replicas[r], s.settings[0].block_size, s.settings[0].kinds
    budget = s.settings[0].max_num_batched_tokens - rep.decoding
    period = s.settings[0].period
    need = s.boundaries[r, rep.clock % period]
    chunks = rep.prefilling
    wanted = 0
    for position in range(chunks):
        slot = s.seats[r, position].prefilling
        wanted += chunk_tokens(s, r, slot, s.sequences[slot].computed_tokens, UNLIMITED)
    # Only a sole prompt behind all others in order takes what the budget leaves.
    if wanted > budget and (chunks > 1 or s.sequences[s.seats[r, 0].prefilling].order != rep.next_order - 1):
        return NONE
    for position in range(chunks):
        slot = s.seats[r, position].prefilling
        done = s.sequences[slot].computed_tokens
        tokens = chunk_tokens(s, r, slot, done, UNLIMITED)
        tokens = s.sequences[slot].granted_tokens = budget if wanted > budget else tokens
        if kinds:
            need += kv_groups.table_blocks(s, done + tokens) - kv_groups.table_blocks(s, done)
        else:
            need += -(-(done + tokens) // size) - -(-done // size)
    # Nobody waits for what another one leaves behind in this very step.
    if need > rep.free:
        return NONE
    if kinds:
        rep.free += s.vacancies[r, rep.clock % period] - need
        for position in range(chunks):
            slot = s.seats[r, position].prefilling
            kv_groups.settle(s, r, slot, kv_groups.settled_now(s, r, slot))
    elif need:
        take(s, r, need)
    tick(s, r, rep.decoding)
    rep.prefilling = 0
    for position in range(chunks):
        slot = s.seats[r, position].prefilling
        tokens = s.sequences[slot].granted_tokens
        budget -= tokens
        computed(s, r, slot, s.sequences[slot].computed_tokens + tokens)
        prompt_computed(s, r, slot, tokens)
    return int(budget)


@compiled
def _fitting(s: State, r: int, slot: int, budget: int) -> int:
    """Blocks of a waiting sequence found in the cache, or NONE when there is no room for the rest.

    vLLM asks for room for the whole known sequence, though it takes only the first chunk's blocks.
    """
    hit = hit_blocks(s, slot)
    return NONE if _needed(s, r, slot, hit, budget) > s.replicas[r].free else hit


@compiled
def _needed(s: State, r: int, slot: int, hit: int, budget: int) -> int:
    """Free blocks without which a waiting sequence is not admitted; UNLIMITED where its prompt may not be cut."""
    settings = s.settings[0]
    cached = hit * settings.block_size
    chunk = chunk_tokens(s, r, slot, cached, UNLIMITED)
    if chunk > budget and not settings.chunked_prefill:
        return UNLIMITED
    spare = settings.watermark_blocks if s.replicas[r].running else 0
    if settings.kinds:
        return int(kv_groups.blocks_needed(s, slot, min(chunk, budget)) + spare)
    tokens = s.sequences[slot].known_tokens if settings.reserve_full_isl else cached + min(chunk, budget)
    return int(blocks_short(s, slot, hit, tokens) + spare)


@compiled
def _admissible(s: State, r: int) -> bool:
    rep = s.replicas[r]
    if rep.running >= s.settings[0].max_num_seqs:
        return False
    budget = s.settings[0].max_num_batched_tokens - rep.decoding
    slot = waiting.head(s, r)
    if slot == NONE or budget <= 0:
        return False
    return is_growing(s, slot) or _fitting(s, r, slot, budget) != NONE


@compiled
def _admit(s: State, r: int, budget: int, now_s: float) -> None:
    rep = s.replicas[r]
    while budget > 0 and rep.running < s.settings[0].max_num_seqs:
        slot = waiting.head(s, r)
        if slot == NONE:
            return
        hit = _fitting(s, r, slot, budget)
        if hit == NONE:
            return
        sequence = s.sequences[slot]
        cached = hit * s.settings[0].block_size
        tokens = chunk_tokens(s, r, slot, cached, budget)
        waiting.leave(s, r, slot)
        join_running(s, r, slot)
        admit_blocks(s, r, slot, hit, cached + tokens, cached + tokens)
        if sequence.cached_tokens < 0:
            sequence.cached_tokens = cached
        if isnan(sequence.scheduled_s):
            sequence.scheduled_s = now_s
        sequence.computed_tokens = cached
        prompt_computed(s, r, slot, tokens)
        budget -= tokens
