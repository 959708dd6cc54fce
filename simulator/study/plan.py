"""The cheapest configuration of a hosting pattern that meets every objective, found with few simulations.

What a cluster costs is known before anything is simulated, and a hybrid costs at least its cluster. So candidates are
taken in order of what they cost at least, and whoever costs more than the best so far is never simulated. Within one
GPU type, split and weight format more replicas wait less, so their number is found by halving; that this holds is
checked by the next larger number, and where it does not, all of them are tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Literal

from simulator.compliance.check import refusals
from simulator.cost.bill import monthly_bill
from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.decision.results import run
from simulator.decision.screening import missed
from simulator.errors import Fault, InfeasibleCluster, ProfileError, ProfileNotFound, ScenarioError
from simulator.performance.memory import kv_capacity
from simulator.performance.profile import cluster_profile
from simulator.scenario.costs import ClusterCosts, Rental
from simulator.scenario.patterns import ApiPattern, Cluster, HybridPattern, SelfHostedPattern
from simulator.workload.volume import month_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from simulator.cost.prices import PriceBook
    from simulator.experiment.results import PatternResult
    from simulator.scenario.patterns import HostingPattern, Quantisation
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Space:
    """What may be chosen.

    Attributes:
        gpus: GPU types.
        tensor_parallel: Among how many GPUs a replica is split.
        quantisations: Weight formats.
        most_replicas: Largest number of replicas.
        max_in_flight: Overflow limits of a hybrid; None derives it from the KV blocks.
        api_models: Models behind a hybrid or alone, by their key in the price book; the pattern's own when empty.
        leases: Terms of the offers in the price book that may be taken.
    """

    gpus: tuple[str, ...]
    tensor_parallel: tuple[Literal[1, 2, 4, 8], ...] = (1, 2, 4)
    quantisations: tuple[Quantisation, ...] = ("bf16", "fp8", "int8", "w4a16")
    most_replicas: int = 8
    max_in_flight: tuple[int | None, ...] = (None,)
    api_models: tuple[str, ...] = ()
    leases: tuple[str, ...] = ("on_demand",)


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
    """

    label: str
    pattern: HostingPattern
    at_least_usd: float
    result: PatternResult | None = None
    refused: str | None = None

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


@dataclass(slots=True)
class Plan:
    """The answer.

    Attributes:
        best: The cheapest candidate that meets every objective, or None.
        simulated: Every candidate that was simulated, cheapest first.
        refused: What was refused without simulating, with the reason.
        simulations: How many candidates were simulated.
    """

    best: Candidate | None = None
    simulated: list[Candidate] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def simulations(self) -> int:
        """How many candidates were simulated."""
        return len(self.simulated)

    def frontier(self) -> list[Candidate]:
        """Those than which no cheaper one has a lower p99, cheapest first."""
        found: list[Candidate] = []
        for one in sorted(self.simulated, key=lambda one: (one.cost_usd, one.e2e_p99_s or 0.0)):
            if one.e2e_p99_s is not None and (not found or one.e2e_p99_s < (found[-1].e2e_p99_s or 0.0)):
                found.append(one)
        return found


def plan(
    scenario: Scenario,
    name: str,
    space: Space,
    *,
    replications: int,
    jobs: int = 1,
    store: Path | None = None,
    on_simulated: Callable[[Candidate], None] = lambda _: None,
) -> Plan:
    """Find the cheapest configuration of a hosting pattern that meets every objective.

    Args:
        scenario: The question; its other patterns do not matter.
        name: The pattern to vary; of a metered API only the model varies.
        space: What may be chosen.
        replications: Repetitions of each simulation.
        jobs: Processes.
        store: Where finished simulations are kept, and found again.
        on_simulated: Called after each simulation.

    Raises:
        ScenarioError: There is no such pattern, or the scenario cannot be simulated.
    """
    base = scenario.hosting_patterns.get(name)
    if base is None:
        known = ", ".join(scenario.hosting_patterns)
        raise ScenarioError([Fault("--pattern", 0, name, f"no such hosting pattern; expected one of {known}")])
    if len(base.hosted) > 1 or len(base.metered) > 1:
        message = "has several clusters or APIs; a plan varies patterns with at most one of each"
        raise ScenarioError([Fault("--pattern", 0, name, message)])
    book = load_price_book(scenario.prices.book)
    month = Decimal(str(month_hours(scenario)))
    answer = Plan()

    def simulate(one: Candidate) -> bool:
        """Whether it meets every objective."""
        results = run(
            _alone(scenario, name, one),
            replications=replications,
            jobs=jobs,
            folder=store,
            tables=False,
            band=False,
            outlook=False,
        )
        one.result = results.patterns[0]
        one.refused = "; ".join(one.result.infeasible_reasons) or missed(one.result)
        answer.simulated.append(one)
        if one.refused is None and (answer.best is None or one.cost_usd < answer.best.cost_usd):
            answer.best = one
        on_simulated(one)
        return one.refused is None

    def too_dear(one: Candidate) -> bool:
        return answer.best is not None and one.at_least_usd >= answer.best.cost_usd

    if isinstance(base, ApiPattern):
        (metered,) = base.metered.values()
        for model in space.api_models or (metered.model,):
            api = metered.model_copy(update={"model": model})
            candidate = Candidate(model, base.model_copy(update={"api": api, "apis": None}), 0.0)
            if reason := _barred(scenario, name, candidate):
                answer.refused[model] = reason
            else:
                simulate(candidate)
    else:
        families = []
        for family in _families(base, space):
            made = _candidates(base, family, space, book, month)
            reason = made if isinstance(made, str) else _barred(scenario, name, made[0])
            if isinstance(made, str) or reason:
                answer.refused[family.label()] = reason
            else:
                families.append((family, made))
        for family, candidates in sorted(families, key=lambda pair: pair[1][0].at_least_usd):
            search = _scan if isinstance(base, HybridPattern) else _bracket
            if not search(candidates, simulate, too_dear):
                answer.refused[family.label()] = (
                    f"costs at least {candidates[0].at_least_usd:,.0f} USD a month, no less than the best"
                )
    answer.simulated.sort(key=lambda one: one.cost_usd)
    return answer


def _alone(scenario: Scenario, name: str, one: Candidate) -> Scenario:
    """The question with this candidate as its only pattern."""
    return scenario.model_copy(update={"hosting_patterns": {name: one.pattern}})


def _barred(scenario: Scenario, name: str, one: Candidate) -> str:
    """Why a candidate may not see the prompts; empty when it may."""
    return "; ".join(text for _, text in refusals(_alone(scenario, name, one), name))


def _families(base: SelfHostedPattern | HybridPattern, space: Space) -> list[Family]:
    limits: Sequence[int | None] = space.max_in_flight if isinstance(base, HybridPattern) else (None,)
    models: Sequence[str | None] = (None,)
    if isinstance(base, HybridPattern):
        models = space.api_models or tuple(api.model for api in base.metered.values())
    choices = product(space.gpus, space.tensor_parallel, space.quantisations, limits, models)
    return [Family(*choice) for choice in choices]


def _candidates(
    base: SelfHostedPattern | HybridPattern, family: Family, space: Space, book: PriceBook, month: Decimal
) -> list[Candidate] | str:
    """One for each number of replicas, or why there can be none."""
    changes = {"gpu": family.gpu, "tensor_parallel": family.tensor_parallel, "quantisation": family.quantisation}
    (hosted,) = base.hosted.values()
    same = all(getattr(hosted.cluster, key) == value for key, value in changes.items())
    # A profile of one's own is of one GPU, split and format.
    own = {} if same else {"profile": None, "variant": None}
    cluster = hosted.cluster.model_copy(update=changes | own)
    try:
        kv_capacity(cluster_profile(cluster), cluster.engine)
    except (ProfileNotFound, ProfileError, InfeasibleCluster) as error:
        return str(error).partition("; there are")[0]
    offers = {key: offer for key, offer in book.gpu_offers.items() if offer.gpu == family.gpu}
    offers = {key: offer for key, offer in offers.items() if offer.kind in space.leases}
    if not offers:
        return f"the price book has no offer for {family.gpu} ({', '.join(space.leases)})"
    found = []
    for replicas in range(1, space.most_replicas + 1):
        gpus = replicas * family.tensor_parallel
        cheapest = min(offers, key=lambda key: (offers[key].instances(gpus) * offers[key].instance_hour, key))
        costs = hosted.costs.model_copy(update={"compute": Rental(kind="rental", offer=cheapest)})
        pattern = _pattern(base, cluster.model_copy(update={"replicas": replicas}), costs, family)
        at_least = float(monthly_bill(pattern, _nothing(pattern), book, month).total_usd)
        found.append(Candidate(family.label(replicas), pattern, at_least))
    return found


def _nothing(pattern: HostingPattern) -> Usage:
    clusters, apis = dict.fromkeys(pattern.hosted, ClusterUse(0.0)), dict.fromkeys(pattern.metered, ApiUse(0, 0, 0))
    return Usage(1.0, clusters, apis, 0, 0)


def _pattern(
    base: SelfHostedPattern | HybridPattern, cluster: Cluster, costs: ClusterCosts, family: Family
) -> HostingPattern:
    changes: dict[str, object] = {"cluster": cluster, "costs": costs, "clusters": None}
    if isinstance(base, HybridPattern):
        (metered,) = base.metered.values()
        changes["routing"] = base.routing.model_copy(update={"max_in_flight": family.max_in_flight})
        changes |= {"api": metered.model_copy(update={"model": family.api_model}), "apis": None}
    return base.model_copy(update=changes)


def _scan(
    candidates: Sequence[Candidate], simulate: Callable[[Candidate], bool], too_dear: Callable[[Candidate], bool]
) -> bool:
    """Every number of replicas whose cluster alone is not too dear: what the API takes may cost more or less."""
    tried = False
    for one in candidates:
        if too_dear(one):
            break
        simulate(one)
        tried = True
    return tried


def _bracket(
    candidates: Sequence[Candidate], simulate: Callable[[Candidate], bool], too_dear: Callable[[Candidate], bool]
) -> bool:
    """The smallest number of replicas that will do, by halving."""
    within = [one for one in candidates if not too_dear(one)]
    if not within:
        return False
    met: dict[int, bool] = {}

    def meets(index: int) -> bool:
        if index not in met:
            met[index] = simulate(within[index])
        return met[index]

    # Doubling before halving: most often one or two replicas will do, and the largest cluster is the slowest to try.
    high = 0
    while not meets(high) and high < len(within) - 1:
        high = min(2 * high + 1, len(within) - 1)
    low = max((index for index, fine in met.items() if not fine and index < high), default=-1)
    while met[high] and high - low > 1:
        middle = (low + high) // 2
        if meets(middle):
            high = middle
        else:
            low = middle
    # One more must do as well; where it does not, latency is not monotone and nothing may be skipped.
    if met[high] and high + 1 < len(within) and not too_dear(within[high + 1]) and not meets(high + 1):
        for index in range(high):
            meets(index)
    return True
