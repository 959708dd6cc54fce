"""One vLLM engine on one tensor-parallel group: its clock, its input queue, its steps.

The engine core takes in what has arrived, schedules a step, hands it to the GPU, and takes out the tokens of the
step that ended. Under asynchronous scheduling it schedules one step ahead while another runs, so an arrival waits
for both (vLLM 0.33, `v1/engine/core.py`). The moments at which it schedules are *decision points*. Between two
changes of the batch every point looks alike; the replica skips them, and a closed form gives the time of the next
one that matters. An arrival or an abort brings it forward.

Nothing outside can tell when a replica does its sums, only what they say. So it keeps no timers: whoever looks at it,
or gives it something, first has it catch up with the clock.
"""

from __future__ import annotations

from math import ceil, inf, isnan, sqrt
from typing import TYPE_CHECKING

from simulator.engine.vllm import kv_groups, waiting
from simulator.engine.vllm.adapters import decodes_s, step_added_s
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.decoding import decode_blocks, goes_on, next_end, pop_ended
from simulator.engine.vllm.drafts import depart, land, schedule_drafted
from simulator.engine.vllm.monitor import busy, hold, waited
from simulator.engine.vllm.scheduler import abort, advance, complete, quiet_steps, schedule
from simulator.engine.vllm.stamps import aborted, finished
from simulator.engine.vllm.state import GONE, NONE
from simulator.engine.vllm.step import step_s

if TYPE_CHECKING:
    from simulator.engine.vllm.state import State


@compiled
def submit(s: State, r: int, slot: int) -> None:
    """Take a request that reaches the engine core when it is ready, now or later."""
    waiting.post(s, r, slot)
    _notice(s, r, s.sequences[slot].ready_s)


@compiled
def give_up(s: State, slot: int, now_s: float) -> None:
    """Drop a request at the next decision point, unless it finishes before."""
    r = s.sequences[slot].replica
    rep = s.replicas[r]
    s.sequences[slot].next_abort = NONE
    if rep.last_abort == NONE:
        rep.first_abort = slot
    else:
        s.sequences[rep.last_abort].next_abort = slot
    rep.last_abort = slot
    _notice(s, r, now_s)


@compiled
def catch_up(s: State, r: int, now_s: float) -> None:
    """Pass all decision points up to now."""
    rep = s.replicas[r]
    while rep.due_s <= now_s and rep.due_s < inf:
        rep.due_s = _decide(s, r, rep.due_s)
    if rep.first_finishing != NONE and s.sequences[rep.first_finishing].end_s <= now_s:
        _settle(s, r)


@compiled
def close_replica(s: State, r: int, horizon_s: float) -> None:
    """Integrate up to the horizon, when the simulation has reached it."""
    rep = s.replicas[r]
    catch_up(s, r, horizon_s)
    if rep.planned:
        busy(s, r, rep.start_s, horizon_s)
        rep.steps += _step_at(s, r, horizon_s)
    hold(s, r, horizon_s, rep.held_running, rep.held_waiting, float(rep.held_blocks))


@compiled
def used_blocks(s: State, r: int, at_s: float) -> int:
    """KV blocks in use at a moment up to which it has caught up."""
    rep = s.replicas[r]
    steps = min(rep.planned, _step_at(s, r, at_s)) if rep.planned else 0
    gained = kv_groups.freed(s, r, steps) if s.settings[0].kinds else -decode_blocks(s, r, steps)
    return int(s.settings[0].blocks - rep.free - gained)


@compiled
def _notice(s: State, r: int, at_s: float) -> None:
    """Something happens at `at_s`: decide at the first decision point from then on."""
    rep = s.replicas[r]
    if rep.planned:
        steps = _step_at(s, r, at_s)
        if steps < rep.planned:
            rep.planned = steps
            rep.due_s = _point_s(s, r, steps)
    elif rep.idle and at_s < rep.due_s:
        rep.due_s = at_s


@compiled
def _run_s(s: State, r: int, steps: int) -> float:
    """Seconds of the first `steps` planned quiet steps: each adds a token of context to every sequence."""
    rep = s.replicas[r]
    return float(steps * (rep.base_s + 0.5 * rep.growth_s * (steps + 1)))


@compiled
def _point_s(s: State, r: int, steps: int) -> float:
    """Decision point after `steps` planned steps have been scheduled."""
    lag = 1 if s.settings[0].async_scheduling else 0
    return float(s.replicas[r].start_s + _run_s(s, r, steps - lag))


@compiled
def _step_at(s: State, r: int, at_s: float) -> int:
    """How many planned steps are scheduled before the first decision point at or after `at_s`; at least 1."""
    rep = s.replicas[r]
    wait_s = at_s - rep.start_s
    if wait_s <= 0.0:
        return 1
    linear, square = rep.base_s + 0.5 * rep.growth_s, 0.5 * rep.growth_s
    if square == 0.0:
        root = wait_s / linear
    else:
        root = 2.0 * wait_s / (linear + sqrt(linear * linear + 4.0 * square * wait_s))
    steps = int(ceil(root))
    # The root is exact to rounding; the points themselves decide.
    while steps > 0 and rep.start_s + _run_s(s, r, steps - 1) >= at_s:
        steps -= 1
    while rep.start_s + _run_s(s, r, steps) < at_s:
        steps += 1
    if s.settings[0].async_scheduling:
        steps += 1
    return max(steps, 1)


@compiled
def _decide(s: State, r: int, now_s: float) -> float:
    """One decision point; returns the time of the next."""
    rep = s.replicas[r]
    blocks = s.settings[0].blocks
    if rep.planned:
        _commit(s, r)
    hold(s, r, now_s, rep.held_running, rep.held_waiting, 0.5 * (rep.held_blocks + blocks - rep.free))
    if s.settings[0].draft_tokens:
        land(s, r, now_s)
    else:
        _take_out(s, r, now_s)
    _take_in(s, r, now_s)
    due_s = _plan(s, r, now_s)
    rep.held_running, rep.held_waiting, rep.held_blocks = rep.running, rep.waiting, blocks - rep.free
    return due_s


@compiled
def _settle(s: State, r: int) -> None:
    """Pass the first planned point alone: the last token that was in flight is out, and its blocks are free."""
    rep = s.replicas[r]
    blocks = s.settings[0].blocks
    start_s = rep.start_s
    next_s = start_s + _run_s(s, r, 1)
    advance(s, r, 1)
    rep.steps += 1
    busy(s, r, start_s, next_s)
    hold(s, r, start_s, rep.held_running, rep.held_waiting, 0.5 * (rep.held_blocks + blocks - rep.free))
    _take_out(s, r, start_s)
    rep.held_running, rep.held_blocks = rep.running, blocks - rep.free
    rep.start_s = next_s
    rep.base_s += rep.growth_s
    rep.planned -= 1


@compiled
def _commit(s: State, r: int) -> None:
    rep = s.replicas[r]
    if rep.first_finishing != NONE and rep.planned > 1:
        _settle(s, r)
    end_s = rep.start_s + _run_s(s, r, rep.planned)
    busy(s, r, rep.start_s, end_s)
    advance(s, r, rep.planned)
    while rep.decoding and next_end(s, r) <= rep.clock:
        slot = goes_on(s, r)
        if slot == NONE:
            _await_end(s, r, pop_ended(s, r), end_s)
        else:
            s.sequences[slot].first_answer_s = end_s
    rep.steps += rep.planned
    rep.gpu_free_s = end_s
    rep.planned = 0


@compiled
def _await_end(s: State, r: int, slot: int, end_s: float) -> None:
    """The last token of a sequence is in flight until `end_s`."""
    rep, sequence = s.replicas[r], s.sequences[slot]
    sequence.end_s = end_s
    sequence.finishing = True
    sequence.next_finishing = NONE
    if rep.last_finishing == NONE:
        rep.first_finishing = slot
    else:
        s.sequences[rep.last_finishing].next_finishing = slot
    rep.last_finishing = slot


@compiled
def _take_in(s: State, r: int, now_s: float) -> None:
    rep = s.replicas[r]
    while waiting.next_in_inbox(s, r) != NONE and s.sequences[waiting.next_in_inbox(s, r)].ready_s <= now_s:
        slot = waiting.next_in_inbox(s, r)
        waited(s, r, s.sequences[slot].ready_s, now_s)
        waiting.collect(s, r, slot)
        waiting.push(s, r, slot)
    slot = rep.first_abort
    rep.first_abort = rep.last_abort = NONE
    while slot != NONE:
        following = s.sequences[slot].next_abort
        if s.sequences[slot].place != GONE:
            tokens = abort(s, r, slot)
            aborted(s, slot, tokens)
        else:
            aborted(s, slot, 0)
        slot = following


@compiled
def _take_out(s: State, r: int, now_s: float) -> None:
    rep = s.replicas[r]
    while rep.first_finishing != NONE and s.sequences[rep.first_finishing].end_s <= now_s:
        slot = rep.first_finishing
        sequence = s.sequences[slot]
        rep.first_finishing = sequence.next_finishing
        if rep.first_finishing == NONE:
            rep.last_finishing = NONE
        if sequence.place != GONE:
            complete(s, r, slot)
        finished(s, slot)


@compiled
def _plan(s: State, r: int, now_s: float) -> float:
    """Schedule one step, or a run of quiet ones; returns the next decision point."""
    rep = s.replicas[r]
    start_s = max(now_s + s.settings[0].launch_s, rep.gpu_free_s)
    rep.idle = False
    steps = 0 if s.settings[0].draft_tokens else quiet_steps(s, r)
    if not steps:
        return _plan_one(s, r, now_s, start_s)
    # A last token in flight frees a seat and blocks at the next point, for which somebody may wait.
    if rep.first_finishing != NONE and rep.waiting:
        steps = 1
    batch = s.batches[rep.decoding]
    rep.start_s = start_s
    rep.base_s = batch.decode_s + batch.decode_per_kv_token_s * rep.decode_kv_tokens
    rep.growth_s = batch.decode_per_kv_token_s * rep.decoding
    if batch.window_per_kv_token_s:
        # The run ends where the window is full: from there on it is another line.
        within = int((batch.window_kv_tokens - rep.decode_kv_tokens) // rep.decoding)
        if within > 0:
            steps = min(steps, within)
        else:
            rep.base_s -= batch.window_per_kv_token_s * (rep.decode_kv_tokens - batch.window_kv_tokens)
            rep.growth_s -= batch.window_per_kv_token_s * rep.decoding
    if s.settings[0].max_loras:
        rep.base_s += decodes_s(s, r)
    coming = waiting.next_in_inbox(s, r)
    if coming != NONE:
        steps = min(steps, _step_at(s, r, s.sequences[coming].ready_s))
    rep.planned = steps
    return _point_s(s, r, steps)


@compiled
def _plan_one(s: State, r: int, now_s: float, start_s: float) -> float:
    rep = s.replicas[r]
    behind_empty = rep.empty_in_flight
    rep.empty_in_flight = False
    rep.step_encoder_s = 0.0
    if s.settings[0].draft_tokens:
        schedule_drafted(s, r, now_s)
    else:
        schedule(s, r, now_s)
    if rep.step_decodes or rep.step_chunks:
        end_s = start_s + step_s(s, r)
        if s.settings[0].max_loras:
            end_s += step_added_s(s, r)
        if s.settings[0].encodes:
            end_s += rep.step_encoder_s
        if s.settings[0].draft_tokens:
            depart(s, r, end_s)
        rep.gpu_free_s = end_s
        busy(s, r, start_s, end_s)
        rep.steps += 1
        _stamp_step(s, r, end_s)
        if behind_empty:
            # The empty step ahead of it is over at once, so that the next one is scheduled in the same breath.
            return now_s
        return float(start_s if s.settings[0].async_scheduling else end_s)
    if rep.gpu_free_s > now_s:
        # vLLM queues a step in which nothing runs behind the one in flight.
        rep.empty_in_flight = s.settings[0].async_scheduling
        return float(rep.gpu_free_s)
    if rep.step_preempted:
        return now_s
    if rep.waiting:
        raise AssertionError("a waiting sequence fits no empty replica: max_model_len was not checked")
    rep.idle = True
    coming = waiting.next_in_inbox(s, r)
    return float(s.sequences[coming].ready_s if coming != NONE else inf)


@compiled
def _stamp_step(s: State, r: int, end_s: float) -> None:
    rep = s.replicas[r]
    slot = rep.first_sampled
    rep.first_sampled = NONE
    while slot != NONE:
        if isnan(s.sequences[slot].first_token_s):
            s.sequences[slot].first_token_s = end_s
        else:
            s.sequences[slot].first_answer_s = end_s
        slot = s.sequences[slot].next_sampled
    slot = rep.first_finished
    rep.first_finished = rep.last_finished = NONE
    while slot != NONE:
        following = s.sequences[slot].next_finishing
        _await_end(s, r, slot, end_s)
        slot = following
