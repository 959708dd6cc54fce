"""What is due between two arrivals and mostly comes to nothing, compiled: looks of autoscalers, and waits that end.

Where something does come of it, nothing has changed, and the simulation does it when it is due. What is due at the
moment of an arrival comes first where it was set before the request began to be waited for. So none is set here for
that moment: the simulation would have set it later.
"""

from __future__ import annotations

from math import inf, isnan

from simulator.engine.operations.autoscaler import more_wanted
from simulator.engine.routing.state import RouterState
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.dispatch import look, next_watch_s
from simulator.engine.vllm.state import NONE


@compiled
def find_due(g: RouterState) -> None:
    """Note which is due first: the look of a cluster's autoscaler, or past those the cluster's own alarm."""
    router, first = g.router[0], 0
    router.due, router.due_s = NONE, inf
    for number in range(router.clusters):
        scaler, fleet = g.scalers[number].scaler[0], g.clusters[number].fleet[0]
        for due, due_s, order in (
            (number, scaler.due_s, scaler.order),
            (router.clusters + number, fleet.wakes_s, fleet.woken),
        ):
            if due_s < router.due_s or (due_s < inf and due_s == router.due_s and order < first):
                router.due, router.due_s, first = due, due_s, order


@compiled
def comes_to_nothing(g: RouterState, arrives_s: float) -> bool:
    """Do what is due first, if nothing comes of it, while the next request is waited for."""
    router = g.router[0]
    clusters = router.clusters
    done = _looked(g, router.due, arrives_s) if router.due < clusters else _woke(g, router.due - clusters, arrives_s)
    if done:
        find_due(g)
    return bool(done)


@compiled
def watches(g: RouterState, number: int, end: int) -> bool:
    """Set the alarm of a cluster, of whose requests one may wait too long from now on."""
    router, fleet = g.router[0], g.clusters[number].fleet[0]
    if fleet.watched_s < inf:
        # It is set, for what is over.
        return True
    if router.next_arrival >= end:
        return False
    wakes_s = router.now_s + max(0.0, fleet.watch_s - router.now_s)
    delay_s = g.arrival_s[router.next_arrival] - router.now_s
    if delay_s <= 0.0 or wakes_s == router.now_s + delay_s:
        return False
    fleet.watched_s = fleet.watch_s
    _set(g, number, wakes_s)
    find_due(g)
    return True


@compiled
def _looked(g: RouterState, number: int, arrives_s: float) -> bool:
    """An autoscaler looks, and finds as many replicas as it wants."""
    router, scaler, cluster = g.router[0], g.scalers[number], g.clusters[number]
    one, fleet = scaler.scaler[0], cluster.fleet[0]
    now_s, calm_since_s, came = one.due_s, one.calm_since_s, one.came
    if now_s + one.every_s == arrives_s or fleet.watch_s <= now_s:
        return False
    waiting = look(cluster, now_s) + fleet.kept
    if more_wanted(scaler, now_s, waiting, fleet.in_flight, fleet.came):
        one.calm_since_s, one.came = calm_since_s, came
        return False
    router.moved += 1
    one.due_s, one.order = now_s + one.every_s, router.moved
    return True


@compiled
def _woke(g: RouterState, number: int, arrives_s: float) -> bool:
    """Nobody has waited too long."""
    cluster = g.clusters[number]
    fleet = cluster.fleet[0]
    now_s, watch_s = fleet.wakes_s, fleet.watch_s
    if watch_s <= fleet.watched_s:
        watch_s = next_watch_s(cluster, fleet.watched_s)
    wakes_s = now_s + max(0.0, watch_s - now_s)
    if isnan(watch_s) or wakes_s == arrives_s:
        return False
    fleet.watch_s = fleet.watched_s = watch_s
    _set(g, number, wakes_s)
    return True


@compiled
def _set(g: RouterState, number: int, wakes_s: float) -> None:
    router, fleet = g.router[0], g.clusters[number].fleet[0]
    router.moved += 1
    fleet.wakes_s, fleet.woken = wakes_s, router.moved
