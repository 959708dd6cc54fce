"""Workloads divided between a cluster and an API: which goes where."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from simulator.scenario.patterns import HybridPattern
from simulator.scenario.routing import Overflow
from simulator.study.candidates import Candidate, Series, idle_usd, moved_outages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from simulator.cost.prices import PriceBook
    from simulator.scenario.schema import Scenario

#: Up to so many workloads every division is tried; with more, one of them alone on either side.
_ALL_OF: Final = 4
#: APIs that are tried beside the cluster, the cheapest.
_APIS: Final = 3


def mix_series(
    scenario: Scenario,
    clusters: Sequence[Series],
    apis: Sequence[Series],
    simulated: Sequence[Candidate],
    book: PriceBook,
    month: Decimal,
) -> Iterator[Series]:
    """Divisions of the workloads between one kind of cluster and an API, with as many replicas as alone or fewer.

    The cluster is the cheapest that was simulated and does alone, else the cheapest there is. A workload whose
    objectives an API missed alone is not sent there.

    Args:
        scenario: The question.
        clusters: Of self-hosted patterns.
        apis: Of patterns of one API, whether or not they may serve everything.
        simulated: What was simulated alone.
        book: Price book.
        month: Hours of the billed month.
    """
    loads = list(scenario.workloads)
    if len(loads) < 2 or not clusters or not apis:
        return
    fit = [one for one in simulated if one.refused is None]
    known = {id(one): one.cost_usd for one in fit}

    def cost(series: Series) -> tuple[bool, float]:
        costs = [known[id(one)] for one in series.candidates if id(one) in known]
        return not costs, min(costs, default=series.candidates[0].at_least_usd)

    own = min(clusters, key=cost)
    alone = [number for number, one in enumerate(own.candidates) if id(one) in known]
    sizes = own.candidates[: alone[0] + 1] if alone else own.candidates
    single = [series for series in apis if len(series.candidates[0].pattern.metered) == 1]
    for series in sorted(single, key=cost)[:_APIS]:
        (api,) = series.candidates
        for away in _divisions(loads):
            if not any(_missed(api, load) for load in away):
                label = f"{', '.join(away)} to {api.label}"
                mixed = [_mixed(one, api, loads, away, book, month) for one in sizes]
                yield Series(own.name, f"{own.label}; {label}", mixed, beside=series.name, away=away)


def _divisions(loads: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Workloads that go to the API; some always stay."""
    counts = range(1, len(loads)) if len(loads) <= _ALL_OF else (1, len(loads) - 1)
    for count in counts:
        yield from combinations(loads, count)


def _missed(api: Candidate, load: str) -> bool:
    found = api.result.workloads.get(load) if api.result else None
    return found is not None and found.objective_met is False


def _mixed(
    cluster: Candidate, api: Candidate, loads: Sequence[str], away: Sequence[str], book: PriceBook, month: Decimal
) -> Candidate:
    """A pattern in which some workloads go to the API and the others to the cluster."""
    ((name, hosted),), ((metered_name, metered),) = cluster.pattern.hosted.items(), api.pattern.metered.items()
    pattern = HybridPattern(
        kind="hybrid",
        routing=Overflow(backends={load: [metered_name if load in away else name] for load in loads}),
        cluster=hosted.cluster,
        costs=hosted.costs,
        api=metered,
        faults=[*cluster.pattern.faults, *moved_outages(api.pattern, [metered_name])],
    )
    label = f"{cluster.label}; {', '.join(away)} to {api.label}"
    return Candidate(label, pattern, idle_usd(pattern, book, month), basis=cluster.basis)
