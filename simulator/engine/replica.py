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

from bisect import insort
from collections import deque
from math import ceil, inf, isnan, sqrt
from typing import TYPE_CHECKING

from simulator.engine.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.engine.monitor import LevelMeter
    from simulator.engine.record import ReplicaLevels
    from simulator.engine.sequence import Sequence
    from simulator.performance.step_time import StepTimeModel
    from simulator.scenario.patterns import EngineSettings


class Replica:
    """A replica; its owner calls `catch_up` with the simulation's time before anything else.

    Args:
        settings: vLLM's settings.
        num_gpu_blocks: KV blocks of the replica, the null block included.
        step_time: How long a step takes.
        meter: Where its levels are integrated.
        on_finish: Called with a sequence and the time at which its last token left the engine.
        on_abort: Called with an aborted sequence and the tokens computed for it in vain.
        launch_s: Host time between scheduling a step and its start, which under asynchronous scheduling hides
            behind the step before; no longer than a step. A synchronous engine pays it in its step time.
    """

    def __init__(
        self,
        settings: EngineSettings,
        num_gpu_blocks: int,
        step_time: StepTimeModel,
        meter: LevelMeter,
        on_finish: Callable[[Sequence, float], None],
        on_abort: Callable[[Sequence, int], None],
        launch_s: float = 0.0,
    ) -> None:
        self.scheduler = Scheduler(settings, num_gpu_blocks)
        self.steps = 0
        self._max_num_seqs = settings.max_num_seqs
        self._lag = 1 if settings.async_scheduling else 0
        self._step_time = step_time
        self._meter = meter
        self._on_finish = on_finish
        self._on_abort = on_abort
        self._launch_s = launch_s
        self._inbox: deque[Sequence] = deque()
        self._aborts: list[Sequence] = []
        self._finishing: deque[tuple[float, Sequence]] = deque()
        self._due_s = inf
        self._idle = True
        self._gpu_free_s = 0.0
        # A planned run of quiet steps: how many, when the first starts, and what they last.
        self._planned = 0
        self._start_s = 0.0
        self._base_s = 0.0
        self._growth_s = 0.0
        self._held = (0, 0, 0)

    @property
    def waiting(self) -> int:
        """Requests taken and not admitted to the running batch."""
        return self.scheduler.waiting.size + len(self._inbox)

    def submit(self, sequence: Sequence) -> None:
        """Take a request that reaches the engine core at `sequence.ready_s`, now or later."""
        inbox, ready_s = self._inbox, sequence.ready_s
        if inbox and inbox[-1].ready_s > ready_s:
            insort(inbox, sequence, key=lambda waiting: waiting.ready_s)
        else:
            inbox.append(sequence)
        self._notice(ready_s)

    def abort(self, sequence: Sequence, now_s: float) -> None:
        """Drop a request at the next decision point, unless it finishes before."""
        self._aborts.append(sequence)
        self._notice(now_s)

    def catch_up(self, now_s: float) -> None:
        """Pass all decision points up to now."""
        while (due_s := self._due_s) <= now_s:
            self._due_s = self._decide(due_s)
        if self._finishing and self._finishing[0][0] <= now_s:
            self._settle()

    def finish(self) -> None:
        """Work everything off, with nothing more to come."""
        while self._due_s < inf:
            self._due_s = self._decide(self._due_s)

    def close(self, horizon_s: float) -> ReplicaLevels:
        """Integrate up to the horizon, when the simulation has reached it."""
        self.catch_up(horizon_s)
        if self._planned:
            self._meter.busy(self._start_s, horizon_s)
            self.steps += self._step_at(horizon_s)
        self._meter.hold(horizon_s, *self._held)
        return self._meter.levels(
            steps=self.steps,
            preemptions=self.scheduler.preemptions,
            kv_blocks=self.scheduler.kv.blocks,
            max_num_seqs=self._max_num_seqs,
        )

    def _notice(self, at_s: float) -> None:
        """Something happens at `at_s`: decide at the first decision point from then on."""
        if self._planned:
            steps = self._step_at(at_s)
            if steps < self._planned:
                self._planned = steps
                self._due_s = self._point_s(steps)
        elif self._idle and at_s < self._due_s:
            self._due_s = at_s

    def _run_s(self, steps: int) -> float:
        """Seconds of the first `steps` planned quiet steps: each adds a token of context to every sequence."""
        return steps * (self._base_s + 0.5 * self._growth_s * (steps + 1))

    def _point_s(self, steps: int) -> float:
        """Decision point after `steps` planned steps have been scheduled."""
        return self._start_s + self._run_s(steps - self._lag)

    def _step_at(self, at_s: float) -> int:
        """How many planned steps are scheduled before the first decision point at or after `at_s`; at least 1."""
        wait_s = at_s - self._start_s
        if wait_s <= 0.0:
            return 1
        linear, square = self._base_s + 0.5 * self._growth_s, 0.5 * self._growth_s
        root = (
            wait_s / linear
            if square == 0.0
            else 2.0 * wait_s / (linear + sqrt(linear * linear + 4.0 * square * wait_s))
        )
        steps = ceil(root)
        # The root is exact to rounding; the points themselves decide.
        while steps > 0 and self._start_s + self._run_s(steps - 1) >= at_s:
            steps -= 1
        while self._start_s + self._run_s(steps) < at_s:
            steps += 1
        return steps + self._lag if steps + self._lag > 0 else 1

    def _decide(self, now_s: float) -> float:
        """One decision point; returns the time of the next."""
        scheduler = self.scheduler
        kv = scheduler.kv
        if self._planned:
            self._commit()
        running, waiting, blocks = self._held
        self._meter.hold(now_s, running, waiting, 0.5 * (blocks + kv.blocks - kv.free))
        if self._finishing and self._finishing[0][0] <= now_s:
            self._take_out(now_s)
        if self._aborts or (self._inbox and self._inbox[0].ready_s <= now_s):
            self._take_in(now_s)
        due_s = self._plan(now_s)
        self._held = (scheduler.running, scheduler.waiting.size, kv.blocks - kv.free)
        return due_s

    def _settle(self) -> None:
        """Pass the first planned point alone: the last token that was in flight is out, and its blocks are free."""
        scheduler, start_s = self.scheduler, self._start_s
        kv = scheduler.kv
        running, waiting, blocks = self._held
        next_s = start_s + self._run_s(1)
        scheduler.advance(1)
        self.steps += 1
        self._meter.busy(start_s, next_s)
        self._meter.hold(start_s, running, waiting, 0.5 * (blocks + kv.blocks - kv.free))
        self._take_out(start_s)
        self._held = (scheduler.running, waiting, kv.blocks - kv.free)
        self._start_s = next_s
        self._base_s += self._growth_s
        self._planned -= 1

    def _commit(self) -> None:
        if self._finishing and self._planned > 1:
            self._settle()
        steps = self._planned
        end_s = self._start_s + self._run_s(steps)
        self._meter.busy(self._start_s, end_s)
        for sequence in self.scheduler.advance(steps):
            self._finishing.append((end_s, sequence))
        self.steps += steps
        self._gpu_free_s = end_s
        self._planned = 0

    def _take_in(self, now_s: float) -> None:
        inbox, waiting = self._inbox, self.scheduler.waiting
        while inbox and inbox[0].ready_s <= now_s:
            sequence = inbox.popleft()
            self._meter.waited(sequence.ready_s, now_s)
            waiting.push(sequence)
        if self._aborts:
            aborts, self._aborts = self._aborts, []
            for sequence in aborts:
                self._drop(sequence)

    def _drop(self, sequence: Sequence) -> None:
        if sequence.gone:
            return
        if sequence in self._inbox:
            self._inbox.remove(sequence)
            sequence.gone = True
            tokens = 0
        else:
            tokens = self.scheduler.abort(sequence)
        self._on_abort(sequence, tokens)

    def _take_out(self, now_s: float) -> None:
        finishing = self._finishing
        while finishing and finishing[0][0] <= now_s:
            end_s, sequence = finishing.popleft()
            if not sequence.gone:
                self.scheduler.complete(sequence)
                sequence.gone = True
                self._on_finish(sequence, end_s)

    def _plan(self, now_s: float) -> float:
        """Schedule one step, or a run of quiet ones; returns the next decision point."""
        gpu_free_s = self._gpu_free_s
        start_s = now_s + self._launch_s
        if gpu_free_s > start_s:
            start_s = gpu_free_s
        scheduler = self.scheduler
        self._idle = False
        steps = scheduler.quiet_steps()
        if steps:
            # A last token in flight frees a seat and blocks at the next point, for which somebody may wait.
            if self._finishing and scheduler.waiting.size:
                steps = 1
            sequences = len(scheduler.decoding)
            base_s, per_kv_token_s = self._step_time.decode(sequences)
            self._start_s = start_s
            self._base_s = base_s + per_kv_token_s * scheduler.decode_kv_tokens
            self._growth_s = per_kv_token_s * sequences
            if self._inbox:
                steps = min(steps, self._step_at(self._inbox[0].ready_s))
            self._planned = steps
            return self._point_s(steps)
        return self._plan_one(now_s, start_s)

    def _plan_one(self, now_s: float, start_s: float) -> float:
        step = self.scheduler.schedule()
        if step.decodes or step.chunks:
            duration_s = self._step_time.step_s(step.decodes, step.kv_tokens, step.chunks)
            end_s = self._gpu_free_s = start_s + duration_s
            self._meter.busy(start_s, end_s)
            self.steps += 1
            for sequence in step.admitted:
                if isnan(sequence.scheduled_s):
                    sequence.scheduled_s = now_s
            for sequence in step.sampled:
                if isnan(sequence.first_token_s):
                    sequence.first_token_s = end_s
            for sequence in step.finished:
                self._finishing.append((end_s, sequence))
            return start_s if self._lag else end_s
        if self._gpu_free_s > now_s:
            return self._gpu_free_s
        if step.preempted:
            return now_s
        if self.scheduler.waiting.size:
            raise AssertionError("a waiting sequence fits no empty replica: max_model_len was not checked")
        self._idle = True
        return self._inbox[0].ready_s if self._inbox else inf
