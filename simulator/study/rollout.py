"""The months of a rollout, each simulated at its own volume on its own calendar."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.cost.bill import monthly_bill
from simulator.cost.cash import assets_of
from simulator.cost.escalation import escalated, years_held
from simulator.cost.overrides import scenario_book
from simulator.decision.costing import with_replicas
from simulator.decision.retirement import ended, later, retirements
from simulator.decision.screening import missed
from simulator.errors import Fault, ScenarioError
from simulator.experiment import checkpoint
from simulator.experiment.checks import as_scenario, check_patterns
from simulator.experiment.errand import Sealed
from simulator.experiment.pattern_result import document
from simulator.experiment.summary import Tabular
from simulator.results import run
from simulator.scenario.horizon import Horizon
from simulator.scenario.scaling import scaled
from simulator.study.adoption import Curve, adoption_curve
from simulator.study.hardware import Upfront, upfront
from simulator.study.month import Month, PatternMonth
from simulator.study.questions import Question, answers
from simulator.study.strategies import Course, course
from simulator.version import package_version
from simulator.wording import counted, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal
    from os import PathLike

    import pandas as pd

    from simulator.cost.prices import PriceBook
    from simulator.cost.usage import Usage
    from simulator.experiment.pattern_result import PatternResult
    from simulator.experiment.workers import Jobs
    from simulator.plots.figure import Figure
    from simulator.scenario.rollout import Rollout
    from simulator.scenario.schema import Scenario

#: A month without any use would be no question; its volume is a request or so.
_LEAST_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class Variant:
    """One course of adoption: as projected, or as it really is.

    Attributes:
        adoption: The curve.
        months: Its months.
        course: Phases, strategies and reviews along it.
    """

    adoption: Curve
    months: list[Month]
    course: Course


@dataclass(frozen=True, slots=True, repr=False)
class RolloutResult(Tabular):
    """The answer.

    Attributes:
        scenario: The question.
        replications: Of each month.
        book: Price book.
        projection: Along the projected adoption.
        actual: Along the actual one; None where none is given.
        warnings: What deserves doubt: models that retire on the way.
    """

    scenario: Scenario
    replications: int
    book: PriceBook
    projection: Variant
    actual: Variant | None
    warnings: list[str]

    def summary(self) -> pd.DataFrame:
        """One row per month and hosting pattern, of the projection and of what is actual, tidy."""
        import pandas as pd

        rows = [
            {"adoption": name, "month": month.number, "date": month.date, "share": month.share, "users": month.users}
            | {"tokens_per_month": month.tokens_per_month, "pattern": pattern}
            | asdict(one)
            for name, variant in (("projection", self.projection), ("actual", self.actual))
            for month in (variant.months if variant else ())
            for pattern, one in month.patterns.items()
        ]
        return pd.DataFrame(rows)

    def plot(self) -> Figure:
        """What is paid up to each month, a line for each way through the rollout."""
        from simulator.plots.decision import rollout_cash

        return rollout_cash(self.document())

    def __repr__(self) -> str:
        months, name = len(self.projection.months), self.scenario.name
        return f"<RolloutResult of {name}: {months} months, {len(self.projection.months[0].patterns)} hosting patterns>"

    def document(self) -> dict[str, Any]:
        """The published JSON document as plain data."""
        book = self.book
        plain = {
            "schema_version": 1,
            "simulator_version": package_version(),
            "scenario": {"name": self.scenario.name, "sha256": self.scenario.sha256},
            "seed": self.scenario.experiment.seed,
            "replications": self.replications,
            "currency": "USD",
            "price_book": {"id": book.id, "date": str(book.date), "sha256": book.sha256},
            "projection": asdict(self.projection),
            "actual": None if self.actual is None else asdict(self.actual),
            "warnings": self.warnings,
        }
        return dict(document(plain))


def rollout(
    scenario: Scenario | str | PathLike[str],
    *,
    replications: int = 1,
    jobs: Jobs = 1,
    store: str | PathLike[str] | None = None,
    on_done: Callable[[], None] = lambda: None,
) -> RolloutResult:
    """Simulate every month of a scenario's rollout with every pattern of its phases.

    Args:
        scenario: The scenario, or the file it stands in; its `rollout` says what to do.
        replications: Of each month.
        jobs: Processes, or a cluster; the result does not depend on it.
        store: Where finished simulations are kept, and found when only prices changed.
        on_done: Called after each month.

    Raises:
        ScenarioError: The scenario has no rollout, or cannot be simulated, or its volume cannot be scaled.
    """
    scenario = as_scenario(scenario)
    place, plan = None if store is None else Path(store), scenario.rollout
    if plan is None:
        file, _ = scenario.origin()
        raise ScenarioError([Fault(file, 0, "rollout", "missing: it says how use grows and when the pattern changes")])
    scenario = with_sizes(scenario, plan)
    names = list(dict.fromkeys(phase.name for phase in plan.phases))
    check_patterns(scenario, names)
    curves = [adoption_curve(one, plan.months) for one in (plan.adoption, plan.actual) if one is not None]
    questions = [[_question(scenario, plan, number, share) for number, share in _numbered(curve)] for curve in curves]
    flat = [question for row in questions for question in row]
    known = dict(zip(map(_key, flat), _answers(flat, names, replications, jobs, place, on_done), strict=True))
    variants = [
        _variant(scenario, plan, curve, [known[_key(question)] for question in row])
        for curve, row in zip(curves, questions, strict=True)
    ]
    book = scenario_book(scenario.prices)
    actual = variants[1] if len(variants) > 1 else None
    doubts = [*_retiring(scenario, names, plan, book), *_worn_out(scenario, plan, variants[0].course)]
    return RolloutResult(scenario, replications, book, variants[0], actual, doubts)


def with_sizes(scenario: Scenario, plan: Rollout) -> Scenario:
    """The scenario with a hosting pattern for each number of replicas that a phase names."""
    sized = {
        phase.name: with_replicas(
            scenario.hosting_patterns[phase.pattern],
            phase.replicas / next(iter(scenario.hosting_patterns[phase.pattern].hosted.values())).cluster.replicas,
        )
        for phase in plan.phases
        if phase.replicas is not None
    }
    return scenario.model_copy(update={"hosting_patterns": {**scenario.hosting_patterns, **sized}})


def upfront_of(scenario: Scenario, plan: Rollout) -> dict[str, Upfront]:
    """What the pattern of each phase takes before its first month."""
    found = with_sizes(scenario, plan)
    names = {phase.name for phase in plan.phases}
    return {name: upfront(found.hosting_patterns[name], scenario.prices.vat) for name in sorted(names)}


def _retiring(scenario: Scenario, names: Sequence[str], plan: Rollout, book: PriceBook) -> list[str]:
    """Models that stop answering during the rollout or within three years of it."""
    _, last = _days(months_of(scenario, plan)[-1])
    found = []
    for one in retirements(scenario, names, book, last):
        out = "; from then on the pattern is out: its successor has another price and is another model"
        found.append(f"{one}{out if one.within_horizon else ''}")
    return found


def _worn_out(scenario: Scenario, plan: Rollout, course: Course) -> Iterator[str]:
    """Hardware that the plan uses for longer than it is written off in."""
    bought = {phase.name: phase.pattern for phase in plan.phases}
    used = [bought[name] for name in course.strategies[0].patterns]
    for name in dict.fromkeys(used):
        months = len(used) - used[::-1].index(name) - used.index(name)
        lives = [one.months for one in assets_of(scenario.hosting_patterns[name]).values() if one.months < months]
        if lives:
            yield (
                f"{name}: hardware that is written off in {counted(min(lives), 'month')} is used for {months} here, "
                "and bought again whenever it is"
            )


def _days(month: str) -> tuple[date, date]:
    """First and last day of a calendar month such as 2027-02."""
    first = date.fromisoformat(f"{month}-01")
    return first, later(first, 1) - timedelta(days=1)


def _on_offer(scenario: Scenario, name: str, one: PatternMonth, book: PriceBook, month: str) -> PatternMonth:
    """What a pattern did in a month, unless an API of it stops answering by then."""
    gone = ended(scenario.hosting_patterns[name], book, _days(month)[1])
    if gone is None:
        return one
    return replace(one, gone=gone, missed="; ".join(text for text in (gone, one.missed) if text))


def months_of(scenario: Scenario, plan: Rollout) -> list[str]:
    """Calendar months of a rollout, such as 2027-01."""
    first = plan.start or scenario.horizon.start_local.strftime("%Y-%m")
    year, month = map(int, first.split("-"))
    return [f"{year + at // 12:04d}-{at % 12 + 1:02d}" for at in range(month - 1, month - 1 + plan.months)]


def _numbered(curve: Curve) -> list[tuple[int, float]]:
    return list(enumerate(curve.shares, start=1))


def _question(scenario: Scenario, plan: Rollout, number: int, share: float) -> Scenario:
    """The scenario in one month; a horizon that is no calendar month is the same in each of them."""
    horizon = scenario.horizon
    if horizon.month is not None:
        month = months_of(scenario, plan)[number - 1]
        horizon = Horizon(month=month, time_zone=horizon.time_zone, holidays=horizon.holidays)
    alone = scenario.model_copy(update={"horizon": horizon, "rollout": None})
    return scaled(alone, max(share, _LEAST_SHARE))


@dataclass(frozen=True, slots=True)
class _Answer:
    """A simulated month.

    Attributes:
        tokens: Served in a month.
        patterns: What became of each pattern, at the prices that hold on `priced_on`.
        usage: What the bill of each pattern charges for.
        month_hours: Hours of the month that is billed.
        priced_on: First day of what was simulated.
    """

    tokens: int
    patterns: dict[str, PatternMonth]
    usage: dict[str, Usage]
    month_hours: Decimal
    priced_on: date


def _at_its_prices(scenario: Scenario, name: str, answer: _Answer, number: int, month: str) -> PatternMonth:
    """What a pattern did in a month, at the prices that hold on its first day, dearer or cheaper by then."""
    found, plan = answer.patterns[name], scenario.rollout
    if name not in answer.usage or plan is None:
        return found
    pattern, usage = scenario.hosting_patterns[name], answer.usage[name]
    today, then = (
        monthly_bill(pattern, usage, scenario_book(scenario.prices, day), answer.month_hours)
        for day in (answer.priced_on, _days(month)[0])
    )
    first, day = (_days(one)[0] for one in (months_of(scenario, plan)[0], month))
    held = years_held(pattern, scenario.prices, first, day)
    then = escalated(then, plan.escalation, Fraction(number - 1, 12), held)
    if then == today:
        return found
    return replace(
        found,
        monthly_cost_usd=found.monthly_cost_usd + float(then.rounded().total_usd - today.rounded().total_usd),
        running_usd=found.running_usd + float(then.running_usd - today.running_usd),
    )


def _key(question: Scenario) -> str:
    return checkpoint.demand_key(question)


def _answers(
    questions: Sequence[Scenario],
    names: Sequence[str],
    replications: int,
    jobs: Jobs,
    store: Path | None,
    on_done: Callable[[], None],
) -> list[_Answer]:
    """Tokens and patterns of each month; those that ask the same share an answer."""
    different = {_key(question): question for question in questions}
    asked = [
        Question(number, partial(Sealed.of, question), tuple(names), replications)
        for number, question in enumerate(different.values())
    ]
    found: dict[int, _Answer] = {}
    for number, answer in answers(asked, _answer, jobs=jobs, store=store):
        found[number] = answer
        on_done()
    known = dict(zip(different, (found[number] for number in sorted(found)), strict=True))
    return [known[_key(question)] for question in questions]


def _answer(question: Scenario, folder: Path, _: int, names: Sequence[str], replications: int, jobs: Jobs) -> _Answer:
    """One month, on any machine."""
    results = run(
        question,
        patterns=names,
        replications=replications,
        jobs=jobs,
        folder=folder,
        tables=False,
        band=False,
        outlook=False,
    )
    served = [one.usage.served_prompt_tokens + one.usage.served_output_tokens for one in results.patterns if one.usage]
    months = {one.name: _month(one) for one in results.patterns}
    usage = {one.name: one.usage for one in results.patterns if one.bill and one.usage}
    tokens = round(max(served, default=0) / replications)
    return _Answer(tokens, months, usage, results.month_hours, question.horizon.start_local.date())


def _month(result: PatternResult) -> PatternMonth:
    if result.monthly_cost_usd is None or result.bill is None:
        return PatternMonth(0.0, 0.0, None, None, joined(result.infeasible_reasons), feasible=False)
    latency = result.latency.get("e2e_s")
    return PatternMonth(
        monthly_cost_usd=result.monthly_cost_usd.mean,
        running_usd=float(result.bill.running_usd),
        e2e_p99_s=latency.p99 if latency else None,
        busy_fraction=(result.utilisation or {}).get("busy_fraction"),
        missed=missed(result),
    )


def _variant(scenario: Scenario, plan: Rollout, curve: Curve, answers: Sequence[_Answer]) -> Variant:
    dates = months_of(scenario, plan)
    book = scenario_book(scenario.prices)
    months = [
        Month(
            number,
            day,
            share,
            None if plan.users is None else share * plan.users,
            answer.tokens,
            {
                name: _on_offer(scenario, name, _at_its_prices(scenario, name, answer, number, day), book, day)
                for name in answer.patterns
            },
        )
        for (number, share), day, answer in zip(_numbered(curve), dates, answers, strict=True)
    ]
    return Variant(curve, months, course(plan, months, upfront_of(scenario, plan)))
