"""One replication of one hosting pattern, from the first arrival to the horizon."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import numpy as np
import simpy

from simulator.engine.arrival import Arrival
from simulator.engine.cluster import ClusterBackend
from simulator.engine.faults import timetable
from simulator.engine.gateway import Gateway
from simulator.engine.record import Outcome, RequestLog, RunRecord, write_loss
from simulator.engine.router import OverflowRouter
from simulator.engine.site import Site
from simulator.scenario.moments import after_start_s
from simulator.scenario.routing import Overflow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from simulator.engine.plan import ReplicaPlan
    from simulator.engine.record import ReplicaLevels
    from simulator.scenario.patterns import HostingPattern
    from simulator.workload.request import RequestTable

    #: Ends a simulation: levels by replica, and what decisions were made.
    Close = Callable[[], tuple[tuple[ReplicaLevels, ...], tuple[str, ...]]]

_CHUNK = 16_384


def simulate(
    pattern: HostingPattern,
    table: RequestTable,
    *,
    horizon_s: float,
    seed: int,
    replication: int,
    may_leave: Sequence[bool] | None = None,
    allowed_backends: Sequence[Sequence[bool]] | None = None,
    ttft_limit_s: Sequence[float] | None = None,
    moments_s: Callable[[str], Sequence[float]] = after_start_s,
    plan: ReplicaPlan | None = None,
    one_by_one: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> RunRecord:
    """Simulate a table of requests on one hosting pattern.

    Args:
        pattern: The hosting pattern.
        table: Requests; arrivals beyond the horizon are ignored.
        horizon_s: When the simulation ends; what is under way then is unfinished.
        seed: Root of the random streams.
        replication: Number of the replication.
        may_leave: By workload, whether its requests may go to an API; all may when absent.
        allowed_backends: By workload and backend (clusters, then APIs), whether it may use it; all it may when absent.
        ttft_limit_s: By workload, the time to first token its users accept, for routers that heed it; none when absent.
        moments_s: When a moment of the scenario is, in seconds; by default only such as `+36h` are known.
        plan: Replaces the measured replica, for tests and what-if questions.
        one_by_one: Take the general path where the faster one would do too; the result is the same.
        on_progress: Called now and then with the simulated seconds so far.

    Raises:
        ProfileNotFound: See `replica_plan`.
        InfeasibleCluster: See `replica_plan`.
    """
    env = simpy.Environment()
    log = RequestLog.empty(len(table))
    permits = _permits(pattern, table.workloads, may_leave, allowed_backends)
    names, hosted, routing = pattern.backend_names, tuple(pattern.hosted), pattern.routing
    orders = [routing.order(workload, hosted, tuple(pattern.metered)) for workload in table.workloads]
    may_use = [
        tuple(number for name in order if permits(workload, number := names.index(name)))
        for workload, order in enumerate(orders)
    ]
    degraded = None if routing.degrade_to is None else names.index(routing.degrade_to)
    fallback = [
        degraded if degraded is not None and permits(workload, degraded) else None for workload in range(len(may_use))
    ]
    limits = [inf] * len(may_use) if ttft_limit_s is None else ttft_limit_s
    faults = timetable(pattern, horizon_s=horizon_s, seed=seed, replication=replication, moments_s=moments_s)
    when = horizon_s, seed, replication
    site = Site(env, pattern, table, log, may_use, fallback, limits, *when, plan, faults, moments_s, permits)
    all_at_once = _is_plain(site) and not one_by_one
    close = _all_at_once(site, on_progress) if all_at_once else _one_by_one(site, on_progress)
    env.run(until=horizon_s)
    levels, decisions = close()
    _close(log, horizon_s)
    incidents = tuple(faults.incidents) if pattern.varies else None
    burnt = tuple(charge for charge in site.burnt if charge.at_s <= horizon_s)
    return RunRecord(names, horizon_s, log, levels, decisions, incidents, burnt)


def _permits(
    pattern: HostingPattern,
    workloads: Sequence[str],
    may_leave: Sequence[bool] | None,
    allowed_backends: Sequence[Sequence[bool]] | None,
) -> Callable[[int, int], bool]:
    """Whether a workload may be sent to a backend at all."""
    hosted = len(pattern.hosted)
    allowed = [[True] * len(pattern.backend_names)] * len(workloads) if allowed_backends is None else allowed_backends
    leaves = [True] * len(workloads) if may_leave is None else may_leave
    return lambda workload, backend: allowed[workload][backend] and (backend < hosted or leaves[workload])


def _is_plain(site: Site) -> bool:
    """Whether it is one cluster, one API, or one cluster with one API behind it."""
    pattern = site.pattern
    if len(pattern.hosted) > 1 or len(pattern.metered) > 1 or _needs_gateway(pattern):
        return False
    if pattern.hosted and pattern.metered:
        return set(site.may_use) <= {(0,), (0, 1)}
    return set(site.may_use) <= {(0,)} and pattern.routing == Overflow()


def _needs_gateway(pattern: HostingPattern) -> bool:
    routing = pattern.routing
    plain = routing.kind == "overflow" and routing.when_full == "queue" and not routing.queues_on_api_failure
    return pattern.varies or not plain or routing.breaker is not None or routing.hedge is not None


def _all_at_once(site: Site, on_progress: Callable[[float], None] | None) -> Close:
    """Have the only cluster serve the table itself: the faster path."""
    pattern, table, log = site.pattern, site.table, site.log
    log.target[table.arrival_s < site.horizon_s] = 0
    log.decision[:] = log.target
    if not pattern.hosted:
        site.env.process(_arrivals(site.env, table, site.api(0).submit, on_progress))
        return lambda: ((), ("preferred",))
    routing = pattern.routing if pattern.metered else None
    leaves = [len(backends) > 1 for backends in site.may_use]
    fleet = site.fleet(0, site.replica_plan(0), overflows=routing is not None, may_leave=leaves)
    on_lost = OverflowRouter(site.api(1), table, routing, log, leaves).lost if routing else partial(write_loss, log)
    cluster = ClusterBackend(
        site.env, fleet, table.arrival_s, horizon_s=site.horizon_s, on_lost=on_lost, on_progress=on_progress
    )
    site.env.process(cluster.serve())
    return lambda: (cluster.close(), ("preferred", "next with room", "no room anywhere"))


def _one_by_one(site: Site, on_progress: Callable[[float], None] | None) -> Close:
    """Ask a gateway at each arrival: the general path."""
    gateway = Gateway(site)
    site.env.process(_arrivals(site.env, site.table, gateway.take, on_progress))
    return lambda: (gateway.close(), gateway.decisions)


def _arrivals(
    env: simpy.Environment,
    table: RequestTable,
    route: Callable[[Arrival], None],
    on_progress: Callable[[float], None] | None,
) -> Generator[simpy.Event, object, None]:
    """Wake at each arrival and hand it over; columns become Python numbers a chunk at a time."""
    for start in range(0, len(table), _CHUNK):
        rows = slice(start, start + _CHUNK)
        columns = (
            table.workload, table.prompt_tokens, table.max_tokens, table.prefix_id, table.prefix_tokens, table.priority
        )  # fmt: skip
        chunk = zip(table.arrival_s[rows].tolist(), *(column[rows].tolist() for column in columns), strict=True)
        for index, (arrival_s, *facts) in enumerate(chunk, start):
            delay_s = arrival_s - env.now
            if delay_s > 0.0:
                yield env.timeout(delay_s)
            route(Arrival(index, *facts))
        if on_progress is not None:
            on_progress(env.now)


def _close(log: RequestLog, horizon_s: float) -> None:
    """Nothing after the horizon has happened: later stamps become unknown, their requests unfinished."""
    late = log.ended_s > horizon_s
    log.outcome[late] = Outcome.UNFINISHED
    log.billed_prompt_tokens[late] = 0
    log.billed_output_tokens[late] = 0
    for column in fields(RequestLog):
        stamps = getattr(log, column.name)
        if stamps.dtype == np.float64:
            stamps[stamps > horizon_s] = np.nan
