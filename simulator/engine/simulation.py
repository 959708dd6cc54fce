"""One replication of one hosting pattern, from the first arrival to the horizon."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import simpy

from simulator.engine.arrival import Arrival
from simulator.engine.cluster import ClusterBackend
from simulator.engine.fleet import Fleet
from simulator.engine.metered_api import ApiBackend
from simulator.engine.plan import replica_plan
from simulator.engine.record import Outcome, RequestLog, RunRecord, write_loss
from simulator.engine.router import OverflowRouter
from simulator.scenario.patterns import ApiPattern, SelfHostedPattern
from simulator.workload.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from simulator.engine.plan import ReplicaPlan
    from simulator.engine.record import Loss, ReplicaLevels
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.patterns import Cluster, HybridPattern, Overflow
    from simulator.workload.request import RequestTable

_CHUNK = 16_384


def simulate(
    pattern: ApiPattern | SelfHostedPattern | HybridPattern,
    table: RequestTable,
    *,
    horizon_s: float,
    seed: int,
    replication: int,
    may_leave: Sequence[bool] | None = None,
    plan: ReplicaPlan | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> RunRecord:
    """Simulate a table of requests on one hosting pattern.

    Args:
        pattern: The hosting pattern.
        table: Requests; arrivals beyond the horizon are ignored.
        horizon_s: When the simulation ends; what is under way then is unfinished.
        seed: Root of the random streams.
        replication: Number of the replication.
        may_leave: By workload, whether its requests may leave the site; all may when absent.
        plan: Replaces the measured replica, for tests and what-if questions.
        on_progress: Called now and then with the simulated seconds so far.

    Raises:
        ProfileNotFound: See `replica_plan`.
        InfeasibleCluster: See `replica_plan`.
    """
    env = simpy.Environment()
    log = RequestLog.empty(len(table))

    def build_api(api: MeteredApi, backend: int) -> ApiBackend:
        rng = stream(seed, replication, f"api/{api.model}")
        return ApiBackend(env, api, backend, table.output_tokens, log, rng)

    def build_cluster(
        cluster: Cluster, on_lost: Callable[[Loss], None], timeout_s: float | None, routing: Overflow | None = None
    ) -> ClusterBackend:
        fleet = Fleet(
            cluster.engine,
            plan or replica_plan(cluster),
            table,
            log,
            replicas=cluster.replicas,
            horizon_s=horizon_s,
            timeout_s=timeout_s,
            overflows=routing is not None,
            max_in_flight=routing.max_in_flight if routing else None,
            may_leave=may_leave,
        )
        return ClusterBackend(
            env, fleet, table.arrival_s, horizon_s=horizon_s, on_lost=on_lost, on_progress=on_progress
        )

    cluster: ClusterBackend | None = None
    if isinstance(pattern, ApiPattern):
        (api,) = pattern.metered.values()
        env.process(_arrivals(env, table, build_api(api, 0).submit, on_progress))
    elif isinstance(pattern, SelfHostedPattern):
        (one,) = pattern.hosted.values()
        cluster = build_cluster(one.cluster, lambda loss: write_loss(log, loss), one.cluster.request_timeout)
    else:
        (one,), (api,) = pattern.hosted.values(), pattern.metered.values()
        router = OverflowRouter(build_api(api, 1), table, pattern.routing, log, may_leave)
        timeout_s = pattern.routing.timeout or one.cluster.request_timeout
        cluster = build_cluster(one.cluster, router.lost, timeout_s, pattern.routing)
    if cluster is not None:
        env.process(cluster.serve())
    env.run(until=horizon_s)
    levels: tuple[ReplicaLevels, ...] = cluster.close() if cluster else ()
    _close(log, horizon_s)
    return RunRecord((*pattern.hosted, *pattern.metered), horizon_s, log, levels)


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
