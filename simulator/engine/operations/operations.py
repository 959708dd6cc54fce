"""Carries out a timetable of faults on the replicas of the clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import simpy

    from simulator.engine.cluster import SharedCluster
    from simulator.engine.operations.faults import Downtime
    from simulator.engine.operations.uptime import Uptime
    from simulator.engine.record import Loss


def carry_out(
    env: simpy.Environment,
    downtimes: Sequence[Downtime],
    uptimes: Sequence[Uptime],
    clusters: Sequence[SharedCluster],
    on_lost: Callable[[Loss], None],
) -> None:
    """Start a process for each downtime.

    Args:
        env: Simulation environment.
        downtimes: When replicas do not serve.
        uptimes: By number of the cluster, its replicas.
        clusters: By number, what hands requests to them.
        on_lost: Takes what a replica had not finished.
    """
    for downtime in downtimes:
        env.process(_take_down(env, downtime, uptimes[downtime.cluster], clusters[downtime.cluster], on_lost))


def _take_down(
    env: simpy.Environment,
    downtime: Downtime,
    uptime: Uptime,
    cluster: SharedCluster,
    on_lost: Callable[[Loss], None],
) -> Generator[simpy.Event, object, None]:
    replica = downtime.replica
    yield env.timeout(downtime.closed_s)
    uptime.hold(replica, env.now)
    yield env.timeout(downtime.lost_s - downtime.closed_s)
    for loss in uptime.lose(replica, env.now):
        on_lost(loss)
    if not downtime.paid:
        uptime.stop_paying(replica, env.now)
    yield env.timeout(downtime.back_s - downtime.lost_s)
    if not downtime.paid:
        uptime.pay(replica, env.now)
    if uptime.release(replica, env.now):
        cluster.opened()
