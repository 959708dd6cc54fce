"""What would change a verdict: every assumption moved by itself, to both ends of its range.

The measure is the margin: what the cheapest alternative costs beyond the recommended pattern. Where it turns negative,
or the recommended pattern drops out, another one should be chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simulator.analysis.limits import API_TIMES
from simulator.decision.bar import Bar, margin_usd, winner
from simulator.decision.limit_bars import limit_bars, step_time_bar
from simulator.decision.plausible import Factors, candidates
from simulator.decision.ranges import api_time_range, fixed_lines, split, unsure_prices, volume_range
from simulator.decision.screening import cost_of
from simulator.decision.volume_bar import volume_bar
from simulator.decision.words import percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from simulator.decision.cost_curve import CostCurve
    from simulator.decision.costing import Costing
    from simulator.decision.plausible import VolumePoint
    from simulator.decision.ranges import Driver
    from simulator.decision.screening import Screening
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario
    from simulator.workload.demand import Demand


@dataclass(frozen=True, slots=True)
class Tornado:
    """All bars, those that change the verdict within their range first, then the longest first.

    Attributes:
        recommended: The pattern the margin is about: the choice, or where these replications cannot tell, what would be
            chosen if every figure were taken as it was measured.
        margin_usd: What the cheapest alternative costs beyond it today; None where there is none.
        bars: The assumptions.
    """

    recommended: str
    margin_usd: float | None
    bars: list[Bar]


def tornado(
    scenario: Scenario,
    screening: Screening,
    costings: Mapping[str, Costing],
    curve: CostCurve,
    demand: Mapping[str, Demand],
    points: Mapping[str, Sequence[VolumePoint]] | None = None,
) -> Tornado | None:
    """Move each assumption; None where nothing is recommended.

    Args:
        scenario: The scenario.
        screening: What the rules left of its patterns.
        costings: By pattern, for other volumes.
        curve: The cost curve of the same.
        demand: What each workload asks of the month.
        points: What becomes of its patterns at other volumes, by name, where that was simulated.
    """
    best = screening.leading
    if best is None:
        return None
    able = [one for one in screening.left["objectives"] if one is best or one.met_as_measured]
    costs = {one.name: cost_of(one) for one in able}
    range_ = volume_range(scenario, demand)
    at_volumes = candidates(scenario, screening, costings, [range_], points)
    bars = [
        *_price_bars(scenario, best, able),
        *volume_bar(best.name, at_volumes, curve, range_),
        *_api_time_bar(scenario, screening, best),
        *step_time_bar(best, screening.left["availability"]),
        *limit_bars(scenario, best, screening.left["availability"]),
    ]
    bars.sort(key=lambda bar: (not bar.flips, -bar.swing_usd, bar.factor))
    return Tornado(best.name, margin_usd(best.name, costs), bars)


def _price_bars(scenario: Scenario, best: PatternResult, able: Sequence[PatternResult]) -> Iterator[Bar]:
    given = unsure_prices(scenario)
    amounts = {
        one.name: split(one.bill, given, fixed_lines(scenario.hosting_patterns[one.name]))
        for one in able
        if one.bill is not None
    }
    for at, driver in enumerate(given):
        if not any(amount[at] for amount in amounts.values()):
            continue

        def costs(factor: float, at: int = at) -> dict[str, float]:
            return {name: float(amount.sum() + (factor - 1.0) * amount[at]) for name, amount in amounts.items()}

        low, high = costs(driver.low), costs(driver.high)
        flips_at, other = _price_flip(best.name, amounts, at)
        yield Bar(
            factor=driver.id,
            unit="times what the scenario says",
            low=driver.low,
            base=1.0,
            high=driver.high,
            margin_low_usd=margin_usd(best.name, low),
            margin_high_usd=margin_usd(best.name, high),
            recommended_low=winner(low),
            recommended_high=winner(high),
            flips_at=flips_at,
            basis=f"{driver.basis}: {driver.source}",
            text=_price_text(driver, flips_at, other),
        )


def _price_flip(best: str, amounts: Mapping[str, NDArray[np.float64]], at: int) -> tuple[float | None, str]:
    """The nearest factor on one price from which another pattern is cheaper, and which."""
    ours, found = amounts[best], []
    for name, theirs in amounts.items():
        more = theirs.sum() - ours.sum()
        faster = ours[at] - theirs[at]
        factor = 1.0 + more / faster if faster else -1.0
        if name != best and factor > 0.0:
            found.append((abs(float(np.log(factor))), float(factor), name))
    if not found:
        return None, ""
    _, factor, name = min(found)
    return factor, name


def _price_text(driver: Driver, flips_at: float | None, other: str) -> str:
    if flips_at is None:
        return ""
    return f"{driver.label} at {_times(flips_at)} what the scenario says: {other} is as cheap"


def _times(factor: float) -> str:
    return f"{factor:,.1f} times" if factor >= 2.0 else f"{percent(factor)} of"


def _as_long(factor: float) -> str:
    return f"{factor:.2f} times as long"


def _api_time_bar(scenario: Scenario, screening: Screening, best: PatternResult) -> Iterator[Bar]:
    """APIs that take longer or shorter to answer, where limits depend on it."""
    range_ = api_time_range(scenario, [one.name for one in screening.contenders])
    if range_ is None or not any(load.samples for load in best.workloads.values()):
        return
    times = np.array([range_.low, range_.high, *sorted(API_TIMES, key=lambda one: abs(np.log(one)))])
    found = candidates(scenario, screening, {}, [range_])
    kept = {one.name: one.keeps(Factors.at_api_time(times)) for one in found}
    costs = [{one.name: cost_of(one.result) for one in found if kept[one.name][at]} for at in range(len(times))]
    low, high = costs[:2]
    flips = ((float(at), winner(left)) for at, left in zip(times[2:], costs[2:], strict=True))
    flips_at, other = next(((at, name) for at, name in flips if name != best.name), (None, None))
    bar = Bar(
        factor=range_.id,
        unit="times what the scenario says",
        low=range_.low,
        base=1.0,
        high=range_.high,
        margin_low_usd=margin_usd(best.name, low),
        margin_high_usd=margin_usd(best.name, high),
        recommended_low=winner(low),
        recommended_high=winner(high),
        flips_at=flips_at,
        basis=f"{range_.basis}: {range_.source}",
    )
    told = f"{other} is the choice" if other else "no pattern keeps its limits"
    text = f"APIs that take {_as_long(flips_at)} to answer: {told}" if flips_at is not None and bar.flips else ""
    yield replace(bar, text=text)


def changes(found: Tornado) -> list[str]:
    """What would change the verdict, in words, the nearest first."""
    # A limit far from what is reached changes nothing; a price, however far, says how safe the choice is.
    return [bar.text for bar in found.bars if bar.text and (bar.flips or bar.unit != "s")]
