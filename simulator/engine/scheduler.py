"""Which sequences the next engine step computes: vLLM's scheduling rules, without time.

The rules are those of vLLM 0.33 (`v1/core/sched/scheduler.py`): running sequences first, in order of admission;
then waiting ones while the token budget, `max_num_seqs` and the KV blocks allow, stopping at the first that does
not fit; preemption by recomputation when a running sequence finds no block.

What makes a month affordable is that decoding sequences differ only in when they end. They are not visited at
each step: a *decode clock* counts the steps they have all taken, a heap says which ends next, and `block_size`
counters say how many cross a block boundary at each tick. So a run of steps between two changes costs the same
as one step, whatever its length and batch. `simulator.engine.stepwise` states the same rules step by step and
must agree.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from simulator.engine.kv_cache import KvCache
from simulator.engine.step import Step
from simulator.engine.waiting import WaitingQueue, waiting_queue

if TYPE_CHECKING:
    from simulator.engine.sequence import Sequence
    from simulator.scenario.patterns import EngineSettings


def _last_in_line(sequence: Sequence) -> tuple[int, float]:
    """Among equals vLLM takes the first in the running list, as `max` does."""
    return sequence.priority, sequence.ready_s


class Scheduler:
    """The state of one replica between steps.

    Attributes:
        kv: Its KV blocks.
        waiting: Sequences not admitted, or preempted.
        decoding: Sequences that compute one token in each step, with no order.
        prefilling: Sequences with prompt tokens left to compute, in order of admission.
        draining: Sequences whose last token is in flight; they hold their blocks until it is out.
        decode_kv_tokens: Context of all decoding sequences.
        running: Sequences that count towards `max_num_seqs`: the three kinds above.
        preemptions: Preemptions so far.
    """

    __slots__ = (
        "_boundaries",
        "_clock",
        "_ends",
        "_in_flight_lag",
        "_next_order",
        "_priority",
        "_settings",
        "_watermark",
        "decode_kv_tokens",
        "decoding",
        "draining",
        "kv",
        "preemptions",
        "prefilling",
        "running",
        "waiting",
    )  # fmt: skip

    def __init__(self, settings: EngineSettings, num_gpu_blocks: int) -> None:
        self._settings = settings
        self.kv = KvCache(num_gpu_blocks, settings.block_size, prefix_caching=settings.prefix_caching)
        self.waiting: WaitingQueue = waiting_queue(settings.policy)
        self._watermark = int(settings.watermark * num_gpu_blocks)
        self._priority = settings.policy == "priority"
        self.decoding: dict[Sequence, None] = {}
        self.prefilling: list[Sequence] = []
        self.draining: dict[Sequence, None] = {}
        self.decode_kv_tokens = 0
        self.running = 0
        self.preemptions = 0
        self._clock = 0
        self._ends: list[tuple[int, int, Sequence]] = []
        self._boundaries = [0] * settings.block_size
        self._next_order = 0
        # Under asynchronous scheduling the newest token of a sequence is still in flight when the next step is made.
        self._in_flight_lag = 1 if settings.async_scheduling else 0

    def quiet_steps(self) -> int:
        """How many coming steps decode the same sequences and change nothing else; 0 when the next one does."""
        if self.prefilling or not self.decoding:
            return 0
        if self.waiting.size and self._admissible():
            return 0
        ends, decoding = self._ends, self.decoding
        while (top := ends[0])[2] not in decoding or top[2].end_clock != top[0]:
            heappop(ends)
        steps = top[0] - self._clock
        free = self.kv.free
        # Each sequence takes at most one block per `block_size` steps and one more.
        if len(decoding) * (steps // self._settings.block_size + 1) > free and self._decode_blocks(steps) > free:
            return self._steps_within(free)
        return steps

    def advance(self, steps: int) -> list[Sequence]:
        """Take `steps` quiet steps; returns the sequences whose last token the final one samples."""
        blocks = self._decode_blocks(steps)
        if blocks:
            self.kv.take(blocks)
        self._clock += steps
        self.decode_kv_tokens += steps * len(self.decoding)
        return self._ended() if self._ends[0][0] <= self._clock else []

    def schedule(self) -> Step:
        """Make the next step by the full rules."""
        step = Step()
        budget = self._advance_running(step)
        if budget is None:
            budget = self._advance_in_order(step)
        if self._ends and self._ends[0][0] <= self._clock:
            step.finished += self._ended()
            # Blocks are freed in the order of the running list, which is that of eviction later.
            step.finished.sort(key=lambda sequence: sequence.order)
        if not step.preempted and self.waiting.size:
            self._admit(step, budget)
        return step

    def complete(self, sequence: Sequence) -> None:
        """The last token of a sequence is out: free its blocks."""
        if sequence in self.draining:
            del self.draining[sequence]
            self.running -= 1
            total = sequence.total_tokens
            self.kv.release(sequence, total, total, resumable=False)
        else:
            # It was preempted with its last token in flight.
            self.waiting.forget(sequence)

    def abort(self, sequence: Sequence) -> int:
        """Drop a sequence wherever it is; returns the tokens computed for it."""
        tokens = self._computed(sequence)
        if sequence in self.decoding:
            self._leave_decoding(sequence)
        elif sequence in self.draining:
            del self.draining[sequence]
        elif sequence in self.prefilling:
            self.prefilling.remove(sequence)
        else:
            self.waiting.forget(sequence)
            return tokens
        self.running -= 1
        self.kv.release(sequence, tokens, self._hashed(sequence, tokens), resumable=False)
        sequence.gone = True
        return tokens

    def _computed(self, sequence: Sequence) -> int:
        if sequence in self.decoding:
            return sequence.total_tokens - (sequence.end_clock - self._clock)
        return sequence.total_tokens if sequence in self.draining else sequence.computed_tokens

    def _hashed(self, sequence: Sequence, tokens: int) -> int:
        """Tokens whose blocks vLLM has hashed: those whose identity it knows."""
        return min(tokens, max(sequence.known_tokens, tokens - self._in_flight_lag))

    def _residue(self, sequence: Sequence) -> int:
        """Decode clock, modulo the block size, at which it needs a new block."""
        return (sequence.end_clock - sequence.total_tokens) % self._settings.block_size

    def _decode_blocks(self, steps: int) -> int:
        size = self._settings.block_size
        rounds, rest = divmod(steps, size)
        need = rounds * len(self.decoding)
        if rest:
            first = self._clock % size
            last = first + rest
            boundaries = self._boundaries
            need += sum(boundaries[first:last])
            if last > size:
                need += sum(boundaries[: last - size])
        return need

    def _steps_within(self, blocks: int) -> int:
        """Most quiet steps that need no more than `blocks`."""
        size = self._settings.block_size
        rounds, blocks = divmod(blocks, len(self.decoding))
        steps = rounds * size
        tick = self._clock
        while (need := self._boundaries[tick % size]) <= blocks:
            blocks -= need
            steps += 1
            tick += 1
        return steps

    def _ended(self) -> list[Sequence]:
        ends, decoding, clock = self._ends, self.decoding, self._clock
        finished = []
        while ends and ends[0][0] <= clock:
            end, _, sequence = heappop(ends)
            if sequence in decoding and sequence.end_clock == end:
                self._leave_decoding(sequence)
                self.draining[sequence] = None
                finished.append(sequence)
        return finished

    def _join_decoding(self, sequence: Sequence) -> None:
        computed = sequence.computed_tokens
        sequence.end_clock = self._clock + sequence.total_tokens - computed
        self.decoding[sequence] = None
        self.decode_kv_tokens += computed
        self._boundaries[self._residue(sequence)] += 1
        heappush(self._ends, (sequence.end_clock, sequence.order, sequence))

    def _leave_decoding(self, sequence: Sequence) -> None:
        self.decode_kv_tokens -= sequence.total_tokens - (sequence.end_clock - self._clock)
        self._boundaries[self._residue(sequence)] -= 1
        del self.decoding[sequence]

    def _chunk(self, sequence: Sequence, computed: int, budget: int) -> int:
        tokens = sequence.known_tokens - computed
        threshold = self._settings.long_prefill_token_threshold
        if 0 < threshold < tokens and self.running + self.waiting.size > 1:
            tokens = threshold
        return min(tokens, budget)

    def _prompt_computed(self, sequence: Sequence, tokens: int, step: Step) -> None:
        """Account for a chunk; at the end of the prompt the sequence starts to decode, or is done."""
        done = sequence.computed_tokens
        if tokens == 1 and done >= sequence.prompt_tokens:
            # The last token to recompute after a preemption is a decode like any other.
            step.decodes += 1
            step.kv_tokens += done + 1
        else:
            step.chunks.append((tokens, done))
        sequence.computed_tokens = done + tokens
        if sequence.computed_tokens < sequence.known_tokens:
            self.prefilling.append(sequence)
            return
        step.sampled.append(sequence)
        if sequence.computed_tokens == sequence.total_tokens:
            self.draining[sequence] = None
            step.finished.append(sequence)
        else:
            self._join_decoding(sequence)

    def _advance_running(self, step: Step) -> int | None:
        """Give every running sequence its tokens; None when they compete for the budget or for blocks."""
        budget = self._settings.max_num_batched_tokens - len(self.decoding)
        need = self._boundaries[self._clock % self._settings.block_size]
        prefilling = self.prefilling
        chunks = []
        if prefilling:
            wanted = [self._chunk(sequence, sequence.computed_tokens, 1 << 30) for sequence in prefilling]
            if sum(wanted) > budget:
                # Only a sole prompt behind all others in order takes what the budget leaves.
                if len(prefilling) > 1 or prefilling[0].order != self._next_order - 1:
                    return None
                wanted = [budget]
            size = self._settings.block_size
            for sequence, tokens in zip(prefilling, wanted, strict=True):
                done = sequence.computed_tokens
                blocks = -(-(done + tokens) // size) - -(-done // size)
                chunks.append((sequence, tokens, blocks))
                need += blocks
        if need > self.kv.free:
            return None
        if need:
            self.kv.take(need)
        self._tick(step, len(self.decoding))
        self.prefilling = []
        for sequence, tokens, _ in chunks:
            budget -= tokens
            self.kv.computed(sequence, sequence.computed_tokens + tokens)
            self._prompt_computed(sequence, tokens, step)
        return budget

    def _tick(self, step: Step, decodes: int) -> None:
        self._clock += 1
        self.decode_kv_tokens += len(self.decoding)
        step.decodes = decodes
        step.kv_tokens = self.decode_kv_tokens

    def _advance_in_order(self, step: Step) -> int:
        """vLLM's loop over the running list, for when order decides who gets tokens and blocks."""
        size = self._settings.block_size
        budget = self._settings.max_num_batched_tokens
        running = sorted([*self.decoding, *self.prefilling, *self.draining], key=lambda s: s.order)
        scheduled: dict[Sequence, int] = {}
        index = 0
        while index < len(running) and budget > 0:
            sequence = running[index]
            if sequence in self.decoding:
                tokens = 1
            elif sequence in self.draining:
                tokens = 0
            else:
                tokens = self._chunk(sequence, sequence.computed_tokens, budget)
            if tokens == 0:
                index += 1
                continue
            done = self._computed(sequence)
            need = -(-(done + tokens) // size) - -(-done // size)
            while need > self.kv.free:
                victim = max(running, key=_last_in_line) if self._priority else running[-1]
                place = running.index(victim)
                del running[place]
                if place < index:
                    index -= 1
                tokens_back = scheduled.pop(victim, 0)
                budget += tokens_back
                self._preempt(victim, tokens_back, step)
                if victim is sequence:
                    break
            else:
                self.kv.take(need)
                self.kv.computed(sequence, done + tokens)
                scheduled[sequence] = tokens
                budget -= tokens
                index += 1
                continue
            # It was its own victim: those behind it have more priority and may still fit; else it was the last.
            if not self._priority:
                break
        self._commit_in_order(step, scheduled)
        return budget

    def _commit_in_order(self, step: Step, scheduled: dict[Sequence, int]) -> None:
        stalled = [sequence for sequence in self.decoding if sequence not in scheduled]
        for sequence in stalled:
            self._leave_decoding(sequence)
        self._tick(step, len(self.decoding))
        prefilling, self.prefilling = self.prefilling, []
        for sequence in prefilling:
            if sequence in scheduled:
                self._prompt_computed(sequence, scheduled[sequence], step)
            else:
                self.prefilling.append(sequence)
        for sequence in stalled:
            sequence.computed_tokens = sequence.total_tokens - (sequence.end_clock - self._clock + 1)
            self._join_decoding(sequence)

    def _preempt(self, victim: Sequence, scheduled_tokens: int, step: Step) -> None:
        """Free a victim's blocks and put it back in the queue; its tokens are recomputed when it returns."""
        tokens = self._computed(victim)
        # vLLM hashes blocks when it schedules them, and does not take that back.
        hashed = self._hashed(victim, tokens + scheduled_tokens)
        self.kv.release(victim, tokens + scheduled_tokens, hashed, resumable=True)
        if victim in self.decoding:
            self._leave_decoding(victim)
            victim.known_tokens = tokens + 1
        elif victim in self.draining:
            del self.draining[victim]
            victim.known_tokens = tokens + 1
        else:
            self.prefilling.remove(victim)
        self.running -= 1
        victim.computed_tokens = 0
        victim.preemptions += 1
        self.preemptions += 1
        step.preempted.append(victim)
        self.waiting.push_back(victim)

    def _fits(self, sequence: Sequence, budget: int) -> int | None:
        """Blocks of a waiting sequence found in the cache, or None when there is no room for the rest.

        vLLM asks for room for the whole known sequence, though it takes only the first chunk's blocks.
        """
        hit = self.kv.hit_blocks(sequence)
        cached = hit * self._settings.block_size
        chunk = self._chunk(sequence, cached, 1 << 30)
        if chunk > budget and not self._settings.chunked_prefill:
            return None
        tokens = sequence.known_tokens if self._settings.reserve_full_isl else cached + min(chunk, budget)
        needed = self.kv.blocks_short(sequence, hit, tokens) + (self._watermark if self.running else 0)
        return None if needed > self.kv.free else hit

    def _admissible(self) -> bool:
        if self.running >= self._settings.max_num_seqs:
            return False
        head = self.waiting.head()
        budget = self._settings.max_num_batched_tokens - len(self.decoding)
        return head is not None and budget > 0 and self._fits(head, budget) is not None

    def _admit(self, step: Step, budget: int) -> None:
        while budget > 0 and self.running < self._settings.max_num_seqs:
            sequence = self.waiting.head()
            if sequence is None:
                return
            hit = self._fits(sequence, budget)
            if hit is None:
                return
            cached = hit * self._settings.block_size
            tokens = self._chunk(sequence, cached, budget)
            self.waiting.pop()
            self.running += 1
            self.kv.admit(sequence, hit, cached + tokens)
            if sequence.cached_tokens < 0:
                sequence.cached_tokens = cached
            sequence.computed_tokens = cached
            sequence.order = self._next_order
            self._next_order += 1
            step.admitted.append(sequence)
            self._prompt_computed(sequence, tokens, step)
            budget -= tokens
