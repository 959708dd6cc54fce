"""Admission control of metered APIs: so much per fixed window of time."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from simulator.scenario.apis import RateLimits

MINUTE_S, DAY_S = 60.0, 86_400.0


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


class FixedWindow:
    """A counter that starts again at every multiple of the window.

    Azure OpenAI counts tokens per minute this way and requests per one or ten seconds
    (MicrosoftDocs azure-ai-docs, how-to/quota, 2026-05-04).

    Args:
        limit: Most units admitted in one window.
        window_s: Length of the window.
    """

    __slots__ = ("_limit", "_used", "_window", "_window_s")

    def __init__(self, limit: float, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._window = -1
        self._used = 0.0

    def room(self, now_s: float) -> float:
        """Units left in the window of `now_s`."""
        window = int(now_s // self._window_s)
        if window != self._window:
            self._window, self._used = window, 0.0
        return self._limit - self._used

    def take(self, units: float) -> None:
        """Use units of the window last asked about."""
        self._used += units

    def correct(self, taken_s: float, now_s: float, units: float) -> None:
        """Take more units, or give back, for a request admitted at `taken_s`.

        What is given back to a window that has passed is lost; what is taken beyond a reservation counts now.
        """
        self.room(now_s)
        if units > 0.0 or int(taken_s // self._window_s) == self._window:
            self._used += units

    def reset_in_s(self, now_s: float) -> float:
        """Seconds until the counter starts again."""
        return (now_s // self._window_s + 1.0) * self._window_s - now_s


class RateLimiter:
    """Several windows that must all admit a request.

    A request reserves its prompt and `max_tokens`. Azure OpenAI leaves it at that; Amazon Bedrock settles when the
    answer ends: the prompt without what its cache held, and each output token times the model's burn-down rate
    (Amazon Bedrock user guide, "How tokens are counted"; community.aws on burn-down rates, 2025-05-27).
    """

    __slots__ = ("_admitted_s", "_limits", "_open", "_requests", "_tokens", "_windows")

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        per_window = limits.request_window_s / MINUTE_S
        tokens = ((limits.tokens_per_minute, MINUTE_S), (limits.tokens_per_day, DAY_S))
        requests = (
            (limits.requests_per_minute and max(1.0, limits.requests_per_minute * per_window), limits.request_window_s),
            (limits.requests_per_day, DAY_S),
        )
        self._tokens = [FixedWindow(limit, window_s) for limit, window_s in tokens if limit]
        self._requests = [FixedWindow(limit, window_s) for limit, window_s in requests if limit]
        self._windows = [*self._tokens, *self._requests]
        self._admitted_s = 0.0
        #: When each unsettled request ends, when it was admitted, and the tokens by which it is then corrected.
        self._open: list[tuple[float, float, float]] = []

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:  # noqa: ARG002
        """See `Admission`; nothing of the prompt counts as cached before it is read."""
        self._settle_until(now_s)
        tokens, retry_after_s = prompt_tokens + max_tokens, 0.0
        for window in self._tokens:
            if window.room(now_s) < tokens:
                retry_after_s = max(retry_after_s, window.reset_in_s(now_s))
        for window in self._requests:
            if window.room(now_s) < 1.0:
                retry_after_s = max(retry_after_s, window.reset_in_s(now_s))
        return retry_after_s

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """See `Admission`."""
        if not self._windows:
            return 0.0
        retry_after_s = self.retry_after_s(now_s, prompt_tokens, cached_tokens, max_tokens)
        if retry_after_s == 0.0 or self._limits.refusals_count:
            for window in self._tokens:
                window.take(prompt_tokens + max_tokens)
            for window in self._requests:
                window.take(1.0)
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
            for window in self._tokens:
                window.correct(admitted_s, end_s, units)
