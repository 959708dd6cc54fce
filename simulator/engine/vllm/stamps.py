"""What becomes of a request in a cluster, written to the log; and its slot, which is used again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.record import Outcome
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import GONE, NONE

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State

_COMPLETED = int(Outcome.COMPLETED)


@compiled
def enlist(s: State, slot: int) -> None:
    """A client waits for this request from now on."""
    fleet, sequence = s.fleet[0], s.sequences[slot]
    rep = s.replicas[sequence.replica]
    sequence.active = True
    sequence.previous_active = fleet.last_active
    sequence.next_active = NONE
    if fleet.last_active == NONE:
        fleet.first_active = slot
    else:
        s.sequences[fleet.last_active].next_active = slot
    fleet.last_active = slot
    fleet.in_flight += 1
    fleet.came += 1
    rep.load += 1
    rep.reserved_tokens += sequence.reserved_tokens


@compiled
def dismiss(s: State, slot: int) -> None:
    """Its client has the answer, or waits no longer."""
    fleet, sequences = s.fleet[0], s.sequences
    sequence = sequences[slot]
    rep = s.replicas[sequence.replica]
    before, after = sequence.previous_active, sequence.next_active
    if before == NONE:
        fleet.first_active = after
    else:
        sequences[before].next_active = after
    if after == NONE:
        fleet.last_active = before
    else:
        sequences[after].previous_active = before
    sequence.active = False
    fleet.in_flight -= 1
    rep.load -= 1
    rep.reserved_tokens -= sequence.reserved_tokens


@compiled
def stamp(s: State, slot: int) -> None:
    """Write down how far a request came."""
    sequence = s.sequences[slot]
    s.scheduled_s[sequence.index] = sequence.scheduled_s
    s.first_token_s[sequence.index] = sequence.first_token_s + s.settings[0].output_s
    if sequence.thinking_tokens:
        s.first_answer_s[sequence.index] = sequence.first_answer_s + s.settings[0].output_s
    s.cached_tokens[sequence.index] = max(sequence.cached_tokens, 0)
    s.preemptions[sequence.index] = sequence.preemptions


@compiled
def finished(s: State, slot: int) -> None:
    """The last token of a sequence has left the engine, or would have."""
    sequence = s.sequences[slot]
    sequence.finishing = False
    if sequence.place == GONE:
        # Aborted with its last token in flight.
        _free(s, slot)
    elif sequence.active:
        dismiss(s, slot)
        stamp(s, slot)
        last_s = sequence.end_s + s.settings[0].output_s
        if sequence.prompt_tokens + sequence.thinking_tokens == sequence.total_tokens and sequence.thinking_tokens:
            # Its first answer token is its last one.
            s.first_answer_s[sequence.index] = last_s
        s.last_token_s[sequence.index] = last_s
        s.ended_s[sequence.index] = last_s
        s.outcome[sequence.index] = _COMPLETED
        _free(s, slot)
    else:
        # Its client had given up before the engine learnt of it; the abort is still to come.
        s.wasted_tokens[sequence.index] += sequence.total_tokens
        sequence.place = GONE


@compiled
def aborted(s: State, slot: int, tokens: int) -> None:
    """The engine has dropped a sequence after computing so many tokens for it in vain."""
    sequence = s.sequences[slot]
    s.wasted_tokens[sequence.index] += tokens
    sequence.place = GONE
    if not sequence.finishing:
        _free(s, slot)


@compiled
def _free(s: State, slot: int) -> None:
    if s.sequences[slot].resumable != NONE:
        s.runs[s.sequences[slot].resumable].owner = NONE
    s.sequences[slot].index = NONE
    s.sequences[slot].next = s.fleet[0].free_slot
    s.fleet[0].free_slot = slot
