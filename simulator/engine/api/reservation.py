"""Admission control of reserved tokens a minute: separate counters of input and of output."""

from __future__ import annotations

from simulator.engine.api.rate_limit import MINUTE_S, Limits


class Reservation:
    """Two counters that start again each minute and must both have room.

    Amazon Bedrock's reserved tier: input tokens without what was read from a cache, and output tokens, each a minute;
    a reservation stands beside the account's quotas ("Service tiers for optimizing performance and cost", 2026). That
    `max_tokens` are reserved and settled when the answer ends is assumed, as for its quotas.

    Args:
        input_tokens: Input tokens a minute.
        output_tokens: Output tokens a minute.
    """

    __slots__ = ("_input", "_output")

    def __init__(self, input_tokens: int, output_tokens: int) -> None:
        self._input, self._output = (Limits.of([(rate, MINUTE_S, MINUTE_S)]) for rate in (input_tokens, output_tokens))

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """See `Admission`."""
        return max(self._input.wait_s(now_s, prompt_tokens - cached_tokens), self._output.wait_s(now_s, max_tokens))

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """See `Admission`."""
        retry_after_s = self.retry_after_s(now_s, prompt_tokens, cached_tokens, max_tokens)
        if retry_after_s == 0.0:
            self._input.take(now_s, prompt_tokens - cached_tokens)
            self._output.take(now_s, max_tokens)
        return retry_after_s

    def settle(self, end_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int, output_tokens: int) -> None:  # noqa: ARG002
        """See `Admission`."""
        self._output.settle(end_s, output_tokens - max_tokens)
