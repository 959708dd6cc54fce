"""How sure a verdict is: in how many replications, and at how many plausible prices, volumes and speeds, it stands."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.decision.plausible import Factors, candidates, rivals, winners
from simulator.decision.ranges import (
    VOLUME,
    api_time_range,
    draws,
    step_time_range,
    unsure_prices,
    volume_range,
)
from simulator.decision.words import percent
from simulator.wording import counted, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simulator.decision.costing import Costing
    from simulator.decision.plausible import Candidate, VolumePoint
    from simulator.decision.ranges import Driver
    from simulator.decision.screening import Screening
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario
    from simulator.workload.demand import Demand

_DRAWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Drawn:
    """Something that was drawn.

    Attributes:
        id: Name for machines.
        label: Name for people.
        low: Least factor on what the scenario says.
        high: Greatest.
        basis: Whether the range is derived from sources or assumed.
        source: Where it comes from.
    """

    id: str
    label: str
    low: float
    high: float
    basis: str
    source: str


@dataclass(frozen=True, slots=True)
class Confidence:
    """How often the recommended pattern wins.

    Attributes:
        replications: How many there are.
        replications_won: In how many it would have been recommended, judged by each alone.
        draws: Combinations of what is unsure that were tried; 0 where no other pattern could win at any.
        share_won: Share of them at which it is recommended; None without any.
        others: By other pattern, the share of draws at which that one is; `none` where no pattern keeps what is asked.
        drawn: What was drawn, and from which range.
        text: The same in words.
    """

    replications: int
    replications_won: int
    draws: int
    share_won: float | None
    others: dict[str, float]
    drawn: list[Drawn]
    text: str


def confidence(
    scenario: Scenario,
    screening: Screening,
    each: Iterable[Screening],
    costings: Mapping[str, Costing],
    demand: Mapping[str, Demand],
    points: Mapping[str, Sequence[VolumePoint]] | None = None,
) -> Confidence | None:
    """How sure the recommendation is; None where there is none.

    Args:
        scenario: The scenario.
        screening: The rules applied to all replications together.
        each: The rules applied to each replication alone.
        costings: What prices its patterns at other volumes, by name.
        demand: What each workload asks of the month.
        points: What becomes of its patterns at other volumes, by name; None where that was not simulated.
    """
    best = screening.leading
    if best is None:
        return None
    winner = best.name
    alone = [one.leading.name if one.leading else None for one in each]
    won = sum(name == winner for name in alone)
    given = unsure(scenario, rivals(screening, points or {}), costings, demand)
    found = candidates(scenario, screening, costings, given, points)
    shares = win_shares(found, given, scenario)
    kept = shares.pop(winner, 0.0)
    is_choice = "is" if screening.winner else "would be, as measured,"
    text = f"{winner} {is_choice} the choice in {won} of {counted(len(alone), 'replication')}"
    able = [one for one in screening.left["objectives"] if one is best or one.met_as_measured]
    if len(able) < 2 and not shares:
        text += "; there is no alternative that plausible prices, volumes or speeds could favour"
        return Confidence(len(alone), won, 0, None, {}, [], text)
    text += f" and at {_share(kept)} of {_DRAWS:,} plausible combinations of {_named(given)}{_else(shares)}"
    if points is None and any(one.id == VOLUME for one in given):
        text += "; what limits do at other volumes is not simulated"
    drawn = [Drawn(one.id, one.label, one.low, one.high, one.basis, one.source) for one in given]
    return Confidence(len(alone), won, _DRAWS, kept, shares, drawn, text)


def unsure(
    scenario: Scenario,
    contenders: Sequence[PatternResult],
    costings: Mapping[str, Costing],
    demand: Mapping[str, Demand],
) -> list[Driver]:
    """What is unsure and may matter to any of these patterns."""
    limited = any(load.samples for one in contenders for load in one.workloads.values())
    speed = api_time_range(scenario, [one.name for one in contenders]) if limited else None
    found: list[Driver | None] = [
        *(one for one in unsure_prices(scenario) if any(_pays(result, one) for result in contenders)),
        volume_range(scenario, demand) if any(one.name in costings for one in contenders) else None,
        speed,
        step_time_range(contenders),
    ]
    return [one for one in found if one is not None]


def win_shares(found: Sequence[Candidate], given: Sequence[Driver], scenario: Scenario) -> dict[str, float]:
    """By pattern, the share of the draws at which it is the choice; `none` where nothing is."""
    budget = scenario.constraints.monthly_cost_at_most
    factors = Factors.of(given, draws(given, _DRAWS))
    chosen = winners(found, factors, None if budget is None else float(budget))
    return {name or "none": count / _DRAWS for name, count in sorted(Counter(chosen).items())}


def _pays(result: PatternResult, driver: Driver) -> bool:
    return result.bill is not None and any(line.usd and driver.owns(line.key) for line in result.bill.lines)


def _share(share: float) -> str:
    return "100 %" if share == 1.0 else percent(share)


def _named(given: Sequence[Driver]) -> str:
    """What was drawn, and of what is no price from which range."""
    names = [one.label if one.lines else f"{one.label} ({one.low:.3g} to {one.high:.3g} times)" for one in given]
    return listed(names)


def _else(shares: Mapping[str, float]) -> str:
    """Who wins at the other draws, the most frequent first."""
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    names = (f"{'no pattern does' if name == 'none' else name} ({_share(share)})" for name, share in ordered)
    return f"; else {', '.join(names)}" if shares else ""
