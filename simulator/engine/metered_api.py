"""A model behind a metered API: admission, latency, the client's retries, and what is charged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.engine.conditions import Conditions
from simulator.engine.leaky_bucket import LeakyBucket
from simulator.engine.rate_limit import MINUTE_S, RateLimiter
from simulator.engine.record import Loss, Outcome, Reason, write_loss
from simulator.performance.provisioned import throughput
from simulator.scenario.apis import Provisioned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from simpy import Environment

    from simulator.engine.arrival import Arrival
    from simulator.engine.conditions import Episode
    from simulator.engine.rate_limit import Admission
    from simulator.engine.record import RequestLog
    from simulator.scenario.apis import MeteredApi

#: The `openai` client does not wait for a `retry-after` longer than this (openai 2.54.0, `_base_client.py`).
LONGEST_RETRY_AFTER_S = 120.0


class Failure(NamedTuple):
    """What a client hears of a call that was not answered.

    Attributes:
        reason: Refused for want of capacity (429), or a server error (500).
        retry_after_s: When to come back, as the provider says; 0 where it does not.
        after_s: How long after the call it hears so; the answer was cut off then.
    """

    reason: Reason
    retry_after_s: float = 0.0
    after_s: float = 0.0


def admission_of(api: MeteredApi) -> Admission:
    """What decides whether this API takes a request.

    Raises:
        ProvisionedModelNotFound: See `provisioned_model`.
    """
    if isinstance(api.deployment, Provisioned):
        tokens_per_minute, output_ratio = throughput(api.deployment, api.model)
        tokens_per_s = tokens_per_minute / MINUTE_S
        return LeakyBucket(tokens_per_s, tokens_per_s * api.deployment.burst, output_ratio)
    return RateLimiter(api.limits)


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
        on_lost: Takes each request it refused for good, when that happens; by default that ends the request.
        episodes: When it fails or is slow.
    """

    def __init__(
        self,
        env: Environment,
        api: MeteredApi,
        backend: int,
        output_tokens: NDArray[np.int32],
        log: RequestLog,
        rng: np.random.Generator,
        on_lost: Callable[[Loss], None] | None = None,
        episodes: Iterable[Episode] = (),
    ) -> None:
        size = len(output_tokens)
        self._env = env
        self._api = api
        self._backend = backend
        self._output_tokens = output_tokens
        self._log = log
        self._rng = rng
        self._on_lost = on_lost or (lambda loss: write_loss(log, loss))
        self._admission = admission_of(api)
        self._conditions = Conditions(episodes)
        self._spillover: ApiBackend | None = None
        self._ttft_s = api.ttft.median * np.exp(api.ttft.sigma * rng.standard_normal(size))
        speed = api.output_tokens_per_s
        self._token_s = np.exp(-speed.sigma * rng.standard_normal(size)) / speed.median
        self._luck = rng.random(size)

    def submit(self, arrival: Arrival, retries_at_most: int | None = None) -> None:
        """Take a request now; its outcome is written to the log.

        Args:
            arrival: The request.
            retries_at_most: Retries the sender allows; the client's own number when absent.
        """
        self._log.backend[arrival.index] = self._backend
        self._log.enqueued_s[arrival.index] = self._env.now
        self._attempt(arrival, 1, self._api.retries.at_most if retries_at_most is None else retries_at_most)

    def spill_to(self, other: ApiBackend) -> None:
        """Have another API take at once what this one refuses or fails, before its client hears of it."""
        self._spillover = other

    def room(self, arrival: Arrival) -> bool:
        """Whether its limits, or those of the API it spills over to, would admit a request now."""
        retry_after_s = self._admission.retry_after_s(self._env.now, arrival.prompt_tokens, 0, arrival.max_tokens)
        return retry_after_s == 0.0 or (self._spillover is not None and self._spillover.room(arrival))

    def expected_ttft_s(self, _arrival: Arrival) -> float:
        """Time to first token that a sender would expect of an admitted request."""
        return self._api.ttft.median

    def _attempt(self, arrival: Arrival, attempt: int, retries_at_most: int) -> None:
        self._log.attempts[arrival.index] += 1
        failure = self.call(arrival, attempt)
        if failure is not None and failure.after_s:
            timer = self._env.timeout(failure.after_s)
            timer.callbacks.append(lambda _: self._failed(arrival, attempt, retries_at_most, failure))
        elif failure is not None:
            self._failed(arrival, attempt, retries_at_most, failure)

    def _failed(self, arrival: Arrival, attempt: int, retries_at_most: int, failure: Failure) -> None:
        if attempt > retries_at_most or failure.retry_after_s > LONGEST_RETRY_AFTER_S:
            self._on_lost(Loss(self._env.now, arrival.index, failure.reason, True))
        else:
            timer = self._env.timeout(failure.retry_after_s or self._back_off_s(attempt))
            timer.callbacks.append(lambda _: self._attempt(arrival, attempt + 1, retries_at_most))

    def call(self, arrival: Arrival, attempt: int) -> Failure | None:
        """Make one call: the answer is written to the log, a failure returned."""
        failure = self._try(arrival, attempt)
        if failure is None or failure.after_s:
            return failure
        if self._spillover is None or self._spillover.call(arrival, attempt) is not None:
            # Where the other fails too, the client hears of the first failure (Microsoft Learn, "Manage traffic with
            # spillover for provisioned deployments", 2026-03-04).
            return failure
        if self._log.failover[arrival.index] == Reason.NONE:
            self._log.failover[arrival.index] = failure.reason
        return None

    def _try(self, arrival: Arrival, attempt: int) -> Failure | None:
        error_share, slowdown = self._conditions.at(self._env.now)
        if error_share == 1.0:
            return Failure(Reason.FAULT)
        retry_after_s = self._admission.admit(self._env.now, arrival.prompt_tokens, 0, arrival.max_tokens)
        if retry_after_s:
            return Failure(Reason.CAPACITY, retry_after_s)
        if self._fails(arrival.index, attempt, error_share):
            return Failure(Reason.FAULT if error_share else Reason.ERROR)
        return self._answer(arrival, self._env.now, slowdown)

    def _answer(self, arrival: Arrival, now_s: float, slowdown: float) -> Failure | None:
        index, log = arrival.index, self._log
        output_tokens = int(self._output_tokens[index])
        first_s = now_s + slowdown * float(self._ttft_s[index])
        token_s = slowdown * float(self._token_s[index])
        last_s = first_s + (output_tokens - 1) * token_s
        cut_s = self._conditions.breaks(now_s, last_s)
        if cut_s is not None:
            # What was streamed by then is charged.
            log.billed_prompt_tokens[index] += arrival.prompt_tokens
            log.billed_output_tokens[index] += max(0, int((cut_s - first_s) / token_s) + 1) if cut_s >= first_s else 0
            return Failure(Reason.FAULT, after_s=cut_s - now_s)
        log.backend[index] = self._backend
        log.scheduled_s[index] = now_s
        log.first_token_s[index] = first_s
        log.last_token_s[index] = last_s
        log.ended_s[index] = last_s
        log.outcome[index] = Outcome.COMPLETED
        self._admission.settle(last_s, arrival.prompt_tokens, 0, arrival.max_tokens, output_tokens)
        log.billed_prompt_tokens[index] += arrival.prompt_tokens
        log.billed_output_tokens[index] += output_tokens
        return None

    def _fails(self, index: int, attempt: int, error_share: float) -> bool:
        share = max(self._api.error_share, error_share)
        if share == 0.0:
            return False
        luck = self._luck[index] if attempt == 1 else self._rng.random()
        return bool(luck < share)

    def _back_off_s(self, attempt: int) -> float:
        retries = self._api.retries
        delay_s = min(retries.first_delay * 2.0 ** (attempt - 1), retries.longest_delay)
        return delay_s * (1.0 - retries.jitter * float(self._rng.random()))
