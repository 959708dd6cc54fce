"""Admission control of metered APIs: so much per fixed window of time, or so much at a time, refilled continuously."""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush
from math import ceil, inf, nextafter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from simulator.scenario.apis import RateLimits

MINUTE_S, DAY_S = 60, 86_400
#: Tokens by which a bucket may be short of a request, so that rounding errors keep nobody out.
_TOLERANCE: Final = 1e-6


class Admission(Protocol):
    """What decides whether an API takes a request."""

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """Seconds after which trying again makes sense; 0 when a request would be admitted now."""

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """Admit a request; times never decrease.

        Returns:
            0 when admitted, else the seconds after which trying again makes sense (`retry-after`).
        """

    def settle(self, end_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int, output_tokens: int) -> None:
        """Correct at `end_s` what the request just admitted has taken, now that its output is known."""


class Meter(Protocol):
    """One limit, of tokens or of requests."""

    def wait_s(self, now_s: float, units: int) -> float:
        """Seconds after which asking again makes sense; 0 where there is room for so much now."""

    def take(self, units: float) -> None:
        """Use units at the moment last asked about."""

    def correct(self, taken_s: float, now_s: float, units: float) -> None:
        """Take more units, or give back, for a request admitted at `taken_s`."""


class FixedWindow:
    """A counter that starts again at every multiple of the window.

    Azure OpenAI counts tokens per minute this way and requests per one or ten seconds
    (MicrosoftDocs azure-ai-docs, how-to/quota, 2026-05-04). A window admits whole units; the fraction that is left is
    admitted by a later one, so that many windows together admit their rate. A window too short for one unit is as long
    as one takes (assumed: no provider says).

    Args:
        rate: Units admitted in `period_s`.
        period_s: What the rate is per, in seconds.
        window_s: Length of the window.
    """

    __slots__ = ("_alike_s", "_begin_s", "_end_s", "_length", "_limit", "_per_window", "_used")

    def __init__(self, rate: int, period_s: int, window_s: int) -> None:
        length_s = max(Fraction(window_s), Fraction(period_s, rate))
        self._length = length_s.as_integer_ratio()
        self._per_window = (rate * length_s / period_s).as_integer_ratio()
        self._begin_s = self._end_s = self._used = 0.0
        self._limit, per = self._per_window
        #: Length of windows that are whole seconds and admit the same; 0 for others.
        self._alike_s = float(length_s) if self._length[1] == per == 1 else 0.0

    def wait_s(self, now_s: float, units: int) -> float:
        """See `Meter`: the time until the counter starts again."""
        if now_s >= self._end_s:
            self._start(now_s)
        if self._used + units <= self._limit:
            return 0.0
        wait_s = self._end_s - now_s
        return wait_s if now_s + wait_s >= self._end_s else nextafter(wait_s, inf)

    def take(self, units: float) -> None:
        """See `Meter`."""
        self._used += units

    def correct(self, taken_s: float, now_s: float, units: float) -> None:
        """See `Meter`: what is given back to a window that has passed is lost, what is overdrawn counts now."""
        if now_s >= self._end_s:
            self._start(now_s)
        if units > 0.0 or self._begin_s <= taken_s < self._end_s:
            self._used += units

    def _start(self, now_s: float) -> None:
        """Begin the window of a moment."""
        self._used = 0.0
        if self._alike_s:
            self._begin_s = now_s - now_s % self._alike_s
            self._end_s = self._begin_s + self._alike_s
            return
        seconds, windows = self._length
        number = int(now_s * windows / seconds)
        # A quotient is rounded: the edges decide, which are the same for everybody who asks.
        while number * seconds / windows > now_s:
            number -= 1
        while (number + 1) * seconds / windows <= now_s:
            number += 1
        self._begin_s, self._end_s = number * seconds / windows, (number + 1) * seconds / windows
        units, per = self._per_window
        self._limit = number * -units // per - (number + 1) * -units // per


class Bucket:
    """As much as the limit at a time, and refilled all the time at the rate of the limit.

    So OpenAI's answers say: of 500 requests a minute one is used, and 120 ms later the limit is what it was; a refusal
    names the time in which what is missing flows in (developer forum, thread 541210; "Rate limits" guide, 24 June 2026;
    the refusals in the tests). Anthropic documents a token bucket ("Rate limits", 2026).

    Args:
        rate: Units that fit, and flow in in `period_s`.
        period_s: What the rate is per, in seconds.
    """

    __slots__ = ("_at_s", "_left", "_per_s", "_size")

    def __init__(self, rate: int, period_s: int) -> None:
        self._size = self._left = float(rate)
        self._per_s = rate / period_s
        self._at_s = 0.0

    def wait_s(self, now_s: float, units: int) -> float:
        """See `Meter`: the time until as much is there, in whole milliseconds; of more than fits, until it is full."""
        self._refill(now_s)
        missing = units - self._left
        if missing <= _TOLERANCE:
            return 0.0
        return max(1, ceil((min(units, self._size) - self._left) / self._per_s * 1000.0)) / 1000.0

    def take(self, units: float) -> None:
        """See `Meter`."""
        self._left -= units

    def correct(self, taken_s: float, now_s: float, units: float) -> None:  # noqa: ARG002
        """See `Meter`: nothing is lost but what does not fit."""
        self._refill(now_s)
        self._left = min(self._size, self._left - units)

    def _refill(self, now_s: float) -> None:
        self._left = min(self._size, self._left + self._per_s * (now_s - self._at_s))
        self._at_s = now_s


class RateLimiter:
    """Several limits that must all admit a request.

    A request reserves its prompt and `max_tokens`. Azure OpenAI leaves it at that; Amazon Bedrock settles when the
    answer ends: the prompt without what its cache held, and each output token times the model's burn-down rate
    (Amazon Bedrock user guide, "How tokens are counted"; community.aws on burn-down rates, 2025-05-27).
    """

    __slots__ = ("_admitted_s", "_limits", "_open", "_requests", "_tokens")

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        window_s = limits.request_window_s
        tokens = (limits.tokens_per_minute, MINUTE_S, MINUTE_S), (limits.tokens_per_day, DAY_S, DAY_S)
        requests = (limits.requests_per_minute, MINUTE_S, window_s), (limits.requests_per_day, DAY_S, DAY_S)
        self._tokens = [self._meter(rate, period_s, window_s) for rate, period_s, window_s in tokens if rate]
        self._requests = [self._meter(rate, period_s, window_s) for rate, period_s, window_s in requests if rate]
        self._admitted_s = 0.0
        #: When each unsettled request ends, when it was admitted, and the tokens by which it is then corrected.
        self._open: list[tuple[float, float, float]] = []

    def _meter(self, rate: int, period_s: int, window_s: int) -> Meter:
        return Bucket(rate, period_s) if self._limits.kind == "continuous" else FixedWindow(rate, period_s, window_s)

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:  # noqa: ARG002
        """See `Admission`; nothing of the prompt counts as cached before it is read."""
        if self._open:
            self._settle_until(now_s)
        tokens, retry_after_s = prompt_tokens + max_tokens, 0.0
        for meter in self._tokens:
            if (wait_s := meter.wait_s(now_s, tokens)) > retry_after_s:
                retry_after_s = wait_s
        for meter in self._requests:
            if (wait_s := meter.wait_s(now_s, 1)) > retry_after_s:
                retry_after_s = wait_s
        return retry_after_s

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """See `Admission`."""
        if not self._tokens and not self._requests:
            return 0.0
        retry_after_s = self.retry_after_s(now_s, prompt_tokens, cached_tokens, max_tokens)
        if retry_after_s == 0.0 or self._limits.refusals_count:
            for meter in self._tokens:
                meter.take(prompt_tokens + max_tokens)
            for meter in self._requests:
                meter.take(1.0)
        self._admitted_s = now_s
        return retry_after_s

    def settle(self, end_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int, output_tokens: int) -> None:
        """See `Admission`."""
        if self._limits.settles and self._tokens:
            used = prompt_tokens - cached_tokens + self._limits.output_burndown * output_tokens
            heappush(self._open, (end_s, self._admitted_s, used - prompt_tokens - max_tokens))

    def _settle_until(self, now_s: float) -> None:
        while self._open and self._open[0][0] <= now_s:
            end_s, admitted_s, units = heappop(self._open)
            for meter in self._tokens:
                meter.correct(admitted_s, end_s, units)
