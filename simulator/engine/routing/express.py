"""The ordinary way of a request through the gateway, compiled: many at once, between two events of the simulation.

It sends on what arrives to the backend that the policy says, as long as all goes well. What is out of the ordinary it
leaves to the gateway before anything has changed, or as soon as a cluster has lost something: so there is one account
of what happens then, and this one need not know it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import float64, int64

from simulator.engine.api.metered_api import ApiBackend
from simulator.engine.api.ordinary import answered
from simulator.engine.operations.autoscaler import ScalerState
from simulator.engine.record import Reason
from simulator.engine.routing.alarms import comes_to_nothing, find_due, watches
from simulator.engine.routing.choice import choose, serves
from simulator.engine.routing.state import BY_LOAD, BY_RULE, BY_TIME, HEDGED, IN_ORDER, ROUTER, RULE, WHYS, RouterState
from simulator.engine.vllm.balancing import any_serves, pick
from simulator.engine.vllm.compiled import compiled, entry, machine_code
from simulator.engine.vllm.dispatch import send, silent
from simulator.engine.vllm.forecast import note
from simulator.engine.vllm.state import NONE, UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from simulator.engine.api.batch_api import BatchBackend
    from simulator.engine.clock import Alarm
    from simulator.engine.operations.autoscaler import Autoscaler
    from simulator.engine.site import Site
    from simulator.engine.vllm.fleet import Fleet
    from simulator.engine.vllm.forecast import Forecast
    from simulator.scenario.rule_table import RoutingRule

_PRIORITIES: Final = (1, 2, 3)

#: Why `forward` came back: no more to do before the moment; the next request is for the gateway; a cluster is; or the
#: first that is hedged.
REACHED, GATEWAY, CLUSTER, HEDGE = range(4)
_ARRIVED = 4

_CAPACITY, _FAULT = int(Reason.CAPACITY), int(Reason.FAULT)


@entry
def forward(g: RouterState, end: int, until_s: float) -> int:
    """Send on the requests before row `end` that arrive before `until_s`.

    Returns:
        REACHED; GATEWAY when the next one is out of the ordinary, and it is its time; CLUSTER when `router.backend` has
        lost something, or somebody there may have waited too long; HEDGE when the first that is noted has had no token.
    """
    router = g.router[0]
    find_due(g)
    while router.next_arrival < end:
        row = router.next_arrival
        # As a process that sleeps until then would wake.
        delay_s = 0.0 if router.awake else g.arrival_s[row] - router.now_s
        now_s = router.now_s + delay_s if delay_s > 0.0 else router.now_s
        why = _wait(g, now_s, until_s, delay_s > 0.0)
        if why != _ARRIVED:
            return why
        router.now_s = now_s
        if _watch_s(g) <= now_s:
            return GATEWAY
        number, why, instead_of = choose(g, row, now_s)
        if number == NONE or g.whys[why] == NONE or not _takes(g, number, row, now_s):
            return GATEWAY
        if instead_of != NONE:
            g.failover[row] = _CAPACITY if serves(g, instead_of, now_s) else _FAULT
            g.passed_over[row] = True
        g.target[row] = number
        g.decision[row] = g.whys[why]
        router.next_arrival += 1
        router.awake = False
        if number >= router.clusters:
            continue
        cluster = g.clusters[number]
        if router.policy == BY_TIME:
            note(g.forecasts[number], row)
        unwatched = cluster.fleet[0].watch_s == inf
        send(cluster, pick(cluster, row, now_s), row, now_s, now_s)
        if g.hedges[g.workload[row], g.priority[row]]:
            place = (router.first_hedged + router.hedged) % HEDGED
            g.hedged[place], g.hedged_s[place] = row, now_s + router.hedge_after_s
            router.hedged += 1
        begins = unwatched and cluster.fleet[0].watch_s < inf
        if cluster.fleet[0].losses or (begins and not watches(g, number, end)):
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
def _wait(g: RouterState, arrives_s: float, until_s: float, sleeps: bool) -> int:
    """Let the time pass until a request arrives, or the simulation has something to do: _ARRIVED, REACHED or HEDGE."""
    router = g.router[0]
    while True:
        alarm_s = router.due_s
        rings = sleeps and alarm_s <= arrives_s and alarm_s < until_s
        if _lacks_a_token(g, arrives_s, alarm_s if rings else inf, until_s if rings else min(until_s, alarm_s)):
            return HEDGE
        if not rings:
            return REACHED if arrives_s >= until_s else _ARRIVED
        if not comes_to_nothing(g, arrives_s):
            # The simulation goes on from there, and must know of those that are due while the request is waited for.
            return HEDGE if _lacks_a_token(g, arrives_s, inf, alarm_s) else REACHED


@compiled
def _lacks_a_token(g: RouterState, now_s: float, before_s: float, until_s: float) -> bool:
    """Whether one that is due by now has none, or may have none after the next event; forgets those that have."""
    router = g.router[0]
    while router.hedged and g.hedged_s[router.first_hedged] <= min(now_s, before_s):
        row, due_s = g.hedged[router.first_hedged], g.hedged_s[router.first_hedged]
        if due_s == before_s:
            # What else is due then comes first.
            return False
        if due_s >= until_s or silent(g.clusters[g.target[row]], row, due_s):
            return True
        router.first_hedged = (router.first_hedged + 1) % HEDGED
        router.hedged -= 1
    return False


@compiled
def _takes(g: RouterState, number: int, row: int, now_s: float) -> bool:
    """Whether a backend takes a request without further ado; an API has answered it then."""
    router = g.router[0]
    if number >= router.clusters:
        return bool(answered(g.apis[number - router.clusters], row, now_s))
    if g.clusters[number].fleet[0].free_slot == NONE or router.hedged == HEDGED:
        return False
    if router.policy == BY_TIME and g.forecasts[number].forecast[0].sent == g.forecasts[number].forecast[0].room:
        return False
    return bool(not g.keeps[number] or any_serves(g.clusters[number], now_s))


#: How each kind of routing goes about it.
POLICIES: Final = {
    "overflow": IN_ORDER,
    "priority_aware": IN_ORDER,
    "seed_as_written": IN_ORDER,
    "seed_corrected": IN_ORDER,
    "least_loaded": BY_LOAD,
    "slo_aware": BY_TIME,
    "cost_aware": BY_TIME,
    "rules": BY_RULE,
}


class Express:
    """The ordinary way through a gateway.

    Args:
        site: What is simulated.
        fleets: The replicas of its clusters.
        apis: Its APIs.
        forecasts: What a router expects of its clusters; none where it does not ask.
        scalers: By cluster, who says how many replicas it has; None where nobody does.
        alarms: Of clusters and of those.
        usd: By backend, prices of a million prompt and output tokens, where the policy heeds them.

    Attributes:
        passed_over: By request, whether it was sent past backends that it would rather use.
    """

    def __init__(
        self,
        site: Site,
        fleets: Sequence[Fleet],
        apis: Sequence[ApiBackend | BatchBackend],
        forecasts: Sequence[Forecast],
        scalers: Sequence[Autoscaler | None],
        alarms: Sequence[Alarm],
        usd: Sequence[tuple[float, float]],
    ) -> None:
        self._site = site
        self._apis, self._changes_s = apis, -inf
        self._alarms = alarms
        self._forward = forwarding()
        self._known = 0
        routing, names, rules = site.pattern.routing, site.pattern.backend_names, _rules(site)
        self._names = [*WHYS, *(f"rule {rule.name}" for rule in rules)]
        router = np.zeros(1, ROUTER)
        router["policy"], router["by_price"] = POLICIES[routing.kind], routing.kind == "cost_aware"
        router["clusters"], router["rules"] = len(fleets), len(rules)
        router["sheds_from"] = routing.shed_from_priority if routing.when_full == "shed" else UNLIMITED
        hedges = np.zeros((len(site.may_use), 1 + len(_PRIORITIES)), np.bool_)
        if routing.hedge is not None:
            router["hedge_after_s"] = routing.hedge.after
            rivals = {number for number, api in enumerate(apis, len(fleets)) if isinstance(api, ApiBackend)}
            for workload, may_use in enumerate(site.may_use):
                hedges[workload, routing.hedge.priorities] = not rivals.isdisjoint(may_use)
        expected_s = [inf] * len(fleets) + [api.usual_ttft_s for api in apis]
        self.passed_over = passed_over = site.ledger.column(np.bool_)
        site.ledger.follow(lambda rows: passed_over.__setitem__(rows, False))
        asked = "arrival_s", "workload", "prompt_tokens", "max_tokens", "priority"
        self._state = RouterState(
            router=router,
            clusters=[fleet.state for fleet in fleets],
            apis=[api.state for api in apis],
            scalers=[ScalerState.of() if scaler is None else scaler.state for scaler in scalers],
            forecasts=[forecast.state for forecast in forecasts],
            may_use=_padded(site.may_use, len(names)),
            fallback=np.array([NONE if number is None else number for number in site.fallback]),
            shares=np.array([0.0, *(routing.share(priority) for priority in _PRIORITIES)]),
            keeps=np.array([one.cluster.autoscaling is not None for one in site.pattern.hosted.values()], np.bool_),
            whys=np.full(len(self._names), NONE),
            order=np.zeros(len(names), np.int64),
            keys=np.zeros(len(names)),
            ttft_limit_s=np.array(site.ttft_limit_s, np.float64),
            expected_s=np.array(expected_s, np.float64),
            prompt_usd=np.array([prompt for prompt, _ in usd], np.float64),
            output_usd=np.array([output for _, output in usd], np.float64),
            hedges=hedges,
            hedged=np.zeros(HEDGED, np.int64),
            hedged_s=np.zeros(HEDGED),
            passed_over=passed_over,
            **_conditions(site, rules),
            **{name: getattr(site.table, name) for name in asked},
            **{name: getattr(site.log, name) for name in ("target", "decision", "failover")},
        )
        self._next, self._now, self._awake = router["next_arrival"], router["now_s"], router["awake"]
        self._backend, self._hedged, self._first_hedged, self._moved = (
            router[name] for name in ("backend", "hedged", "first_hedged", "moved")
        )

    def forward(self, row: int, end: int, whys: dict[str, int], awake: bool) -> tuple[int, int]:
        """Send on the requests from one row to before another, up to the next event, and bring the clock there.

        Args:
            row: The first.
            end: One after the last.
            whys: Decisions so far, and their numbers.
            awake: Whether the first arrives now.

        Returns:
            The next row, and why it is not further.
        """
        if len(whys) > self._known:
            self._known = len(whys)
            self._state.whys[:] = [whys.get(why, NONE) for why in self._names]
        env = self._site.env
        if self._changes_s <= env.now:
            self._look_at_apis(env.now)
        lent = env.lend()
        self._next[0], self._now[0], self._awake[0], self._moved[0] = row, env.now, awake, len(lent)
        why = self._forward(self._state, end, env.peek())
        if lent or self._moved.item(0):
            env.take_back(lent, self._alarms)
        env.bring_to(self._now.item(0))
        return self._next.item(0), why

    def _look_at_apis(self, now_s: float) -> None:
        """See how those fare that may fare otherwise from now on."""
        for api in self._apis:
            if api.state.api["changes_s"].item(0) <= now_s:
                api.look(now_s)
        self._changes_s = min((api.state.api["changes_s"].item(0) for api in self._apis), default=inf)

    def pop_hedged(self) -> tuple[int, float]:
        """Forget the first that is hedged: its row, and when that is due."""
        place = self._first_hedged.item(0)
        self._first_hedged[0] = (place + 1) % HEDGED
        self._hedged[0] -= 1
        return self._state.hedged.item(place), self._state.hedged_s.item(place)

    @property
    def hedged(self) -> int:
        """How many are."""
        return int(self._hedged.item(0))

    @property
    def first_pending(self) -> int:
        """The first row that is hedged, past all for none."""
        places = (self._first_hedged.item(0) + np.arange(self.hedged)) % HEDGED
        return int(self._state.hedged[places].min(initial=UNLIMITED))

    @property
    def backend(self) -> int:
        """The cluster that must be looked at."""
        return int(self._backend.item(0))


def _padded(orders: Sequence[Sequence[int]], longest: int) -> NDArray[np.int64]:
    """Lists of backends in rows of an array, each with NONE at its end."""
    made = np.full((len(orders), longest + 1), NONE)
    for row, order in enumerate(orders):
        made[row, : len(order)] = order
    return made


def _rules(site: Site) -> Sequence[RoutingRule]:
    return getattr(site.pattern.routing, "rules", ())


def _conditions(site: Site, rules: Sequence[RoutingRule]) -> dict[str, NDArray[Any]]:
    """What the rules ask of a request, and where they send it."""
    names, loads = site.pattern.backend_names, site.table.workloads
    made = np.zeros(len(rules), RULE)
    priorities = np.zeros((len(rules), 1 + len(_PRIORITIES)), np.bool_)
    targets = np.full((len(rules), len(loads), len(names) + 1), NONE)
    for number, rule in enumerate(rules):
        when = rule.when
        bounds = [
            (tokens.at_least, UNLIMITED if tokens.below is None else tokens.below)
            for tokens in (when.prompt_tokens, when.max_tokens)
        ]
        made[number] = (*bounds[0], *bounds[1], when.while_room)
        priorities[number, when.priorities or _PRIORITIES] = True
        wanted = [names.index(name) for name in rule.send_to]
        usable = [
            [backend for backend in wanted if backend in may_use and load in (when.workloads or loads)]
            for load, may_use in zip(loads, site.may_use, strict=True)
        ]
        targets[number] = _padded(usable, len(names))
    return {"rules": made, "rule_priorities": priorities, "rule_targets": targets}
