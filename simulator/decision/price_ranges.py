"""How far prices may be from what a scenario says, and what a bill comes to then.

Lines of a bill are proportional to their price, so another price takes no simulation and no new bill.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from simulator.scenario.costs import Rental

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from simulator.cost.bill import Bill
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import RecordedWorkload, SyntheticWorkload


@dataclass(frozen=True, slots=True)
class Driver:
    """A price that several lines of a bill share.

    Attributes:
        id: Name for machines.
        label: Name for people.
        lines: What the keys of those lines begin with.
        low: Lowest plausible factor on the scenario's price.
        high: Highest.
        basis: Whether the range is derived from sources or assumed.
        source: Where it comes from.
    """

    id: str
    label: str
    lines: tuple[str, ...]
    low: float
    high: float
    basis: str
    source: str

    def owns(self, key: str) -> bool:
        """Whether a line of a bill follows this price; of several clusters, the last part of its key says so."""
        return key.rpartition(".")[2].startswith(self.lines)


@cache
def drivers() -> tuple[Driver, ...]:
    """The shipped ranges."""
    raw = resources.files("simulator.decision").joinpath("data", "price-ranges.json").read_text("utf-8")
    return tuple(Driver(**{**row, "lines": tuple(row["lines"])}) for row in json.loads(raw)["drivers"])


def unsure(scenario: Scenario) -> tuple[Driver, ...]:
    """The ranges of what a scenario leaves open, cut by what it fixes.

    A contract's token prices are what they are, and so is rent under a commitment. Half the price of an API is that of
    files, which only work that can wait for a day goes into. Salaries that bear the employer's costs bear them once.
    """
    patterns = list(scenario.hosting_patterns.values())
    apis = [api for pattern in patterns for api in pattern.metered.values()]
    costs = [one.costs for pattern in patterns for one in pattern.hosted.values()]
    rents = [cost.compute for cost in costs if isinstance(cost.compute, Rental)]
    waits = all(_can_wait(load) for load in scenario.workloads.values())
    loading = max((one.loading for cost in [*costs, *(api.costs for api in apis)] for one in cost.staff), default=1.0)
    found = []
    for one in drivers():
        cut = one
        if one.id == "api_prices":
            if apis and all(api.prices is not None for api in apis):
                continue
            cut = one if waits else replace(one, low=1.0)
        elif one.id == "gpu_rent":
            if rents and all(rent.commitment is not None for rent in rents):
                continue
        elif one.id == "staff":
            cut = replace(one, high=max(1.0, one.high / loading))
        found.append(cut)
    return tuple(found)


def _can_wait(load: SyntheticWorkload | RecordedWorkload) -> bool:
    objectives = load.objectives
    limits = (objectives.ttft, objectives.end_to_end) if objectives else ()
    return all(limit_s is None or limit_s >= 86_400.0 for limit_s in limits)


def split(bill: Bill, given: Sequence[Driver]) -> NDArray[np.float64]:
    """USD of a bill by driver, in their order, and last what follows none of them.

    What compliance adds is a share of the other lines, and follows them.
    """
    amounts, added = np.zeros(len(given) + 1), 0.0
    for line in bill.lines:
        if line.key.endswith("compliance"):
            added += float(line.usd)
        else:
            amounts[next((at for at, one in enumerate(given) if one.owns(line.key)), len(given))] += float(line.usd)
    whole = amounts.sum()
    return amounts * (1.0 + added / whole) if whole else amounts


def draws(given: Sequence[Driver], count: int) -> NDArray[np.float64]:
    """Factors that fill the ranges evenly, log-uniform (shape: count, drivers + 1; the last is always 1).

    Multiples of powers of 1/g, the fractional parts of which fill the cube for the root g of g^(d+1) = g + 1 (Roberts
    2018): the same for everybody, and no library to load for it.
    """
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (len(given) + 1))
    steps = root ** -np.arange(1.0, len(given) + 1)
    points = (0.5 + np.outer(np.arange(1, count + 1), steps)) % 1.0
    low, high = (np.log([getattr(one, end) for one in given]) for end in ("low", "high"))
    return np.column_stack([np.exp(low + points * (high - low)), np.ones(count)])


def winners(
    amounts: Mapping[str, NDArray[np.float64]], factors: NDArray[np.float64], budget: float | None
) -> list[str]:
    """The cheapest pattern at each draw; the empty text where the budget allows none.

    Args:
        amounts: By pattern, from `split`.
        factors: From `draws`.
        budget: Most that may be spent a month.
    """
    names = sorted(amounts)
    costs = factors @ np.array([amounts[name] for name in names]).T
    best = costs.argmin(axis=1)
    afforded = costs.min(axis=1) <= (np.inf if budget is None else budget)
    return [names[at] if fine else "" for at, fine in zip(best, afforded, strict=True)]
