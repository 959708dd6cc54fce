"""The running list of a replica, in order of admission, and what the step being made computes for it."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from simulator.engine.vllm import adapters
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.decoding import join_decoding, leave_decoding
from simulator.engine.vllm.state import DECODING, DRAINING, NONE, PREFILLING

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def join_running(s: State, r: int, slot: int) -> None:
    """Admit a sequence: it takes a seat, and the last place in the order."""
    rep, sequence = s.replicas[r], s.sequences[slot]
    sequence.seat = s.seats[r, rep.running].free
    rep.running += 1
    sequence.order = rep.next_order
    rep.next_order += 1
    sequence.previous = rep.last_running
    sequence.next = NONE
    if rep.last_running == NONE:
        rep.first_running = slot
    else:
        s.sequences[rep.last_running].next = slot
    rep.last_running = slot
    if s.settings[0].max_loras:
        adapters.started(s, r, slot)
    if s.settings[0].encodes:
        # Of one that was preempted too: its images have left the encoder's cache, which has room for those of a step.
        rep.step_encoder_s += s.encoder_s[s.workload[sequence.index]]


@compiled
def leave_running(s: State, r: int, slot: int) -> None:
    """It is done, aborted or preempted; it keeps its blocks until they are released."""
    rep, sequences = s.replicas[r], s.sequences
    sequence = sequences[slot]
    if sequence.place == DECODING:
        leave_decoding(s, r, slot)
    elif sequence.place == PREFILLING:
        _leave_prefilling(s, r, slot)
    if s.settings[0].max_loras:
        adapters.stopped(s, r, slot)
    rep.running -= 1
    s.seats[r, rep.running].free = sequence.seat
    if sequence.previous == NONE:
        rep.first_running = sequence.next
    else:
        sequences[sequence.previous].next = sequence.next
    if sequence.next == NONE:
        rep.last_running = sequence.previous
    else:
        sequences[sequence.next].previous = sequence.previous


@compiled
def _leave_prefilling(s: State, r: int, slot: int) -> None:
    rep = s.replicas[r]
    found = False
    for position in range(rep.prefilling):
        if found:
            s.seats[r, position - 1].prefilling = s.seats[r, position].prefilling
        elif s.seats[r, position].prefilling == slot:
            found = True
    rep.prefilling -= 1


@compiled
def join_prefilling(s: State, r: int, slot: int) -> None:
    """It has prompt tokens left to compute."""
    rep = s.replicas[r]
    s.sequences[slot].place = PREFILLING
    s.seats[r, rep.prefilling].prefilling = slot
    rep.prefilling += 1


@compiled
def computed_tokens(s: State, r: int, slot: int) -> int:
    """Tokens of a sequence whose KV is computed or in flight."""
    sequence = s.sequences[slot]
    if sequence.place == DECODING:
        return int(sequence.total_tokens - (sequence.end_clock - s.replicas[r].clock))
    return int(sequence.total_tokens if sequence.place == DRAINING else sequence.computed_tokens)


@compiled
def hashed_tokens(s: State, slot: int, tokens: int) -> int:
    """Tokens whose blocks vLLM has hashed: those whose identity it knows.

    Under asynchronous scheduling the newest token of a sequence is still in flight when the next step is made.
    """
    lag = 1 if s.settings[0].async_scheduling else 0
    return int(min(tokens, max(s.sequences[slot].known_tokens, tokens - lag)))


@compiled
def chunk_tokens(s: State, r: int, slot: int, computed: int, budget: int) -> int:
    """Tokens a step may compute of a prompt of which so many are."""
    return min(at_once(s, r, s.sequences[slot].known_tokens - computed), budget)


@compiled
def at_once(s: State, r: int, tokens: int) -> int:
    """So many tokens, or those that a step computes of a long prompt beside which others run or wait."""
    threshold = s.settings[0].long_prefill_token_threshold
    if 0 < threshold < tokens and s.replicas[r].running + s.replicas[r].waiting > 1:
        return int(threshold)
    return int(tokens)


@compiled
def count_chunk(s: State, r: int, done: int, tokens: int) -> None:
    """The step being made computes so many tokens of a prompt of which so many are done."""
    rep, settings = s.replicas[r], s.settings[0]
    rep.step_chunks += 1
    rep.step_chunk_tokens += tokens
    rep.step_chunk_context += done
    pairs_s = settings.prefill_per_pair_s * (done + 0.5 * tokens)
    rep.step_chunk_s += tokens * (settings.prefill_per_token_s + pairs_s)


@compiled
def sampled(s: State, r: int, slot: int) -> None:
    """The step being made samples a token of a sequence: its first comes with the end of it."""
    s.replicas[r].alone = 0
    if isnan(s.sequences[slot].first_token_s):
        s.sequences[slot].next_sampled = s.replicas[r].first_sampled
        s.replicas[r].first_sampled = slot


@compiled
def answers(s: State, r: int, slot: int) -> None:
    """The step being made samples the first token of its answer, behind what it thought."""
    s.sequences[slot].next_sampled = s.replicas[r].first_sampled
    s.replicas[r].first_sampled = slot


@compiled
def tick(s: State, r: int, decodes: int) -> None:
    """The step being made computes a token for each of these sequences."""
    rep = s.replicas[r]
    rep.clock += 1
    rep.decode_kv_tokens += rep.decoding
    rep.step_decodes = decodes
    rep.step_kv_tokens = rep.decode_kv_tokens
    if s.settings[0].max_loras:
        adapters.begin_step(s, r)


@compiled
def prompt_computed(s: State, r: int, slot: int, tokens: int) -> None:
    """Account for a chunk; at the end of the prompt the sequence starts to decode, or is done."""
    rep, sequence, settings = s.replicas[r], s.sequences[slot], s.settings[0]
    done = sequence.computed_tokens
    sequence.flying_tokens = tokens if settings.async_scheduling else 0
    if settings.max_loras:
        adapters.count_chunk(s, r, slot, tokens)
    if tokens == 1 and done >= sequence.prompt_tokens:
        # The last token to recompute after a preemption is a decode like any other.
        rep.step_decodes += 1
        rep.step_kv_tokens += done + 1
    else:
        count_chunk(s, r, done, tokens)
    sequence.computed_tokens = done + tokens
    if sequence.computed_tokens < sequence.known_tokens:
        join_prefilling(s, r, slot)
        return
    sampled(s, r, slot)
    if sequence.rest_tokens and sequence.computed_tokens == sequence.total_tokens:
        sequence.total_tokens += sequence.rest_tokens
        sequence.rest_tokens = 0
        answers(s, r, slot)
    if sequence.computed_tokens == sequence.total_tokens:
        sequence.place = DRAINING
        finish_step(s, r, slot)
    else:
        join_decoding(s, r, slot)


@compiled
def finish_step(s: State, r: int, slot: int) -> None:
    """The step being made samples the last token of a sequence.

    Blocks are freed in the order of the running list, which is that of eviction later.
    """
    rep, sequences = s.replicas[r], s.sequences
    order = sequences[slot].order
    after = NONE
    before = rep.first_finished
    if rep.last_finished != NONE and sequences[rep.last_finished].order < order:
        after, before = rep.last_finished, NONE
    while before != NONE and sequences[before].order < order:
        after, before = before, sequences[before].next_finishing
    sequences[slot].next_finishing = before
    if after == NONE:
        rep.first_finished = slot
    else:
        sequences[after].next_finishing = slot
    if before == NONE:
        rep.last_finished = slot
