"""How far what a scenario says may be from the truth: prices, API speed, volume, step times; each with its source."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.cost.lines import UNTAXED
from simulator.scenario.api_terms import Terms
from simulator.scenario.costs import Rental
from simulator.scenario.workloads import SyntheticWorkload

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from simulator.cost.bill import Bill
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import RecordedWorkload
    from simulator.workload.demand import Demand

API_PRICES: Final = "api_prices"
GPU_RENT: Final = "gpu_rent"
API_TIME: Final = "api_time"
VOLUME: Final = "volume"
STEP_TIME: Final = "step_time"


@dataclass(frozen=True, slots=True)
class Driver:
    """Something unsure.

    Attributes:
        id: Name for machines.
        label: Name for people.
        lines: What the keys of the lines of a bill begin with that are proportional to it; none where it is no price.
        low: Lowest plausible factor on what the scenario says.
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
    raw = resources.files("simulator.decision").joinpath("data", "ranges.json").read_text("utf-8")
    return tuple(Driver(**{**row, "lines": tuple(row["lines"])}) for row in json.loads(raw)["drivers"])


def unsure_prices(scenario: Scenario) -> tuple[Driver, ...]:
    """The ranges of prices that a scenario leaves open, cut by what it fixes.

    Half the price of an API is that of files, which only work that can wait for a day goes into. Salaries that bear the
    employer's costs bear them once.
    """
    patterns = list(scenario.hosting_patterns.values())
    left = set[str]().union(*(_open_prices(pattern) for pattern in patterns))
    staff = [one for pattern in patterns for cluster in pattern.hosted.values() for one in cluster.costs.staff]
    staff += [one for pattern in patterns for api in pattern.metered.values() for one in api.costs.staff]
    loading = max((one.loading for one in staff), default=1.0)
    found = []
    for one in drivers():
        if not one.lines or (one.id in (API_PRICES, GPU_RENT) and one.id not in left):
            continue
        cut = one
        if one.id == API_PRICES and not all(_can_wait(load) for load in scenario.workloads.values()):
            cut = replace(one, low=1.0)
        elif one.id == "staff":
            cut = replace(one, high=max(1.0, one.high / loading))
        found.append(cut)
    return tuple(found)


def _open_prices(pattern: HostingPattern) -> Iterator[str]:
    """What may be paid for of which the scenario does not fix the price."""
    if not all(map(_contracted, pattern.metered.values())):
        yield API_PRICES
    rents = [one.costs.compute for one in pattern.hosted.values() if isinstance(one.costs.compute, Rental)]
    if any(rent.commitment is None or rent.spot is not None for rent in rents):
        yield GPU_RENT


def fixed_lines(pattern: HostingPattern) -> frozenset[str]:
    """Lines of its bill that are what they are: tokens under a contract, and rent under a commitment."""
    (tokens,) = (one.lines for one in drivers() if one.id == API_PRICES)
    fixed = {name: tokens for name, api in pattern.metered.items() if _contracted(api)}
    rents = {name: one.costs.compute for name, one in pattern.hosted.items()}
    # Spot capacity beside it follows the market.
    fixed |= {name: ("rental",) for name, rent in rents.items() if isinstance(rent, Rental) and rent.commitment}
    alone = {name for names in (pattern.metered, pattern.hosted) if len(names) == 1 for name in names}
    return frozenset(line if name in alone else f"{name}.{line}" for name, lines in fixed.items() for line in lines)


def _contracted(api: MeteredApi) -> bool:
    """Whether a contract says what its tokens cost."""
    return api.prices is not None or api.terms != Terms()


def volume_range(scenario: Scenario, demand: Mapping[str, Demand]) -> Driver:
    """The range of the volume, a year of the growth that its workloads state included, each by its tokens."""
    one = _shipped(VOLUME)
    tokens = {name: asked.tokens for name, asked in demand.items()}
    total = sum(tokens.values())
    if not total:
        return one
    grown = sum(tokens[name] * _yearly(load) for name, load in scenario.workloads.items()) / total
    return replace(one, low=one.low * min(1.0, grown), high=one.high * max(1.0, grown))


def api_time_range(scenario: Scenario, names: Sequence[str]) -> Driver | None:
    """The range of the time that APIs take; None where these patterns call none, or only such as were measured."""
    called = [api for name in names for api in scenario.hosting_patterns[name].metered.values()]
    return _shipped(API_TIME) if any(api.speed_basis == "assumed" for api in called) else None


def step_time_range(candidates: Sequence[PatternResult]) -> Driver | None:
    """The widest band of step times there is; None without one."""
    bands = [one.step_time_band for one in candidates if one.step_time_band is not None]
    widest = max(bands, key=lambda band: band.high.factor / band.low.factor, default=None)
    if widest is None:
        return None
    return replace(_shipped(STEP_TIME), low=widest.low.factor, high=widest.high.factor)


def _shipped(name: str) -> Driver:
    return next(one for one in drivers() if one.id == name)


def _yearly(load: SyntheticWorkload | RecordedWorkload) -> float:
    """What its volume is multiplied by in a year."""
    return 1.0 + load.trend.yearly_growth if isinstance(load, SyntheticWorkload) and load.trend else 1.0


def _can_wait(load: SyntheticWorkload | RecordedWorkload) -> bool:
    objectives = load.objectives
    return all(limit_s >= 86_400.0 for limit_s in (objectives.limits if objectives else {}).values())


def split(bill: Bill, given: Sequence[Driver], fixed: Collection[str] = ()) -> NDArray[np.float64]:
    """USD of a bill by driver, in their order, and last what follows none of them.

    What compliance adds is a share of the other lines and follows them, and so does tax with what it is due on.

    Args:
        bill: The bill.
        given: What is unsure.
        fixed: Keys of lines that follow none, see `fixed_lines`.
    """
    amounts, taxed = np.zeros(len(given) + 1), np.zeros(len(given) + 1)
    added = {"compliance": 0.0, "vat": 0.0}
    for line in bill.lines:
        key = line.key.rpartition(".")[2]
        share = key.removeprefix("api_")
        if share in added:
            added[share] += float(line.usd)
            continue
        at = next((at for at, one in enumerate(given) if one.owns(key) and line.key not in fixed), len(given))
        amounts[at] += float(line.usd)
        taxed[at] += 0.0 if share in UNTAXED else float(line.usd)
    whole = amounts.sum()
    compliance = amounts * (added["compliance"] / whole) if whole else amounts
    taxed = taxed + compliance
    return amounts + compliance + (taxed * (added["vat"] / taxed.sum()) if taxed.sum() else 0.0)


def draws(given: Sequence[Driver], count: int) -> NDArray[np.float64]:
    """Factors that fill the ranges evenly, log-uniform (shape: count, drivers).

    Multiples of powers of 1/g, the fractional parts of which fill the cube for the root g of g^(d+1) = g + 1 (Roberts
    2018): the same for everybody, and no library to load for it.
    """
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (len(given) + 1))
    steps = root ** -np.arange(1.0, len(given) + 1)
    points = (0.5 + np.outer(np.arange(1, count + 1), steps)) % 1.0
    low, high = (np.log([getattr(one, end) for one in given]) for end in ("low", "high"))
    return np.asarray(np.exp(low + points * (high - low)))
