"""A cluster at work: who gets a request, who has no room for it, who gave up waiting.

Python asks for all of it through one entry, `work`, so that the engine is compiled once. One call serves a whole run of
arrivals. It returns at the moment agreed on, or when there is something that somebody outside must see to: requests
that were lost, or no slot left for the next one.
"""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING

from numba import float64, int64

from simulator.engine.record import Reason
from simulator.engine.vllm.balancing import count_sent, forget_sent, look_at, pick, publish
from simulator.engine.vllm.compiled import compiled, entry, is_kept, machine_code
from simulator.engine.vllm.kv_cache import take
from simulator.engine.vllm.kv_copies import keep_by_block
from simulator.engine.vllm.kv_groups import most_blocks
from simulator.engine.vllm.replica import catch_up, close_replica, give_up, submit
from simulator.engine.vllm.stamps import dismiss, enlist, stamp
from simulator.engine.vllm.state import NONE, State

if TYPE_CHECKING:
    from collections.abc import Callable

#: What `work` does.
SERVE, OFFER, ROOM, PICK, EXPIRE, FAIL, RESTART, BRANCH, LOOK, CANCEL, SILENT, CLOSE = range(12)
#: Why `serve` came back.
REACHED, LOST, FULL = range(3)

_CAPACITY, _TIMEOUT = int(Reason.CAPACITY), int(Reason.TIMEOUT)
_FAULT, _TOO_LONG = int(Reason.FAULT), int(Reason.TOO_LONG)


@entry
def work(s: State, what: int, number: int, now_s: float, other: float) -> int:
    """Do one thing: what it takes of a number, a moment and another one or a share, and answers, it says itself."""
    if what == SERVE:
        return serve(s, number, now_s)
    if what == OFFER:
        return offer(s, number, now_s, other)
    if what == ROOM:
        return int(room(s, number, now_s, other))
    if what == PICK:
        return pick_now(s, number, now_s)
    if what == EXPIRE:
        expire(s, now_s)
    elif what == FAIL:
        return fail(s, number, now_s)
    elif what == RESTART:
        restart(s, number)
    elif what == BRANCH:
        branch(s, number)
    elif what == LOOK:
        return look(s, now_s)
    elif what == CANCEL:
        return int(cancel(s, number, now_s))
    elif what == SILENT:
        return int(silent(s, number, now_s))
    elif what == CLOSE:
        close(s, now_s)
    return REACHED


@compiled
def serve(s: State, end: int, until_s: float) -> int:
    """Take the arrivals before row `end` and before `until_s`, and give up on what takes too long.

    Returns:
        REACHED; LOST when `losses` must be emptied first; FULL when there is no free slot.
    """
    fleet = s.fleet[0]
    while True:
        index = fleet.next_arrival
        at_s = s.arrival_s[index] if index < end else inf
        if min(at_s, fleet.watch_s) >= until_s:
            return REACHED
        if fleet.losses == s.settings[0].losses:
            return LOST
        if fleet.watch_s <= at_s:
            _expire(s, fleet.watch_s)
        elif fleet.free_slot == NONE:
            return FULL
        else:
            fleet.next_arrival += 1
            _route(s, index, at_s)


@compiled
def offer(s: State, index: int, now_s: float, since_s: float) -> int:
    """Take one request now, whether there is room for it or not; it has waited since an earlier moment.

    Returns:
        REACHED, and the request is taken or among the `losses`; LOST or FULL when it is not, see `serve`.
    """
    fleet = s.fleet[0]
    if fleet.losses == s.settings[0].losses:
        return LOST
    if fleet.free_slot == NONE:
        return FULL
    send(s, pick(s, index, now_s), index, now_s, since_s)
    return REACHED


@compiled
def room(s: State, index: int, now_s: float, share: float) -> bool:
    """Whether a request could start now if only this share of the cluster were to be used."""
    r = pick(s, index, now_s)
    return has_room(s, r, int(s.prompt_tokens[index]), int(s.max_tokens[index]), share)


@compiled
def expire(s: State, now_s: float) -> None:
    """Give up on what has waited too long by now; where that fills `losses`, `watch_s` remains due."""
    while s.fleet[0].watch_s <= now_s and s.fleet[0].losses < s.settings[0].losses:
        _expire(s, s.fleet[0].watch_s)


@compiled
def next_watch_s(s: State, now_s: float) -> float:
    """When the next request may have waited too long, where none has by now; NaN where one has."""
    look_at(s, now_s)
    first = s.fleet[0].first_active
    if first == NONE:
        return inf
    deadline_s = s.sequences[first].deadline_s
    return float(deadline_s) if deadline_s > now_s else nan


@compiled
def fail(s: State, r: int, now_s: float) -> int:
    """Lose everything a replica has; it takes nothing more until it is opened again.

    The engine stops at its next decision point, at most a step or two later.

    Returns:
        REACHED; LOST when `losses` must be emptied first.
    """
    publish(s, now_s)
    catch_up(s, r, now_s)
    s.replicas[r].closed = True
    slot = s.fleet[0].first_active
    while slot != NONE:
        following = s.sequences[slot].next_active
        if s.sequences[slot].replica == r:
            if s.fleet[0].losses == s.settings[0].losses:
                return LOST
            dismiss(s, slot)
            give_up(s, slot, now_s)
            _lose(s, s.sequences[slot].index, now_s, _FAULT, True)
        slot = following
    return REACHED


@compiled
def restart(s: State, r: int) -> None:
    """Open a closed replica whose requests are all gone; nothing it had cached is left."""
    catch_up(s, r, inf)
    rep = s.replicas[r]
    if not s.settings[0].kinds:
        take(s, r, rep.free)
    rep.free = rep.unhashed = s.settings[0].blocks
    rep.front_end_free_s = 0.0
    forget_sent(s, r)
    rep.slot_loras = rep.host_loras = 0
    for adapter in range(s.settings[0].loras):
        s.loras[r, adapter].in_slot = s.loras[r, adapter].in_host = False
    rep.closed = False


@compiled
def branch(s: State, number: int) -> None:
    """Other prefixes begin with this one: it is kept block by block from now on."""
    for r in range(s.settings[0].replicas):
        chain = number * s.settings[0].replicas + r
        if not s.chains[chain].by_block:
            keep_by_block(s, r, chain)


@compiled
def look(s: State, now_s: float) -> int:
    """Bring all replicas up to now; how many requests wait in them."""
    publish(s, now_s)
    waiting = 0
    for r in range(s.settings[0].replicas):
        catch_up(s, r, now_s)
        waiting += s.replicas[r].waiting + s.replicas[r].inbox
    return int(waiting)


@compiled
def pick_now(s: State, index: int, now_s: float) -> int:
    """The replica that a request would go to when all are brought up to now, or NONE."""
    look(s, now_s)
    return pick(s, index, now_s)


@compiled
def cancel(s: State, index: int, now_s: float) -> bool:
    """Give up on a request; whether it was still under way."""
    slot = s.fleet[0].first_active
    while slot != NONE:
        if s.sequences[slot].index == index:
            dismiss(s, slot)
            give_up(s, slot, now_s)
            return True
        slot = s.sequences[slot].next_active
    return False


@compiled
def silent(s: State, index: int, now_s: float) -> bool:
    """Whether a request is here and its client has had no token yet."""
    slot = s.fleet[0].first_active
    while slot != NONE:
        sequence = s.sequences[slot]
        if sequence.index == index:
            publish(s, now_s)
            catch_up(s, sequence.replica, now_s)
            return bool(sequence.active and not sequence.first_token_s + s.settings[0].output_s <= now_s)
        slot = sequence.next_active
    return False


@compiled
def close(s: State, horizon_s: float) -> None:
    """Integrate the levels up to the horizon, and stamp what is still under way."""
    for r in range(s.settings[0].replicas):
        close_replica(s, r, horizon_s)
    slot = s.fleet[0].first_active
    while slot != NONE:
        stamp(s, slot)
        slot = s.sequences[slot].next_active


def is_compiled() -> bool:
    """Whether `working` only has to load what an earlier process compiled."""
    return is_kept(work)


def working() -> Callable[[State, int, int, float, float], int]:
    """The machine code of `work`, compiled if need be."""
    made: Callable[[State, int, int, float, float], int] = machine_code(work, State, int64, int64, float64, float64)
    return made


@compiled
def has_room(s: State, r: int, prompt_tokens: int, max_tokens: int, share: float) -> bool:
    """Whether a request could start now on the replica it would go to without waiting for another to end.

    Without a limit on requests in flight, room means that the prompt and `max_tokens` of everything sent to it fit
    its KV blocks, and that `max_num_seqs` is not reached. Of either limit only a share may be used.
    """
    if r == NONE:
        return False
    settings, rep = s.settings[0], s.replicas[r]
    if settings.max_in_flight >= 0:
        return bool(s.fleet[0].in_flight < share * settings.max_in_flight)
    left = share * (settings.blocks * (1 if settings.kinds else settings.block_size)) - rep.reserved_tokens
    return bool(rep.load < share * settings.max_num_seqs and _reservation(s, prompt_tokens, max_tokens) <= left)


@compiled
def _route(s: State, index: int, now_s: float) -> None:
    """Send a request to the cluster while it has room, where it may go elsewhere."""
    prompt_tokens, max_tokens = int(s.prompt_tokens[index]), int(s.max_tokens[index])
    r = pick(s, index, now_s)
    overflows = s.settings[0].overflows and s.may_leave[s.workload[index]]
    if overflows and not has_room(s, r, prompt_tokens, max_tokens, 1.0):
        _lose(s, index, now_s, _CAPACITY, False)
    else:
        send(s, r, index, now_s, now_s)


@compiled
def send(s: State, r: int, index: int, now_s: float, since_s: float) -> None:
    """Send a request to a replica, which may refuse it."""
    s.backend[index] = s.settings[0].backend
    s.enqueued_s[index] = since_s
    if r == NONE:
        _lose(s, index, now_s, _FAULT, True)
        return
    count_sent(s, index, r)
    rep = s.replicas[r]
    if s.prompt_tokens[index] >= s.settings[0].max_model_len:
        _lose(s, index, now_s, _TOO_LONG, True)
    elif rep.waiting + rep.inbox >= s.settings[0].queue_limit:
        _lose(s, index, now_s, _CAPACITY, True)
    else:
        _take(s, r, index, now_s, since_s)


@compiled
def _take(s: State, r: int, index: int, now_s: float, since_s: float) -> None:
    settings, fleet = s.settings[0], s.fleet[0]
    slot = fleet.free_slot
    sequence = s.sequences[slot]
    fleet.free_slot = sequence.next
    prompt = int(s.prompt_tokens[index])
    output = min(int(s.output_tokens[index]), settings.max_model_len - prompt)
    sequence.index = index
    sequence.replica = r
    sequence.rank = s.rank[index]
    sequence.adapter = s.adapters[s.workload[index]]
    sequence.prompt_tokens = sequence.known_tokens = prompt
    sequence.total_tokens = prompt + output - 1
    thinking = int(s.thinking_tokens[index])
    sequence.thinking_tokens = thinking
    sequence.rest_tokens = 0
    if 0 < thinking < output - 1 and not settings.draft_tokens:
        sequence.rest_tokens = output - 1 - thinking
        sequence.total_tokens = prompt + thinking
    sequence.reserved_tokens = _reservation(s, prompt, int(s.max_tokens[index]))
    there_s = now_s + settings.network_s
    begins_s = max(there_s, s.replicas[r].front_end_free_s) if settings.serial_front_end else there_s
    sequence.ready_s = begins_s + settings.frontend_base_s + settings.frontend_per_prompt_token_s * prompt
    if settings.encodes:
        sequence.ready_s += s.image_front_s[s.workload[index]]
    s.replicas[r].front_end_free_s = sequence.ready_s
    sequence.deadline_s = since_s + settings.timeout_s
    sequence.scheduled_s = sequence.first_token_s = sequence.first_answer_s = nan
    sequence.computed_tokens = sequence.held_shared = sequence.shared_blocks = sequence.preemptions = 0
    sequence.cached_tokens = -1
    sequence.chain = sequence.resumable = NONE
    sequence.finishing = False
    sequence.settled_tokens = sequence.flying_tokens = 0
    if settings.draft_tokens:
        sequence.promised_tokens = sequence.drafted_tokens = sequence.stale_tokens = sequence.granted_tokens = 0
        sequence.verifications = sequence.held_blocks = sequence.hashed_tokens = 0
        sequence.partial = False
        sequence.visit += 1
    if s.prefix[index] >= 0 and settings.prefix_caching:
        sequence.chain = s.prefix[index] * settings.replicas + r
        sequence.shared_blocks = max(0, min(int(s.prefix_tokens[index]), prompt + output) - settings.hash_lookahead)
        sequence.shared_blocks //= settings.block_size
    enlist(s, slot)
    submit(s, r, slot)
    if fleet.watch_s == inf:
        fleet.watch_s = sequence.deadline_s


@compiled
def _reservation(s: State, prompt_tokens: int, max_tokens: int) -> int:
    """Tokens of its own, or the blocks that they hold of groups."""
    tokens = min(prompt_tokens + max_tokens, s.settings[0].max_model_len)
    return most_blocks(s, tokens) if s.settings[0].kinds else int(tokens)


@compiled
def _expire(s: State, now_s: float) -> None:
    """The oldest deadline: all are equally long, so watching for one at a time is enough."""
    fleet = s.fleet[0]
    look_at(s, now_s)
    while fleet.first_active != NONE and fleet.losses < s.settings[0].losses:
        slot = fleet.first_active
        if s.sequences[slot].deadline_s > now_s:
            break
        dismiss(s, slot)
        give_up(s, slot, now_s)
        _lose(s, s.sequences[slot].index, now_s, _TIMEOUT, True)
    first = fleet.first_active
    fleet.watch_s = inf if first == NONE else max(now_s, s.sequences[first].deadline_s)


@compiled
def _lose(s: State, index: int, now_s: float, reason: int, sent: bool) -> None:
    fleet = s.fleet[0]
    loss = s.losses[fleet.losses]
    fleet.losses += 1
    loss.at_s = now_s
    loss.index = index
    loss.reason = reason
    loss.sent = sent
