"""How sure a verdict is: in how many replications, and at how many plausible prices, the same pattern wins."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.decision.price_ranges import draws, split, unsure, winners

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulator.decision.price_ranges import Driver
    from simulator.decision.screening import Screening
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario

_DRAWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Confidence:
    """How often the recommended pattern wins.

    Attributes:
        replications: How many there are.
        replications_won: In how many it would have been recommended, judged by each alone.
        price_draws: Combinations of plausible prices that were tried; 0 where no other pattern could win at any.
        price_share_won: Share of them at which it is recommended; None without any.
        others: By other pattern, the share of price draws at which that one is.
        text: The same in words.
    """

    replications: int
    replications_won: int
    price_draws: int
    price_share_won: float | None
    others: dict[str, float]
    text: str


def confidence(scenario: Scenario, screening: Screening, each: Iterable[Screening]) -> Confidence | None:
    """How sure the recommendation is; None where there is none.

    Args:
        scenario: The scenario.
        screening: The rules applied to all replications together.
        each: The rules applied to each replication alone.
    """
    best = screening.leading
    if best is None:
        return None
    winner = best.name
    alone = [one.leading.name if one.leading else None for one in each]
    able = [one for one in screening.left["objectives"] if one is best or one.met_as_measured]
    won = sum(name == winner for name in alone)
    is_choice = "is" if screening.winner else "would be, as measured,"
    text = f"{winner} {is_choice} the choice in {won} of {len(alone)} replications"
    if len(able) < 2:
        return Confidence(len(alone), won, 0, None, {}, f"{text}; there is no alternative that prices could favour")
    varied = [one for one in unsure(scenario) if any(_pays(result, one) for result in able)]
    share = _price_shares(scenario, able, varied)
    of_prices = share.pop(winner, 0.0)
    drawn = ", ".join(one.label for one in varied)
    text += f" and at {of_prices:.0%} of {_DRAWS:,} combinations of plausible prices ({drawn}); limits and volume kept"
    return Confidence(len(alone), won, _DRAWS, of_prices, share, text)


def _pays(result: PatternResult, driver: Driver) -> bool:
    return result.bill is not None and any(line.usd and driver.owns(line.key) for line in result.bill.lines)


def _price_shares(
    scenario: Scenario, candidates: Sequence[PatternResult], varied: Sequence[Driver]
) -> dict[str, float]:
    budget = scenario.constraints.monthly_cost_at_most
    amounts = {one.name: split(one.bill, varied) for one in candidates if one.bill is not None}
    chosen = winners(amounts, draws(varied, _DRAWS), None if budget is None else float(budget))
    return {name or "none": count / _DRAWS for name, count in sorted(Counter(chosen).items())}
