"""The policies of `simulator.engine.routing.policies`, compiled: to which backend a request goes, and why.

A choice is a backend, why (`WHYS`, or a rule), and the backend that it is instead of. The backend is NONE where only
the gateway can tell, or where the request is refused; what it is instead of, where it need not be anywhere else.
"""

from __future__ import annotations

from math import inf, isnan

from simulator.engine.api.ordinary import admits
from simulator.engine.routing.state import (
    BY_LOAD,
    BY_RULE,
    BY_TIME,
    EMPTIEST,
    FASTEST,
    IN_TIME,
    NEXT,
    NO_ROOM,
    PREFERRED,
    WAITS,
    WHYS,
    RouterState,
)
from simulator.engine.vllm.balancing import any_serves, pick
from simulator.engine.vllm.compiled import compiled
from simulator.engine.vllm.dispatch import has_room, look
from simulator.engine.vllm.forecast import ttft_s
from simulator.engine.vllm.state import NONE

_RULES = len(WHYS)


@compiled
def choose(g: RouterState, row: int, now_s: float) -> tuple[int, int, int]:
    """Where a request is sent."""
    router, workload = g.router[0], g.workload[row]
    if g.may_use[workload, 0] == NONE:
        return NONE, WAITS, NONE
    if router.policy == BY_TIME:
        return _in_time(g, row, now_s)
    if router.policy == BY_RULE:
        return _by_rule(g, row, now_s)
    count = 0
    while g.may_use[workload, count] != NONE:
        g.order[count] = g.may_use[workload, count]
        count += 1
    if router.policy == BY_LOAD:
        _sort_by_load(g, count, now_s)
    return _with_room(g, row, now_s, count)


@compiled
def serves(g: RouterState, number: int, now_s: float) -> bool:
    """Whether a backend takes requests."""
    return bool(number >= g.router[0].clusters or g.keeps[number] or any_serves(g.clusters[number], now_s))


@compiled
def _room(g: RouterState, number: int, row: int, now_s: float) -> int:
    """Whether a backend has room: 1 or 0, or NONE where only the gateway can tell."""
    clusters, max_tokens = g.router[0].clusters, int(g.max_tokens[row])
    if number < clusters:
        cluster, share = g.clusters[number], g.shares[g.priority[row]]
        return int(has_room(cluster, pick(cluster, row, now_s), int(cluster.prompt_tokens[row]), max_tokens, share))
    api = g.apis[number - clusters]
    if not api.api[0].ordinary:
        return NONE
    if admits(api, now_s, int(api.prompt_tokens[row]) + max_tokens):
        return 1
    return NONE if api.api[0].spills else 0


@compiled
def _with_room(g: RouterState, row: int, now_s: float, count: int) -> tuple[int, int, int]:
    """See `Overflow` and `LeastLoaded`: the first of `order` with room; else the first API, or a cluster, to wait."""
    router, first, api = g.router[0], g.order[0], NONE
    by_load = router.policy == BY_LOAD
    for place in range(count):
        number = g.order[place]
        room = _room(g, number, row, now_s)
        if room == NONE:
            return NONE, WAITS, NONE
        if room and by_load and number < router.clusters:
            return number, EMPTIEST, NONE
        if room and (place == 0 or (by_load and first >= router.clusters)):
            return number, PREFERRED, NONE
        if room:
            return number, NEXT, first
        if number >= router.clusters and api == NONE:
            api = number
    if api != NONE:
        return (api, PREFERRED, NONE) if api == first else (api, NO_ROOM, first)
    fallback = g.fallback[g.workload[row]]
    if g.priority[row] >= router.sheds_from or fallback not in (NONE, first):
        return NONE, WAITS, NONE
    return first, WAITS, NONE


@compiled
def _sort_by_load(g: RouterState, count: int, now_s: float) -> None:
    """Clusters first, the emptiest before the others, then APIs."""
    for place in range(count):
        number = g.order[place]
        if number >= g.router[0].clusters:
            g.keys[number] = inf
            continue
        cluster = g.clusters[number]
        look(cluster, now_s)
        replicas = 0
        for r in range(cluster.settings[0].replicas):
            replicas += not cluster.replicas[r].closed
        seats = cluster.settings[0].max_num_seqs * replicas
        g.keys[number] = cluster.fleet[0].in_flight / seats if seats else inf
    _sort(g, count)
    # A cluster of which nothing is up comes before an API all the same.
    clusters = g.router[0].clusters
    for place in range(1, count):
        number, at = g.order[place], place
        while at and number < clusters and g.order[at - 1] >= clusters:
            g.order[at] = g.order[at - 1]
            at -= 1
        g.order[at] = number


@compiled
def _sort(g: RouterState, count: int) -> None:
    """Sort `order` by `keys`; equals stay as they are."""
    for place in range(1, count):
        number, at = g.order[place], place
        while at and g.keys[g.order[at - 1]] > g.keys[number]:
            g.order[at] = g.order[at - 1]
            at -= 1
        g.order[at] = number


@compiled
def _in_time(g: RouterState, row: int, now_s: float) -> tuple[int, int, int]:
    """See `SloAware` and `CostAware`."""
    router, workload, count = g.router[0], g.workload[row], 0
    first, fastest, fastest_s = g.may_use[workload, 0], NONE, inf
    while g.may_use[workload, count] != NONE:
        number = g.may_use[workload, count]
        g.order[count] = number
        count += 1
        if number < router.clusters:
            g.expected_s[number] = ttft_s(g.forecasts[number], row, now_s)
            if isnan(g.expected_s[number]):
                return NONE, WAITS, NONE
        if fastest == NONE or g.expected_s[number] < fastest_s:
            fastest, fastest_s = number, g.expected_s[number]
        if router.by_price:
            prompt_usd, output_usd = g.prompt_usd[number], g.output_usd[number]
            g.keys[number] = g.prompt_tokens[row] * prompt_usd + g.max_tokens[row] * output_usd
    if router.by_price:
        _sort(g, count)
    chosen, why = fastest, FASTEST
    for place in range(count):
        if g.expected_s[g.order[place]] <= g.ttft_limit_s[workload]:
            chosen, why = g.order[place], IN_TIME
            break
    # An API instead of a cluster is an overflow.
    return chosen, why, first if first < router.clusters <= chosen else NONE


@compiled
def _by_rule(g: RouterState, row: int, now_s: float) -> tuple[int, int, int]:
    """See `Rules`."""
    workload, prompt, most = g.workload[row], g.prompt_tokens[row], g.max_tokens[row]
    for number in range(g.router[0].rules):
        rule = g.rules[number]
        count, room = 0, 0
        while g.rule_targets[number, workload, count] != NONE:
            g.order[count] = g.rule_targets[number, workload, count]
            count += 1
        if not count or not g.rule_priorities[number, g.priority[row]]:
            continue
        if not (rule.prompt_at_least <= prompt < rule.prompt_below and rule.most_at_least <= most < rule.most_below):
            continue
        place = 0
        while rule.while_room and place < count and room == 0:
            room = _room(g, g.order[place], row, now_s)
            place += 1
        if room == NONE:
            return NONE, WAITS, NONE
        if rule.while_room and not room:
            continue
        chosen, _, instead_of = _with_room(g, row, now_s, count)
        return chosen, _RULES + number, instead_of
    return NONE, WAITS, NONE
