"""Clusters that a plan may choose from: GPU types, splits, weight formats, numbers of replicas."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final, Literal

from simulator.cost.bill import monthly_bill
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.errors import Fault, InfeasibleCluster, ProfileError, ProfileNotFound, ScenarioError
from simulator.experiment.image_backends import refusal
from simulator.experiment.model_length import sent_to, with_length
from simulator.performance.clusters import cluster_profile
from simulator.performance.memory import kv_capacity
from simulator.performance.profile import available_profiles, read_profile
from simulator.scenario.costs import Rental
from simulator.scenario.fault_sources import Outage
from simulator.scenario.patterns import HybridPattern, SelfHostedPattern
from simulator.study.offers import terms_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from simulator.cost.prices import PriceBook
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.costs import ClusterCosts
    from simulator.scenario.fault_sources import FaultSource
    from simulator.scenario.patterns import Cluster, HostingPattern, Quantisation
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import AnyWorkload
    from simulator.study.offers import Terms

_NO_PROFILE: Final = "no performance profile; 'simulator profile build' derives one where it knows model and GPU"


@dataclass(frozen=True, slots=True)
class Space:
    """What may be chosen.

    Attributes:
        gpus: GPU types; those of the patterns when empty.
        tensor_parallel: Among how many GPUs a replica is split.
        quantisations: Weight formats.
        most_replicas: Largest number of replicas.
        max_in_flight: Overflow limits of a hybrid; None derives it from the KV blocks.
        api_models: Models behind a hybrid or alone, by their key in the price book; the pattern's own when empty.
        leases: Terms of the offers in the price book that may be taken.
        deployments: Kinds of deployment of a metered API, `own` for the pattern's; that alone when empty.
        mixes: Whether workloads may also be divided between the best cluster and an API.
    """

    gpus: Sequence[str] = ()
    tensor_parallel: Sequence[Literal[1, 2, 4, 8]] = (1, 2, 4)
    quantisations: Sequence[Quantisation] = ("bf16", "fp8", "int8", "w4a16", "mxfp4", "nvfp4")
    most_replicas: int = 8
    max_in_flight: Sequence[int | None] = (None,)
    api_models: Sequence[str] = ()
    leases: Sequence[str] = ("on_demand", "reserved")
    deployments: Sequence[str] = ()
    mixes: bool = True

    def checked(self) -> Space:
        """The same with each value once, a single one taken as a list of it.

        Raises:
            ScenarioError: Every value that nothing is known of.
        """
        found: dict[str, Any] = {
            one.name: _several(getattr(self, one.name)) for one in fields(self) if one.name not in _SINGLE
        }
        known: dict[str, Sequence[object]] = dict(_KNOWN)
        if found["gpus"]:
            known["gpus"] = sorted({read_profile(name).gpu for name in available_profiles()})
        faults = [
            Fault(name, 0, str(value), f"expected one of {', '.join(map(str, known[name]))}")
            for name, values in found.items()
            for value in values
            if name in known and value not in known[name]
        ]
        if self.most_replicas < 1:
            faults.append(Fault("most_replicas", 0, str(self.most_replicas), "expected 1 or more"))
        if faults:
            raise ScenarioError(faults)
        return replace(self, **found)


#: Of a space, what is one value.
_SINGLE: Final = ("most_replicas", "mixes")
_KNOWN: Final[dict[str, Sequence[object]]] = {
    "tensor_parallel": (1, 2, 4, 8),
    "quantisations": ("bf16", "fp8", "int8", "w4a16", "mxfp4", "nvfp4"),
    "leases": ("on_demand", "reserved", "spot", "serverless"),
    "deployments": ("own", "standard", "priority", "flex", "provisioned", "reserved", "batch"),
}


def _several(given: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a value or some
    return tuple(dict.fromkeys([given] if given is None or isinstance(given, (str, int)) else given))


@dataclass(frozen=True, slots=True)
class Family:
    """Candidates that differ in their number of replicas alone."""

    gpu: str
    tensor_parallel: Literal[1, 2, 4, 8]
    quantisation: Quantisation
    max_in_flight: int | None
    api_model: str | None

    def label(self, replicas: int | None = None) -> str:
        """What it is called in tables."""
        many = "" if replicas is None else f"{replicas} x "
        behind = f" + {self.api_model}" if self.api_model else ""
        limit = f", at most {self.max_in_flight} in flight" if self.max_in_flight else ""
        return f"{many}({self.tensor_parallel} x {self.gpu}, {self.quantisation}){behind}{limit}"


@dataclass(slots=True)
class Candidate:
    """A configuration and what became of it.

    Attributes:
        label: What it is.
        pattern: The hosting pattern.
        at_least_usd: What it costs a month before it has served anything.
        result: Its simulation, if there was one.
        refused: Why it is not the answer; None for those that meet every objective.
        basis: How its GPUs are paid: bought, on demand and so on; empty for a metered API.
    """

    label: str
    pattern: HostingPattern
    at_least_usd: float
    result: PatternResult | None = None
    refused: str | None = None
    basis: str = ""

    @property
    def cost_usd(self) -> float:
        """USD a month, where it was simulated."""
        cost = self.result.monthly_cost_usd if self.result else None
        return cost.mean if cost else self.at_least_usd

    @property
    def offer(self) -> str:
        """The rental it is priced at; empty for a metered API."""
        computes = (one.costs.compute for one in self.pattern.hosted.values())
        return ", ".join(compute.offer or "" for compute in computes if isinstance(compute, Rental))

    @property
    def e2e_p99_s(self) -> float | None:
        """End-to-end p99 of all requests, where it was simulated."""
        latency = self.result.latency.get("e2e_s") if self.result else None
        return latency.p99 if latency else None


@dataclass(frozen=True, slots=True)
class Series:
    """Candidates of one kind by size, the cheapest first.

    Attributes:
        name: The pattern they stand for.
        beside: Another pattern that serves a part of the workloads with them.
        away: Those workloads.
        label: What they have in common.
        candidates: At least one.
        halving: Whether a larger one is faster at a price known beforehand, so that halving finds the smallest.
    """

    name: str
    label: str
    candidates: list[Candidate]
    halving: bool = False
    beside: str | None = None
    away: tuple[str, ...] = ()


def cluster_series(
    name: str,
    base: SelfHostedPattern | HybridPattern,
    space: Space,
    scenario: Scenario,
    book: PriceBook,
    month: Decimal,
) -> tuple[list[Series], dict[str, str]]:
    """What may stand for a pattern with a cluster, and what may not with the reason."""
    made: list[Series] = []
    refused: dict[str, str] = {}
    paid = {gpu: terms_of(scenario, base, gpu, space.leases, book) for gpu in space.gpus}
    for gpu, (terms, reasons) in paid.items():
        refused |= reasons
        if not terms:
            asked = ", ".join(space.leases)
            refused[gpu] = f"neither bought nor rented: the price book has no offer for it that may be taken ({asked})"
    (loads,) = (found for name, found in sent_to(scenario, base).items() if name in base.hosted)
    for family in _families(base, space):
        terms, _ = paid[family.gpu]
        cluster = _cluster(base, family, loads)
        if isinstance(cluster, str):
            refused[family.label()] = cluster
            continue
        for one in terms:
            found = _candidates(base, family, cluster, one, space, book, month)
            label = f"{family.label()}, {one.basis}"
            made.append(Series(name, label, found, halving=isinstance(base, SelfHostedPattern)))
    return made, refused


def moved_outages(base: HostingPattern, names: Sequence[str]) -> list[FaultSource]:
    """What breaks in a pattern, the outages of its API befalling those of these names instead."""
    found: list[FaultSource] = []
    for source in base.faults:
        if isinstance(source, Outage):
            found += [source.model_copy(update={"api": name}) for name in names]
        else:
            found.append(source)
    return found


def _families(base: SelfHostedPattern | HybridPattern, space: Space) -> list[Family]:
    limits: Sequence[int | None] = space.max_in_flight if isinstance(base, HybridPattern) else (None,)
    models: Sequence[str | None] = (None,)
    if isinstance(base, HybridPattern):
        models = space.api_models or tuple(api.model for api in base.metered.values())
    choices = product(space.gpus, space.tensor_parallel, space.quantisations, limits, models)
    return [Family(*choice) for choice in choices]


def _cluster(
    base: SelfHostedPattern | HybridPattern, family: Family, loads: Mapping[str, AnyWorkload]
) -> Cluster | str:
    """The cluster of a family for these workloads, or why there can be none."""
    changes = {"gpu": family.gpu, "tensor_parallel": family.tensor_parallel, "quantisation": family.quantisation}
    (hosted,) = base.hosted.values()
    same = all(getattr(hosted.cluster, key) == value for key, value in changes.items())
    # A profile of one's own is of one GPU, split and format.
    own = {} if same else {"profile": None, "variant": None}
    try:
        cluster = with_length(hosted.cluster.moved(changes | own), loads)
        kv_capacity(cluster_profile(cluster), cluster.engine)
        if said := refusal(cluster, loads) or _behind(base, family, loads):
            return said
    except ProfileNotFound:
        # The same words for all of them: whoever lists them says these once.
        return _NO_PROFILE
    except (ProfileError, InfeasibleCluster) as error:
        return str(error)
    return cluster


def _behind(base: SelfHostedPattern | HybridPattern, family: Family, loads: Mapping[str, AnyWorkload]) -> str | None:
    """Why the API behind the cluster could not serve the images of these workloads."""
    return refusal(_api(base, family), loads) if isinstance(base, HybridPattern) else None


def _api(base: HybridPattern, family: Family) -> MeteredApi:
    """The API behind the cluster, of the family's model."""
    (metered,) = base.metered.values()
    api = metered.model_copy(update={"model": family.api_model})
    # How long a request it takes, and how it counts images, is said of another model.
    same = family.api_model == metered.model
    return api if same else api.of_length(None, None).model_copy(update={"image_tokens": None})


def _candidates(
    base: SelfHostedPattern | HybridPattern,
    family: Family,
    cluster: Cluster,
    terms: Terms,
    space: Space,
    book: PriceBook,
    month: Decimal,
) -> list[Candidate]:
    """One for each number of replicas."""
    found = []
    # The usual way to pay is not named.
    paid = "" if terms.basis == "on demand" else f", {terms.basis}"
    for replicas in range(1, space.most_replicas + 1):
        one = terms.hosted(cluster.model_copy(update={"replicas": replicas}))
        pattern = _pattern(base, one.cluster, one.costs, family)
        label = f"{family.label(replicas)}{paid}"
        found.append(Candidate(label, pattern, idle_usd(pattern, book, month), basis=terms.basis))
    return found


def idle_usd(pattern: HostingPattern, book: PriceBook, month: Decimal) -> float:
    """What a pattern costs a month before it has served anything. Raises PriceNotFound."""
    clusters, apis = dict.fromkeys(pattern.hosted, ClusterUse(0.0)), dict.fromkeys(pattern.metered, ApiUse(0, 0, 0))
    return float(monthly_bill(pattern, Usage(1.0, clusters, apis, 0, 0), book, month).total_usd)


def _pattern(
    base: SelfHostedPattern | HybridPattern, cluster: Cluster, costs: ClusterCosts, family: Family
) -> HostingPattern:
    changes: dict[str, object] = {"cluster": cluster, "costs": costs, "clusters": None}
    if isinstance(base, HybridPattern):
        changes["routing"] = base.routing.model_copy(update={"max_in_flight": family.max_in_flight})
        changes |= {"api": _api(base, family), "apis": None}
        changes["faults"] = moved_outages(base, [str(family.api_model)])
    return base.model_copy(update=changes)
