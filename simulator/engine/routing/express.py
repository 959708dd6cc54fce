"""The ordinary way of a request through the gateway, compiled: many at once, between two events of the simulation.

It sends on what arrives to the backend that the policy says, as long as all goes well. What is out of the ordinary it
leaves to the gateway before anything has changed, or as soon as a cluster has lost something: so there is one account
of what happens then, and this one need not know it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import float64, int64

from simulator.engine.api.ordinary import answered
from simulator.engine.api.rate_limit import wait_s
from simulator.engine.record import Reason
from simulator.engine.routing.state import NEXT, NO_ROOM, PREFERRED, ROUTER, WAITS, WHYS, RouterState
from simulator.engine.vllm.compiled import compiled, entry, machine_code
from simulator.engine.vllm.dispatch import has_room, least_loaded, send
from simulator.engine.vllm.state import NONE, UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.engine.api.batch_api import BatchBackend
    from simulator.engine.api.metered_api import ApiBackend
    from simulator.engine.site import Site
    from simulator.engine.vllm.fleet import Fleet

#: Why `forward` came back: no more to do before the moment; the next request is for the gateway; a cluster is.
REACHED, GATEWAY, CLUSTER = range(3)

_NONE, _CAPACITY, _FAULT = int(Reason.NONE), int(Reason.CAPACITY), int(Reason.FAULT)


@entry
def forward(g: RouterState, end: int, until_s: float) -> int:
    """Send on the requests before row `end` that arrive before `until_s`.

    Returns:
        REACHED; GATEWAY when the next one is out of the ordinary, and it is its time; CLUSTER when `router.backend` has
        lost something, or somebody there may have waited too long.
    """
    router = g.router[0]
    while router.next_arrival < end:
        row = router.next_arrival
        # As a process that sleeps until then would wake.
        delay_s = g.arrival_s[row] - router.now_s
        now_s = router.now_s + delay_s if delay_s > 0.0 else router.now_s
        if now_s >= until_s:
            return REACHED
        router.now_s = now_s
        if _watch_s(g) <= now_s:
            return GATEWAY
        number, why = _overflow(g, row, now_s)
        if number == NONE or g.whys[why] == NONE or not _takes(g, number, row, now_s):
            return GATEWAY
        if why in (NEXT, NO_ROOM):
            g.failover[row] = _CAPACITY if _serves(g, g.may_use[g.workload[row], 0], now_s) else _FAULT
            g.passed_over[row] = True
        g.target[row] = number
        g.decision[row] = g.whys[why]
        router.next_arrival += 1
        if number >= router.clusters:
            continue
        cluster = g.clusters[number]
        unwatched = cluster.fleet[0].watch_s == inf
        send(cluster, least_loaded(cluster, now_s), row, now_s, now_s)
        if cluster.fleet[0].losses or (unwatched and cluster.fleet[0].watch_s < inf):
            router.backend = number
            return CLUSTER
    return REACHED


def forwarding() -> Callable[[RouterState, int, float], int]:
    """The machine code of `forward`, compiled if need be."""
    made: Callable[[RouterState, int, float], int] = machine_code(forward, RouterState, int64, float64)
    return made


@compiled
def _watch_s(g: RouterState) -> float:
    """When somebody may have waited too long."""
    soonest_s = inf
    for number in range(g.router[0].clusters):
        soonest_s = min(soonest_s, g.clusters[number].fleet[0].watch_s)
    return soonest_s


@compiled
def _serves(g: RouterState, number: int, now_s: float) -> bool:
    """Whether a backend takes requests."""
    return bool(number >= g.router[0].clusters or g.keeps[number] or least_loaded(g.clusters[number], now_s) != NONE)


@compiled
def _takes(g: RouterState, number: int, row: int, now_s: float) -> bool:
    """Whether a backend takes a request without further ado; an API has answered it then."""
    if number >= g.router[0].clusters:
        return bool(answered(g.apis[number - g.router[0].clusters], row, now_s))
    if g.clusters[number].fleet[0].free_slot == NONE:
        return False
    return bool(not g.keeps[number] or least_loaded(g.clusters[number], now_s) != NONE)


@compiled
def _room(g: RouterState, number: int, row: int, now_s: float) -> int:
    """Whether a backend has room: 1 or 0, or NONE where only the gateway can tell."""
    clusters, prompt_tokens, max_tokens = g.router[0].clusters, int(g.prompt_tokens[row]), int(g.max_tokens[row])
    if number < clusters:
        cluster, share = g.clusters[number], g.shares[g.priority[row]]
        return int(has_room(cluster, least_loaded(cluster, now_s), prompt_tokens, max_tokens, share))
    api = g.apis[number - clusters]
    if not api.api[0].ordinary:
        return NONE
    if wait_s(api.limits[0], now_s, prompt_tokens + max_tokens) == 0.0:
        return 1
    return NONE if api.api[0].spills else 0


@compiled
def _overflow(g: RouterState, row: int, now_s: float) -> tuple[int, int]:
    """See `Overflow`: the backend, or NONE, and why."""
    workload, clusters, place, api = g.workload[row], g.router[0].clusters, 0, NONE
    while g.may_use[workload, place] != NONE:
        number = g.may_use[workload, place]
        room = _room(g, number, row, now_s)
        if room == NONE:
            return NONE, NO_ROOM
        if room:
            return number, NEXT if place else PREFERRED
        if number >= clusters and api == NONE:
            api = number
        place += 1
    first = g.may_use[workload, 0]
    if api != NONE:
        return api, PREFERRED if api == first else NO_ROOM
    if g.priority[row] >= g.router[0].sheds_from or (g.fallback[workload] not in (NONE, first)):
        return NONE, WAITS
    return first, WAITS


#: Policies that it knows.
KINDS: Final = frozenset({"overflow", "priority_aware", "seed_as_written", "seed_corrected"})


class Express:
    """The ordinary way through a gateway.

    Args:
        site: What is simulated.
        fleets: The replicas of its clusters.
        apis: Its APIs.

    Attributes:
        passed_over: By request, whether it was sent past backends that it would rather use.
    """

    def __init__(self, site: Site, fleets: Sequence[Fleet], apis: Sequence[ApiBackend | BatchBackend]) -> None:
        self._site = site
        self._apis = [(api, api.state.api["changes_s"]) for api in apis]
        self._forward = forwarding()
        self._known = 0
        routing, table, log = site.pattern.routing, site.table, site.log
        router = np.zeros(1, ROUTER)
        router["clusters"] = len(fleets)
        router["sheds_from"] = routing.shed_from_priority if routing.when_full == "shed" else UNLIMITED
        may_use = np.full((len(site.may_use), len(site.pattern.backend_names) + 1), NONE)
        for workload, backends in enumerate(site.may_use):
            may_use[workload, : len(backends)] = backends
        self.passed_over = passed_over = site.ledger.column(np.bool_)
        site.ledger.follow(lambda rows: passed_over.__setitem__(rows, False))
        names = "arrival_s", "workload", "prompt_tokens", "max_tokens", "priority"
        self._state = RouterState(
            router=router,
            clusters=[fleet.state for fleet in fleets],
            apis=[api.state for api in apis],
            may_use=may_use,
            fallback=np.array([NONE if number is None else number for number in site.fallback]),
            shares=np.array([0.0, *(routing.share(priority) for priority in (1, 2, 3))]),
            keeps=np.array([one.cluster.autoscaling is not None for one in site.pattern.hosted.values()], np.bool_),
            whys=np.full(len(WHYS), NONE),
            passed_over=self.passed_over,
            **{name: getattr(table, name) for name in names},
            **{name: getattr(log, name) for name in ("target", "decision", "failover")},
        )
        self._next, self._now, self._backend = router["next_arrival"], router["now_s"], router["backend"]

    def forward(self, row: int, end: int, whys: dict[str, int]) -> tuple[int, int]:
        """Send on the requests from one row to before another, up to the next event, and bring the clock there.

        Returns:
            The next row, and why it is not further.
        """
        if len(whys) > self._known:
            self._known = len(whys)
            self._state.whys[:] = [whys.get(why, NONE) for why in WHYS]
        env = self._site.env
        for api, changes_s in self._apis:
            if changes_s.item(0) <= env.now:
                api.look(env.now)
        self._next[0], self._now[0] = row, env.now
        why = self._forward(self._state, end, env.peek())
        env.bring_to(self._now.item(0))
        return self._next.item(0), why

    @property
    def backend(self) -> int:
        """The cluster that must be looked at."""
        return int(self._backend.item(0))
