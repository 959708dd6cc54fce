"""The figures that are compared, by the names that policies use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from simulator.analysis.output_analysis import Estimate
from simulator.analysis.waits import ANSWER, QUANTILES
from simulator.analysis.waits import METRICS as LATENCIES
from simulator.decision.words import usd
from simulator.gate.result_file import PatternFigures

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.gate.result_file import Figures

Unit = Literal["USD", "s", "share", "count"]
Direction = Literal["lower", "higher", "same"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a hosting pattern.

    Attributes:
        unit: Its unit.
        better: Which way is better; `same` where both ways deserve a look.
        pick: Its value; None where there is none.
        of_workloads: Whether each workload has it too.
        needs_interval: Whether it says nothing without an interval.
        of_counts: Whether `pick` has it from counts, means that are rounded to whole requests: where every replication
            tells its own, the mean of those is exact, and is what a change is of.
    """

    unit: Unit
    better: Direction
    pick: Callable[[Figures], float | None]
    of_workloads: bool = False
    needs_interval: bool = False
    of_counts: bool = False


def _cost(part: Figures) -> float | None:
    return part.monthly_cost_usd.mean if isinstance(part, PatternFigures) and part.monthly_cost_usd else None


def _per_million(part: Figures) -> float | None:
    return part.usd_per_million_tokens if isinstance(part, PatternFigures) else None


def _level(part: Figures, name: str) -> float | None:
    return part.utilisation.get(name) if isinstance(part, PatternFigures) and part.utilisation else None


def _latency(part: Figures, metric: str, figure: str) -> float | None:
    found = part.latency.get(metric)
    return None if found is None else float(getattr(found, figure))


def _arrived(part: Figures) -> float | None:
    return None if part.requests is None else float(part.requests.arrived)


def _unserved(part: Figures) -> float | None:
    counts = part.requests
    return 1.0 - counts.completed / counts.arrived if counts and counts.arrived else None


def _failed_over(part: Figures) -> float | None:
    counts = part.requests
    return sum(counts.failed_over.values()) / counts.arrived if counts and counts.arrived else None


def _share(part: Figures, name: Literal["goodput", "availability"]) -> float | None:
    return None if (found := getattr(part, name)) is None else float(found)


def _missed(part: Figures) -> float | None:
    found = list(answers(part).values())
    return float(found.count("missed")) if found else None


def answers(part: Figures) -> dict[str, str]:
    """By workload, whether its objectives are met, missed, or nobody can tell; none where it has none."""
    loads = part.workloads if isinstance(part, PatternFigures) else {"": part}
    # Results of earlier versions know only met and missed.
    known: dict[str, str] = {name: load.objective.answer for name, load in loads.items() if load.objective}
    return known | {
        name: "met" if load.objective_met else "missed"
        for name, load in loads.items()
        if load.objective is None and load.objective_met is not None
    }


def missed_change(base: Figures, new: Figures) -> Estimate:
    """How many more objectives are missed: at least and at most, where of some nobody can tell."""
    before, after = answers(base), answers(new)
    steps = [_STEPS[before.get(name, "met"), after.get(name, "met")] for name in {*before, *after}]
    low, high = (float(sum(step[end] for step in steps)) for end in (0, 1))
    return Estimate((low + high) / 2.0, low, high)


def missed_interval(new: Figures) -> Estimate:
    """How many objectives are missed: at least and at most."""
    found = list(answers(new).values())
    low, high = float(found.count("missed")), float(found.count("missed") + found.count("cannot_tell"))
    return Estimate((low + high) / 2.0, low, high)


#: By answers before and after, how many more are missed at least and at most; what was open and still is, is the same.
_STEPS: Final = {
    (before, after): (
        (0, 0)
        if before == after
        else (
            int(after == "missed") - int(before in ("missed", "cannot_tell")),
            int(after in ("missed", "cannot_tell")) - int(before == "missed"),
        )
    )
    for before in ("met", "missed", "cannot_tell")
    for after in ("met", "missed", "cannot_tell")
}
_WAITS: Final = {
    f"{metric.removesuffix('_s')}_{figure}_s": Metric(
        "s", "lower", partial(_latency, metric=metric, figure=figure), True, figure == "p99"
    )
    for metric in (*LATENCIES, ANSWER)
    for figure in ("mean", *QUANTILES)
}

METRICS: Final[dict[str, Metric]] = {
    "monthly_cost_usd": Metric("USD", "lower", _cost),
    "usd_per_million_tokens": Metric("USD", "lower", _per_million),
    **_WAITS,
    "unserved_share": Metric("share", "lower", _unserved, True, of_counts=True),
    "goodput": Metric("share", "higher", partial(_share, name="goodput"), True),
    "availability": Metric("share", "higher", partial(_share, name="availability"), True),
    "objectives_missed": Metric("count", "lower", _missed, True),
    "requests_arrived": Metric("count", "same", _arrived, True, of_counts=True),
    "failed_over_share": Metric("share", "same", _failed_over, True, of_counts=True),
    "busy_fraction": Metric("share", "same", partial(_level, name="busy_fraction")),
    "batch_occupancy": Metric("share", "same", partial(_level, name="batch_occupancy")),
    "kv_occupancy": Metric("share", "same", partial(_level, name="kv_occupancy")),
    "capacity_fraction": Metric("share", "same", partial(_level, name="capacity_fraction")),
}


def shown(value: float, unit: Unit, *, signed: bool = False) -> str:
    """A figure with its unit; a difference with its sign, that of two shares in percentage points.

    >>> shown(2483.53, "USD"), shown(14.2825601, "s"), shown(0.0612, "share"), shown(3648.0, "count")
    ('2,484 USD', '14.3 s', '6.12 %', '3,648')
    >>> shown(3648.25, "count"), shown(0.25, "count", signed=True)
    ('3,648.2', '+0.2')
    >>> shown(-1.5, "USD", signed=True), shown(0.02, "s", signed=True), shown(0.06, "share", signed=True)
    ('-1.50 USD', '+0.0200 s', '+6.00 points')
    """
    sign = "+" if signed and value > 0 else "-" if value < 0 else ""
    size = abs(value)
    match unit:
        case "USD":
            text = f"{usd(size)} USD"
        case "s":
            text = f"{size:#.3g} s" if size < 1000 else f"{size:,.0f} s"
        case "share":
            text = f"{100 * size:#.3g} {'points' if signed else '%'}"
        case _:
            # A mean of counts, over replications.
            text = f"{size:,.0f}" if size == round(size) else f"{size:,.1f}"
    return sign + text
