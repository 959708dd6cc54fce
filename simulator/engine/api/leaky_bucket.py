"""Admission control of provisioned units: a bucket that drains at the rate of the units bought."""

from __future__ import annotations

from math import floor
from typing import Any, ClassVar, Final

import numpy as np
from numba import float64

from simulator.engine.api.rate_limit import LIMITER, OPEN, pop, settle
from simulator.engine.vllm.compiled import compiled, entry, machine_code
from simulator.engine.vllm.state import Records, record_of

#: What drains in a second, of how much; prompt tokens that an output token counts as; what there is at a moment.
BUCKET = record_of(f8="tokens_per_s capacity output_ratio level at_s")

_FEW: Final = 64


class BucketState(Records):
    """A leaky bucket as compiled code sees it.

    Attributes:
        bucket: One `BUCKET`.
        limiter: One `LIMITER`, of which the requests under way count.
        open: `OPEN`: when each ends, and the tokens by which its estimate is then corrected.
    """

    arrays: ClassVar[dict[str, tuple[Any, int]]] = {"bucket": (BUCKET, 1), "limiter": (LIMITER, 1), "open": (OPEN, 1)}


class LeakyBucket:
    """What accepted requests still cost, in prompt tokens; while that is a full bucket or more, others are refused.

    A request adds its prompt without what is cached, and `output_ratio` times its `max_tokens`; when it ends, the
    tokens it really produced take the place of `max_tokens`. The request that fills the bucket is accepted whole, so
    short bursts exceed it (Microsoft Learn, "What is provisioned throughput for Foundry Models?", 2026-02-10).

    Args:
        tokens_per_s: Prompt tokens a second that the units serve.
        capacity_tokens: Size of the bucket.
        output_ratio: Prompt tokens that an output token counts as.

    Attributes:
        state: What compiled code works on.
    """

    __slots__ = ("_settle", "_utilisation", "state")

    def __init__(self, tokens_per_s: float, capacity_tokens: float, output_ratio: float) -> None:
        bucket, limiter = np.zeros(1, BUCKET), np.zeros(1, LIMITER)
        bucket[0] = (tokens_per_s, capacity_tokens, output_ratio, 0.0, 0.0)
        limiter["room"] = _FEW
        self.state = BucketState(bucket=bucket, limiter=limiter, open=np.zeros(_FEW, OPEN))
        self._utilisation = machine_code(utilisation, BucketState, float64)
        self._settle = machine_code(settle, BucketState, float64, float64)

    def utilisation(self, now_s: float) -> float:
        """How full the bucket is; 1 and more refuses."""
        return float(self._utilisation(self.state, now_s))

    def retry_after_s(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:  # noqa: ARG002
        """See `Admission`: the time until utilisation is below 1, in whole milliseconds."""
        if self.utilisation(now_s) < 1.0:
            return 0.0
        tokens_per_s, capacity, _, level, _ = self.state.bucket[0].item()
        return float((floor((level - capacity) / tokens_per_s * 1000.0) + 1.0) / 1000.0)

    def admit(self, now_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int) -> float:
        """See `Admission`."""
        retry_after_s = self.retry_after_s(now_s, prompt_tokens, cached_tokens, max_tokens)
        if retry_after_s == 0.0:
            bucket = self.state.bucket[0]
            bucket.level += prompt_tokens - cached_tokens + bucket.output_ratio * max_tokens
        return retry_after_s

    def settle(self, end_s: float, prompt_tokens: int, cached_tokens: int, max_tokens: int, output_tokens: int) -> None:  # noqa: ARG002
        """See `Admission`."""
        state = self.state
        if state.limiter["open"][0] == len(state.open):
            state.replace("open", np.concatenate([state.open, np.zeros(len(state.open), OPEN)]))
            state.limiter["room"] = len(state.open)
        self._settle(state, end_s, float(state.bucket[0].output_ratio * (output_tokens - max_tokens)))


@entry
def utilisation(s: BucketState, now_s: float) -> float:
    """See `LeakyBucket`."""
    bucket = s.bucket[0]
    while s.limiter[0].open and s.open[0].end_s <= now_s:
        _drain(s, s.open[0].end_s)
        bucket.level = max(0.0, bucket.level + s.open[0].units)
        pop(s)
    _drain(s, now_s)
    return float(bucket.level / bucket.capacity)


@compiled
def _drain(s: BucketState, now_s: float) -> None:
    bucket = s.bucket[0]
    bucket.level = max(0.0, bucket.level - bucket.tokens_per_s * (now_s - bucket.at_s))
    bucket.at_s = now_s
