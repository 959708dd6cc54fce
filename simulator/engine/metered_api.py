"""A model behind a metered API: admission, latency, the client's retries, and what is charged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.rate_limit import RateLimiter
from simulator.engine.record import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from simpy import Environment, Event

    from simulator.engine.arrival import Arrival
    from simulator.engine.record import RequestLog
    from simulator.scenario.patterns import MeteredApi

#: The `openai` client does not wait for a `retry-after` longer than this (openai 2.54.0, `_base_client.py`).
LONGEST_RETRY_AFTER_S = 120.0


class ApiBackend:
    """Metered API in a SimPy environment.

    Nobody waits for its answers inside the simulation, so an admitted request is stamped at once, without events.

    Args:
        env: Simulation environment.
        api: The API's configuration.
        backend: Index written to the log.
        output_tokens: True output length of every request.
        log: Where outcomes are written.
        rng: Stream of this API's latencies and errors; one draw of each per request, so that hosting patterns
            that send the same request to the same API see the same latency.
    """

    def __init__(
        self,
        env: Environment,
        api: MeteredApi,
        backend: int,
        output_tokens: NDArray[np.int32],
        log: RequestLog,
        rng: np.random.Generator,
    ) -> None:
        size = len(output_tokens)
        self._env = env
        self._api = api
        self._backend = backend
        self._output_tokens = output_tokens
        self._log = log
        self._rng = rng
        self._limiter = RateLimiter(api.limits.tokens_per_minute, api.limits.requests_per_minute)
        self._ttft_s = api.ttft.median * np.exp(api.ttft.sigma * rng.standard_normal(size))
        speed = api.output_tokens_per_s
        self._token_s = np.exp(-speed.sigma * rng.standard_normal(size)) / speed.median
        self._luck = rng.random(size)

    def submit(self, arrival: Arrival) -> None:
        """Take a request now; its outcome is written to the log."""
        self._attempt(arrival)

    def _attempt(self, arrival: Arrival) -> None:
        now_s = self._env.now
        index, log = arrival.index, self._log
        log.attempts[index] += 1
        attempt = int(log.attempts[index])
        if attempt == 1:
            log.backend[index] = self._backend
            log.enqueued_s[index] = now_s
        retry_after_s = self._limiter.admit(now_s, arrival.prompt_tokens + arrival.max_tokens)
        if retry_after_s == 0.0 and not self._fails(index, attempt):
            self._answer(arrival, now_s)
        elif attempt > self._api.retries.at_most or retry_after_s > LONGEST_RETRY_AFTER_S:
            log.outcome[index] = Outcome.REJECTED
            log.ended_s[index] = now_s
        else:
            self._retry(arrival, retry_after_s or self._back_off_s(attempt))

    def _answer(self, arrival: Arrival, now_s: float) -> None:
        index, log = arrival.index, self._log
        output_tokens = int(self._output_tokens[index])
        first_s = now_s + float(self._ttft_s[index])
        last_s = first_s + (output_tokens - 1) * float(self._token_s[index])
        log.scheduled_s[index] = now_s
        log.first_token_s[index] = first_s
        log.last_token_s[index] = last_s
        log.ended_s[index] = last_s
        log.outcome[index] = Outcome.COMPLETED
        log.billed_prompt_tokens[index] = arrival.prompt_tokens
        log.billed_output_tokens[index] = output_tokens

    def _fails(self, index: int, attempt: int) -> bool:
        share = self._api.error_share
        if share == 0.0:
            return False
        luck = self._luck[index] if attempt == 1 else self._rng.random()
        return bool(luck < share)

    def _back_off_s(self, attempt: int) -> float:
        retries = self._api.retries
        delay_s = min(retries.first_delay * 2.0 ** (attempt - 1), retries.longest_delay)
        return delay_s * (1.0 - retries.jitter * float(self._rng.random()))

    def _retry(self, arrival: Arrival, delay_s: float) -> None:
        def again(_: Event) -> None:
            self._attempt(arrival)

        timer = self._env.timeout(delay_s)
        timer.callbacks.append(again)
