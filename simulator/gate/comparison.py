"""Two results side by side: what was asked differently, what came out differently, and why the bill moved."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING, Final

from simulator.analysis.output_analysis import Estimate, difference, estimate, paired_difference
from simulator.cost.overrides import texts_in
from simulator.errors import Fault, RunStoreError, ScenarioError, nearest
from simulator.experiment.summary import Tabular, with_ends
from simulator.gate.attribution import Attribution, Billed, attribute
from simulator.gate.consistency import contradictions
from simulator.gate.inputs import input_changes
from simulator.gate.metrics import METRICS, missed_change, missed_interval
from simulator.gate.result_file import as_result
from simulator.wording import counted, joined

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import pandas as pd

    from simulator.gate.inputs import InputChange
    from simulator.gate.metrics import Metric
    from simulator.gate.result_file import Figures, ResultFile, Source

#: What may differ only when that is said: a different question has a different answer.
DIFFERENCES: Final = ("scenario", "horizon", "month", "currency")


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One figure before and after.

    Attributes:
        pattern: Hosting pattern.
        workload: Workload, `all` for the pattern as a whole.
        metric: Key of `METRICS`.
        base: Before; None where there was none.
        new: After; None where there is none.
        change: New less base with its 95 % interval over replications, where there is one; None without both.
        new_interval: The new value with its interval, where there is one.
    """

    pattern: str
    workload: str
    metric: str
    base: float | None
    new: float | None
    change: Estimate | None
    new_interval: Estimate | None

    @property
    def relative(self) -> float | None:
        """Change over the base; None where the base is zero or absent."""
        return self.change.mean / abs(self.base) if self.change and self.base else None

    @property
    def moved(self) -> bool:
        """Whether anything is different."""
        return self.base != self.new


@dataclass(frozen=True, slots=True)
class CostChange:
    """A bill before and after.

    Attributes:
        pattern: Hosting pattern.
        base_usd: Before.
        new_usd: After.
        lines: Lines that differ, with both amounts.
        attribution: Where the difference comes from; None where that cannot be told.
    """

    pattern: str
    base_usd: float
    new_usd: float
    lines: dict[str, tuple[float, float]]
    attribution: Attribution | None


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Tabular):
    """Two results.

    Attributes:
        base: Before.
        new: After.
        notes: What to know when reading it.
        paired: Whether both drew the same random numbers, as far as both have replications.
        by_chance: Whether nothing but the random numbers is different: whatever moved, moved by chance.
        changes: What was asked differently.
        missing: By pattern of the base, why the new result has no figures of it.
        added: Patterns that only the new result has.
        costs: Bills that differ.
        metrics: Every figure that either side has.
    """

    base: ResultFile
    new: ResultFile
    notes: list[str]
    paired: bool
    by_chance: bool
    changes: list[InputChange]
    missing: dict[str, str]
    added: list[str]
    costs: list[CostChange]
    metrics: list[MetricChange]

    def summary(self) -> pd.DataFrame:
        """One row per hosting pattern, workload and figure: before, after, and the change with its 95 % interval."""
        import pandas as pd

        return pd.DataFrame(
            {"pattern": one.pattern, "workload": one.workload, "metric": one.metric, "base": one.base, "new": one.new}
            | with_ends("change", *((one.change.mean, one.change.ends) if one.change else (None, None)))
            | {"relative": one.relative}
            for one in self.metrics
        )

    def __repr__(self) -> str:
        moved = sum(one.moved for one in self.metrics)
        name = self.new.result.scenario.name
        return f"<Comparison of two results of {name}: {moved} of {len(self.metrics)} figures moved>"

    def changes_of(self, pattern: str) -> list[InputChange]:
        """What can have changed what this pattern does or costs."""
        texts = _texts(self.new, pattern) | _texts(self.base, pattern)
        return [
            change
            for change in self.changes
            if change.cause != "words"
            and change.concerns(pattern)
            and (change.key[0] != "price_book" or change.key[2] in texts)
        ]


def compare(base: Source, new: Source, *, allow_different: str | Collection[str] = ()) -> Comparison:
    """Compare two results.

    Args:
        base: Before; see `simulator.gate.result_file.as_result`.
        new: After.
        allow_different: Which of `DIFFERENCES` may differ.

    Raises:
        RunStoreError: One is no result or contradicts itself, or they answer different questions.
        ScenarioError: `allow_different` names something else.
    """
    base, new = as_result(base), as_result(new)
    allow = [allow_different] if isinstance(allow_different, str) else allow_different
    if wrong := [*contradictions(base), *contradictions(new)]:
        raise RunStoreError("\n".join(wrong))
    _refuse(base, new, allow)
    one, other = base.result, new.result
    paired = (one.seed, one.horizon_days) == (other.seed, other.horizon_days)
    changes = input_changes(base, new)
    drawn = {("experiment", "seed"), ("replications",)}
    known = one.inputs is not None and other.inputs is not None
    only_drawn = known and all(change.key in drawn or change.cause == "words" for change in changes)
    comparison = Comparison(
        base=base,
        new=new,
        notes=_notes(base, new),
        paired=paired,
        by_chance=only_drawn and (one.seed, one.replications) != (other.seed, other.replications),
        changes=changes,
        missing=dict(_missing(base, new)),
        added=[name for name in new.patterns if name not in base.patterns],
        costs=[],
        metrics=[],
    )
    comparison.metrics.extend(_metrics(base, new, paired=paired, by_chance=comparison.by_chance))
    comparison.costs.extend(_costs(comparison))
    return comparison


def _refuse(base: ResultFile, new: ResultFile, allow: Collection[str]) -> None:
    if unknown := [name for name in allow if name not in DIFFERENCES]:
        raise ScenarioError([Fault("allow_different", 0, name, nearest(name, DIFFERENCES)) for name in unknown])
    known = base.result.inputs is not None and new.result.inputs is not None
    before, after = (_question(side, with_horizon=known) for side in (base, new))
    faults = [
        f"cannot be compared: {name} is {before[name]} in {base.path} and {after[name]} in {new.path}; "
        f"`allow_different` {name} compares them all the same"
        for name in DIFFERENCES
        if before[name] != after[name] and name not in allow
    ]
    if faults:
        raise RunStoreError("\n".join(faults))


def _question(side: ResultFile, *, with_horizon: bool) -> dict[str, object]:
    result = side.result
    horizon = result.inputs.scenario.get("horizon") if result.inputs and with_horizon else None
    asked = ", ".join(f"{key} {value}" for key, value in horizon.items()) if isinstance(horizon, dict) else ""
    return {
        "scenario": f"'{result.scenario.name}'",
        "horizon": f"{counted(result.horizon_days, 'day')} ({asked})" if asked else counted(result.horizon_days, "day"),
        "month": f"{result.month_hours:g} h",
        "currency": result.currency,
    }


def _notes(base: ResultFile, new: ResultFile) -> list[str]:
    notes = []
    if base.result.seed != new.result.seed:
        notes.append(
            f"different seeds, {base.result.seed} and {new.result.seed}: intervals are wider than with the same; "
            f"experiment.seed={base.result.seed} pairs the replications, or make a new baseline"
        )
    elif base.result.replications != new.result.replications:
        few = min(base.result.replications, new.result.replications)
        notes.append(
            f"{counted(base.result.replications, 'replication')} before, {new.result.replications} now: "
            f"changes are those of the first {few}, which drew the same random numbers"
        )
    if base.result.simulator_version != new.result.simulator_version:
        notes.append(f"simulator {base.result.simulator_version} before, {new.result.simulator_version} now")
    notes += [
        f"{side.path} does not carry its inputs: causes are not told"
        for side in (base, new)
        if side.scenario is None or side.book is None
    ]
    return notes


def _missing(base: ResultFile, new: ResultFile) -> Iterator[tuple[str, str]]:
    for name, pattern in base.patterns.items():
        if name not in new.patterns:
            twin = _renamed(base, new, name)
            yield name, "it is no longer in the result" + (f"; '{twin}' is what it was: renamed?" if twin else "")
        elif pattern.feasible and not new.patterns[name].feasible:
            yield name, joined(new.patterns[name].infeasible_reasons) or "it is not feasible"


def _renamed(base: ResultFile, new: ResultFile, name: str) -> str | None:
    """A pattern that only the new result has and that asks what this one did."""
    if base.scenario is None or new.scenario is None:
        return None
    was, there = base.scenario.hosting_patterns.get(name), new.scenario.hosting_patterns
    names = [one for one in new.patterns if one not in base.patterns and one in there]
    return next((one for one in names if there[one] == was), None)


def _metrics(base: ResultFile, new: ResultFile, *, paired: bool, by_chance: bool) -> Iterator[MetricChange]:
    """Every figure. Of many that moved by chance some move far: then all intervals together hold at 95 %."""
    figures = sum(map(len, _by_replication(new))) if by_chance and not paired else 1
    level = 1.0 - 0.05 / max(1, figures)
    for name in dict.fromkeys((*base.patterns, *new.patterns)):
        before, after = base.patterns.get(name), new.patterns.get(name)
        parts: list[tuple[str, Figures | None, Figures | None]] = [("all", before, after)]
        loads = dict.fromkeys((*(before.workloads if before else ()), *(after.workloads if after else ())))
        parts += [(load, before and before.workloads.get(load), after and after.workloads.get(load)) for load in loads]
        for workload, one, other in parts:
            for key, metric in METRICS.items():
                if workload == "all" or metric.of_workloads:
                    values = [_replications(side, name, workload, key) for side in (base, new)]
                    yield from _change(name, workload, key, metric, (one, other), values, level, paired=paired)


def _by_replication(side: ResultFile) -> Iterator[dict[str, list[float | None]]]:
    for pattern in side.result.patterns:
        yield from pattern.by_replication.values()


def _replications(side: ResultFile, pattern: str, workload: str, metric: str) -> list[float]:
    found = side.patterns[pattern].by_replication if pattern in side.patterns else {}
    values = found.get(workload, {}).get(metric, [])
    return [value for value in values if value is not None] if None not in values else []


def _change(
    pattern: str,
    workload: str,
    key: str,
    metric: Metric,
    parts: tuple[Figures | None, Figures | None],
    values: list[list[float]],
    level: float,
    *,
    paired: bool,
) -> Iterator[MetricChange]:
    base, new = (
        None if part is None else fmean(each) if metric.of_counts and each else metric.pick(part)
        for part, each in zip(parts, values, strict=True)
    )
    if base is None and new is None:
        return
    change = None
    if base is not None and new is not None:
        change = Estimate(new - base, None, None)
        common = min(map(len, values))
        if common > 1 and paired:
            change = paired_difference(values[0][:common], values[1][:common])
        elif common > 1:
            change = difference(values[0], values[1], level)
    interval = estimate(values[1]) if len(values[1]) > 1 else None
    if key == "objectives_missed" and parts[1] is not None:
        change = missed_change(parts[0], parts[1]) if change is not None and parts[0] is not None else None
        interval = missed_interval(parts[1])
    yield MetricChange(pattern, workload, key, base, new, change, interval)


def _costs(comparison: Comparison) -> Iterator[CostChange]:
    base, new = comparison.base, comparison.new
    for name in (name for name in base.patterns if name in new.patterns):
        before, after = base.patterns[name], new.patterns[name]
        if before.monthly_cost_usd is None or after.monthly_cost_usd is None:
            continue
        if before.monthly_cost_usd == after.monthly_cost_usd and before.cost_lines_usd == after.cost_lines_usd:
            continue
        keys = dict.fromkeys((*before.cost_lines_usd, *after.cost_lines_usd))
        pairs = {key: (before.cost_lines_usd.get(key, 0.0), after.cost_lines_usd.get(key, 0.0)) for key in keys}
        lines = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
        yield CostChange(
            name, before.monthly_cost_usd.mean, after.monthly_cost_usd.mean, lines, _attribution(comparison, name)
        )


def _attribution(comparison: Comparison, pattern: str) -> Attribution | None:
    sides = [_billed(side, pattern) for side in (comparison.base, comparison.new)]
    if sides[0] is None or sides[1] is None:
        return None
    return attribute(sides[0], sides[1], {change.cause for change in comparison.changes_of(pattern)})


def _billed(side: ResultFile, pattern: str) -> Billed | None:
    usage = side.usage(pattern)
    if side.scenario is None or side.book is None or usage is None:
        return None
    month_hours = Decimal(str(side.result.month_hours))
    return Billed(side.scenario.hosting_patterns[pattern], usage, side.book, month_hours)


def _texts(side: ResultFile, pattern: str) -> set[str]:
    """Every text a hosting pattern says, names of prices among them."""
    asked = side.result.inputs.scenario.get("hosting_patterns", {}) if side.result.inputs else {}
    return set(texts_in(asked.get(pattern))) if isinstance(asked, dict) else set()
