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
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.compliance.check import refusals
from simulator.cost.checks import price_faults
from simulator.cost.overrides import scenario_book
from simulator.decision.chance import undecided
from simulator.decision.retirement import retirements, unavailable
from simulator.decision.screening import falls_short, over_budget
from simulator.errors import Fault, ScenarioError
from simulator.experiment.checks import as_scenario
from simulator.experiment.summary import Tabular, with_ends
from simulator.results import run
from simulator.scenario.narrowing import divided, named_patterns, with_patterns, with_workload
from simulator.scenario.patterns import ApiPattern
from simulator.study.api_candidates import api_series, can_vary
from simulator.study.candidates import Candidate, Series, Space, cluster_series, idle_usd
from simulator.study.mixes import mix_series
from simulator.workload.volume import month_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    import pandas as pd

    from simulator.cost.prices import PriceBook
    from simulator.decision.chance import Undecided
    from simulator.experiment.workers import Jobs
    from simulator.plots.figure import Figure
    from simulator.scenario.schema import Scenario

#: Patterns that a mix takes a part of each from: a cluster, an API.
_KINDS = ("self_hosted", "metered_api")


@dataclass(frozen=True, slots=True, repr=False)
class Plan(Tabular):
    """The answer.

    Attributes:
        scenario: The question.
        best: The cheapest candidate that meets every objective; None where none does, or nobody can tell.
        doubt: What these replications cannot tell.
        simulated: Every candidate that was simulated, cheapest first.
        refused: What was refused without simulating, with the reason.
        warnings: What deserves doubt in the answer: models that stop answering before long.
        simulations: How many candidates were simulated.
    """

    scenario: Scenario
    best: Candidate | None = None
    doubt: Undecided | None = None
    simulated: list[Candidate] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def simulations(self) -> int:
        """How many candidates were simulated."""
        return len(self.simulated)

    def summary(self) -> pd.DataFrame:
        """One row per candidate that was simulated, cheapest first: its cost and p99 with their 95 % intervals.

        `refused` says why it will not do, `on_frontier` that no cheaper one has a lower p99.
        """
        import pandas as pd

        frontier = {one.label for one in self.frontier()}
        return pd.DataFrame(
            {"candidate": one.label, "basis": one.basis, "offer": one.offer, "chosen": one is self.best}
            | _ends(one)
            | {"on_frontier": one.label in frontier, "refused": one.refused}
            for one in self.simulated
        )

    def plot(self) -> Figure:
        """Cost against p99 of every candidate that was simulated, with the frontier and the choice."""
        from simulator.study.figures import plan_figure

        title = f"{self.scenario.name}: {self.simulations} configurations simulated"
        return plan_figure(self.simulated, self.frontier(), self.best, title)

    def __repr__(self) -> str:
        best = self.best.label if self.best else "no choice"
        return f"<Plan of {self.scenario.name}: {best}; {self.simulations} simulated>"

    def frontier(self) -> list[Candidate]:
        """Those than which no cheaper one has a lower p99, cheapest first."""
        found: list[Candidate] = []
        for one in sorted(self.simulated, key=lambda one: (one.cost_usd, one.e2e_p99_s or 0.0)):
            if one.e2e_p99_s is not None and (not found or one.e2e_p99_s < (found[-1].e2e_p99_s or 0.0)):
                found.append(one)
        return found


def _ends(one: Candidate) -> dict[str, float | None]:
    """Cost and p99 of a candidate with the ends of their intervals."""
    cost = one.result.monthly_cost_usd if one.result else None
    wait = one.result.latency.get("e2e_s") if one.result else None
    return with_ends("monthly_cost_usd", one.cost_usd, cost.ci95 if cost else None) | with_ends(
        "e2e_s_p99", one.e2e_p99_s, wait.ci95 if wait else None
    )


def plan(
    scenario: Scenario | str | PathLike[str],
    patterns: str | Sequence[str] | None = None,
    space: Space | None = None,
    *,
    workload: str | None = None,
    replications: int | None = None,
    jobs: Jobs = 1,
    store: str | PathLike[str] | None = None,
    on_simulated: Callable[[Candidate], None] = lambda _: None,
) -> Plan:
    """Find the cheapest configuration of some hosting patterns that meets every objective.

    Args:
        scenario: The question, or the file it stands in; its other patterns do not matter.
        patterns: The patterns to vary, or one; of a metered API the model and its deployment vary. All with at most one
            cluster and one API when absent; the others are then tried as they are.
        space: What may be chosen; the patterns' own GPU types in every split and format when absent.
        workload: Plan for this one alone; all together when absent.
        replications: Repetitions of each simulation; the scenario's when absent.
        jobs: Processes, or a cluster.
        store: Where finished simulations are kept, and found again.
        on_simulated: Called after each simulation.

    Raises:
        ScenarioError: There is no such pattern, workload or choice, or the scenario cannot be simulated.
    """
    scenario = _narrowed(as_scenario(scenario), workload)
    names = named_patterns(scenario, patterns) if patterns else _variable(scenario)
    space = (space or Space()).checked()
    if not space.gpus:
        space = replace(space, gpus=_own_gpus(scenario, names))
    place = None if store is None else Path(store)
    count = scenario.experiment.replications if replications is None else replications
    budget = scenario.constraints.monthly_cost_at_most
    simulated: list[Candidate] = []
    best: Candidate | None = None

    def simulate(series: Series, one: Candidate) -> bool:
        """Whether it meets every objective, as measured; whether it surely does is asked in the end."""
        nonlocal best
        results = run(
            _alone(scenario, series, one),
            replications=count,
            jobs=jobs,
            folder=place,
            tables=False,
            band=False,
            outlook=False,
        )
        one.result = results.patterns[0]
        one.refused = "; ".join(one.result.infeasible_reasons) or falls_short(scenario, one.result)
        simulated.append(one)
        meets = one.refused is None and one.result.met_as_measured
        # More replicas will not make it cheaper: as far as the search goes, it will do.
        one.refused = one.refused or over_budget(one.result, budget)
        if meets and one.refused is None and (best is None or one.cost_usd < best.cost_usd):
            best = one
        on_simulated(one)
        return meets

    def too_dear(one: Candidate) -> bool:
        beyond = budget is not None and one.at_least_usd > budget
        return beyond or (best is not None and one.at_least_usd >= best.cost_usd)

    def search(given: Sequence[Series]) -> None:
        for series in sorted(given, key=lambda series: series.candidates[0].at_least_usd):
            look = _bracket if series.halving else _scan
            if not look(series.candidates, partial(simulate, series), too_dear):
                least = series.candidates[0].at_least_usd
                than = "no less than the best" if budget is None or least <= budget else f"the budget is {budget:,.0f}"
                refused[series.label] = f"costs at least {least:,.0f} USD a month, {than}"

    made, refused = _series(scenario, names, space)
    fixed = [] if patterns else _as_they_are(scenario, names, refused)
    search(_allowed(scenario, [*made, *fixed], refused))
    if space.mixes:
        book, month = scenario_book(scenario.prices), Decimal(str(month_hours(scenario)))
        clusters, apis = ([one for one in made if one.candidates[0].pattern.kind == kind] for kind in _KINDS)
        mixed = list(mix_series(scenario, clusters, apis, simulated, book, month))
        search(_allowed(scenario, mixed, refused))
    simulated.sort(key=lambda one: one.cost_usd)
    doubt = undecided([replace(one.result, name=one.label) for one in simulated if one.refused is None and one.result])
    chosen = best if doubt is None else None
    warnings: list[str] = []
    if chosen is not None:
        asked = with_patterns(scenario, {chosen.label: chosen.pattern})
        warnings = [str(one) for one in retirements(asked, asked.hosting_patterns, scenario_book(asked.prices))]
    return Plan(scenario, chosen, doubt, simulated, refused, warnings)


def _variable(scenario: Scenario) -> list[str]:
    """Patterns with one cluster and one API at most; all, to be refused with the reason, where there is none."""
    known = scenario.hosting_patterns
    return [name for name, one in known.items() if can_vary(one)] or list(known)


def _as_they_are(scenario: Scenario, varied: Sequence[str], refused: dict[str, str]) -> list[Series]:
    """The patterns that are not varied: what the scenario has already may do for less than anything else."""
    book, found = scenario_book(scenario.prices, scenario.horizon.start_local.date()), []
    for name, one in scenario.hosting_patterns.items():
        label = f"{name}, as it is"
        if name in varied:
            continue
        if faults := [message for _, message in price_faults(one, book)]:
            refused[label] = "; ".join(faults)
        else:
            least_usd = idle_usd(one, book, Decimal(str(month_hours(scenario))))
            found.append(Series(name, label, [Candidate(label, one, least_usd)]))
    return found


def _own_gpus(scenario: Scenario, names: Sequence[str]) -> tuple[str, ...]:
    """GPU types that the clusters of these patterns have."""
    hosted = (one for name in names for one in scenario.hosting_patterns[name].hosted.values())
    return tuple(dict.fromkeys(one.cluster.gpu for one in hosted))


def _narrowed(scenario: Scenario, workload: str | None) -> Scenario:
    """The scenario with one workload alone, where one is named."""
    if workload is None:
        return scenario
    if workload not in scenario.workloads:
        expected = f"no such workload; expected one of {', '.join(scenario.workloads)}"
        raise ScenarioError([Fault("workload", 0, workload, expected)])
    return with_workload(scenario, workload)


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
        base = scenario.hosting_patterns[name]
        if not can_vary(base):
            message = "has several clusters or APIs; a plan varies patterns with at most one of each"
            raise ScenarioError([Fault("patterns", 0, name, message)])
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
