"""KV blocks of a model whose groups of layers keep different things: what a request needs, holds and leaves behind.

All groups draw from one pool. A table grows with its request; what lies behind a window or before a chunk is freed when
the request is scheduled next, as far as steps are settled: of tokens in flight the window still reads (vLLM 0.33,
`allocate_slots`, `remove_skipped_blocks`). What is held follows from two numbers of a request, its computed tokens and
those that were settled when it was scheduled last; groups that keep the same are counted together.

A decoding sequence takes a block, and frees one, once in so many ticks of the decode clock. `boundaries` count the
first by tick; `vacancies` the second, for those whose windows move. The others are *young*: what they leave behind is
credited when it is looked for, at the tick at which the next of them does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import DECODING, NONE, UNLIMITED

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State

#: What a kind of group keeps: all tokens, those of a window or of the running chunk, or one state.
FULL, WINDOW, CHUNK, STATE = range(4)
#: Ticks that are walked before the run of quiet steps is looked at anew.
_WALK = 256


@compiled
def table_blocks(s: State, tokens: int) -> int:
    """Blocks of the tables of so many tokens, those included that were left behind."""
    need = 0
    for number in range(s.settings[0].kinds):
        kind = s.kinds[number]
        need += kind.groups * (min(tokens, 1) if kind.keeps == STATE else _blocks(s, number, tokens))
    return int(need)


@compiled
def most_blocks(s: State, tokens: int) -> int:
    """Blocks that a request of so many tokens holds at most, its windows as wide as they get."""
    need = 0
    for number in range(s.settings[0].kinds):
        kind = s.kinds[number]
        need += kind.groups * (1 if kind.keeps == STATE else min(_blocks(s, number, tokens), kind.most))
    return int(need)


@compiled
def _blocks(s: State, number: int, tokens: int) -> int:
    """Blocks for so many tokens. Most sizes are powers of two, and division is the dearest thing done here."""
    kind = s.kinds[number]
    if kind.shift:
        return int((tokens + kind.block_size - 1) >> kind.shift)
    return int(-(-tokens // kind.block_size))


@compiled
def _tick(s: State, number: int, clock: int) -> int:
    """The first tick of a period at which a block is taken or left that is so at this clock."""
    kind = s.kinds[number]
    return int(clock & (kind.block_size - 1) if kind.shift else clock % kind.block_size)


@compiled
def gone_blocks(s: State, settled: int) -> int:
    """Blocks left behind when so many tokens are settled."""
    blocks = 0
    for number in range(s.settings[0].kinds):
        blocks += s.kinds[number].groups * _gone(s, number, settled)
    return int(blocks)


@compiled
def _gone(s: State, number: int, settled: int) -> int:
    kind = s.kinds[number]
    if kind.keeps == WINDOW:
        behind = max(0, settled - kind.span + 1)
        return int(behind >> kind.shift if kind.shift else behind // kind.block_size)
    if kind.keeps == CHUNK:
        return int(settled // kind.span * kind.span // kind.block_size)
    return 0


@compiled
def blocks_needed(s: State, slot: int, chunk: int) -> int:
    """Free blocks without which a waiting sequence is not admitted: its chunk must fit, and it, if all is reserved."""
    need = table_blocks(s, chunk)
    if s.settings[0].reserve_full_isl:
        need = max(need, most_blocks(s, s.sequences[slot].known_tokens))
    return need


@compiled
def settle(s: State, r: int, slot: int, settled: int) -> None:
    """It is scheduled when so many tokens are settled: free what they leave behind."""
    sequence = s.sequences[slot]
    if sequence.place == DECODING and sequence.young_place == NONE:
        # What it has left behind so far was counted by the clock.
        sequence.settled_tokens = settled_last(s, r, slot)
    if settled > sequence.settled_tokens:
        s.replicas[r].free += gone_blocks(s, settled) - gone_blocks(s, sequence.settled_tokens)
        sequence.settled_tokens = settled


@compiled
def settled_now(s: State, r: int, slot: int) -> int:
    """Settled tokens of a running sequence that is scheduled now, of which the last step may be in flight."""
    rep, sequence = s.replicas[r], s.sequences[slot]
    if sequence.place != DECODING:
        return int(sequence.computed_tokens - sequence.flying_tokens)
    computed = sequence.total_tokens - (sequence.end_clock - rep.clock)
    return int(computed - (sequence.flying_tokens if rep.clock == sequence.joined_clock else s.settings[0].lag))


@compiled
def settled_last(s: State, r: int, slot: int) -> int:
    """Settled tokens of a running sequence when it was last scheduled."""
    rep, sequence = s.replicas[r], s.sequences[slot]
    settled = sequence.settled_tokens
    since = rep.clock - sequence.joined_clock
    if sequence.place == DECODING and since > 0:
        computed = sequence.total_tokens - (sequence.end_clock - rep.clock)
        settled = max(settled, computed - 1 - (sequence.flying_tokens if since == 1 else s.settings[0].lag))
    return int(settled)


@compiled
def release_tables(s: State, r: int, slot: int, tokens: int) -> None:
    """Free all that a sequence holds of the tables of so many tokens."""
    blocks = table_blocks(s, tokens)
    if s.settings[0].forgets:
        settled = s.sequences[slot].settled_tokens = settled_last(s, r, slot)
        blocks -= gone_blocks(s, settled)
    s.replicas[r].free += blocks


@compiled
def join_clock(s: State, r: int, slot: int) -> None:
    """It decodes from the next step on: count when it needs blocks, and look for what it leaves behind."""
    rep, sequence = s.replicas[r], s.sequences[slot]
    _count_boundaries(s, r, slot, 1)
    sequence.joined_clock = rep.clock
    if not s.settings[0].forgets:
        return
    sequence.young_place = rep.young
    s.seats[r, rep.young].young = slot
    rep.young += 1
    sequence.leaves_clock = _leaves_next(s, slot)
    rep.leaves_clock = min(rep.leaves_clock, sequence.leaves_clock)


@compiled
def leave_clock(s: State, r: int, slot: int) -> None:
    """It ends, stalls or is driven out: its settled tokens no longer follow from the clock."""
    sequence = s.sequences[slot]
    _count_boundaries(s, r, slot, -1)
    if not s.settings[0].forgets:
        return
    settled = settled_last(s, r, slot)
    if sequence.young_place == NONE:
        _count_vacancies(s, r, slot, -1)
        sequence.settled_tokens = settled
    else:
        settle(s, r, slot, settled)
        _grow_up(s, r, slot)


@compiled
def look_behind(s: State, r: int) -> None:
    """Free what young decoding sequences have left behind since it was looked for."""
    rep = s.replicas[r]
    if rep.clock < rep.leaves_clock:
        return
    rep.leaves_clock = UNLIMITED
    place = 0
    while place < rep.young:
        slot = s.seats[r, place].young
        sequence = s.sequences[slot]
        if sequence.leaves_clock <= rep.clock:
            settle(s, r, slot, settled_last(s, r, slot))
            if _moves_steadily(s, r, slot):
                _grow_up(s, r, slot)
                _count_vacancies(s, r, slot, 1)
                continue
            sequence.leaves_clock = _leaves_next(s, slot)
        rep.leaves_clock = min(rep.leaves_clock, sequence.leaves_clock)
        place += 1


@compiled
def pass_ticks(s: State, r: int, steps: int) -> None:
    """Take and free the blocks of so many quiet steps from the clock on."""
    s.replicas[r].free += freed(s, r, steps)


@compiled
def freed(s: State, r: int, steps: int) -> int:
    """How many more blocks than now are free after so many quiet steps from the clock on."""
    rep, period = s.replicas[r], s.settings[0].period
    more = steps // period * rep.turnover
    first = rep.clock % period
    last = first + steps % period
    for tick in range(first, min(last, period)):
        more += s.vacancies[r, tick] - s.boundaries[r, tick]
    for tick in range(last - period):
        more += s.vacancies[r, tick] - s.boundaries[r, tick]
    return int(more)


@compiled
def quiet_ticks(s: State, r: int, steps: int, needed: int) -> int:
    """How many of so many steps are sure to find their blocks, and to leave the head of the queue without its own."""
    rep, period = s.replicas[r], s.settings[0].period
    if needed == UNLIMITED and _most_of(s, r, steps) <= rep.free:
        return steps
    # What a young one leaves behind is credited a tick later than somebody may get it.
    steps = min(steps, rep.leaves_clock - rep.clock - (0 if needed == UNLIMITED else 1), _WALK)
    free, tick = rep.free, rep.clock % period
    for step in range(steps):
        if s.boundaries[r, tick] > free:
            return step
        free += s.vacancies[r, tick] - s.boundaries[r, tick]
        if free >= needed:
            return step
        tick = tick + 1 if tick + 1 < period else 0
    return int(steps)


@compiled
def _most_of(s: State, r: int, steps: int) -> int:
    """At most so many blocks are taken in these steps."""
    each = 0
    for number in range(s.settings[0].kinds):
        kind = s.kinds[number]
        if kind.keeps != STATE:
            each += kind.groups * (steps // kind.block_size + 1)
    return int(each * s.replicas[r].decoding)


@compiled
def _leaves_next(s: State, slot: int) -> int:
    """Decode clock at which a young sequence has been scheduled with more left behind than is credited."""
    sequence = s.sequences[slot]
    settled = UNLIMITED
    for number in range(s.settings[0].kinds):
        kind = s.kinds[number]
        if kind.keeps == WINDOW:
            blocks = _gone(s, number, sequence.settled_tokens) + 1
            settled = min(settled, kind.span - 1 + kind.block_size * blocks)
        elif kind.keeps == CHUNK:
            settled = min(settled, (sequence.settled_tokens // kind.span + 1) * kind.span)
    joined, lag = sequence.joined_clock, s.settings[0].lag
    computed = sequence.total_tokens - (sequence.end_clock - joined)
    if settled <= computed - sequence.flying_tokens:
        return int(joined + 1)
    return int(max(joined + 1 + lag, joined + settled - computed + 1 + lag))


@compiled
def _moves_steadily(s: State, r: int, slot: int) -> bool:
    """Whether what it leaves behind follows from the clock from now on: a block of every window, at its tick."""
    sequence = s.sequences[slot]
    if s.replicas[r].clock - sequence.joined_clock <= s.settings[0].lag:
        return False
    for number in range(s.settings[0].kinds):
        keeps = s.kinds[number].keeps
        if keeps == CHUNK or (keeps == WINDOW and not _gone(s, number, sequence.settled_tokens)):
            return False
    return True


@compiled
def _grow_up(s: State, r: int, slot: int) -> None:
    rep, sequence = s.replicas[r], s.sequences[slot]
    rep.young -= 1
    last = s.seats[r, rep.young].young
    s.seats[r, sequence.young_place].young = last
    s.sequences[last].young_place = sequence.young_place
    sequence.young_place = NONE


@compiled
def _count_boundaries(s: State, r: int, slot: int, by: int) -> None:
    """It takes a block of each group when its computed tokens fill those before."""
    rep, sequence, period = s.replicas[r], s.sequences[slot], s.settings[0].period
    behind = sequence.end_clock - sequence.total_tokens
    for number in range(s.settings[0].kinds):
        kind = s.kinds[number]
        if kind.keeps != STATE:
            blocks, size = by * kind.groups, kind.block_size
            tick = _tick(s, number, behind)
            while tick < period:
                s.boundaries[r, tick] += blocks
                rep.turnover -= blocks
                tick += size


@compiled
def _count_vacancies(s: State, r: int, slot: int, by: int) -> None:
    rep, sequence, period = s.replicas[r], s.sequences[slot], s.settings[0].period
    settled = sequence.end_clock - sequence.total_tokens + s.settings[0].lag
    for number in range(s.settings[0].kinds):
        kind = s.kinds[number]
        if kind.keeps == WINDOW:
            blocks, size = by * kind.groups, kind.block_size
            tick = _tick(s, number, settled + kind.span - 1)
            while tick < period:
                s.vacancies[r, tick] += blocks
                rep.turnover += blocks
                tick += size
