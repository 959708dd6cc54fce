"""Admission control of provisioned units: a bucket that drains at the rate of the units bought."""

from __future__ import annotations

from heapq import heappop, heappush
from math import floor


class LeakyBucket:
    """What accepted requests still cost, in prompt tokens; while that is a full bucket or more, others are refused.

    A request adds its prompt without what is cached, and `output_ratio` times its `max_tokens`; when it ends, the
    tokens it really produced take the place of `max_tokens`. The request that fills the bucket is accepted whole, so
    short bursts exceed it (Microsoft Learn, "What is provisioned throughput for Foundry Models?", 2026-02-10).

    Args:
        tokens_per_s: Prompt tokens a second that the units serve.
        capacity_tokens: Size of the bucket.
        output_ratio: Prompt tokens that an output token counts as.
    """

    __slots__ = ("_at_s", "_capacity", "_level", "_open", "_output_ratio", "_tokens_per_s")

    def __init__(self, tokens_per_s: float, capacity_tokens: float, output_ratio: float) -> None:
        self._tokens_per_s = tokens_per_s
        self._capacity = capacity_tokens
        self._output_ratio = output_ratio
        self._at_s = 0.0
        self._level = 0.0
        #: When each request under way ends, and the tokens by which its estimate is then corrected.
        self._open: list[tuple[float, float]] = []

    def utilisation(self, now_s: float) -> float:
        """How full the bucket is; 1 and more refuses."""
        while self._open and self._open[0][0] <= now_s:
            end_s, tokens = heappop(self._open)
            self._drain(end_s)
            self._level = max(0.0, self._level + tokens)
        self._drain(now_s)
        return self._level / self._capacity

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:  # noqa: ARG002
        """See `Admission`: the time until utilisation is below 1, in whole milliseconds."""
        if self.utilisation(now_s) < 1.0:
            return 0.0
        return (floor((self._level - self._capacity) / self._tokens_per_s * 1000.0) + 1.0) / 1000.0

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """See `Admission`."""
        retry_after_s = self.retry_after_s(now_s, prompt_tokens, cached_tokens, max_tokens)
        if retry_after_s == 0.0:
            self._level += prompt_tokens - cached_tokens + self._output_ratio * max_tokens
        return retry_after_s

    def settle(self, end_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int, output_tokens: int) -> None:  # noqa: ARG002
        """See `Admission`."""
        heappush(self._open, (end_s, self._output_ratio * (output_tokens - max_tokens)))

    def _drain(self, now_s: float) -> None:
        self._level = max(0.0, self._level - self._tokens_per_s * (now_s - self._at_s))
        self._at_s = now_s
