"""Admission control of metered APIs: so much per fixed window of time."""

from __future__ import annotations


class FixedWindow:
    """A counter that starts again at every multiple of the window.

    Azure OpenAI counts tokens per minute this way and requests per ten seconds
    (MicrosoftDocs azure-ai-docs, how-to/quota, 2025-01-09).

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

    def reset_in_s(self, now_s: float) -> float:
        """Seconds until the counter starts again."""
        return (now_s // self._window_s + 1.0) * self._window_s - now_s


class RateLimiter:
    """Several windows that must all admit a request.

    Args:
        tokens_per_minute: Prompt tokens plus `max_tokens` per minute; None for no limit.
        requests_per_minute: Requests per minute, counted in tens of seconds; None for no limit.
    """

    __slots__ = ("_requests", "_tokens")

    def __init__(self, tokens_per_minute: int | None, requests_per_minute: int | None) -> None:
        self._tokens = FixedWindow(tokens_per_minute, 60.0) if tokens_per_minute else None
        self._requests = FixedWindow(max(1.0, requests_per_minute / 6.0), 10.0) if requests_per_minute else None

    def retry_after_s(self, now_s: float, tokens: int) -> float:
        """Seconds after which trying again makes sense; 0 when a request that may use `tokens` would be admitted."""
        retry_after_s = 0.0
        for window, units in ((self._tokens, tokens), (self._requests, 1)):
            if window is not None and window.room(now_s) < units:
                retry_after_s = max(retry_after_s, window.reset_in_s(now_s))
        return retry_after_s

    def admit(self, now_s: float, tokens: int) -> float:
        """Admit a request that may use `tokens`.

        Returns:
            0 when admitted, else the seconds after which trying again makes sense (`retry-after`).
        """
        retry_after_s = self.retry_after_s(now_s, tokens)
        if retry_after_s == 0.0:
            for window, units in ((self._tokens, tokens), (self._requests, 1)):
                if window is not None:
                    window.take(units)
        return retry_after_s
