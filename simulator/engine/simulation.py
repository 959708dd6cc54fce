"""One replication of one hosting pattern, from the first arrival to the horizon.

Requests may come in parts: each is drawn when the one before it has been served, and what is settled by then is handed
on. So a year needs no more memory than a month. One cluster, or a cluster with an API behind it, serves whole parts at
once; every other pattern has a gateway, which sees what is out of the ordinary, while compiled code sends on
the rest, from one event to the next.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.engine.api import rate_limit
from simulator.engine.arrival import Arrival
from simulator.engine.chains import chains_of
from simulator.engine.clients import ClientRule, Clients
from simulator.engine.clock import Clock
from simulator.engine.cluster import ClusterBackend
from simulator.engine.ledger import Ledger
from simulator.engine.operations.faults import timetable
from simulator.engine.record import Outcome, RequestLog, RunRecord, write_loss
from simulator.engine.routing.express import forward, forwarding
from simulator.engine.routing.gateway import Gateway
from simulator.engine.routing.router import OverflowRouter
from simulator.engine.site import Site
from simulator.engine.vllm import dispatch, forecast
from simulator.engine.vllm.compiled import is_kept
from simulator.scenario.moments import after_start_s
from simulator.scenario.routing import Overflow
from simulator.trace.request_table import RequestTable, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    import simpy

    from simulator.engine.record import ReplicaLevels
    from simulator.engine.vllm.plan import ReplicaPlan
    from simulator.performance.image_table import ImageLoads
    from simulator.scenario.patterns import HostingPattern

    #: Requests, and when those of the next part begin to arrive.
    Part = tuple[RequestTable, float]
    #: Takes the next requests in order of arrival, what became of them, and what `log.decision` indexes.
    OnSettled = Callable[[RequestTable, RequestLog, tuple[str, ...]], None]

_CHUNK = 16_384
#: What comes in parts is handed on in smaller ones; what is there at once, at once.
_SETTLED_AT_ONCE = 131_072
#: Where something can break, what is handed on ends with an interval of the timeline, all of which divide this.
_INTERVAL_S = 21_600.0


def is_compiled() -> bool:
    """Whether `prepare` only has to load what an earlier process compiled."""
    return dispatch.is_compiled() and all(is_kept(one) for one in (forward, *rate_limit.ENTRIES, *forecast.ENTRIES))


def prepare() -> None:
    """Compile what Python calls, some 25 s once for a version of the engine, or load it.

    Processes started afterwards find it done; left to themselves, each would compile its own.
    """
    dispatch.working()
    rate_limit.prepare()
    forecast.codes()
    forwarding()


def simulate(
    pattern: HostingPattern,
    table: RequestTable | Iterable[Part],
    *,
    horizon_s: float,
    seed: int,
    replication: int,
    may_leave: Sequence[bool] | None = None,
    allowed_backends: Sequence[Sequence[bool]] | None = None,
    ttft_limit_s: Sequence[float] | None = None,
    adapters: Sequence[str | None] | None = None,
    images: ImageLoads | None = None,
    moments_s: Callable[[str], Sequence[float]] = after_start_s,
    plan: ReplicaPlan | None = None,
    clients: Sequence[ClientRule | None] | None = None,
    one_by_one: bool = False,
    room: int | None = None,
    on_settled: OnSettled | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> RunRecord:
    """Simulate requests on one hosting pattern.

    Args:
        pattern: The hosting pattern.
        table: Requests, or parts of them one after the other; arrivals beyond the horizon are ignored.
        horizon_s: When the simulation ends; what is under way then is unfinished.
        seed: Root of the random streams.
        replication: Number of the replication.
        may_leave: By workload, whether its requests may go to an API; all may when absent.
        allowed_backends: By workload and backend (clusters, then APIs), whether it may use it; all it may when absent.
        ttft_limit_s: By workload, the time to first token its users accept, for routers that heed it; none when absent.
        adapters: By workload, the LoRA adapter that answers its requests where a cluster does; none when absent.
        images: What the images of workloads are to backends; none has any when absent. What is handed on then has the
            prompts that were counted where they were served.
        moments_s: When a moment of the scenario is, in seconds; by default only such as `+36h` are known.
        plan: Replaces the measured replica, for tests and what-if questions.
        clients: By workload, the clients that send its requests; None where they come by themselves. What is sent in
            the end comes back in the order in which it was.
        one_by_one: Take the general path where the faster one would do too; the result is the same.
        room: No fewer than the requests of all parts together; parts need it.
        on_settled: Takes the requests bit by bit, as soon as nothing more will happen to them; the record then has an
            empty log. What it gets it must not keep.
        on_progress: Called now and then with the simulated seconds so far.

    Raises:
        ProfileNotFound: See `replica_plan`.
        InfeasibleCluster: See `replica_plan`.
    """
    parts = iter([(table, horizon_s)] if isinstance(table, RequestTable) else table)
    first, until_s = next(parts)
    rules: Sequence[ClientRule | None] = [None] * len(first.workloads) if clients is None else clients
    waits = any(rules) or first.links is not None
    if waits:
        # When requests are sent is not known before the others are answered.
        whole = joined([first, *(part for part, _ in parts)])
        first, until_s = replace(whole, arrival_s=whole.arrival_s.copy()), horizon_s
    permits = _permits(pattern, first.workloads, may_leave, allowed_backends)
    names, hosted, routing = pattern.backend_names, tuple(pattern.hosted), pattern.routing
    orders = [routing.order(workload, hosted, tuple(pattern.metered)) for workload in first.workloads]
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
    in_parts = until_s < horizon_s
    ledger = Ledger(first, room if in_parts else None)
    del first  # where it was copied
    when = horizon_s, seed, replication
    own = [None] * len(may_use) if adapters is None else adapters
    site = Site(
        Clock(), pattern, ledger, may_use, fallback, limits, *when, plan, faults, moments_s, permits, own, images
    )

    if waits:
        return _with_clients(site, rules, on_settled, on_progress)
    one_at_a_time = partial(_gateway, one_by_one=one_by_one)
    make = one_at_a_time if one_by_one or not _is_plain(pattern, may_use) else _only_cluster
    server = make(site, on_progress)

    def settle(below: int) -> None:
        at_once = _SETTLED_AT_ONCE if in_parts and not pattern.varies else below
        while on_settled is not None:
            some = min(below, ledger.settled + at_once)
            rows, log = ledger.unsettled(some)
            on_settled(_as_served(rows, log, images), log, server.decisions())
            ledger.settle(some)
            if some == below:
                break

    site.env.process(_serve(site, server, _written(ledger, until_s, parts), settle))
    site.env.run(until=horizon_s)
    levels = server.close()
    # What holds itself in a ring would be in memory until the garbage is collected.
    site.env.stop()
    ledger.close()
    _close(ledger.unsettled(ledger.known)[1], horizon_s)
    settle(ledger.known)
    incidents = tuple(faults.incidents) if pattern.varies else None
    burnt = tuple(charge for charge in site.burnt if charge.at_s <= horizon_s)
    log = ledger.unsettled(ledger.known)[1]
    return RunRecord(names, horizon_s, log, levels, server.decisions(), incidents, burnt)


def _with_clients(
    site: Site,
    rules: Sequence[ClientRule | None],
    on_settled: OnSettled | None,
    on_progress: Callable[[float], None] | None,
) -> RunRecord:
    """Simulate requests that wait for each other's answers."""
    gateway, ledger = Gateway(site, one_by_one=True), site.ledger
    clients = Clients(site, rules, gateway.take, gateway.fleets)
    site.env.process(_arrivals(site, clients.take, on_progress, slice(0, ledger.known), site.horizon_s))
    clients.run()
    levels = gateway.close()
    _close(site.log, site.horizon_s)
    rows = clients.sent()
    log = RequestLog(*(getattr(site.log, one.name)[rows] for one in fields(RequestLog)))
    if on_settled is not None:
        on_settled(_as_served(site.table.rows(rows), log, site.images), log, gateway.decisions)
    incidents = tuple(site.faults.incidents) if site.pattern.varies else None
    place = np.zeros(len(site.table), np.int64)
    place[rows] = np.arange(len(rows))
    in_time = (charge for charge in site.burnt if charge.at_s <= site.horizon_s)
    burnt = tuple(charge._replace(row=place.item(charge.row)) for charge in in_time)
    kept = log if on_settled is None else RequestLog.empty(0)
    chains = chains_of(site.table, site.log, rows, len(site.pattern.hosted))
    names, decisions = site.pattern.backend_names, gateway.decisions
    return RunRecord(names, site.horizon_s, kept, levels, decisions, incidents, burnt, chains)


def _as_served(table: RequestTable, log: RequestLog, images: ImageLoads | None) -> RequestTable:
    """Requests with their images as whoever took them counted them."""
    return table if images is None else images.served(table, log.backend)


def _written(ledger: Ledger, until_s: float | None, parts: Iterator[Part]) -> Iterator[tuple[slice, float]]:
    """Rows of one part after the other, the first of which is written already, and when the next one begins."""
    begin = 0
    while until_s is not None:
        yield slice(begin, ledger.known), until_s
        begin, until_s = ledger.known, _write(ledger, parts)


def _write(ledger: Ledger, parts: Iterator[Part]) -> float | None:
    """Write the next part; when the one after it begins, None without one. Nothing but the ledger keeps it."""
    part, until_s = next(parts, (None, None))
    if part is not None:
        ledger.add(part)
    return until_s


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


def _is_plain(pattern: HostingPattern, may_use: Sequence[tuple[int, ...]]) -> bool:
    """Whether it is one cluster, or one cluster with one API behind it."""
    if len(pattern.hosted) != 1 or len(pattern.metered) > 1 or _needs_gateway(pattern):
        return False
    if pattern.metered:
        return set(may_use) <= {(0,), (0, 1)}
    return set(may_use) <= {(0,)} and pattern.routing == Overflow()


def _needs_gateway(pattern: HostingPattern) -> bool:
    routing = pattern.routing
    plain = routing.kind == "overflow" and routing.when_full == "queue" and not routing.queues_on_api_failure
    return pattern.varies or not plain or routing.breaker is not None or routing.hedge is not None


class _Server(NamedTuple):
    """What requests are sent to.

    Attributes:
        serve: Process that serves some rows, the next of which arrives no sooner than a moment.
        first_pending: First row for which it has something left to do at a moment.
        close: Ends the simulation; levels by replica.
        decisions: What `log.decision` indexes so far.
        is_one: Whether it is a single backend, to which every request goes first.
    """

    serve: Callable[[slice, float], Generator[simpy.Event, object, None]]
    first_pending: Callable[[float], int]
    close: Callable[[], tuple[ReplicaLevels, ...]]
    decisions: Callable[[], tuple[str, ...]]
    is_one: bool


def _only_cluster(site: Site, on_progress: Callable[[float], None] | None) -> _Server:
    """The only cluster, with an API behind it or none."""
    ledger, routing = site.ledger, site.pattern.routing if site.pattern.metered else None
    leaves = [len(backends) > 1 for backends in site.may_use]
    fleet = site.fleet(0, site.replica_plan(0), overflows=routing is not None, may_leave=leaves)
    router = OverflowRouter(site.api(1), ledger, routing, leaves) if routing else None
    on_lost = router.lost if router else partial(write_loss, site.log)
    cluster = ClusterBackend(
        site.env, fleet, ledger, horizon_s=site.horizon_s, on_lost=on_lost, on_progress=on_progress
    )
    decisions = "preferred", "next with room", "no room anywhere"
    return _Server(cluster.serve, fleet.first_pending, cluster.close, lambda: decisions, True)


def _gateway(site: Site, on_progress: Callable[[float], None] | None, *, one_by_one: bool) -> _Server:
    gateway = Gateway(site, one_by_one=one_by_one)
    serve = partial(_arrivals, site, gateway.take, on_progress, forward=gateway.forward)
    return _Server(serve, gateway.first_pending, gateway.close, lambda: gateway.decisions, False)


def _serve(
    site: Site, server: _Server, parts: Iterator[tuple[slice, float]], settle: Callable[[int], None]
) -> Generator[simpy.Event, object, None]:
    """The process: serve one part after the other, and settle what is over."""
    ledger, log = site.ledger, site.log
    for rows, until_s in parts:
        if server.is_one:
            log.target[rows] = np.where(ledger.table.arrival_s[rows] < site.horizon_s, 0, -1)
            log.decision[rows] = log.target[rows]
        yield from server.serve(rows, until_s)
        if until_s < site.horizon_s:
            now_s = site.env.now
            over = min(server.first_pending(now_s), ledger.first_pending(now_s))
            settle(ledger.begin_of_interval(over, _INTERVAL_S) if site.pattern.varies else over)


def _arrivals(
    site: Site,
    route: Callable[[Arrival], None],
    on_progress: Callable[[float], None] | None,
    rows: slice,
    until_s: float,
    *,
    forward: Callable[[int, int, bool], tuple[int, bool]] = lambda row, *_: (row, False),
) -> Generator[simpy.Event, object, None]:
    """Wake at each arrival and hand it over, in the end wait; what is ordinary is forwarded many at once."""
    env, table = site.env, site.table
    row, awake = rows.start, False
    for end in (*range(rows.start + _CHUNK, rows.stop, _CHUNK), rows.stop):
        while row < end:
            first = row
            row, now = forward(row, end, awake)
            awake = awake and row == first
            if row == end:
                break
            if not (now or awake) and (delay_s := table.arrival_s.item(row) - env.now) > 0.0:
                yield env.timeout(delay_s)
                awake = True
                continue
            route(Arrival.of(table, row))
            row, awake = row + 1, False
        if on_progress is not None:
            on_progress(env.now)
    if until_s < site.horizon_s:
        yield env.timeout(max(0.0, until_s - env.now))


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
