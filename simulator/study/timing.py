"""In which month to leave an API, to buy, or to add a node: the best beginnings of a rollout's phases."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from simulator.errors import Fault, ScenarioError
from simulator.experiment.checks import as_scenario
from simulator.experiment.pattern_result import document
from simulator.scenario.rollout import Phase
from simulator.study.hardware import Stock, Upfront, buy, is_ever_left, left_over_usd, parted
from simulator.study.rollout import RolloutResult, rollout, upfront_of
from simulator.study.strategies import cash_of, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from simulator.experiment.workers import Jobs
    from simulator.scenario.rollout import Rollout
    from simulator.scenario.schema import Scenario
    from simulator.study.month import Month

#: How many months early or late are told of.
SHIFTS = (-6, -3, -1, 1, 3, 6)
#: Months in which its pattern may not be used, months in which it misses its objectives, USD.
Badness = tuple[int, int, float]
#: How bad it is so far, and the phase of each month.
_Way = tuple[Badness, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Shift:
    """One step taken at another time, the others as they are best.

    Attributes:
        months: Later, or with a minus earlier, than is best.
        month: In which it is taken then.
        extra_usd: What that costs more by the end.
        extra_missed_months: Months more in which objectives are missed, or in which a pattern may not be used.
    """

    months: int
    month: int
    extra_usd: float
    extra_missed_months: int


@dataclass(frozen=True, slots=True)
class BestStep:
    """When one phase is best begun.

    Attributes:
        phase: Its hosting pattern, with its replicas where it says how many.
        before: What is left for it.
        month: The best month; None where it is better left out.
        date: The same on the calendar.
        because: Why what is left for it will not do from then on; empty where only money speaks.
        shifts: What it costs to be early or late.
        without_usd: What is paid more by the end without it or, where it is better left out, with it when it is best.
        without_missed_months: Months more that miss their objectives then.
    """

    phase: str
    before: str
    month: int | None
    date: str | None
    because: str
    shifts: list[Shift]
    without_usd: float
    without_missed_months: int


@dataclass(frozen=True, slots=True)
class Timing:
    """The answer.

    Attributes:
        found: The months, simulated.
        phases: Names of the phases, in their order.
        begins: Best month of each; None where it is better left out.
        total_usd: What is paid by the end, less what hardware fetches.
        fetched_usd: What hardware fetches that is left, or there after the last month.
        missed_months: Months that miss their objectives even so.
        steps: Each phase but the first.
        at_nothing: Best months were hardware worth nothing once it is bought.
        at_book_value: Best months did it fetch all that is not yet written off.
    """

    found: RolloutResult
    phases: list[str]
    begins: list[int | None]
    total_usd: float
    fetched_usd: float
    missed_months: list[int]
    steps: list[BestStep]
    at_nothing: list[int | None]
    at_book_value: list[int | None]

    def document(self) -> dict[str, Any]:
        """The published JSON document as plain data."""
        whole = self.found.document()
        kept = ("schema_version", "simulator_version", "scenario", "seed", "replications", "currency", "price_book")
        answer = {
            "phases": self.phases,
            "begins": self.begins,
            "total_usd": self.total_usd,
            "fetched_usd": self.fetched_usd,
            "at_nothing": self.at_nothing,
            "at_book_value": self.at_book_value,
            "missed_months": self.missed_months,
            "steps": [asdict(step) for step in self.steps],
            "months": whole["projection"]["months"],
            "warnings": self.found.warnings,
        }
        return {key: whole[key] for key in kept} | dict(document(answer))


def when(
    scenario: Scenario | str | PathLike[str],
    *,
    most_replicas: int | None = None,
    replications: int = 1,
    jobs: Jobs = 1,
    store: str | PathLike[str] | None = None,
    on_done: Callable[[], None] = lambda: None,
) -> Timing:
    """Search the months in which a scenario's rollout is best to begin its phases, in their order.

    Best is what misses its objectives in the fewest months, and of that what costs least by the end. The conditions of
    the phases are not asked.

    Args:
        scenario: The scenario, or the file it stands in; its `rollout` says how use grows and which phases there are.
        most_replicas: Also consider adding replicas to the last pattern with a cluster, one at a time up to so many.
        replications: Of each month.
        jobs: Processes, or a cluster; the result does not depend on it.
        store: Where finished simulations are kept.
        on_done: Called after each month.

    Raises:
        ScenarioError: The scenario has no rollout, or one with a single phase, or cannot be simulated.
    """
    scenario = as_scenario(scenario)
    plan = scenario.rollout
    if plan is not None and most_replicas is not None:
        plan = _with_nodes(scenario, plan, most_replicas)
    if plan is None or len(plan.phases) < 2:
        file, line = scenario.origin("rollout")
        said = "missing: it says how use grows" if plan is None else "has one phase; there is nothing to begin"
        raise ScenarioError([Fault(file, line if plan else 0, "rollout", said)])
    asked = scenario.model_copy(update={"rollout": plan.model_copy(update={"actual": None})})
    found = rollout(asked, replications=replications, jobs=jobs, store=store, on_done=on_done)
    return timing(found, plan, upfront_of(scenario, plan))


def _with_nodes(scenario: Scenario, plan: Rollout, most: int) -> Rollout:
    """The plan with a phase for each replica more of its last pattern that has one cluster."""
    hosted = [phase for phase in plan.phases if len(scenario.hosting_patterns[phase.pattern].hosted) == 1]
    if not hosted:
        file, line = scenario.origin("rollout", "phases")
        raise ScenarioError([Fault(file, line, "rollout.phases", "no phase has a pattern with one cluster")])
    last = hosted[-1]
    (one,) = scenario.hosting_patterns[last.pattern].hosted.values()
    there = last.replicas or one.cluster.replicas
    more = [Phase(pattern=last.pattern, replicas=count, from_month=1) for count in range(there + 1, most + 1)]
    return plan.model_copy(update={"phases": [*plan.phases, *more]})


def timing(found: RolloutResult, plan: Rollout, upfront: Mapping[str, Upfront]) -> Timing:
    """The best beginnings, and what others cost, from months that were simulated."""
    months = found.projection.months
    best = best_begins(plan, months, upfront)
    bad = badness(plan, months, upfront, best)
    path = path_of(best, len(months))
    missed = [one.number for one, at in zip(months, path, strict=True) if one.patterns[plan.phases[at].name].missed]
    steps = [_step(plan, months, upfront, best, at, bad) for at in range(1, len(plan.phases))]
    names = [phase.name for phase in plan.phases]
    fetched = sum(cash_of(plan, path, months, upfront)[1])
    worthless = {
        name: replace(one, assets=tuple(replace(asset, residual_usd=0.0) for asset in one.assets))
        for name, one in upfront.items()
    }
    at_nothing = best_begins(plan.model_copy(update={"resale": 0.0}), months, worthless)
    at_book_value = best_begins(plan.model_copy(update={"resale": 1.0}), months, upfront)
    return Timing(found, names, best, bad[2], fetched, missed, steps, at_nothing, at_book_value)


def badness(
    plan: Rollout, months: Sequence[Month], upfront: Mapping[str, Upfront], begins: Sequence[int | None]
) -> Badness:
    """How bad a way through the months is, worst first."""
    path = path_of(begins, len(months))
    each = [month.patterns[plan.phases[at].name] for month, at in zip(months, path, strict=True)]
    paid = sum(cash_of(plan, path, months, upfront)[0])
    return sum(not one.feasible for one in each), sum(one.missed is not None for one in each), paid


def best_begins(
    plan: Rollout,
    months: Sequence[Month],
    upfront: Mapping[str, Upfront],
    *,
    among: Sequence[int] | None = None,
    must: int | None = None,
) -> list[int | None]:
    """Month by month, the best way to each phase with each set of hardware that is there.

    Args:
        plan: Phases, in their order; some may be left out.
        months: Every month with every phase's pattern.
        upfront: What each phase's pattern takes before its first month.
        among: Indices of the phases that may be used; all of them when absent. The first one is where it starts.
        must: A phase that has to be used.
    """
    allowed = [*range(len(plan.phases))] if among is None else [*among]
    left = [is_ever_left(plan, at) for at in range(len(plan.phases))]
    count = months[-1].number
    ways: dict[tuple[int, Stock], _Way] = {(-1, ()): ((0, 0, 0.0), ())}
    for month in months:
        following: dict[tuple[int, Stock], _Way] = {}
        for (at, there), (bad, path) in ways.items():
            for to in allowed:
                if to < at or (must is not None and at < must < to):
                    continue
                one, stock = month.patterns[plan.phases[to].name], there
                paid = one.running_usd
                if to != at:
                    more, stock = _begun(plan, to, upfront, there, month.number, count, left=left[to])
                    paid += more
                way = (
                    (bad[0] + (not one.feasible), bad[1] + (one.missed is not None), bad[2] + paid),
                    (*path, to),
                )
                if (to, stock) not in following or way < following[to, stock]:
                    following[to, stock] = way
        ways = following
    ends = [
        ((*bad[:2], bad[2] - left_over_usd(stock, plan, count + 1)), path)
        for (_, stock), (bad, path) in ways.items()
        if must is None or must in path
    ]
    _, path = min(ends)
    # The first phase begins with the rollout, even where the next takes its place at once.
    return [1, *(path.index(at) + 1 if at in path else None for at in range(1, len(plan.phases)))]


def _begun(
    plan: Rollout, to: int, upfront: Mapping[str, Upfront], there: Stock, month: int, count: int, *, left: bool
) -> tuple[float, Stock]:
    """What beginning a phase costs, and the hardware that is there then.

    What no later phase leaves fetches and takes the same whenever it is reckoned: at once, so that the month in which
    it was bought makes no other state.
    """
    phase = plan.phases[to]
    gone, stock = parted(there, plan, to)
    new, stock = buy(stock, phase.pattern, upfront[phase.name], month)
    paid = float(phase.one_off) + new.paid_usd - left_over_usd(gone, plan, month)
    if left:
        return paid, stock
    own = next(entry for entry in stock if entry[0] == phase.pattern)
    return paid - left_over_usd((own,), plan, count + 1), tuple(
        (name, most, () if name == phase.pattern else assets) for name, most, assets in stock
    )


def _step(
    plan: Rollout,
    months: Sequence[Month],
    upfront: Mapping[str, Upfront],
    best: Sequence[int | None],
    number: int,
    bad: Badness,
) -> BestStep:
    begin = best[number]
    before = plan.phases[max((at for at in range(number) if best[at] is not None), default=0)].name
    name = plan.phases[number].name
    if begin is None:
        forced = best_begins(plan, months, upfront, must=number)
        with_it = badness(plan, months, upfront, forced)
        return BestStep(name, before, None, None, "", [], with_it[2] - bad[2], _worse(with_it, bad))
    shifts = []
    for late in SHIFTS:
        month = begin + late
        earliest = max([one for at, one in enumerate(best) if at < number and one is not None], default=1)
        last = min([one for at, one in enumerate(best) if at > number and one is not None], default=len(months) + 1)
        if earliest <= month < last:
            other = badness(plan, months, upfront, [month if at == number else one for at, one in enumerate(best)])
            shifts.append(Shift(late, month, other[2] - bad[2], _worse(other, bad)))
    rest = [at for at in range(len(plan.phases)) if at != number]
    without = badness(plan, months, upfront, best_begins(plan, months, upfront, among=rest))
    because = months[begin - 1].patterns[before].missed or "" if begin > 1 else ""
    return BestStep(
        phase=name,
        before=before,
        month=begin,
        date=months[begin - 1].date,
        because=because,
        shifts=shifts,
        without_usd=without[2] - bad[2],
        without_missed_months=_worse(without, bad),
    )


def _worse(other: Badness, bad: Badness) -> int:
    return other[1] - bad[1]
