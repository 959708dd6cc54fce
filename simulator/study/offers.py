"""How the GPUs of a candidate are paid: bought or rented as the scenario says, or rented by an offer of the price book.

An offer is somebody else's machine. It may only see what may leave the site, and health information only where its
seller signs a business associate agreement for it and the machine is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.compliance.backends import reachable
from simulator.compliance.case import geography
from simulator.compliance.registry import load_registry
from simulator.decision.costing import grown
from simulator.scenario.compliance import Placement
from simulator.scenario.costs import Purchase, Rental
from simulator.scenario.patterns import HostedCluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.cost.prices import GpuOffer, PriceBook
    from simulator.scenario.patterns import Cluster, HostingPattern
    from simulator.scenario.schema import Scenario


@dataclass(frozen=True, slots=True)
class Terms:
    """One way to pay for GPUs.

    Attributes:
        basis: In words: bought, as the scenario rents, on demand, reserved, spot, serverless; with `marketplace` where
            that is what the price is.
        hosted: The cluster with its costs, given the cluster.
    """

    basis: str
    hosted: Callable[[Cluster], HostedCluster]


def terms_of(
    scenario: Scenario, base: HostingPattern, gpu: str, leases: Sequence[str], book: PriceBook
) -> tuple[list[Terms], dict[str, str]]:
    """Ways to pay for GPUs of a type in place of those of a pattern with one cluster, and what is not one and why.

    Args:
        scenario: Who may see what.
        base: The pattern.
        gpu: GPU type.
        leases: Kinds of offers that may be taken.
        book: Price book.
    """
    (name,), (own,) = base.hosted, base.hosted.values()
    found: list[Terms] = []
    refused: dict[str, str] = {}
    mine = own.costs.compute.offer if isinstance(own.costs.compute, Rental) else None
    barred = mine and offer_refusal(scenario, base, name, mine, book.gpu_offer(mine), chosen=True)
    if own.cluster.gpu == gpu and not barred:
        found += _own_terms(own)
    elif isinstance(own.costs.compute, Purchase):
        refused[f"{gpu}, bought"] = f"the scenario says what {own.cluster.gpu} cost to buy, not {gpu}"
    offers = {key: offer for key, offer in book.gpu_offers.items() if offer.gpu == gpu}
    taken: dict[str, dict[str, GpuOffer]] = {}
    for key, offer in offers.items():
        if offer.kind not in leases:
            kind = offer.kind.replace("_", " ")
            refused[key] = f"{kind} is not among the leases asked for (`leases`: {offer.kind})"
        elif reason := offer_refusal(scenario, base, name, key, offer, chosen=key == mine):
            refused[key] = reason
        else:
            taken.setdefault(_basis(offer), {})[key] = offer
    found += [Terms(basis, _rented(own, some, scenario)) for basis, some in taken.items()]
    return found, refused


def offer_refusal(
    scenario: Scenario, base: HostingPattern, backend: str, key: str, offer: GpuOffer, *, chosen: bool = False
) -> str | None:
    """Why the requests that reach a cluster may not be served by a machine of this offer; None where they may.

    Args:
        scenario: The scenario.
        base: The pattern the cluster belongs to.
        backend: Name of the cluster.
        key: Of the offer; its first part is the seller.
        offer: The offer.
        chosen: Whether the scenario itself rents it, and so answers for its agreement.
    """
    seller = key.partition("/")[0]
    agreements = scenario.compliance.agreements if scenario.compliance else {}
    for load_name, load in scenario.workloads.items():
        if backend not in reachable(base, load_name):
            continue
        protection = load.data_protection
        if protection is not None and protection.air_gap:
            return f"nothing of {load_name} may leave the site (data_protection.air_gap)"
        if load.phi is not True:
            continue
        if not scenario.constraints.phi_may_leave or (protection is not None and not protection.may_leave):
            return f"health information of {load_name} may not leave the site, and {seller}'s machines are not on it"
        if chosen:
            continue
        if offer.hosted_by == "third_parties" or offer.basis == "marketplace":
            return f"{load_name} carries health information, and the machines are those of hosts {seller} brokers"
        if offer.baa_coverage == "not_covered" or (offer.baa_coverage == "unconfirmed" and seller not in agreements):
            says = "signs no" if offer.baa_coverage == "not_covered" else "is not known to sign a"
            return f"{load_name} carries health information, and {seller} {says} business associate agreement for it"
    return None


def _own_terms(own: HostedCluster) -> Iterator[Terms]:
    """What the scenario says about money holds for more GPUs of the same type: bought ones, or rented at its price."""
    compute, before = own.costs.compute, own.cluster

    def bought(cluster: Cluster) -> HostedCluster:
        gpus = cluster.replicas * cluster.tensor_parallel / (before.replicas * before.tensor_parallel)
        return HostedCluster.model_construct(None, cluster=cluster, costs=grown(own, gpus).costs)

    def rented(cluster: Cluster) -> HostedCluster:
        costs = own.costs
        if isinstance(compute, Rental) and compute.replica_hour is not None:
            hour = compute.replica_hour * cluster.tensor_parallel / before.tensor_parallel
            costs = costs.model_copy(update={"compute": compute.model_copy(update={"replica_hour": hour})})
        return HostedCluster.model_construct(None, cluster=cluster, costs=costs)

    if isinstance(compute, Purchase):
        yield Terms("bought", bought)
    elif compute.offer is None or compute.commitment is not None or compute.spot is not None:
        yield Terms("as the scenario rents", rented)


def _basis(offer: GpuOffer) -> str:
    basis = offer.kind.replace("_", " ")
    term = getattr(offer, "term_months", None)
    if term:
        basis += f" for {term} months"
    return f"{basis}, marketplace" if offer.basis == "marketplace" or offer.hosted_by == "third_parties" else basis


def _rented(own: HostedCluster, offers: dict[str, GpuOffer], scenario: Scenario) -> Callable[[Cluster], HostedCluster]:
    def hosted(cluster: Cluster) -> HostedCluster:
        gpus = cluster.replicas * cluster.tensor_parallel
        cheapest = min(offers, key=lambda key: (offers[key].instances(gpus) * offers[key].instance_hour, key))
        changes: dict[str, object] = {"compute": Rental(kind="rental", offer=cheapest)}
        if isinstance(own.costs.compute, Purchase):
            # A rent includes the machine's electricity and floor.
            changes |= {"power": None, "colocation": None}
        if scenario.compliance is not None:
            place = _place(scenario, cheapest, offers[cheapest], own.cluster.placement)
            cluster = cluster.model_copy(update={"placement": place})
        costs = own.costs.model_copy(update=changes)
        return HostedCluster.model_construct(None, cluster=cluster, costs=costs)

    return hosted


def _place(scenario: Scenario, key: str, offer: GpuOffer, own: Placement) -> Placement:
    """Where a rented machine stands; a region that the registry does not know counts as not said."""
    registry = load_registry(scenario.compliance.registry) if scenario.compliance else None
    known = registry is not None and offer.region is not None and geography(registry, offer.region) is not None
    return Placement(
        registry_model=own.registry_model,
        premises="cloud",
        provider=key.partition("/")[0],
        region=offer.region if known else None,
    )
