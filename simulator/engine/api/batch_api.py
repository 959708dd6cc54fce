"""A model behind an asynchronous batch interface: requests are collected, handed in as files, answered hours later."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import exp, floor, inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.engine.api.metered_api import is_too_long
from simulator.engine.api.ordinary import API, ApiState
from simulator.engine.operations.conditions import Conditions
from simulator.engine.record import Loss, Outcome, Reason, write_loss
from simulator.scenario.apis import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from simpy import Environment

    from simulator.engine.arrival import Arrival
    from simulator.engine.ledger import Ledger
    from simulator.engine.operations.conditions import Episode
    from simulator.scenario.apis import MeteredApi


class _Waiting(NamedTuple):
    """A request that has been collected, how many more files it may be part of, and whether it was part of one."""

    arrival: Arrival
    retries: int
    again: bool = False


class BatchBackend:
    """Batch interface in a SimPy environment.

    At every multiple of `submit_every` what fits the provider's quota of queued prompt tokens is handed in as one file,
    first come first served; all answers of a file come at once. A request that fails is part of the next file.

    Args:
        env: Simulation environment.
        api: The API's configuration, of a batch deployment.
        backend: Index written to the log.
        ledger: The requests, and where outcomes are written.
        rng: Stream of this API's turnarounds and errors.
        on_lost: Takes each request it gives up, when that happens; by default that ends the request.
        episodes: Outages and brown-outs: handing in fails, or files take longer.
        prompts: Prompt tokens by row as it counts them; those of the table when absent.
    """

    def __init__(
        self,
        env: Environment,
        api: MeteredApi,
        backend: int,
        ledger: Ledger,
        rng: np.random.Generator,
        on_lost: Callable[[Loss], None] | None = None,
        *,
        episodes: Sequence[Episode] = (),
        prompts: NDArray[np.int32] | None = None,
    ) -> None:
        deployment = api.deployment
        if not isinstance(deployment, Batch):
            raise TypeError(f"{api.model} is no batch deployment")
        self._env = env
        self._api = api
        self._deployment = deployment
        self._backend = backend
        self._output_tokens = ledger.table.output_tokens
        self._prompts = ledger.table.prompt_tokens if prompts is None else prompts
        self._log = log = ledger.log
        self._rng = rng
        self._on_lost = on_lost or (lambda loss: write_loss(log, loss))
        self._conditions = Conditions(episodes)
        self._quota = float("inf") if deployment.queued_tokens is None else float(deployment.queued_tokens)
        self._collected: deque[_Waiting] = deque()
        self._timer_runs = False
        self._queued_tokens = 0
        #: When each file is answered, and the prompt tokens it then frees.
        self._files: list[tuple[float, int]] = []
        #: To compiled code, an API of which nothing is ordinary.
        self.state = ApiState(api=np.zeros(1, API))
        self.state.api["changes_s"] = inf

    def submit(self, arrival: Arrival, retries_at_most: int | None = None) -> None:
        """Collect a request; its outcome is written to the log.

        Args:
            arrival: The request.
            retries_at_most: Files it may be part of after a first that failed; as many as the client's retries at most.
        """
        self._log.backend[arrival.index] = self._backend
        self._log.enqueued_s[arrival.index] = self._env.now
        arrival = arrival.counted(self._prompts)
        if is_too_long(self._api, arrival):
            self._on_lost(Loss(self._env.now, arrival.index, Reason.TOO_LONG, True))
            return
        if arrival.prompt_tokens > self._quota:
            self._on_lost(Loss(self._env.now, arrival.index, Reason.CAPACITY, True))
            return
        own = self._api.retries.at_most
        self._collected.append(_Waiting(arrival, own if retries_at_most is None else min(own, retries_at_most)))
        self._wait()

    def look(self, now_s: float) -> None:
        """See `ApiBackend`."""

    def room(self, arrival: Arrival) -> bool:
        """Whether the provider's queue would take a request now."""
        self._free()
        return self._queued_tokens + arrival.counted(self._prompts).prompt_tokens <= self._quota

    def expected_ttft_s(self, _arrival: Arrival) -> float:
        """Time to an answer that a sender would expect."""
        return self.usual_ttft_s

    @property
    def usual_ttft_s(self) -> float:
        """Half of the way to the next file, and the usual turnaround."""
        return self._deployment.submit_every / 2.0 + self._deployment.turnaround.median

    def _wait(self) -> None:
        if self._timer_runs or not self._collected:
            return
        every_s = self._deployment.submit_every
        self._timer_runs = True
        due_s = (floor(self._env.now / every_s) + 1.0) * every_s
        self._env.timeout(due_s - self._env.now).callbacks.append(lambda _: self._hand_in())

    def _hand_in(self) -> None:
        self._timer_runs = False
        self._free()
        fault_share, slowdown = self._conditions.at(self._env.now)
        error_share = max(self._api.error_share, fault_share)
        reason = Reason.FAULT if fault_share else Reason.ERROR
        turnaround = self._deployment.turnaround
        answered_s = self._env.now + slowdown * turnaround.median * exp(turnaround.sigma * self._rng.standard_normal())
        again: list[_Waiting] = []
        tokens = 0
        while self._collected and self._queued_tokens + self._collected[0].arrival.prompt_tokens <= self._quota:
            one = self._collected.popleft()
            self._log.attempts[one.arrival.index] += 1
            if not one.again:
                # From now on it waits for an answer, not for room: what fails and is handed in again is no queue.
                self._log.scheduled_s[one.arrival.index] = self._env.now
            if error_share > 0.0 and self._rng.random() < error_share:
                again += self._fail(one, reason)
                continue
            self._queued_tokens += one.arrival.prompt_tokens
            tokens += one.arrival.prompt_tokens
            self._answer(one.arrival, answered_s)
        if tokens:
            heappush(self._files, (answered_s, tokens))
        self._collected.extendleft(reversed(again))
        self._wait()

    def _fail(self, one: _Waiting, reason: Reason) -> list[_Waiting]:
        if one.retries > 0:
            return [one._replace(retries=one.retries - 1, again=True)]
        self._on_lost(Loss(self._env.now, one.arrival.index, reason, True))
        return []

    def _free(self) -> None:
        while self._files and self._files[0][0] <= self._env.now:
            self._queued_tokens -= heappop(self._files)[1]

    def _answer(self, arrival: Arrival, answered_s: float) -> None:
        index, log = arrival.index, self._log
        log.first_token_s[index] = log.last_token_s[index] = log.ended_s[index] = answered_s
        log.outcome[index] = Outcome.COMPLETED
        log.billed_prompt_tokens[index] = arrival.prompt_tokens
        log.billed_output_tokens[index] = self._output_tokens[index]
