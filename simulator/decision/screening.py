"""Which hosting patterns may be chosen at all: one rule after another, each with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from simulator.analysis.share import exceeds
from simulator.decision.chance import Undecided, undecided
from simulator.decision.resilience import fragile
from simulator.decision.retirement import unavailable
from simulator.decision.staffing import unready
from simulator.decision.words import apart, kept_within, percent
from simulator.wording import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from simulator.analysis.backlog import Drift
    from simulator.cost.prices import PriceBook
    from simulator.experiment.objectives import ObjectiveResult
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario

#: Share of the requests that may be lost to what no more room would cure; and what that is.
_FEW: Final = 0.01
_LOSSES: Final = {"error": "to errors", "fault": "to faults", "too_long": "for being longer than its model takes"}


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A rule that speaks against a pattern; there may be several for one.

    Attributes:
        rule: The rule.
        pattern: Name of the pattern.
        reason: What the rule found.
    """

    rule: str
    pattern: str
    reason: str


@dataclass(frozen=True)
class Screening:
    """What the rules left.

    Attributes:
        out: What speaks against patterns, in the order of the rules.
        left: By rule, the patterns that passed it and all before.
        ranked: What no rule speaks against, cheapest first; of some of them it cannot be told whether they pass.
    """

    out: list[Exclusion] = field(default_factory=list)
    left: dict[str, list[PatternResult]] = field(default_factory=dict)
    ranked: list[PatternResult] = field(default_factory=list)

    @cached_property
    def doubt(self) -> Undecided | None:
        """What cannot be told without more replications; None where the choice is clear, or there is none."""
        return undecided(self.ranked)

    @property
    def reasons(self) -> list[str]:
        """Why each pattern that is out is: all there is against it, in the order of the rules."""
        against: dict[str, list[str]] = {}
        for one in self.out:
            against.setdefault(one.pattern, []).append(one.reason)
        return [f"{name} is out: {'; '.join(reasons)}" for name, reasons in against.items()]

    @property
    def winner(self) -> str | None:
        """Name of the pattern to choose; None where nothing is left, or nobody can tell."""
        return self.ranked[0].name if self.ranked and self.doubt is None else None

    @property
    def contenders(self) -> list[PatternResult]:
        """Patterns that would do but for their limits and the budget, in the order of the scenario."""
        passed = self.left.get("resilience", [])
        able = {one.name for one in self.left["objectives"]}
        return [one for one in passed or self.left["objectives"] if one.name in able or late_alone(one)]

    @property
    def overloaded(self) -> list[PatternResult]:
        """Patterns that would do but for a queue that grows, in the order of the scenario."""
        return [one for one in self.left.get("resilience", []) if one.saturation == "overloaded" and not _lost(one)]

    @property
    def leading(self) -> PatternResult | None:
        """What to choose if every figure is taken as it was measured, chance left aside."""
        return next((one for one in self.ranked if one.met_as_measured), self.ranked[0] if self.ranked else None)


def screen(scenario: Scenario, results: Sequence[PatternResult], book: PriceBook) -> Screening:
    """Apply the rules in their order, each to every pattern, so that every reason against one is known.

    Args:
        scenario: The scenario.
        results: Its patterns, simulated and priced.
        book: Price book.
    """
    patterns, budget = scenario.hosting_patterns, scenario.constraints.monthly_cost_at_most
    rules: dict[str, Callable[[PatternResult], str | None]] = {
        "feasibility": lambda result: _refusal(result, "feasibility"),
        "compliance": lambda result: _refusal(result, "compliance"),
        # A model that is gone stays in the comparison, but nobody can choose it.
        "availability": lambda result: unavailable(scenario, patterns[result.name], book),
        # Of what nobody has seen there is no verdict.
        "demand": lambda result: result.cannot_tell,
        "staffing": lambda result: unready(scenario.constraints.team, patterns[result.name]),
        "resilience": lambda result: fragile(scenario, result),
        "objectives": lambda result: None if result.cannot_tell else missed(result),
        "budget": lambda result: over_budget(result, budget),
    }
    found = Screening()
    candidates = list(results)
    for rule, why_not in rules.items():
        against = {result.name: reason for result in results if (reason := why_not(result)) is not None}
        found.out.extend(Exclusion(rule, name, reason) for name, reason in against.items())
        candidates = [result for result in candidates if result.name not in against]
        found.left[rule] = candidates
    found.ranked.extend(sorted(candidates, key=lambda result: (cost_of(result), result.name)))
    return found


def cost_of(result: PatternResult) -> float:
    """USD a month; nothing for a pattern that was not simulated."""
    return result.cost_usd


def missed(result: PatternResult) -> str | None:
    """Why a pattern that was simulated will not do, beyond what may be chance; None where it may.

    A workload of which too little arrived is not held against it: early months of a rollout have few requests.
    """
    if result.saturation == "overloaded":
        return f"it is overloaded: {_overload(result)}"
    if lost := _lost(result):
        return lost
    shares = ", ".join(
        f"{name} ({kept_within(_missed_limits(found), found.target_share)})"
        for name, load in result.workloads.items()
        if (found := load.objective) and found.answer == "missed"
    )
    return f"objectives not met for {shares}" if shares else None


def _missed_limits(found: ObjectiveResult) -> list[tuple[str, float, float]]:
    return [(one.metric, one.limit_s, one.share) for one in found.limits if one.answer == "missed"]


def _overload(result: PatternResult) -> str:
    """What an overloaded pattern does with what it cannot serve."""
    growing = [(name, load.drift) for name, load in result.workloads.items() if load.drift and load.drift.grows]
    if not growing and result.drift and result.drift.grows:
        growing = [("all workloads", result.drift)]
    if not growing:
        return f"it turns {percent(result.turned_away)} of the requests away"
    return "its queue grows: " + ", ".join(f"of {name} {_growth(drift)}" for name, drift in growing)


def _growth(drift: Drift) -> str:
    pace = "nothing is started" if drift.load is None else f"{drift.load:.2f} requests arrive for each that is started"
    return f"{pace}, and {drift.waiting:,.0f} wait at the end"


def lost_share(result: PatternResult, *reasons: str) -> float:
    """Share of the requests of a pattern that was simulated which are lost for some reasons."""
    if result.requests is None or not result.requests.arrived:
        return 0.0
    return sum(result.requests.lost.get(reason, 0) for reason in reasons) / result.requests.arrived


def _lost(result: PatternResult) -> str | None:
    """Losses that are more than a few, beyond chance, and not for want of room."""
    arrived = result.replications * (result.requests.arrived if result.requests else 0)
    if not exceeds([lost_share(result, *_LOSSES) * arrived], [arrived], _FEW):
        return None
    shares = ((lost_share(result, reason), what) for reason, what in _LOSSES.items())
    return "it loses " + ", ".join(f"{percent(share)} of its requests {what}" for share, what in shares if share)


def late_alone(result: PatternResult) -> bool:
    """Whether nothing but missed limits of its objectives speaks against what a pattern does."""
    late = any(load.objective and load.objective.answer == "missed" for load in result.workloads.values())
    return late and result.saturation != "overloaded" and _lost(result) is None


def falls_short(scenario: Scenario, result: PatternResult) -> str | None:
    """Why a pattern does not do what it is asked for, whatever it costs; None where it does."""
    texts = (result.cannot_tell or missed(result), fragile(scenario, result))
    return "; ".join(text for text in texts if text) or None


def _refusal(result: PatternResult, rule: str) -> str | None:
    """Why a pattern was not simulated, if this rule forbade it."""
    return joined(result.infeasible_reasons) or None if (result.infeasible_by or "feasibility") == rule else None


def over_budget(result: PatternResult, budget: Decimal | None) -> str | None:
    """Why a pattern costs more than is there; None where it does not, or nothing is said."""
    # As an invoice has it, to the cent.
    if budget is None or round(cost_of(result), 2) <= round(float(budget), 2):
        return None
    cost, most = apart(cost_of(result), budget)
    return f"{cost} USD a month exceed the budget of {most} USD"
