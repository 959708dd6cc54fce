"""What a scenario says about who serves a request: the policies of a hosting pattern with several backends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from simulator.scenario.apis import Retries
from simulator.scenario.base import Config, Faults, FieldError, Name, PositiveInt, Seconds, Share, check
from simulator.scenario.costs import TokenPrices
from simulator.scenario.document_routers import CORRECTED, Router, WorkloadFacts, decide
from simulator.scenario.rule_table import RoutingRule
from simulator.scenario.rules import RuleTable, shipped_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Key = tuple[str | int, ...]


class CircuitBreaker(Config):
    """A backend that keeps failing is left alone for a while, then tried with one request."""

    failures: PositiveInt = 5
    """Errors, timeouts and faults within `window` that open it; refusals for want of capacity do not count."""
    window: Annotated[Seconds, Field(gt=0)] = 60.0
    """How long a failure counts."""
    cool_down: Annotated[Seconds, Field(gt=0)] = 30.0
    """How long it stays open; then one request is let through, and decides."""


class Hedge(Config):
    """A request that a cluster has not begun to answer is sent to an API too; the first token wins."""

    after: Annotated[Seconds, Field(gt=0)]
    """How long the first token is waited for."""
    priorities: Annotated[list[Annotated[int, Field(ge=1, le=3)]], Field(min_length=1)] = Field(
        default_factory=lambda: [1, 2, 3]
    )
    """Requests it is done for."""


class _Routing(Config):
    backends: Annotated[dict[Name, Annotated[list[str], Field(min_length=1)]], Field(min_length=1)] | None = None
    """By workload, the backends it may use, the preferred first; workloads that are not named may use all: the
    clusters as listed, then the APIs as listed."""
    max_in_flight: PositiveInt | None = None
    """Requests in a cluster beyond which new ones overflow; derived from the KV blocks when absent."""
    timeout: Seconds | None = None
    """Give up on a cluster after this long and send the request to the next backend."""
    on_error: Literal["fail_over", "fail"] = "fail_over"
    """What happens to a request that a backend refuses or loses."""
    retries: Retries = Retries()
    """What a client does with a request that a cluster lost to a fault, when no other backend is left; the defaults
    are those of the `openai` package."""
    api_retries_at_most: Annotated[int, Field(ge=0, le=20)] | None = None
    """Retries that the client of an API may make before the request is failed over; as many as it likes when absent."""
    breaker: CircuitBreaker | None = None
    """A circuit breaker for each backend; none when absent. Where no other backend is left, it does not hold."""
    hedge: Hedge | None = None
    """Second requests to an API for those a cluster is slow with; none when absent."""
    when_full: Literal["queue", "shed", "degrade"] = "queue"
    """What happens to a request that may use no API while no cluster has room for it: it waits in a cluster, is
    refused, or goes to the cluster `degrade_to`."""
    shed_from_priority: Annotated[int, Field(ge=1, le=3)] = 2
    """With `shed`, requests of this priority and of less urgent ones are refused; more urgent ones wait."""
    degrade_to: str | None = None
    """With `degrade`, the cluster of a smaller model that takes them."""
    on_api_failure: Literal["fail", "queue"] = "fail"
    """What happens to a request that every API has refused: it fails, or waits in a cluster it may use."""

    @check
    def _degrades_to_something(self) -> Faults:
        if (self.when_full == "degrade") != (self.degrade_to is not None):
            yield FieldError(("degrade_to",), "goes with when_full: degrade")

    def named(self) -> Iterable[tuple[Key, Sequence[str]]]:
        """Every list of backends it names, with its key."""
        yield from ((("backends", workload), names) for workload, names in (self.backends or {}).items())
        if self.degrade_to is not None:
            yield ("degrade_to",), [self.degrade_to]

    def workloads(self) -> Iterable[tuple[Key, str]]:
        """Every workload it names, with its key."""
        return ((("backends", workload), workload) for workload in self.backends or {})

    def order(self, workload: str, hosted: Sequence[str], metered: Sequence[str]) -> tuple[str, ...]:
        """Backends that a workload may use, the preferred first."""
        return tuple((self.backends or {}).get(workload, (*hosted, *metered)))

    @property
    def in_flight_limit(self) -> int | None:
        """Requests in a cluster that leave no room for another; None for what its KV blocks hold."""
        return self.max_in_flight

    @property
    def timeout_s(self) -> float | None:
        """How long a cluster is waited for; None for its own timeout."""
        return self.timeout

    @property
    def queues_on_api_failure(self) -> bool:
        """Whether a request that every API has refused waits in a cluster."""
        return self.on_api_failure == "queue"

    def share(self, priority: int) -> float:  # noqa: ARG002
        """Share of a cluster that requests of this priority may fill before it has no more room for them."""
        return 1.0


class Overflow(_Routing):
    """Clusters first; the APIs when these are full, too slow or broken."""

    kind: Literal["overflow"] = "overflow"


class LeastLoaded(_Routing):
    """Of the clusters with room the emptiest, relative to its size; the APIs when none has room."""

    kind: Literal["least_loaded"]


class PriorityAware(_Routing):
    """As `overflow`, but the less urgent leave a part of each cluster to the more urgent."""

    kind: Literal["priority_aware"]
    share_of_high: Annotated[Share, Field(gt=0)] = 0.9
    """Share of a cluster that requests of priority 2 may fill."""
    share_of_normal: Annotated[Share, Field(gt=0)] = 0.8
    """Share of a cluster that requests of priority 3 may fill."""

    def share(self, priority: int) -> float:
        """See the base."""
        return {1: 1.0, 2: self.share_of_high, 3: self.share_of_normal}[priority]


class SloAware(_Routing):
    """The first backend that is expected to meet the workload's limit on the TTFT; else the fastest."""

    kind: Literal["slo_aware"]


class CostAware(_Routing):
    """Of the backends that are expected to meet the workload's limit on the TTFT the cheapest; else the fastest."""

    kind: Literal["cost_aware"]
    prices: dict[str, TokenPrices]
    """By backend, what one more token costs, as the router is told; a cluster that is not named costs nothing more.
    Every API must be named. Bills use the price book."""

    def named(self) -> Iterable[tuple[Key, Sequence[str]]]:
        """See the base."""
        yield from super().named()
        yield from ((("prices", name), [name]) for name in self.prices)


class Rules(_Routing):
    """A table of rules; the first that is for a request decides, and its backends are tried in order."""

    kind: Literal["rules"]
    rules: Annotated[list[RoutingRule], Field(min_length=1, max_length=200)]
    """The rules."""

    @check
    def _names_differ(self) -> Faults:
        names = [rule.name for rule in self.rules]
        if twice := {name for name in names if names.count(name) > 1}:
            yield FieldError(("rules",), f"two rules are named '{min(twice)}'")

    def named(self) -> Iterable[tuple[Key, Sequence[str]]]:
        """See the base."""
        yield from super().named()
        yield from ((("rules", number, "send_to"), rule.send_to) for number, rule in enumerate(self.rules))

    def workloads(self) -> Iterable[tuple[Key, str]]:
        """See the base."""
        yield from super().workloads()
        for number, rule in enumerate(self.rules):
            for workload in rule.when.workloads or ():
                yield ("rules", number, "when", "workloads"), workload


class CustomRouting(_Routing):
    """A router of one's own, out of the group `simulator.routers`."""

    kind: Literal["custom"]
    name: Name
    """Its name; `docs/extending.md` says what it must be."""
    options: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Its keyword arguments."""


class _Document(_Routing):
    router: Router
    """Which of the document's three routers."""
    facts: Annotated[dict[Name, WorkloadFacts], Field(default_factory=dict)]
    """For `hosting_pattern`: by workload, what its function asks."""
    experimental: Annotated[list[Name], Field(default_factory=list)]
    """For `workload_type`: workloads on trial."""
    production: Annotated[list[Name], Field(default_factory=list)]
    """For `workload_type`: workloads it runs on its own GPUs."""
    sporadic: Annotated[list[Name], Field(default_factory=list)]
    """For `workload_type`, corrected: workloads of low volume, which the API serves."""

    @check
    def _decides_alone(self) -> Faults:
        if self.backends is not None:
            yield FieldError(("backends",), "the document's router decides which backends a workload may use")

    def workloads(self) -> Iterable[tuple[Key, str]]:
        """See the base."""
        yield from super().workloads()
        yield from ((("facts", workload), workload) for workload in self.facts)
        for kind in ("experimental", "production", "sporadic"):
            yield from (((kind,), workload) for workload in getattr(self, kind))

    def target(self, workload: str) -> tuple[str, str]:
        """Where a workload is sent (api, self_hosted, hybrid), and by which rule."""
        if self.router == "failover":
            return "hybrid", "the cluster first, the API on capacity, timeout or error"
        if self.router == "hosting_pattern":
            return decide(self.facts[workload], self._rules())
        return self._by_type(workload)

    def order(self, workload: str, hosted: Sequence[str], metered: Sequence[str]) -> tuple[str, ...]:
        """See the base."""
        backends = {"api": tuple(metered), "self_hosted": tuple(hosted), "hybrid": (*hosted, *metered)}
        if self.unsaid([workload]):
            # A fault that is told elsewhere; until it is mended, it might go anywhere.
            return backends["hybrid"]
        return backends[self.target(workload)[0]]

    def unsaid(self, workloads: Iterable[str]) -> list[str]:
        """Workloads of which it must be told something and is not."""
        told = {"hosting_pattern": set(self.facts), "workload_type": self._typed()}.get(self.router)
        return [] if told is None else [workload for workload in workloads if workload not in told]

    def _typed(self) -> set[str] | None:
        """Workloads with a type; None where that need not be given."""
        return {*self.experimental, *self.production, *self.sporadic}

    def _rules(self) -> RuleTable:
        raise NotImplementedError

    def _by_type(self, workload: str) -> tuple[str, str]:
        raise NotImplementedError


class SeedAsWritten(_Document):
    """One of the source document's routers, as it is written there."""

    kind: Literal["seed_as_written"]

    @property
    def in_flight_limit(self) -> int | None:
        """See the base; the document's number is 100."""
        return self.max_in_flight or (100 if self.router == "failover" else None)

    @property
    def timeout_s(self) -> float | None:
        """See the base; the document's number is 5 s."""
        return self.timeout or (5.0 if self.router == "failover" else None)

    def _typed(self) -> set[str] | None:
        return None

    def _rules(self) -> RuleTable:
        return shipped_tables()["routing_function"]

    def _by_type(self, workload: str) -> tuple[str, str]:
        if workload in self.experimental:
            return "api", "experimental_workload"
        # Its count of requests in flight stays 0, so they never overflow.
        return ("self_hosted", "production_workload") if workload in self.production else ("api", "low_volume_sporadic")


class SeedCorrected(_Document):
    """The same router with its defects removed."""

    kind: Literal["seed_corrected"]

    @property
    def queues_on_api_failure(self) -> bool:
        """See the base."""
        return True

    def _rules(self) -> RuleTable:
        return CORRECTED

    def _by_type(self, workload: str) -> tuple[str, str]:
        if workload in self.experimental:
            return "api", "experimental_workload"
        return ("api", "low_volume_sporadic") if workload in self.sporadic else ("hybrid", "production_workload")

    def share(self, priority: int) -> float:
        """See the base."""
        return 1.0 if self.router == "hosting_pattern" else {1: 1.0, 2: 0.9, 3: 0.8}[priority]


def _with_kind(value: Any) -> Any:  # noqa: ANN401 - what a file holds
    return {"kind": "overflow", **value} if isinstance(value, dict) and "kind" not in value else value


Routing = Annotated[
    Overflow
    | LeastLoaded
    | PriorityAware
    | SloAware
    | CostAware
    | Rules
    | CustomRouting
    | SeedAsWritten
    | SeedCorrected,
    Field(discriminator="kind"),
    BeforeValidator(_with_kind),
]
