"""Hedged requests: what a cluster has not begun to answer in time is sent to an API too; the first token wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.engine.record import Charge, Reason
from simulator.engine.vllm.state import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.engine.api.metered_api import ApiBackend
    from simulator.engine.arrival import Arrival
    from simulator.engine.cluster import SharedCluster
    from simulator.engine.site import Site
    from simulator.scenario.routing import Hedge

#: What an API's answer writes about a request.
_ANSWER = (
    "backend", "scheduled_s", "first_token_s", "last_token_s", "ended_s", "outcome", "cached_tokens", "written_tokens",
    "billed_prompt_tokens", "billed_output_tokens",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Rival:
    """An answer that is on its way from an API while a cluster has the request too."""

    cluster: SharedCluster
    answer: dict[str, float]


class Hedges:
    """Second requests for slow first ones.

    Args:
        config: After how long, and for whom.
        site: What is simulated.
        apis: By number of the backend.
        on_beaten: Takes the row of each request that its cluster had not begun to answer when an API did.
    """

    def __init__(
        self, config: Hedge, site: Site, apis: dict[int, ApiBackend], on_beaten: Callable[[int], None]
    ) -> None:
        self._config = config
        self._site = site
        self._apis = apis
        self._on_beaten = on_beaten
        self._rivals: dict[int, _Rival] = {}

    def watch(self, arrival: Arrival, cluster: SharedCluster, allowed: Sequence[int]) -> None:
        """A request was sent to a cluster; see whether it needs a rival."""
        api = self._rival(allowed)
        if api is None or arrival.priority not in self._config.priorities:
            return
        timer = self._site.env.timeout(self._config.after)
        timer.callbacks.append(lambda _: self._send(arrival, cluster, api))

    def watch_at(self, due_s: float, arrival: Arrival, cluster: SharedCluster, allowed: Sequence[int]) -> None:
        """See then whether a request needs the rival that it may have."""
        if (api := self._rival(allowed)) is not None:
            self._site.env.at(due_s).callbacks.append(lambda _: self._send(arrival, cluster, api))

    def _rival(self, allowed: Sequence[int]) -> ApiBackend | None:
        return next((self._apis[number] for number in allowed if number in self._apis), None)

    @property
    def first_pending(self) -> int:
        """The first row that an API answers too; past all for none."""
        return min(self._rivals, default=UNLIMITED)

    def settle(self, row: int) -> bool:
        """The cluster has lost a request: whether its rival answers it."""
        rival = self._rivals.pop(row, None)
        if rival is not None:
            self._win(row, rival)
        return rival is not None

    def _send(self, arrival: Arrival, cluster: SharedCluster, api: ApiBackend) -> None:
        log, row = self._site.log, arrival.index
        if row in self._rivals or not cluster.silent(row):
            return
        before = {name: getattr(log, name)[row].item() for name in _ANSWER}
        log.attempts[row] += 1
        failure = api.call(arrival, 1)
        answer = {name: getattr(log, name)[row].item() for name in _ANSWER}
        for name in _ANSWER:
            getattr(log, name)[row] = before[name]
        if failure is None:
            self._rivals[row] = _Rival(cluster, answer)
            timer = self._site.env.timeout(answer["first_token_s"] - self._site.env.now)
            timer.callbacks.append(lambda _: self._first_token(arrival))

    def _first_token(self, arrival: Arrival) -> None:
        rival = self._rivals.pop(arrival.index, None)
        if rival is None:
            return
        if rival.cluster.silent(arrival.index) and rival.cluster.cancel(arrival.index):
            self._on_beaten(arrival.index)
            self._win(arrival.index, rival)
        else:
            # Its client hangs up after the first token, and pays for the prompt and that.
            names = "backend", "billed_prompt_tokens", "cached_tokens", "written_tokens"
            api, prompt, read, written = (int(rival.answer[name]) for name in names)
            tokens = prompt, read, 1
            charge = Charge(self._site.env.now, arrival.index, api, *tokens, arrival.workload, written)
            self._site.burnt.append(charge)

    def _win(self, row: int, rival: _Rival) -> None:
        log = self._site.log
        for name in _ANSWER:
            getattr(log, name)[row] = rival.answer[name]
        if log.failover[row] == Reason.NONE:
            log.failover[row] = Reason.HEDGE
