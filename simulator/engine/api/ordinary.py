"""A call to a metered API that is admitted and answered in time, compiled.

What becomes of the others `simulator.engine.api.metered_api` says; this leaves them to it, and nothing has changed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from simulator.engine.api.leaky_bucket import BucketState, utilisation
from simulator.engine.api.rate_limit import Limits, settle, take, wait_s
from simulator.engine.record import Outcome
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.state import Records, record_of

_COMPLETED = int(Outcome.COMPLETED)

#: An API: whether its calls are of this kind at all, and what of a call is not; how it fares from the last look until
#: `changes_s`, and when the next outage begins that cuts off answers. What the first calls of requests that arrive now
#: meet with is known up to row `drawn`.
API = record_of(
    i8="backend context_tokens drawn",
    f8="""error_share scarce delay_s timeout_s burndown tier_tokens tier_slowdown month_s
        fault_share slowdown changes_s outage_s""",
    b1="ordinary provisioned streamed caches spills",
)

#: Columns of the `RequestTable`, and those of the `RequestLog` that an answer is written to.
ASKED = "prompt_tokens", "output_tokens", "max_tokens", "prefix_id"
STAMPED = (
    "backend", "enqueued_s", "scheduled_s", "first_token_s", "last_token_s", "ended_s", "outcome", "attempts",
    "cached_tokens", "written_tokens", "billed_prompt_tokens", "billed_output_tokens",
)  # fmt: skip

_I2, _I4, _F8 = np.dtype("i2"), np.dtype("i4"), np.dtype("f8")


class ApiState(Records):
    """An API as compiled code sees it.

    Attributes:
        api: One `API`.
        limits, bucket: What it is admitted by, one of the two.
        volume: The month, and tokens of its calls; see `Latency`.
        ttft_s, token_s, luck, spare: By request, what was drawn for its first call.
        Besides `ASKED` and `STAMPED`.
    """

    arrays: ClassVar[dict[str, tuple[Any, int]]] = {
        "api": (API, 1),
        "limits": (Limits, 1),
        "bucket": (BucketState, 1),
        "volume": (np.dtype("i8"), 1),
        **dict.fromkeys(("ttft_s", "token_s", "luck", "spare"), (_F8, 1)),
        **dict.fromkeys(ASKED, (_I4, 1)),
        **dict.fromkeys(("enqueued_s", "scheduled_s", "first_token_s", "last_token_s", "ended_s"), (_F8, 1)),
        **dict.fromkeys(("outcome", "backend"), (np.dtype("i1"), 1)),
        **dict.fromkeys(("cached_tokens", "written_tokens"), (_I4, 1)),
        **dict.fromkeys(("billed_prompt_tokens", "billed_output_tokens"), (_I4, 1)),
        "attempts": (_I2, 1),
    }


@compiled
def admits(a: ApiState, now_s: float, tokens: int) -> bool:
    """Whether an ordinary API would admit a request of so many tokens now."""
    if a.api[0].provisioned:
        return bool(utilisation(a.bucket[0], now_s) < 1.0)
    return bool(wait_s(a.limits[0], now_s, tokens) == 0.0)


@compiled
def _can_note(a: ApiState) -> bool:
    """Whether there is room to note one more that is not settled."""
    if a.api[0].provisioned:
        return bool(a.bucket[0].limiter[0].open < a.bucket[0].limiter[0].room)
    return bool(a.limits[0].limiter[0].open < a.limits[0].limiter[0].room)


@compiled
def answered(a: ApiState, row: int, now_s: float) -> bool:
    """Make the first call of a request; whether it was an ordinary one, or else nothing has changed."""
    api = a.api[0]
    if not api.ordinary or now_s >= api.changes_s or row >= api.drawn:
        return False
    prompt, most, output = int(a.prompt_tokens[row]), int(a.max_tokens[row]), int(a.output_tokens[row])
    if prompt + most > api.context_tokens or (api.caches and a.prefix_id[row] >= 0):
        return False
    if a.spare[row] < api.scarce or a.luck[row] < max(api.error_share, api.fault_share):
        return False
    if not (_can_note(a) and admits(a, now_s, prompt + most)):
        return False
    month = int(now_s // api.month_s)
    volume = prompt + output + (int(a.volume[1]) if month == a.volume[0] else 0)
    slowdown = api.slowdown * (api.tier_slowdown if volume > api.tier_tokens else 1.0)
    first_s = now_s + (a.ttft_s[row] * slowdown + api.delay_s)
    last_s = first_s + (output - 1) * a.token_s[row] * slowdown
    if last_s - now_s > api.timeout_s and (not api.streamed or first_s - now_s > api.timeout_s):
        return False
    if api.outage_s < last_s:
        return False
    if api.provisioned:
        bucket = a.bucket[0].bucket[0]
        bucket.level += prompt + bucket.output_ratio * most
        settle(a.bucket[0], last_s, bucket.output_ratio * (output - most))
    else:
        take(a.limits[0], now_s, prompt + most)
        if api.burndown:
            settle(a.limits[0], last_s, prompt + api.burndown * output - prompt - most)
    a.volume[0], a.volume[1] = month, volume
    a.backend[row] = api.backend
    a.enqueued_s[row] = a.scheduled_s[row] = now_s
    a.first_token_s[row] = first_s
    a.last_token_s[row] = a.ended_s[row] = last_s
    a.outcome[row] = _COMPLETED
    a.attempts[row] += 1
    a.cached_tokens[row] = a.written_tokens[row] = 0
    a.billed_prompt_tokens[row] = prompt
    a.billed_output_tokens[row] = output
    return True
