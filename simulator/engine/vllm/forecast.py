"""What a router expects of a cluster, from the queue it sees, the profile, and the answers it has had."""

from __future__ import annotations

from collections import deque
from math import inf, isnan
from typing import TYPE_CHECKING

from simulator.engine.vllm.state import UNLIMITED

if TYPE_CHECKING:
    from simulator.engine.arrival import Arrival
    from simulator.engine.record import RequestLog
    from simulator.engine.vllm.fleet import Fleet
    from simulator.engine.vllm.plan import ReplicaPlan

#: Weight of the newest answer in the running mean of how long requests stay.
_NEWEST = 0.05


class Forecast:
    """Time to first token of a request that is sent to a cluster now.

    A request waits for the step under way, for the prompts before it, and for a seat and KV blocks where the cluster
    has no room: then one request after another must end, of those that run, each after the mean stay of the last
    answers. It knows no output length before an answer has ended.

    Args:
        fleet: The replicas.
        plan: What they are made of.
        log: Where a router reads when its answers came.
    """

    def __init__(self, fleet: Fleet, plan: ReplicaPlan, log: RequestLog) -> None:
        self._fleet = fleet
        self._plan = plan
        self._log = log
        self._sent: deque[int] = deque()
        self._stay_s: float | None = None

    def sent(self, arrival: Arrival) -> None:
        """A request was sent there; its answer will tell something."""
        self._sent.append(arrival.index)

    def first_pending(self, now_s: float) -> int:
        """The first row of which it has not learned yet, past all for none."""
        self._fleet.look(now_s)
        self._learn(now_s)
        return min(self._sent, default=UNLIMITED)

    def ttft_s(self, arrival: Arrival, now_s: float) -> float:
        """Seconds from now; infinite while no replica is open."""
        self._fleet.look(now_s)
        view = self._fleet.least_loaded()
        if view is None:
            return inf
        self._learn(now_s)
        plan = self._plan
        decode_s = plan.step_time.step_s(view.running, view.kv_tokens, []) if view.running else 0.0
        prompt_s = plan.step_time.step_s(max(0, view.running - 1), view.kv_tokens, [(arrival.prompt_tokens, 0)])
        queue_s = view.waiting * prompt_s
        if not self._fleet.room(arrival.index, now_s):
            queue_s = max(queue_s, (view.waiting + 1) * self._mean_stay_s(arrival, decode_s) / max(1, view.running))
        hosted_s = plan.frontend_base_s + plan.frontend_per_prompt_token_s * arrival.prompt_tokens + plan.output_s
        return hosted_s + decode_s + queue_s + prompt_s

    def _mean_stay_s(self, arrival: Arrival, decode_s: float) -> float:
        """Before any answer the longest one that the client allows."""
        return arrival.max_tokens * decode_s if self._stay_s is None else self._stay_s

    def _learn(self, now_s: float) -> None:
        """Take in the answers that have come, in the order in which the requests were sent."""
        log = self._log
        while self._sent and log.ended_s[self._sent[0]] <= now_s:
            row = self._sent.popleft()
            stay_s = float(log.last_token_s[row] - log.scheduled_s[row])
            if not isnan(stay_s):
                before_s = stay_s if self._stay_s is None else self._stay_s
                self._stay_s = before_s + _NEWEST * (stay_s - before_s)
