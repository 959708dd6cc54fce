"""How sure a verdict is: in how many replications, and at how many plausible prices, the same pattern wins."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.decision.price_ranges import draws, drivers, split, winners

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
        price_draws: Combinations of plausible prices that were tried.
        price_share_won: Share of them at which it is recommended.
        others: By other pattern, the share of price draws at which that one is.
        text: The same in words.
    """

    replications: int
    replications_won: int
    price_draws: int
    price_share_won: float
    others: dict[str, float]
    text: str


def confidence(scenario: Scenario, screening: Screening, each: Iterable[Screening]) -> Confidence | None:
    """How sure the recommendation is; None where there is none.

    Args:
        scenario: The scenario.
        screening: The rules applied to all replications together.
        each: The rules applied to each replication alone.
    """
    winner = screening.winner
    if winner is None:
        return None
    alone = [one.winner for one in each]
    share = _price_shares(scenario, screening.left["objectives"])
    won, of_prices = sum(name == winner for name in alone), share.pop(winner, 0.0)
    text = (
        f"{winner} is the choice in {won} of {len(alone)} replications and at {of_prices:.0%} of {_DRAWS:,} "
        "combinations of plausible prices"
    )
    return Confidence(len(alone), won, _DRAWS, of_prices, share, text)


def _price_shares(scenario: Scenario, candidates: Sequence[PatternResult]) -> dict[str, float]:
    budget = scenario.constraints.monthly_cost_at_most
    amounts = {one.name: split(one.bill, drivers()) for one in candidates if one.bill is not None}
    chosen = winners(amounts, draws(drivers(), _DRAWS), None if budget is None else float(budget))
    return {name or "none": count / _DRAWS for name, count in sorted(Counter(chosen).items())}
