"""What would change a verdict besides money: tighter or looser limits, and steps that last shorter or longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.decision.bar import HALF, TWICE, Bar, margin_usd, winner
from simulator.decision.screening import cost_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.schema import Scenario

_QUANTILES: Final = {0.50: "p50", 0.90: "p90", 0.95: "p95", 0.99: "p99"}
_METRICS: Final = {"ttft_s": "ttft", "e2e_s": "end_to_end"}
_WORDS: Final = {"ttft_s": "time to first token", "e2e_s": "end-to-end latency"}
#: Seconds by workload and metric.
Limits = dict[tuple[str, str], float]


def limit_bars(scenario: Scenario, best: PatternResult, offered: Sequence[PatternResult]) -> Iterator[Bar]:
    """Each limit of the objectives at half and twice its length.

    Limits whose share is not one of the quantiles that are kept stay as they are: for those, nobody knows.

    Args:
        scenario: The scenario.
        best: The pattern that is recommended.
        offered: All that could be, were it not for the objectives.
    """
    limits = _limits(scenario)
    for (workload, metric), limit_s in limits.items():
        reached_s = _reached_s(best, scenario, workload, metric)
        if reached_s is None:
            continue
        low, high = (
            {one.name: cost_of(one) for one in offered if _meets(one, scenario, limits | {(workload, metric): other_s})}
            for other_s in (HALF * limit_s, TWICE * limit_s)
        )
        quantile = _quantile(scenario, workload)
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
            flips_at=reached_s,
            basis="assumed: half and twice the scenario's limit",
            text=f"{best.name} is out once {workload} wants its {quantile} of {_WORDS[metric]} below {reached_s:.2f} s "
            f"instead of {limit_s:g} s",
        )


def step_time_bar(best: PatternResult, offered: Sequence[PatternResult]) -> Iterator[Bar]:
    """Every cluster at both ends of its profile's band, which were simulated; nothing where there is no cluster."""
    bands = {one.name: one.step_time_band for one in offered if one.step_time_band is not None}
    if not bands:
        return
    widest = max(bands.values(), key=lambda band: band.high.factor / band.low.factor)

    def costs(end: str) -> dict[str, float]:
        known = [(one, one.step_time_band and getattr(one.step_time_band, end)) for one in offered]
        return {
            one.name: cost_of(one)
            for one, at in known
            if (not at.missed if at else one.objectives_met) and one.saturation != "overloaded"
        }

    low, high = costs("low"), costs("high")
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
    found: Limits = {}
    for name, load in scenario.workloads.items():
        for metric, key in _METRICS.items():
            limit_s = getattr(load.objectives, key, None)
            if limit_s is not None and _quantile(scenario, name):
                found[name, metric] = limit_s
    return found


def _quantile(scenario: Scenario, workload: str) -> str | None:
    objectives = scenario.workloads[workload].objectives
    return _QUANTILES.get(objectives.share) if objectives else None


def _reached_s(result: PatternResult, scenario: Scenario, workload: str, metric: str) -> float | None:
    """The quantile that a limit is about."""
    found, quantile = result.workloads.get(workload), _quantile(scenario, workload)
    latency = found.latency.get(metric) if found else None
    return None if latency is None or quantile is None else float(getattr(latency, quantile))


def _meets(result: PatternResult, scenario: Scenario, limits: Mapping[tuple[str, str], float]) -> bool:
    """Whether a pattern meets these limits, and its other objectives as before."""
    if result.saturation == "overloaded":
        return False
    limited = {workload for workload, _ in limits}
    if any(load.objective_met is False for name, load in result.workloads.items() if name not in limited):
        return False
    reached = ((_reached_s(result, scenario, *key), limit_s) for key, limit_s in limits.items())
    return all(reached_s is not None and reached_s <= limit_s for reached_s, limit_s in reached)
