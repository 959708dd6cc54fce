"""The cheapest configuration of hosting patterns that meets every objective, found with few simulations.

What a cluster costs is known before anything is simulated, and a hybrid costs at least its cluster. So candidates are
taken in order of what they cost at least, and whoever costs more than the best so far is never simulated. Within one
GPU type, split and weight format more replicas wait less, so their number is found by halving; that this holds is
checked by the next larger number, and where it does not, all of them are tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from simulator.compliance.check import refusals
from simulator.cost.overrides import scenario_book
from simulator.decision.chance import undecided
from simulator.decision.retirement import retirements, unavailable
from simulator.decision.screening import falls_short, over_budget
from simulator.errors import Fault, ScenarioError
from simulator.results import run
from simulator.scenario.narrowing import divided, with_patterns
from simulator.scenario.patterns import ApiPattern
from simulator.study.api_candidates import api_series, can_vary
from simulator.study.candidates import cluster_series
from simulator.study.mixes import mix_series
from simulator.workload.volume import month_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from simulator.cost.prices import PriceBook
    from simulator.decision.chance import Undecided
    from simulator.experiment.workers import Jobs
    from simulator.scenario.schema import Scenario
    from simulator.study.candidates import Candidate, Series, Space

#: Patterns that a mix takes a part of each from: a cluster, an API.
_KINDS = ("self_hosted", "metered_api")


@dataclass(slots=True)
class Plan:
    """The answer.

    Attributes:
        best: The cheapest candidate that meets every objective; None where none does, or nobody can tell.
        doubt: What these replications cannot tell.
        simulated: Every candidate that was simulated, cheapest first.
        refused: What was refused without simulating, with the reason.
        warnings: What deserves doubt in the answer: models that stop answering before long.
        simulations: How many candidates were simulated.
    """

    best: Candidate | None = None
    doubt: Undecided | None = None
    simulated: list[Candidate] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

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
    names: Sequence[str],
    space: Space,
    *,
    replications: int,
    jobs: Jobs = 1,
    store: Path | None = None,
    on_simulated: Callable[[Candidate], None] = lambda _: None,
) -> Plan:
    """Find the cheapest configuration of some hosting patterns that meets every objective.

    Args:
        scenario: The question; its other patterns do not matter.
        names: The patterns to vary; of a metered API the model and its deployment vary.
        space: What may be chosen.
        replications: Repetitions of each simulation.
        jobs: Processes, or a cluster.
        store: Where finished simulations are kept, and found again.
        on_simulated: Called after each simulation.

    Raises:
        ScenarioError: There is no such pattern, or the scenario cannot be simulated.
    """
    answer, budget = Plan(), scenario.constraints.monthly_cost_at_most

    def simulate(series: Series, one: Candidate) -> bool:
        """Whether it meets every objective, as measured; whether it surely does is asked in the end."""
        results = run(
            _alone(scenario, series, one),
            replications=replications,
            jobs=jobs,
            folder=store,
            tables=False,
            band=False,
            outlook=False,
        )
        one.result = results.patterns[0]
        one.refused = "; ".join(one.result.infeasible_reasons) or falls_short(scenario, one.result)
        answer.simulated.append(one)
        meets = one.refused is None and one.result.met_as_measured
        # More replicas will not make it cheaper: as far as the search goes, it will do.
        one.refused = one.refused or over_budget(one.result, budget)
        if meets and one.refused is None and (answer.best is None or one.cost_usd < answer.best.cost_usd):
            answer.best = one
        on_simulated(one)
        return meets

    def too_dear(one: Candidate) -> bool:
        beyond = budget is not None and one.at_least_usd > budget
        return beyond or (answer.best is not None and one.at_least_usd >= answer.best.cost_usd)

    def search(given: Sequence[Series]) -> None:
        for series in sorted(given, key=lambda series: series.candidates[0].at_least_usd):
            look = _bracket if series.halving else _scan
            if not look(series.candidates, partial(simulate, series), too_dear):
                least = series.candidates[0].at_least_usd
                than = "no less than the best" if budget is None or least <= budget else f"the budget is {budget:,.0f}"
                answer.refused[series.label] = f"costs at least {least:,.0f} USD a month, {than}"

    made, answer.refused = _series(scenario, names, space)
    search(_allowed(scenario, made, answer.refused))
    if space.mixes:
        book, month = scenario_book(scenario.prices), Decimal(str(month_hours(scenario)))
        clusters, apis = ([one for one in made if one.candidates[0].pattern.kind == kind] for kind in _KINDS)
        mixed = list(mix_series(scenario, clusters, apis, answer.simulated, book, month))
        search(_allowed(scenario, mixed, answer.refused))
    answer.simulated.sort(key=lambda one: one.cost_usd)
    rivals = [replace(one.result, name=one.label) for one in answer.simulated if one.refused is None and one.result]
    answer.doubt = undecided(rivals)
    if answer.doubt is not None:
        answer.best = None
    if answer.best is not None:
        asked = with_patterns(scenario, {answer.best.label: answer.best.pattern})
        answer.warnings = [str(one) for one in retirements(asked, asked.hosting_patterns, scenario_book(asked.prices))]
    return answer


def _alone(scenario: Scenario, series: Series, one: Candidate) -> Scenario:
    """The question with this candidate as its only pattern."""
    if series.beside is None:
        return with_patterns(scenario, {series.name: one.pattern})
    stay = [load for load in scenario.workloads if load not in series.away]
    parts = {series.name: stay, series.beside: series.away}
    return with_patterns(divided(scenario, parts), {series.name: one.pattern}, {series.name: list(parts)})


def _barred(scenario: Scenario, series: Series, one: Candidate, book: PriceBook) -> str:
    """Why a candidate may not see the prompts, or cannot be had; empty when it may."""
    gone = unavailable(scenario, one.pattern, book)
    barred = refusals(_alone(scenario, series, one), series.name)
    return "; ".join([*(text for _, text in barred), *([gone] if gone else [])])


def _allowed(scenario: Scenario, made: Sequence[Series], refused: dict[str, str]) -> list[Series]:
    """Series that may see the prompts and can be had; the others are noted with the reason."""
    book, found = scenario_book(scenario.prices, scenario.horizon.start_local.date()), []
    for series in made:
        if reason := _barred(scenario, series, series.candidates[0], book):
            refused[series.label] = reason
        else:
            found.append(series)
    return found


def _series(scenario: Scenario, names: Sequence[str], space: Space) -> tuple[list[Series], dict[str, str]]:
    """Everything that might stand for these patterns, and what cannot with the reason."""
    book = scenario_book(scenario.prices, scenario.horizon.start_local.date())
    month = Decimal(str(month_hours(scenario)))
    found: list[Series] = []
    refused: dict[str, str] = {}
    for name in names:
        base = scenario.hosting_patterns.get(name)
        if base is None:
            known = ", ".join(scenario.hosting_patterns)
            raise ScenarioError([Fault("--pattern", 0, name, f"no such hosting pattern; expected one of {known}")])
        if not can_vary(base):
            message = "has several clusters or APIs; a plan varies patterns with at most one of each"
            raise ScenarioError([Fault("--pattern", 0, name, message)])
        if isinstance(base, ApiPattern):
            made, not_made = api_series(name, base, space, scenario, book, month)
        else:
            made, not_made = cluster_series(name, base, space, scenario, book, month)
        refused |= not_made
        found += made
    return found, refused


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
