"""The reference replica: the same rules as `replica` and `scheduler`, one step and one block at a time.

Slow and plain on purpose: it visits every sequence in every step and keeps every KV block as an object with its
own hash, as vLLM 0.33 does. A `Fleet` must give the same times, preemptions and blocks; a property test says so.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from math import isnan
from typing import TYPE_CHECKING

from simulator.engine.vllm.acceptance import accepted
from simulator.engine.vllm.block_tables import BlockTables, Hit
from simulator.engine.vllm.sequence import Item, Request, Step, StepReport
from simulator.engine.vllm.stepwise_adapters import StepwiseAdapters
from simulator.performance.kv_groups import KvGroup
from simulator.performance.lora import FREE, LoraCost

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable

    import simpy

    from simulator.engine.vllm.sequence import Sequence
    from simulator.performance.step_time import StepTimeModel
    from simulator.scenario.patterns import EngineSettings


def _last_in_line(request: Request) -> tuple[int, float]:
    return request.sequence.priority, request.sequence.ready_s


class StepwiseReplica:
    """Behaves as a replica of a `Fleet`, but as a SimPy process that wakes at every step, and without levels.

    `on_step` is called with what each step did; `groups` say what layers keep, where not all keep everything.
    """

    def __init__(
        self,
        env: simpy.Environment,
        settings: EngineSettings,
        num_gpu_blocks: int,
        step_time: StepTimeModel,
        on_finish: Callable[[Sequence, float], None],
        on_abort: Callable[[Sequence, int], None],
        on_step: Callable[[StepReport], None] | None = None,
        launch_s: float = 0.0,
        groups: tuple[KvGroup, ...] = (),
        lora: LoraCost = FREE,
    ) -> None:
        self._adapters = StepwiseAdapters(settings.lora, lora)
        groups = groups or (KvGroup("full", settings.block_size),)
        in_flight = settings.max_num_batched_tokens * (2 if settings.async_scheduling else 1)
        self._blocks = BlockTables(num_gpu_blocks - 1, groups, in_flight, settings.max_model_len)
        self.pool = self._blocks.pool
        self.steps = 0
        self.preemptions = 0
        self._env = env
        self._settings = settings
        self._step_time = step_time
        self._on_finish = on_finish
        self._on_abort = on_abort
        self._on_step = on_step
        self._launch_s = launch_s
        self._items: list[tuple[int, int, int]] = []
        self._preempted: list[int] = []
        self._beside_part = False
        drafts = settings.speculative
        self._drafts = 0 if drafts is None else drafts.num_speculative_tokens
        self._lookahead = 0 if drafts is None else drafts.lookahead_tokens
        self._slots = 0 if drafts is None else drafts.slots
        self._hashed = 0 if drafts is None or not settings.prefix_caching else drafts.hash_lookahead_tokens
        self._inbox: list[Sequence] = []
        self._aborts: list[Sequence] = []
        self._waiting: list[Request] = []
        self._running: list[Request] = []
        self._ended = False
        self._alone = 0
        self._news = env.event()
        env.process(self._serve())

    @property
    def waiting(self) -> int:
        """Requests taken and not admitted to the running batch."""
        return len(self._waiting) + len(self._inbox)

    @property
    def queued(self) -> int:
        """Requests in the engine core's own queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests in the running batch."""
        return len(self._running)

    def submit(self, sequence: Sequence) -> None:
        """Take a request that reaches the engine core at `sequence.ready_s`, now or later."""
        self._inbox.append(sequence)
        self._inbox.sort(key=lambda waiting: waiting.ready_s)
        self._tell()

    def abort(self, sequence: Sequence) -> None:
        """Drop a request at the next decision point, unless it finishes before."""
        self._aborts.append(sequence)
        self._tell()

    def _tell(self) -> None:
        if not self._news.triggered:
            self._news.succeed()

    def _serve(self) -> Generator[simpy.Event, object, None]:
        env = self._env
        depth = 2 if self._settings.async_scheduling else 1
        in_flight: deque[Step] = deque()
        gpu_free_s = 0.0
        while True:
            self._take_in()
            # vLLM's `has_requests`: those that ended, or were aborted, since the last step are still to be told of.
            has_requests = bool(self._running or self._waiting) or self._ended
            if not (in_flight or has_requests):
                self._news = env.event()
                if self._inbox:
                    yield env.any_of([self._news, env.timeout(self._inbox[0].ready_s - env.now)])
                else:
                    yield self._news
                continue
            if has_requests:
                self._ended = False
                duration_s, items = self._schedule()
                if self._waiting and not (items or in_flight or self._preempted or self._running):
                    raise AssertionError("a waiting sequence fits no empty replica: max_model_len was not checked")
                start_s = max(env.now + self._launch_s, gpu_free_s) if items else gpu_free_s
                gpu_free_s = start_s + duration_s
                if duration_s and self._on_step is not None:
                    self._report(self._on_step, start_s, gpu_free_s)
                for item in items:
                    if item.samples and isnan(item.request.sequence.first_token_s):
                        item.request.sequence.first_token_s = gpu_free_s
                in_flight.append(Step(gpu_free_s, items))
                if duration_s and len(in_flight) < depth and in_flight[0].end_s > env.now:
                    yield env.timeout(self._launch_s)
                    continue
            step = in_flight.popleft()
            if step.end_s > env.now:
                yield env.timeout(step.end_s - env.now)
            self._take_out(step)

    def _report(self, on_step: Callable[[StepReport], None], start_s: float, end_s: float) -> None:
        used = self.pool.blocks - len(self.pool.free)
        running, waiting = len(self._running), len(self._waiting)
        on_step(StepReport(self._env.now, start_s, end_s, self._items, self._preempted, running, waiting, used))

    def _take_in(self) -> None:
        # A timer that rounds down may fire a hair before the moment it was set for.
        now_s = self._env.now * (1 + 1e-15)
        while self._inbox and self._inbox[0].ready_s <= now_s:
            self._queue(Request(self._inbox.pop(0)), front=False)
        for sequence in self._aborts:
            self._drop(sequence)
        self._aborts = []

    def _queue(self, request: Request, *, front: bool) -> None:
        self._waiting.insert(0 if front else len(self._waiting), request)
        if self._settings.policy == "priority":
            self._waiting.sort(key=lambda waiting: waiting.sequence)

    def _drop(self, sequence: Sequence) -> None:
        if sequence in self._inbox:
            self._inbox.remove(sequence)
            self._on_abort(sequence, 0)
            return
        for queue in (self._running, self._waiting):
            for request in queue:
                if request.sequence is sequence:
                    queue.remove(request)
                    self._blocks.release(request.tables)
                    self._on_abort(sequence, request.computed)
                    request.gone = self._ended = True
                    return

    def _take_out(self, step: Step) -> None:
        for item in step.items:
            request = item.request
            request.in_flight -= item.tokens
            stale = request.stale > 0
            request.stale -= item.tokens if stale else 0
            if not item.samples or request.gone:
                continue
            self._take_tokens(item, stale, step.end_s)
            if request.returned == request.sequence.output_tokens:
                request.gone = self._ended = True
                if request in self._running:
                    self._running.remove(request)
                    self._blocks.release(request.tables)
                else:
                    self._waiting.remove(request)
                self._on_finish(request.sequence, step.end_s)

    def _take_tokens(self, item: Item, stale: bool, end_s: float) -> None:
        """A request gets the tokens that a step sampled, and gives back what was rejected."""
        request, kept = item.request, self._kept(item)
        extra = max(0, request.returned + 1 + kept - request.sequence.output_tokens)
        request.steps -= 1
        request.returns(1 + kept - extra, end_s)
        if not stale:
            request.promised -= 1 + item.drafts
            request.computed -= item.drafts - kept + extra
            if not self._settings.async_scheduling:
                request.drafts = self._drafts
        if request.computed:
            self._remember(request, min(request.computed - request.in_flight, request.known - 1))

    def _kept(self, item: Item) -> int:
        """Drafts that a step was right to verify."""
        drafts = self._settings.speculative
        if drafts is None or not item.drafts or item.padded:
            return 0
        request = item.request
        request.verified += 1
        return min(item.drafts, accepted(drafts.acceptance_rates, request.sequence.stream, request.verified - 1))

    def _content(self, request: Request, block: int) -> Hashable:
        sequence = request.sequence
        if sequence.prefix is not None and block < sequence.shared_blocks:
            prefix = next((one for one, blocks in sequence.outer if block < blocks), sequence.prefix)
            return (prefix, sequence.adapter), block
        return (sequence.index, block, "own")

    def _remember(self, request: Request, tokens: int) -> None:
        if self._settings.prefix_caching:
            tokens = min(tokens, request.known - self._hashed)
            self._blocks.remember(request.tables, partial(self._content, request), tokens)

    def _allocate(self, request: Request, tokens: int) -> bool:
        self._blocks.leave_behind(request.tables, max(0, request.computed - request.in_flight))
        if not self._blocks.extend(request.tables, self._room(request.computed + tokens)):
            return False
        self._remember(request, min(request.computed + tokens, request.known))
        return True

    def _room(self, tokens: int) -> int:
        """Tokens for which there must be blocks when so many are computed."""
        return min(tokens + self._lookahead, self._settings.max_model_len)

    def _schedule(self) -> tuple[float, list[Item]]:
        scheduled: dict[Request, int] = {}
        padded: set[Request] = set()
        self._preempted = []
        budget = self._settings.max_num_batched_tokens
        budget, preempted = self._schedule_running(scheduled, budget)
        if not preempted:
            self._schedule_waiting(scheduled, budget, padded)
        if not scheduled:
            return 0.0, []
        self.steps += 1
        self._items = [(request.sequence.index, tokens, request.computed) for request, tokens in scheduled.items()]
        items = [self._start(request, tokens, request in padded) for request, tokens in scheduled.items()]
        return self._duration_s(items), items

    def _start(self, request: Request, tokens: int, padded: bool) -> Item:
        """A step computes these tokens of a request."""
        before = request.computed
        request.computed += tokens
        request.in_flight += tokens
        drafts = self._drafts if padded else min(request.drafts, max(0, request.computed - request.tokens))
        request.drafts = 0
        request.part = request.computed < request.tokens
        samples = not request.part
        if samples:
            self._alone = 0
            request.promised += 1 + drafts
            request.steps += 1
            if self._settings.async_scheduling:
                request.drafts = self._drafts
        return Item(request, tokens, before, drafts, samples, padded)

    def _duration_s(self, items: list[Item]) -> float:
        decodes = kv_tokens = rows = 0
        chunks = []
        for item in items:
            if item.tokens <= 1 + self._drafts and item.before >= item.request.sequence.prompt_tokens:
                decodes += 1
                rows += item.tokens
                kv_tokens += item.before + item.tokens
            else:
                chunks.append((item.tokens, item.before))
        seconds = self._step_time.step_s(decodes, kv_tokens, chunks, rows - decodes)
        sampling = [item.before + item.tokens for item in items if item.samples]
        if self._settings.speculative is not None and sampling:
            further_s = (self._drafts - 1) * self._step_time.step_s(len(sampling), sum(sampling), [])
            seconds += self._settings.speculative.step_share * (seconds + further_s)
        return seconds + self._adapters.step_s({item.request.sequence: item.tokens for item in items})

    def _limit(self, wanted: int, budget: int) -> int:
        threshold = self._settings.long_prefill_token_threshold
        if 0 < threshold < wanted and len(self._running) + len(self._waiting) > 1:
            wanted = threshold
        return min(wanted, budget)

    def _schedule_running(self, scheduled: dict[Request, int], budget: int) -> tuple[int, bool]:
        running, index, preempted = self._running, 0, False
        self._beside_part = False
        while index < len(running) and budget > self._slots:
            request = running[index]
            tokens = self._limit(request.wanted, budget - self._slots)
            if self._drafts:
                tokens = min(tokens, self._settings.max_model_len - request.computed - 1)
            if tokens <= 0:
                index += 1
                continue
            while not self._allocate(request, tokens):
                preempted = True
                by_priority = self._settings.policy == "priority"
                victim = max(running, key=_last_in_line) if by_priority else running[-1]
                place = running.index(victim)
                del running[place]
                if by_priority and place < index:
                    index -= 1
                budget += scheduled.pop(victim) + self._slots if victim in scheduled else 0
                self._preempt(victim)
                if victim is request:
                    break
            else:
                self._beside_part |= request.part
                scheduled[request] = tokens
                budget -= tokens + self._slots
                index += 1
                continue
            # It was its own victim: those behind it have more priority and may still fit; else it was the last.
            if self._settings.policy != "priority":
                break
        return budget, preempted

    def _preempt(self, victim: Request) -> None:
        self.preemptions += 1
        self._preempted.append(victim.sequence.index)
        victim.sequence.preemptions += 1
        self._blocks.release(victim.tables)
        if self._drafts:
            victim.promised = victim.drafts = 0
            victim.stale = victim.in_flight
        victim.computed = 0
        self._queue(victim, front=True)
        self._alone += not self._running
        if self._alone > 2:
            raise AssertionError("a request that runs alone preempts itself for ever: it never fits its KV blocks")

    def _schedule_waiting(self, scheduled: dict[Request, int], budget: int, padded: set[Request]) -> None:
        beside, passed_over = bool(scheduled), 0
        while budget > self._slots and len(self._running) < self._settings.max_num_seqs:
            if passed_over == len(self._waiting):
                return
            request = self._waiting[passed_over]
            running = [one.sequence for one in self._running]
            if not self._adapters.may_start(request.sequence, running):
                passed_over += 1
                continue
            hit = self._hit(request)
            tokens, left = request.tokens - hit.tokens, budget - self._slots
            pads = self._pads(tokens, hit.tokens, beside)
            tokens = self._limit(tokens + self._drafts * pads, 1 << 30)
            if tokens > left and (pads or not self._settings.chunked_prefill):
                return
            tokens = min(tokens, left)
            need = self._blocks.short(hit, self._room(hit.tokens + tokens), capped=False)
            if self._settings.reserve_full_isl:
                need = max(need, self._blocks.short(hit, request.tokens, capped=True))
            spare = int(self._settings.watermark * (self.pool.blocks + 1)) if self._running else 0
            if need + spare > len(self.pool.free):
                return
            self._waiting.pop(passed_over)
            self._adapters.start(request.sequence, running)
            request.tables = self._blocks.reuse(hit)
            request.computed = hit.tokens
            if request.sequence.cached_tokens < 0:
                request.sequence.cached_tokens = request.computed
                request.sequence.scheduled_s = self._env.now
            self._allocate(request, tokens)
            self._running.append(request)
            scheduled[request] = tokens
            padded |= {request} if pads else set()
            budget -= tokens + self._slots

    def _pads(self, tokens: int, cached: int, beside: bool) -> bool:
        """Whether a newcomer that decodes at once gets empty drafts, so that all sequences compute as many tokens."""
        alike = bool(self._drafts) and tokens == 1 and not self._beside_part and (beside or cached > 0)
        return alike and cached + self._drafts + 2 <= self._settings.max_model_len

    def _hit(self, request: Request) -> Hit:
        if not self._settings.prefix_caching:
            return Hit(self._blocks.none(), 0)
        return self._blocks.hit(partial(self._content, request), request.tokens - 1)
