"""Takes requests one at a time, sends each where a policy says, and finds another backend for what one loses."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from simulator.engine.api.metered_api import ApiBackend
from simulator.engine.arrival import Arrival
from simulator.engine.cluster import SharedCluster
from simulator.engine.operations.autoscaler import Autoscaler
from simulator.engine.operations.operations import carry_out
from simulator.engine.operations.uptime import Uptime
from simulator.engine.record import Loss, Reason, write_loss
from simulator.engine.routing.breaker import Breaker
from simulator.engine.routing.custom import Custom
from simulator.engine.routing.express import CLUSTER, GATEWAY, HEDGE, Express
from simulator.engine.routing.hedge import Hedges
from simulator.engine.routing.policies import FORECASTING, POLICIES, Decision, prices_usd
from simulator.engine.vllm.forecast import Forecast
from simulator.scenario.autoscaling import ScheduledScaling
from simulator.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.engine.backend import Backend
    from simulator.engine.record import ReplicaLevels
    from simulator.engine.site import Site
    from simulator.engine.vllm.fleet import Fleet
    from simulator.scenario.autoscaling import Autoscaling
    from simulator.scenario.routing import CircuitBreaker

#: Asked for at every request; an enumeration takes its time to find its member.
_NONE: Final = Reason.NONE


class Gateway:
    """The door of a hosting pattern, with all its backends behind it.

    Args:
        site: What to simulate.
        one_by_one: Have every request take the general way; the result is the same.

    Raises:
        ProfileNotFound: See `Site.fleet`.
        InfeasibleCluster: See `Site.fleet`.
    """

    def __init__(self, site: Site, *, one_by_one: bool = False) -> None:
        self._site = site
        self._routing = site.pattern.routing
        plans = [site.replica_plan(number) for number in range(len(site.pattern.hosted))]
        self._fleets = [site.fleet(number, made_of) for number, made_of in enumerate(plans)]
        configs = [one.cluster for one in site.pattern.hosted.values()]
        asks = self._routing.kind in FORECASTING
        forecasts = [
            Forecast(fleet, made_of) if asks else None for fleet, made_of in zip(self._fleets, plans, strict=True)
        ]
        self._forecasts = [forecast for forecast in forecasts if forecast is not None]
        self._clusters = [
            SharedCluster(site.env, fleet, forecast, self.lost, keeps=config.autoscaling is not None)
            for fleet, forecast, config in zip(self._fleets, forecasts, configs, strict=True)
        ]
        apis = site.apis(self.lost)
        self._backends: list[Backend] = [*self._clusters, *apis]
        self._breakers = self._make_breakers(self._routing.breaker)
        rivals = {number: api for number, api in enumerate(apis, len(plans)) if isinstance(api, ApiBackend)}
        self._hedges = None if self._routing.hedge is None else Hedges(self._routing.hedge, site, rivals, self._beaten)
        # Compiled code cannot ask a router of one's own.
        own = self._routing.kind == "custom"
        made = Custom if own else POLICIES[self._routing.kind]
        self._policy = made(site, self._backends, self._clusters)
        self._uptimes = [Uptime(fleet, site.horizon_s) for fleet in self._fleets]
        carry_out(site.env, site.faults.downtimes, self._uptimes, self._clusters, self.lost)
        scalers = [
            None if one.cluster.autoscaling is None else self._autoscaler(number, name, one.cluster.autoscaling)
            for number, (name, one) in enumerate(site.pattern.hosted.items())
        ]
        self._alarms = [one.alarm for one in (*self._clusters, *scalers) if one is not None]
        self._rng = stream(site.seed, site.replication, "gateway")
        # By request that left a backend: those that are left to it, and the clusters it was never sent to.
        self._left: dict[int, Sequence[int]] = {}
        self._passed: dict[int, Sequence[int]] = {}
        self._whys: dict[str, int] = {}
        usd = prices_usd(site)
        behind = self._fleets, apis, self._forecasts, scalers
        self._express = None if one_by_one or own else Express(site, *behind, self._alarms, usd)

    def _make_breakers(self, config: CircuitBreaker | None) -> list[Breaker]:
        """One for each backend, or none at all."""
        if config is None:
            return []
        looks: list[Callable[[float], object]] = [fleet.look for fleet in self._fleets]
        looks += [lambda _: None] * (len(self._backends) - len(looks))
        return [Breaker(config, number, self._site.log, look) for number, look in enumerate(looks)]

    def _autoscaler(self, number: int, name: str, config: Autoscaling) -> Autoscaler:
        site = self._site
        rng = stream(site.seed, site.replication, f"autoscaling/{name}")
        fleet, uptime = self._fleets[number], self._uptimes[number]
        scaler = Autoscaler(site.env, config, self._clusters[number], fleet, uptime, rng, self.lost)
        if isinstance(config, ScheduledScaling):
            scaler.by_schedule(config, site.moments_s)
        else:
            site.env.process(scaler.by_queue(config))
        return scaler

    @property
    def fleets(self) -> Sequence[Fleet]:
        """The replicas of its clusters."""
        return self._fleets

    @property
    def decisions(self) -> tuple[str, ...]:
        """What `log.decision` indexes."""
        return tuple(self._whys)

    def first_pending(self, now_s: float) -> int:
        """The first row that something here may still read or write at a moment, be the request over or not."""
        over = self._site.ledger.settled
        for kept in (self._left, self._passed):
            for row in [row for row in kept if row < over]:
                del kept[row]
        pending = [fleet.first_pending(now_s) for fleet in self._fleets]
        pending += [forecast.first_pending(now_s) for forecast in self._forecasts]
        pending += [breaker.first_pending for breaker in self._breakers]
        pending += [] if self._hedges is None else [self._hedges.first_pending]
        pending += [] if self._express is None else [self._express.first_pending]
        return min(pending, default=self._site.ledger.known)

    def forward(self, row: int, end: int, awake: bool) -> tuple[int, bool]:
        """Send on requests that arrive before anything else happens, as far as they are ordinary.

        Args:
            row: The first of them.
            end: One after the last.
            awake: Whether the first of them arrives now.

        Returns:
            The first that was not sent, and whether it arrives now.
        """
        express, why = self._express, CLUSTER
        while express and why in (CLUSTER, HEDGE) and all(breaker.is_closed for breaker in self._breakers):
            first = row
            row, why = express.forward(row, end, self._whys, awake)
            awake = awake and row == first
            if why == CLUSTER:
                self._clusters[express.backend].look()
            elif why == HEDGE:
                self._watch_hedged()
        # Who comes later need not meet the express again.
        while express and express.hedged and (row == end or why in (CLUSTER, HEDGE)):
            self._watch_hedged()
        return row, why == GATEWAY

    def _watch_hedged(self) -> None:
        """Have an event for the first request that is hedged."""
        assert self._express is not None
        assert self._hedges is not None
        row, due_s = self._express.pop_hedged()
        arrival, cluster = Arrival.of(self._site.table, row), self._clusters[self._site.log.target.item(row)]
        self._hedges.watch_at(due_s, arrival, cluster, self._site.may_use[arrival.workload])

    def take(self, arrival: Arrival) -> None:
        """Send a request that has just arrived."""
        self._send(arrival, self._site.may_use[arrival.workload])

    def lost(self, loss: Loss) -> None:
        """Send a request that a backend did not serve to another, or write down how it ended."""
        log, row = self._site.log, loss.row
        arrival = Arrival.of(self._site.table, row)
        lost_by = log.backend.item(row)
        broke = loss.reason is Reason.FAULT and lost_by < len(self._clusters)
        if self._breakers:
            self._breakers[lost_by].lost(loss)
        if self._hedges is not None and self._hedges.settle(row):
            return
        # Another replica of the same cluster may do.
        goes_on = broke and self._clusters[lost_by].serves
        left = self._left_to(arrival)
        left = [number for number in left if number != lost_by or goes_on]
        refused = loss.reason is not Reason.TIMEOUT
        if refused and self._routing.on_error == "fail":
            write_loss(log, loss)
        elif left:
            self._note(row, loss.reason)
            self._left[row] = left
            self._send(arrival, left)
        elif self._routing.queues_on_api_failure and (passed := self._passed.pop(row, ())):
            self._note(row, loss.reason)
            self._left[row] = ()
            self._backends[passed[0]].submit(arrival)
        elif broke and (retries := log.retries.item(row)) < self._routing.retries.at_most:
            log.retries[row] = retries + 1
            timer = self._site.env.timeout(self._back_off_s(retries + 1))
            timer.callbacks.append(lambda _: self.take(arrival))
        else:
            write_loss(log, loss)

    def _left_to(self, arrival: Arrival) -> Sequence[int]:
        """The backends that are left to a request that one has lost, that one included."""
        row, allowed = arrival.index, self._site.may_use[arrival.workload]
        if self._express is not None and self._express.passed_over.item(row):
            self._express.passed_over[row] = False
            self._pass_over(row, self._site.log.target.item(row), allowed)
        return self._left.pop(row, allowed)

    def _pass_over(self, row: int, backend: int, allowed: Sequence[int]) -> None:
        """What was passed over for want of room is not asked again, unless nothing else is left."""
        passed = list(takewhile(lambda number: number != backend, allowed))
        self._left[row] = [number for number in allowed if number not in passed]
        self._passed[row] = [number for number in passed if number < len(self._fleets)]

    def _beaten(self, row: int) -> None:
        """An API's answer to a hedged request came before its cluster's."""
        if self._breakers:
            self._breakers[int(self._site.log.backend[row])].beaten(row, self._site.env.now)

    def _back_off_s(self, retry: int) -> float:
        retries = self._routing.retries
        delay_s = min(retries.first_delay * 2.0 ** (retry - 1), retries.longest_delay)
        return delay_s * (1.0 - retries.jitter * float(self._rng.random()))

    def _send(self, arrival: Arrival, allowed: Sequence[int]) -> None:
        row, log = arrival.index, self._site.log
        decision = self._choose(arrival, allowed) if allowed else Decision(None, "not allowed")
        if log.target.item(row) < 0:
            log.target[row] = -1 if decision.backend is None else decision.backend
            log.decision[row] = self._whys.setdefault(decision.why, len(self._whys))
        if decision.reason is not _NONE:
            self._note(row, decision.reason)
        if decision.backend is None:
            reason = Reason.CAPACITY if decision.why == "shed" else Reason.ERROR
            write_loss(log, Loss(self._site.env.now, row, reason, False))
            return
        if decision.reason is not _NONE:
            self._pass_over(row, decision.backend, allowed)
        if self._breakers:
            self._breakers[decision.backend].sent(row)
        self._backends[decision.backend].submit(arrival)
        if self._hedges is not None and decision.backend < len(self._clusters):
            self._hedges.watch(arrival, self._clusters[decision.backend], allowed)

    def _choose(self, arrival: Arrival, allowed: Sequence[int]) -> Decision:
        """Ask the policy about those whose breaker is closed; about all when none is."""
        if not self._breakers:
            return self._policy.choose(arrival, allowed)
        now_s = self._site.env.now
        closed = [number for number in allowed if self._breakers[number].allows(now_s)] or allowed
        decision = self._policy.choose(arrival, closed)
        if closed[0] != allowed[0] and decision.reason is _NONE and decision.backend is not None:
            return decision._replace(why="breaker open", reason=Reason.BREAKER)
        return decision

    def _note(self, row: int, reason: Reason) -> None:
        if self._site.log.failover.item(row) == _NONE:
            self._site.log.failover[row] = reason

    def close(self) -> tuple[ReplicaLevels, ...]:
        """Stamp what is still under way and return the levels of every replica, cluster by cluster; it is no more."""
        found: list[ReplicaLevels] = []
        for fleet, uptime in zip(self._fleets, self._uptimes, strict=True):
            levels = fleet.close(self._site.horizon_s)
            up_s, paid_s = uptime.close()
            if self._site.pattern.varies:
                levels = tuple(
                    replace(level, up_s=up, paid_s=paid) for level, up, paid in zip(levels, up_s, paid_s, strict=True)
                )
            found += levels
        # They have a way back to it.
        for alarm in self._alarms:
            alarm.stop()
        self._backends.clear()
        self._clusters.clear()
        self._express = self._hedges = None
        return tuple(found)
