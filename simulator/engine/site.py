"""One replication of one hosting pattern, as its parts see it; and how its backends are built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.engine.api.batch_api import BatchBackend
from simulator.engine.api.latency import months_in
from simulator.engine.api.metered_api import ApiBackend
from simulator.engine.vllm.fleet import Fleet
from simulator.engine.vllm.plan import replica_plan
from simulator.scenario.apis import Batch
from simulator.scenario.moments import after_start_s
from simulator.streams import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.engine.clock import Clock
    from simulator.engine.ledger import Ledger
    from simulator.engine.operations.faults import Timetable
    from simulator.engine.record import Charge, Loss, RequestLog
    from simulator.engine.vllm.plan import ReplicaPlan
    from simulator.performance.image_table import ImageLoads
    from simulator.scenario.apis import RateLimits
    from simulator.scenario.patterns import HostingPattern
    from simulator.trace.request_table import RequestTable


@dataclass(frozen=True, slots=True)
class Site:
    """What a simulation works on. Backends are numbered: clusters, then APIs, as the pattern lists them.

    Attributes:
        env: Simulation environment.
        pattern: The hosting pattern.
        ledger: The requests, and where what becomes of them is written.
        may_use: By workload, the backends it may use, the preferred first.
        fallback: By workload, the cluster that takes it when it would have to wait; None for none.
        ttft_limit_s: By workload, the time to first token its users accept; infinite where they do not say.
        horizon_s: End of the simulation.
        seed: Root of the random streams.
        replication: Number of the replication.
        plan: Replaces the measured replicas; None for them.
        faults: What breaks when.
        moments_s: When a moment of the scenario is, in seconds.
        permits: Whether a workload (by number) may be sent to a backend at all, preferred or not.
        adapters: By workload, the LoRA adapter of its requests, if any.
        images: What the images of workloads are to backends; None where none has any.
        burnt: Gets the charges for calls that answered nobody.
    """

    env: Clock
    pattern: HostingPattern
    ledger: Ledger
    may_use: Sequence[tuple[int, ...]]
    fallback: Sequence[int | None]
    ttft_limit_s: Sequence[float]
    horizon_s: float
    seed: int
    replication: int
    plan: ReplicaPlan | None
    faults: Timetable
    moments_s: Callable[[str], Sequence[float]]
    permits: Callable[[int, int], bool]
    adapters: Sequence[str | None]
    images: ImageLoads | None = None
    burnt: list[Charge] = field(default_factory=list)

    @property
    def table(self) -> RequestTable:
        """The requests."""
        return self.ledger.table

    @property
    def log(self) -> RequestLog:
        """What becomes of them."""
        return self.ledger.log

    def replica_plan(self, number: int) -> ReplicaPlan:
        """What the replicas of a cluster are made of.

        Raises:
            ProfileNotFound: See `replica_plan`.
            InfeasibleCluster: See `replica_plan`.
        """
        return self.plan or replica_plan(list(self.pattern.hosted.values())[number].cluster)

    def fleet(
        self, number: int, plan: ReplicaPlan, *, overflows: bool = False, may_leave: Sequence[bool] | None = None
    ) -> Fleet:
        """The replicas of a cluster; `Fleet` says what the options are."""
        name, one = list(self.pattern.hosted.items())[number]
        routing, cluster = self.pattern.routing, one.cluster
        return Fleet(
            cluster.engine,
            plan,
            self.ledger,
            replicas=cluster.replicas,
            horizon_s=self.horizon_s,
            timeout_s=routing.timeout_s or cluster.request_timeout,
            overflows=overflows,
            max_in_flight=routing.in_flight_limit,
            may_leave=may_leave,
            adapters=self.adapters if cluster.engine.lora is not None else None,
            backend=number,
            name=name,
            network_delay_s=cluster.network_delay,
            balancing=cluster.balancing,
            rng=stream(self.seed, self.replication, f"balancing/{name}"),
            images=self.images,
        )

    def api(self, number: int, on_lost: Callable[[Loss], None] | None = None) -> ApiBackend | BatchBackend:
        """A metered API by itself; `ApiBackend` says what becomes of what it refuses."""
        name, api = list(self.pattern.metered.items())[number - len(self.pattern.hosted)]
        rng = stream(self.seed, self.replication, f"api/{name}")
        made_of, episodes = (self.env, api, number, self.ledger, rng, on_lost), self.faults.episodes.get(number, ())
        prompts = self.ledger.prompts(None if self.images is None else self.images.tokens[number])
        if isinstance(api.deployment, Batch):
            return BatchBackend(*made_of, episodes=episodes, prompts=prompts)
        most = self.pattern.routing.api_retries_at_most
        month_s = self.horizon_s / months_in(self.horizon_s)
        return ApiBackend(
            *made_of,
            episodes=episodes,
            burnt=self.burnt,
            retries_at_most=most,
            month_s=month_s,
            days_s=self._days_s(api.limits),
            prompts=prompts,
        )

    def _days_s(self, limits: RateLimits) -> Sequence[float]:
        """When the days of an API's quotas begin; nothing without such quotas, or without a calendar."""
        if self.moments_s is after_start_s or not (limits.tokens_per_day or limits.requests_per_day):
            return ()
        return self.moments_s(" ".join(("every day 00:00", *filter(None, [limits.day_time_zone]))))

    def apis(self, on_lost: Callable[[Loss], None]) -> list[ApiBackend | BatchBackend]:
        """Every metered API, each with the one it spills over to."""
        hosted, apis = len(self.pattern.hosted), self.pattern.metered
        found = {name: self.api(number, on_lost) for number, name in enumerate(apis, hosted)}
        for name, api in apis.items():
            if api.spills_to is not None:
                one, other = found[name], found[api.spills_to]
                assert isinstance(one, ApiBackend)
                assert isinstance(other, ApiBackend)
                number = hosted + list(apis).index(api.spills_to)
                one.spill_to(other, [self.permits(workload, number) for workload in range(len(self.may_use))])
        return list(found.values())
