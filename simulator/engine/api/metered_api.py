"""A model behind a metered API: admission, latency, the client's retries, and what is charged."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.engine.api.latency import MONTH_S, Latency
from simulator.engine.api.leaky_bucket import LeakyBucket
from simulator.engine.api.ordinary import API, ASKED, STAMPED, ApiState
from simulator.engine.api.own_provider import own_admission, provider_of
from simulator.engine.api.prompt_cache import CachedPrefixes
from simulator.engine.api.rate_limit import MINUTE_S, RateLimiter
from simulator.engine.api.reservation import Reservation
from simulator.engine.api.retry import Failure, retry_delay_s
from simulator.engine.operations.conditions import Conditions
from simulator.engine.record import Charge, Loss, Outcome, Reason, write_loss
from simulator.engine.vllm.state import UNLIMITED
from simulator.performance.provisioned import throughput
from simulator.scenario.apis import Flex, Provisioned, Reserved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from simpy import Environment

    from simulator.engine.api.rate_limit import Admission
    from simulator.engine.arrival import Arrival
    from simulator.engine.ledger import Ledger
    from simulator.engine.operations.conditions import Episode
    from simulator.scenario.apis import MeteredApi


def admission_of(api: MeteredApi, days_s: Sequence[float] = ()) -> Admission:
    """What decides whether this API takes a request.

    Args:
        api: The API.
        days_s: When a day of its quotas begins; every 24 hours when absent.

    Raises:
        ProvisionedModelNotFound: See `provisioned_model`.
    """
    if isinstance(api.deployment, Reserved):
        return Reservation(api.deployment.input_tokens_per_minute, api.deployment.output_tokens_per_minute)
    if isinstance(api.deployment, Provisioned):
        tokens_per_minute, output_ratio = throughput(api.deployment, api.model)
        tokens_per_s = tokens_per_minute / MINUTE_S
        return LeakyBucket(tokens_per_s, tokens_per_s * api.deployment.burst, output_ratio)
    return RateLimiter(api.limits, days_s)


def is_too_long(api: MeteredApi, arrival: Arrival) -> bool:
    """Whether this API refuses a request as more than its model takes: with status 400, for which nothing is due.

    OpenAI counts the prompt and `max_tokens` ("maximum context length", error `context_length_exceeded`), and so do
    Anthropic's models since Claude 3.7 ("Context windows", validation error); vLLM behind an API does the same. From
    GPT-5 on OpenAI limits the prompt apart, and so does Google.
    """
    whole, prompt = arrival.prompt_tokens + arrival.max_tokens, arrival.prompt_tokens
    return (api.context_tokens is not None and whole > api.context_tokens) or (
        api.longest_prompt_tokens is not None and prompt > api.longest_prompt_tokens
    )


class Answer(NamedTuple):
    """An answer as the API produces it, whoever waits for it.

    Attributes:
        admitted_s: When the call was admitted.
        first_s: When its first token comes.
        last_s: When its last token comes.
        cached: Prompt tokens that were cached.
        output: Its tokens.
        written: Prompt tokens that are written to the cache.
    """

    admitted_s: float
    first_s: float
    last_s: float
    cached: int
    output: int
    written: int

    def produced(self, now_s: float) -> int:
        """Tokens that have come until now."""
        if now_s < self.first_s:
            return 0
        share = (now_s - self.first_s) / (self.last_s - self.first_s) if self.last_s > self.first_s else 1.0
        return min(self.output, 1 + int(share * (self.output - 1)))


class ApiBackend:
    """Metered API in a SimPy environment.

    Nobody waits for its answers inside the simulation, so a call's answer is stamped at once, without events.

    Args:
        env: Simulation environment.
        api: The API's configuration.
        backend: Index written to the log.
        ledger: The requests, and where outcomes are written.
        rng: Stream of this API's latencies and errors; one draw of each per request, so that hosting patterns
            that send the same request to the same API see the same latency.
        on_lost: Takes each request it refused for good, when that happens; by default that ends the request.
        episodes: Outages and brown-outs.
        burnt: Gets the charges for calls that answered nobody.
        retries_at_most: Retries that its senders allow where they do not say; as many as the client makes when absent.
        month_s: Time after which its usage tier begins anew.
        days_s: See `admission_of`.
        prompts: Prompt tokens by row as it counts them; those of the table when absent.

    Attributes:
        state: What compiled code works on.

    Raises:
        ProvisionedModelNotFound: See `admission_of`.
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
        burnt: list[Charge] | None = None,
        retries_at_most: int | None = None,
        month_s: float = MONTH_S,
        days_s: Sequence[float] = (),
        prompts: NDArray[np.int32] | None = None,
    ) -> None:
        self._env = env
        self._api = api
        self._backend = backend
        self._output_tokens = ledger.table.output_tokens
        self._prompts = ledger.table.prompt_tokens if prompts is None else prompts
        self._log = log = ledger.log
        self._rng = rng
        self._on_lost = on_lost or (lambda loss: write_loss(log, loss))
        self._burnt = [] if burnt is None else burnt
        own = api.retries.at_most
        self._budget = own if retries_at_most is None else min(own, retries_at_most)
        provider = provider_of(api)
        self._admission = own_admission(provider) or admission_of(api, days_s)
        self._cache = CachedPrefixes(api.prompt_cache, ledger.prefixes.outer) if api.prompt_cache else None
        self._conditions = Conditions(episodes)
        self._latency = Latency(api, rng, ledger.column(np.float64), ledger.column(np.float64), provider, month_s)
        self._luck = ledger.column(np.float64)
        self._scarce = api.deployment.unavailable if isinstance(api.deployment, Flex) else 0.0
        self._spare = ledger.column(np.float64) if self._scarce else self._luck
        self._undrawn: list[tuple[slice, np.random.Generator]] = []
        ledger.follow(self._expect)
        self.state = self._as_compiled_code_sees_it(ledger, month_s)
        self._spillover: ApiBackend | None = None
        self._spills: Sequence[bool] = ()

    def _as_compiled_code_sees_it(self, ledger: Ledger, month_s: float) -> ApiState:
        api, tier, about = self._api, self._api.usage_tier, np.zeros(1, API)
        one = about[0]
        one.backend, one.error_share, one.scarce = self._backend, api.error_share, self._scarce
        one.context_tokens = UNLIMITED if api.context_tokens is None else api.context_tokens
        one.delay_s, one.timeout_s, one.streamed = api.network_delay, api.retries.timeout, api.retries.streamed
        one.month_s = month_s
        one.tier_tokens, one.tier_slowdown = (inf, 1.0) if tier is None else (tier.tokens_per_month, tier.slowdown)
        one.caches, one.slowdown, one.changes_s = self._cache is not None, 1.0, -inf
        limits, bucket = [], []
        if isinstance(self._admission, RateLimiter):
            # Compiled code cannot ask a provider of one's own.
            one.ordinary, one.burndown = api.provider is None, self._admission.burndown
            limits = [self._admission.limits]
        elif isinstance(self._admission, LeakyBucket):
            one.ordinary, one.provisioned, bucket = True, True, [self._admission.state]
        drawn = {"ttft_s": self._latency.ttft_s, "token_s": self._latency.token_s}
        return ApiState(
            api=about,
            limits=limits,
            bucket=bucket,
            volume=self._latency.volume,
            luck=self._luck,
            spare=self._spare,
            **drawn,
            **{name: getattr(ledger.table, name) for name in ASKED} | {"prompt_tokens": self._prompts},
            **{name: getattr(ledger.log, name) for name in STAMPED},
        )

    def look(self, now_s: float) -> None:
        """Tell compiled code how the API fares from now on."""
        about = self.state.api[0]
        about.fault_share, about.slowdown = self._conditions.at(now_s)
        about.changes_s = self._conditions.next_change_s(now_s)
        outage_s = self._conditions.breaks(now_s, inf)
        about.outage_s = inf if outage_s is None else outage_s

    def _expect(self, rows: slice) -> None:
        """These requests may be sent here: what their first calls meet with is drawn when the first of them is."""
        # Retries take from the stream, so what comes later has one of its own in which all patterns draw the same.
        self._undrawn.append((rows, self._rng.spawn(1)[0] if rows.start else self._rng))

    def _draw_for(self, row: int) -> None:
        """Draw for the requests among which this one came."""
        for rows, rng in self._undrawn:
            here = rows.start <= row < rows.stop
            if here or rng is self._rng:
                self._draw(rows, rng, kept=here)
        self._undrawn = [
            (rows, rng) for rows, rng in self._undrawn if rng is not self._rng and not rows.start <= row < rows.stop
        ]

    def _draw(self, rows: slice, rng: np.random.Generator, *, kept: bool) -> None:
        """Draw for the first calls of these requests; not kept, so that the stream goes on as if they were."""
        self._latency.draw(rows, rng, kept=kept)
        columns = (self._luck, self._spare) if self._scarce else (self._luck,)
        for column in columns:
            rng.random(out=column[rows] if kept else np.empty(rows.stop - rows.start))
        if kept:
            self.state.api["drawn"] = rows.stop

    def spill_to(self, other: ApiBackend, allowed: Sequence[bool]) -> None:
        """Have another API take at once what this one refuses or fails, before its client hears of it.

        Args:
            other: That API.
            allowed: By workload, whether it may be sent there.
        """
        self._spillover = other
        self._spills = allowed
        self.state.api["spills"] = True

    def submit(self, arrival: Arrival, retries_at_most: int | None = None) -> None:
        """Take a request now; its outcome is written to the log.

        Args:
            arrival: The request.
            retries_at_most: Retries the sender allows, of those the client would make; see the class when absent.
        """
        self._log.backend[arrival.index] = self._backend
        self._log.enqueued_s[arrival.index] = self._env.now
        arrival = arrival.counted(self._prompts)
        if is_too_long(self._api, arrival):
            self._log.attempts[arrival.index] += 1
            self._on_lost(Loss(self._env.now, arrival.index, Reason.TOO_LONG, True))
            return
        budget = self._budget if retries_at_most is None else min(self._api.retries.at_most, retries_at_most)
        self._attempt(arrival, 0, budget)

    def room(self, arrival: Arrival) -> bool:
        """Whether its limits, or those of the API it spills over to, would admit a request now."""
        arrival = arrival.counted(self._prompts)
        cached = self._cache.read(arrival, self._env.now) if self._cache else 0
        wait_s = self._admission.retry_after_s(self._env.now, arrival.prompt_tokens, cached, arrival.max_tokens)
        if wait_s == 0.0 or self._spillover is None:
            return wait_s == 0.0
        return self._spills[arrival.workload] and self._spillover.room(arrival)

    def expected_ttft_s(self, _arrival: Arrival) -> float:
        """Time to first token that a sender would expect of an admitted request: what it mostly is."""
        return self.usual_ttft_s

    @property
    def usual_ttft_s(self) -> float:
        """Time to first token of half of its calls."""
        return self._latency.expected_ttft_s

    def _attempt(self, arrival: Arrival, retries: int, budget: int) -> None:
        """Call, having retried so often."""
        self._log.attempts[arrival.index] += 1
        failure = self.call(arrival, retries + 1)
        if failure is None:
            return
        delay_s = retry_delay_s(self._api.retries, retries, failure, self._rng) if retries < budget else None
        if delay_s is None:
            self._after(failure.after_s, lambda: self._lose(arrival, failure))
        else:
            self._after(failure.after_s + delay_s, lambda: self._attempt(arrival, retries + 1, budget))

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        if delay_s == 0.0:
            act()
        else:
            self._env.timeout(delay_s).callbacks.append(lambda _: act())

    def _lose(self, arrival: Arrival, failure: Failure) -> None:
        self._on_lost(Loss(self._env.now, arrival.index, failure.reason, True))

    def call(self, arrival: Arrival, attempt: int) -> Failure | None:
        """Make one call: an answer is written to the log, a failure returned."""
        if self._undrawn:
            self._draw_for(arrival.index)
        arrival = arrival.counted(self._prompts)
        if is_too_long(self._api, arrival):
            return Failure(Reason.TOO_LONG)
        failure = self._serve(arrival, attempt)
        if failure is None or self._spillover is None or failure.after_s > 0.0 or not self._spills[arrival.workload]:
            return failure
        if self._spillover.call(arrival, attempt) is not None:
            # Where the other fails too, the client hears of the first failure (Microsoft Learn, "Manage traffic with
            # spillover for provisioned deployments", 2026-03-04).
            return failure
        if self._log.failover[arrival.index] == Reason.NONE:
            self._log.failover[arrival.index] = failure.reason
        return None

    def _serve(self, arrival: Arrival, attempt: int) -> Failure | None:
        now_s, prompt, most = self._env.now, arrival.prompt_tokens, arrival.max_tokens
        error_share, slowdown = self._conditions.at(now_s)
        if error_share == 1.0:
            return Failure(Reason.FAULT)
        if self._scarce and self._share(self._spare, arrival.index, attempt) < self._scarce:
            return Failure(Reason.CAPACITY)
        cached = self._cache.read(arrival, now_s) if self._cache else 0
        retry_after_s = self._admission.admit(now_s, prompt, cached, most)
        if retry_after_s > 0.0:
            return Failure(Reason.CAPACITY, retry_after_s)
        if self._fails(arrival.index, attempt, error_share):
            self._admission.settle(now_s, prompt, cached, most, 0)
            self._charge(now_s, arrival, (cached, 0), 0, self._api.billing.errors)
            return Failure(Reason.FAULT if error_share else Reason.ERROR)
        written = self._cache.write(arrival, now_s) if self._cache else 0
        output = self._output_tokens.item(arrival.index)
        first_s, last_s = self._latency.stamps(now_s, arrival, attempt, output, slowdown)
        self._admission.settle(last_s, prompt, cached, most, output)
        answer = Answer(now_s, first_s, last_s, cached, output, written)
        failure = self._interrupted(arrival, answer)
        if failure is None:
            self._write(arrival, answer)
        return failure

    def _interrupted(self, arrival: Arrival, answer: Answer) -> Failure | None:
        """Whether an answer is cut off because an outage begins, or comes too late for its client."""
        retries, billing, end_s, late = self._api.retries, self._api.billing, answer.last_s, False
        if answer.last_s - answer.admitted_s > retries.timeout:
            late = not retries.streamed or answer.first_s - answer.admitted_s > retries.timeout
            end_s = answer.admitted_s + retries.timeout if late else end_s
        cut_s = self._conditions.breaks(answer.admitted_s, end_s)
        if cut_s is not None:
            self._charge(cut_s, arrival, (answer.cached, answer.written), answer.produced(cut_s), billing.cut_off)
            return Failure(Reason.FAULT, after_s=cut_s - answer.admitted_s)
        if late:
            self._charge(end_s, arrival, (answer.cached, answer.written), answer.output, billing.timeouts)
            return Failure(Reason.TIMEOUT, after_s=retries.timeout)
        return None

    def _fails(self, index: int, attempt: int, error_share: float) -> bool:
        share = max(self._api.error_share, error_share)
        return share > 0.0 and self._share(self._luck, index, attempt) < share

    def _share(self, first: NDArray[np.float64], index: int, attempt: int) -> float:
        """A draw from [0, 1), the same for the first call in every hosting pattern."""
        return first.item(index) if attempt == 1 else float(self._rng.random())

    def _charge(self, at_s: float, arrival: Arrival, cache: tuple[int, int], output: int, what: str) -> None:
        """Charge for a call that answered nobody; of its prompt so much was read from the cache and written to it."""
        if what != "nothing":
            produced, (read, written) = output if what == "all" else 0, cache
            tokens = arrival.prompt_tokens, read, produced
            self._burnt.append(Charge(at_s, arrival.index, self._backend, *tokens, arrival.workload, written))

    def _write(self, arrival: Arrival, answer: Answer) -> None:
        index, log = arrival.index, self._log
        log.backend[index] = self._backend
        log.scheduled_s[index] = answer.admitted_s
        log.first_token_s[index] = answer.first_s
        log.last_token_s[index] = answer.last_s
        log.ended_s[index] = answer.last_s
        log.outcome[index] = Outcome.COMPLETED
        log.cached_tokens[index] = answer.cached
        log.written_tokens[index] = answer.written
        log.billed_prompt_tokens[index] = arrival.prompt_tokens
        log.billed_output_tokens[index] = answer.output
