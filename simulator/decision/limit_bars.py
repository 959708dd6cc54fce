"""What would change a verdict besides money: tighter or looser limits, and steps that last shorter or longer.

One meaning of a limit kept, here and in the screening: the time that the wanted share of all requests of all
replications are within, those without an answer counted, is at most the limit (`LimitSample.reached_s`). Chance is left
aside: each figure is taken as it was measured.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final

from simulator.decision.bar import HALF, TWICE, Bar, margin_usd, winner
from simulator.decision.screening import cost_of
from simulator.decision.words import duration, usd
from simulator.units import HOUR_S
from simulator.wording import elapsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulator.decision.screening import Screening
    from simulator.experiment.objectives import LimitSample
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario

_METRICS: Final = {"ttft_s": "ttft", "ttfat_s": "ttfat", "e2e_s": "end_to_end", "chain_s": "chain"}
_WORDS: Final = {
    "ttft_s": "time to first token",
    "ttfat_s": "time to first answer token",
    "e2e_s": "end-to-end latency",
    "chain_s": "the whole chain",
}
#: A limit that is missed by no more than this share of itself is a near miss.
_NEAR: Final = 0.10
#: Seconds by workload and metric.
Limits = dict[tuple[str, str], float]


def limit_bars(scenario: Scenario, best: PatternResult, offered: Sequence[PatternResult]) -> Iterator[Bar]:
    """Each limit of the objectives at half and twice its length.

    Args:
        scenario: The scenario.
        best: The pattern that the margins are about.
        offered: All that could be chosen, were it not for the objectives.
    """
    limits = _limits(scenario)
    for (workload, metric), limit_s in limits.items():
        ours_s = _reached_s(best, workload, metric)
        if ours_s is None:
            continue

        def costs(other_s: float, key: tuple[str, str] = (workload, metric)) -> dict[str, float]:
            return {one.name: cost_of(one) for one in offered if _meets(one, limits | {key: other_s})}

        low, high = costs(HALF * limit_s), costs(TWICE * limit_s)
        about = f"{workload} wants its {_quantile(best, workload)} of {_WORDS[metric]} below"
        flips = [(ours_s, f"{best.name} is out once {about} {_time(ours_s)} instead of {_limit(limit_s)}")]
        for one in offered:
            theirs_s = _reached_s(one, workload, metric)
            if cost_of(one) < cost_of(best) and theirs_s is not None and theirs_s > limit_s:
                less = f"{usd(cost_of(best) - cost_of(one))} USD a month less"
                if _meets(one, limits | {(workload, metric): theirs_s}):
                    text = f"{one.name} would do, for {less}, if {about} {_time(theirs_s)} instead of {_limit(limit_s)}"
                    flips.append((theirs_s, text))
        flips_at, text = min(flips, key=lambda flip: (abs(log(flip[0] / limit_s)), flip))
        yield Bar(
            factor=f"{workload}.{_METRICS[metric]}",
            unit="s",
            low=HALF * limit_s,
            base=limit_s,
            high=TWICE * limit_s,
            margin_low_usd=margin_usd(best.name, low),
            margin_high_usd=margin_usd(best.name, high),
            recommended_low=winner(low),
            recommended_high=winner(high),
            flips_at=flips_at,
            basis="assumed: half and twice the scenario's limit",
            text=text,
        )


def near_misses(screening: Screening) -> list[str]:
    """Patterns that cost less than the choice and miss limits by a tenth at most, each with what that costs."""
    if not screening.ranked:
        return []
    best = screening.ranked[0]
    kept = {one.name for one in screening.ranked}
    found = []
    for one in screening.left.get("staffing", []):
        missed = list(_missed(one))
        near = missed and all(
            reached_s is not None and reached_s <= (1.0 + _NEAR) * at for _, _, at, reached_s in missed
        )
        if one.name in kept or one.saturation == "overloaded" or cost_of(one) >= cost_of(best) or not near:
            continue
        wants = " and ".join(
            f"{workload} had {_time(reached_s or 0.0)} instead of {_limit(limit_s)} for its {_WORDS[metric]}"
            for workload, metric, limit_s, reached_s in missed
        )
        found.append(f"{one.name} would do for {usd(cost_of(best) - cost_of(one))} USD less if {wants}")
    return found


def step_time_bar(best: PatternResult, offered: Sequence[PatternResult]) -> Iterator[Bar]:
    """Every cluster at both ends of its profile's band, which were simulated; nothing where there is no cluster."""
    bands = {one.name: one.step_time_band for one in offered if one.step_time_band is not None}
    if not bands:
        return
    widest = max(bands.values(), key=lambda band: band.high.factor / band.low.factor)

    def does(one: PatternResult, end: str) -> bool:
        """As measured, unless the simulation at that end surely says otherwise."""
        at = one.step_time_band and getattr(one.step_time_band, end)
        if one.saturation == "overloaded" or (at and (at.missed or at.overloaded)):
            return False
        return one.met_as_measured or bool(at and not at.cannot_tell)

    low, high = ({one.name: cost_of(one) for one in offered if does(one, end)} for end in ("low", "high"))
    flips = [end.factor for end, found in ((widest.low, low), (widest.high, high)) if winner(found) != best.name]
    yield Bar(
        factor="step_time",
        unit="times what the profile says",
        low=widest.low.factor,
        base=1.0,
        high=widest.high.factor,
        margin_low_usd=margin_usd(best.name, low),
        margin_high_usd=margin_usd(best.name, high),
        recommended_low=winner(low),
        recommended_high=winner(high),
        flips_at=flips[0] if flips else None,
        basis=f"{widest.label}: {widest.source}",
    )


def _limits(scenario: Scenario) -> Limits:
    return {
        (name, metric): limit_s
        for name, load in scenario.workloads.items()
        for metric, key in _METRICS.items()
        if (limit_s := getattr(load.objectives, key, None)) is not None
    }


def _quantile(result: PatternResult, workload: str) -> str:
    objective = result.workloads[workload].objective
    return f"p{100.0 * objective.target_share:g}" if objective else ""


def _sample(result: PatternResult, workload: str, metric: str) -> LimitSample | None:
    found = result.workloads.get(workload)
    return next((one for one in found.samples if one.metric == metric), None) if found else None


def _reached_s(result: PatternResult, workload: str, metric: str) -> float | None:
    """The quantile that a limit is about; None where fewer were answered, or none arrived."""
    sample, found = _sample(result, workload, metric), result.workloads.get(workload)
    return sample.reached_s(found.objective.target_share) if sample and found and found.objective else None


def _meets(result: PatternResult, limits: Mapping[tuple[str, str], float]) -> bool:
    """Whether a pattern meets these limits, as measured; a workload of which nothing arrived misses none."""
    if result.saturation == "overloaded" or not result.feasible:
        return False
    for (workload, metric), limit_s in limits.items():
        if _sample(result, workload, metric) is None:
            continue
        reached_s = _reached_s(result, workload, metric)
        if reached_s is None or reached_s > limit_s:
            return False
    return True


def _missed(result: PatternResult) -> Iterator[tuple[str, str, float, float | None]]:
    """Workload, metric, limit and what was reached of each limit that is not met as measured."""
    for name, load in result.workloads.items():
        for limit in load.objective.limits if load.objective else ():
            if load.objective and limit.share < load.objective.target_share:
                yield name, limit.metric, limit.limit_s, limit.reached_s


def _time(value_s: float) -> str:
    return elapsed(value_s) if value_s >= HOUR_S else f"{value_s:.2f} s"


def _limit(limit_s: float) -> str:
    return duration(limit_s) if limit_s >= HOUR_S else f"{limit_s:g} s"
