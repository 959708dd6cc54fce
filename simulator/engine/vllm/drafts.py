"""Speculative decoding: a step verifies the tokens that a drafter proposed, and keeps those that the model agrees with.

The rules are those of vLLM 0.33 (`v1/core/sched/scheduler.py`): a decoding sequence computes its next token and its
drafts, has blocks for them and for what the drafter looks ahead, and gives back what is rejected when the step is over.
Under asynchronous scheduling the step after is made before that is known, as if everything were accepted. Every step
differs from the one before, so each is made by itself: what a request costs grows with its verifications.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from simulator.engine.vllm import waiting
from simulator.engine.vllm.acceptance import drawn
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.kv_cache import admit_blocks, blocks_short, computed, hit_blocks, release, take
from simulator.engine.vllm.preemption import put_back, victim_of
from simulator.engine.vllm.running import at_once, count_chunk, join_running, leave_running, sampled
from simulator.engine.vllm.stamps import finished
from simulator.engine.vllm.state import GONE, NONE, VERIFYING, WAITING

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State

_drawn = compiled(drawn)

#: What an item of a step does: a part of a prompt; sample; sample beside drafts that nobody proposed.
_PART, _SAMPLE, _PADDED = range(3)


@compiled
def schedule_drafted(s: State, r: int, now_s: float) -> None:
    """Make the next step; the fields `step_*` of the replica say what it computes."""
    rep = s.replicas[r]
    rep.step_decodes = rep.step_kv_tokens = rep.step_preempted = 0
    rep.step_chunks = rep.step_chunk_tokens = rep.step_chunk_context = 0
    rep.step_rows = rep.step_samples = rep.step_samples_kv_tokens = 0
    rep.step_chunk_s = s.settings[0].prefill_fixed_s
    launch = s.launches[r, (rep.oldest_launch + rep.launches) & 1]
    launch.items = 0
    budget, part = _advance_running(s, r)
    if not rep.step_preempted and rep.waiting:
        _admit(s, r, budget, part, now_s)
    if launch.items:
        rep.launches += 1


@compiled
def depart(s: State, r: int, end_s: float) -> None:
    """The step just made ends then."""
    rep = s.replicas[r]
    s.launches[r, (rep.oldest_launch + rep.launches - 1) & 1].end_s = end_s


@compiled
def land(s: State, r: int, now_s: float) -> None:
    """Take out what steps that are over have sampled."""
    rep = s.replicas[r]
    while rep.launches and s.launches[r, rep.oldest_launch].end_s <= now_s:
        number = rep.oldest_launch
        launch = s.launches[r, number]
        for place in range(launch.items):
            _land(s, r, number * s.settings[0].max_num_seqs + place, launch.end_s)
        rep.oldest_launch = 1 - number
        rep.launches -= 1


@compiled
def drop(s: State, r: int, slot: int) -> int:
    """Drop a running sequence; returns the tokens computed for it, drafts in flight among them."""
    sequence = s.sequences[slot]
    leave_running(s, r, slot)
    release(s, r, slot, sequence.held_blocks * s.settings[0].block_size, sequence.hashed_tokens, False)
    return int(sequence.computed_tokens)


@compiled
def _advance_running(s: State, r: int) -> tuple[int, bool]:
    """Give the running sequences their tokens; what is left of the budget, and whether a prompt was among them."""
    rep, sequences, apart = s.replicas[r], s.sequences, s.settings[0].draft_slots
    budget, part = s.settings[0].max_num_batched_tokens, False
    slot = rep.first_running
    while slot != NONE and budget > apart:
        tokens = _wanted(s, r, slot, budget - apart)
        if tokens == 0:
            slot = sequences[slot].next
            continue
        following, returned, ousted = _allocate(s, r, slot, tokens)
        budget += returned
        if not ousted:
            sequences[slot].granted_tokens = tokens
            budget -= tokens + apart
            part |= sequences[slot].partial
        elif not s.settings[0].by_priority:
            break
        slot = following
    slot = rep.first_running
    while slot != NONE:
        sequence = sequences[slot]
        if sequence.granted_tokens:
            _launch(s, r, slot, sequence.granted_tokens, False)
            sequence.granted_tokens = 0
        slot = sequence.next
    return int(budget), bool(part)


@compiled
def _wanted(s: State, r: int, slot: int, budget: int) -> int:
    sequence, settings = s.sequences[slot], s.settings[0]
    done, promised = sequence.computed_tokens, sequence.promised_tokens
    if promised > 0 and done + 2 - promised > sequence.total_tokens:
        # What is in flight brings the last token even if all its drafts are rejected.
        return 0
    tokens = at_once(s, r, sequence.known_tokens + sequence.drafted_tokens + promised - done)
    return int(max(0, min(tokens, budget, settings.max_model_len - done - 1)))


@compiled
def _room(s: State, tokens: int) -> int:
    """Tokens for which a sequence has blocks when so many are computed, those that its drafter looks ahead included."""
    return int(min(tokens + s.settings[0].draft_lookahead, s.settings[0].max_model_len))


@compiled
def _known_hashes(s: State, slot: int, tokens: int) -> int:
    """Tokens of the first so many whose blocks have a hash: it may cover what comes after a block."""
    return int(min(tokens, s.sequences[slot].known_tokens - s.settings[0].hash_lookahead))


@compiled
def _allocate(s: State, r: int, slot: int, tokens: int) -> tuple[int, int, bool]:
    """See `preemption`: the next sequence, tokens that victims gave back, and whether it was a victim itself."""
    rep, sequence = s.replicas[r], s.sequences[slot]
    done = sequence.computed_tokens + tokens
    need = -(-_room(s, done) // s.settings[0].block_size) - sequence.held_blocks
    returned = 0
    while need > rep.free:
        victim = victim_of(s, r)
        following = sequence.next
        if s.sequences[victim].granted_tokens:
            returned += s.sequences[victim].granted_tokens + s.settings[0].draft_slots
        _preempt(s, r, victim)
        if victim == slot:
            return int(following), int(returned), True
    if need > 0:
        take(s, r, need)
        sequence.held_blocks += need
    sequence.hashed_tokens = max(sequence.hashed_tokens, _known_hashes(s, slot, done))
    computed(s, r, slot, sequence.hashed_tokens)
    return int(sequence.next), int(returned), False


@compiled
def _preempt(s: State, r: int, victim: int) -> None:
    """Its tokens are recomputed when it returns; those in flight still come."""
    sequence = s.sequences[victim]
    release(s, r, victim, sequence.held_blocks * s.settings[0].block_size, sequence.hashed_tokens, True)
    put_back(s, r, victim)
    sequence.granted_tokens = sequence.held_blocks = sequence.hashed_tokens = 0
    sequence.drafted_tokens = sequence.promised_tokens = 0
    sequence.stale_tokens = sequence.flying_tokens


@compiled
def _admit(s: State, r: int, budget: int, part: bool, now_s: float) -> None:
    rep, settings = s.replicas[r], s.settings[0]
    beside = s.launches[r, (rep.oldest_launch + rep.launches) & 1].items > 0
    while budget > settings.draft_slots and rep.running < settings.max_num_seqs:
        slot = waiting.head(s, r)
        if slot == NONE:
            return
        sequence = s.sequences[slot]
        hit = hit_blocks(s, slot)
        cached, left = hit * settings.block_size, budget - settings.draft_slots
        tokens = sequence.known_tokens - cached
        # A newcomer that decodes at once gets empty drafts, so that the step remains one CUDA graph.
        padded = tokens == 1 and not part and (beside or cached > 0)
        padded = padded and cached + settings.draft_tokens + 2 <= settings.max_model_len
        if padded:
            tokens += settings.draft_tokens
        tokens = at_once(s, r, tokens)
        if tokens > left and (padded or not settings.chunked_prefill):
            return
        tokens = min(tokens, left)
        room = _room(s, cached + tokens)
        need = blocks_short(s, slot, hit, room)
        if settings.reserve_full_isl:
            need = max(need, blocks_short(s, slot, hit, sequence.known_tokens))
        if need + (settings.watermark_blocks if rep.running else 0) > rep.free:
            return
        waiting.leave(s, r, slot)
        join_running(s, r, slot)
        sequence.place = VERIFYING
        sequence.hashed_tokens = _known_hashes(s, slot, cached + tokens)
        admit_blocks(s, r, slot, hit, sequence.hashed_tokens, room)
        sequence.held_blocks = -(-room // settings.block_size)
        if sequence.cached_tokens < 0:
            sequence.cached_tokens = cached
        if isnan(sequence.scheduled_s):
            sequence.scheduled_s = now_s
        sequence.computed_tokens = cached
        _launch(s, r, slot, tokens, padded)
        budget -= tokens + settings.draft_slots


@compiled
def _launch(s: State, r: int, slot: int, tokens: int, padded: bool) -> None:
    """A sequence takes part in the step being made."""
    rep, sequence, settings = s.replicas[r], s.sequences[slot], s.settings[0]
    done, expected = sequence.computed_tokens, sequence.known_tokens + sequence.promised_tokens
    drafts = settings.draft_tokens if padded else min(sequence.drafted_tokens, max(0, done + tokens - expected))
    sequence.drafted_tokens = 0
    if done >= sequence.prompt_tokens and tokens <= settings.draft_tokens + 1:
        rep.step_decodes += 1
        rep.step_kv_tokens += done + tokens
        rep.step_rows += tokens
    else:
        count_chunk(s, r, done, tokens)
    sequence.computed_tokens = done + tokens
    sequence.flying_tokens += tokens
    sequence.partial = done + tokens < expected
    number = (rep.oldest_launch + rep.launches) & 1
    launch = s.launches[r, number]
    item = s.launched[r, number * settings.max_num_seqs + launch.items]
    launch.items += 1
    item.slot, item.visit, item.tokens, item.drafts = slot, sequence.visit, tokens, drafts
    item.kind = _PART if sequence.partial else (_PADDED if padded else _SAMPLE)
    if sequence.partial:
        return
    rep.step_samples += 1
    rep.step_samples_kv_tokens += done + tokens
    if settings.async_scheduling:
        sequence.promised_tokens += 1 + drafts
        sequence.drafted_tokens = settings.draft_tokens
    sampled(s, r, slot)


@compiled
def _land(s: State, r: int, place: int, end_s: float) -> None:
    """What a sequence got from a step that is over."""
    item = s.launched[r, place]
    slot = int(item.slot)
    sequence, settings = s.sequences[slot], s.settings[0]
    if sequence.index == NONE or sequence.visit != item.visit or sequence.place == GONE:
        # It ended, or was aborted, with this step in flight.
        return
    sequence.flying_tokens -= item.tokens
    stale = sequence.stale_tokens > 0
    if stale:
        sequence.stale_tokens -= item.tokens
    if item.kind == _PART:
        return
    kept = 0
    if item.drafts and item.kind == _SAMPLE:
        chance = _drawn(s.stream[sequence.index], sequence.verifications)
        sequence.verifications += 1
        while kept < item.drafts and chance < s.acceptance[kept]:
            kept += 1
    new = min(1 + kept, sequence.total_tokens + 1 - sequence.known_tokens)
    thought = sequence.prompt_tokens + sequence.thinking_tokens
    if sequence.known_tokens <= thought < sequence.known_tokens + new:
        sequence.first_answer_s = end_s
    sequence.known_tokens += new
    if not stale:
        sequence.computed_tokens -= item.drafts - kept + (1 + kept - new)
        if settings.async_scheduling:
            sequence.promised_tokens -= item.drafts + 1
        else:
            sequence.drafted_tokens = settings.draft_tokens
        settled = _known_hashes(s, slot, sequence.computed_tokens - sequence.flying_tokens)
        sequence.hashed_tokens = max(sequence.hashed_tokens, settled)
    if sequence.known_tokens > sequence.total_tokens:
        _complete(s, r, slot, end_s)


@compiled
def _complete(s: State, r: int, slot: int, end_s: float) -> None:
    sequence = s.sequences[slot]
    if sequence.place == WAITING:
        # It was preempted with its last token in flight.
        waiting.leave(s, r, slot)
    else:
        drop(s, r, slot)
    sequence.end_s = end_s
    finished(s, slot)
