"""The same question under many settings: one table with a row for each figure of each."""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import Fault, NothingFits, RunStoreError, ScenarioError
from simulator.experiment.checks import checked
from simulator.experiment.errand import Sealed
from simulator.experiment.summary import Tabular
from simulator.files import make_folder
from simulator.results import run
from simulator.scenario.loading import read_merged
from simulator.scenario.merging import apply_settings
from simulator.scenario.narrowing import named_patterns
from simulator.scenario.schema import Scenario
from simulator.study.axes import axes_of, grid
from simulator.study.axes import sample as draw
from simulator.study.questions import Question, answers
from simulator.study.sweep_table import Layout, Row, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from os import PathLike

    import pandas as pd

    from simulator.experiment.pattern_result import PatternResult
    from simulator.experiment.workers import Jobs
    from simulator.plots.figure import Figure
    from simulator.results import Results
    from simulator.study.axes import Sampling

#: Faults of so many configurations are shown; the rest are likely the same.
_SHOWN = 20


class _Drawer:
    """Scenarios on disk, so that ten thousand of them take no memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it goes with the last configuration
        weakref.finalize(self, self._file.close)

    def put(self, scenario: Scenario) -> int:
        """Where it lies now."""
        place = self._file.seek(0, os.SEEK_END)
        pickle.dump(Sealed.of(scenario), self._file)
        return place

    def get(self, place: int) -> Sealed:
        """What lies there."""
        self._file.seek(place)
        found: Sealed = pickle.load(self._file)  # nosec B301 - our own
        return found


@dataclass(frozen=True, slots=True)
class Configuration:
    """A scenario with some settings of its own.

    Attributes:
        number: Its place among the others, from 0.
        settings: What it sets, by dotted path.
        sha256: Of the scenario.
    """

    number: int
    settings: dict[str, Any]
    sha256: str
    _drawer: _Drawer = field(repr=False)
    _place: int = field(repr=False)

    def sealed(self) -> Sealed:
        """The scenario, as it travels."""
        return self._drawer.get(self._place)

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        return self.sealed().scenario


@dataclass(frozen=True, slots=True, repr=False)
class Sweep(Tabular):
    """The answer.

    Attributes:
        name: Of the scenario.
        over: Settings that varied, by dotted path.
        frame: See `tabulate`.
    """

    name: str
    over: tuple[str, ...]
    frame: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """One row per configuration, pattern, workload and metric, with its 95 % interval; see `tabulate`."""
        return self.frame

    def plot(self) -> Figure:
        """Cost, p99 and use against every setting that was varied."""
        from simulator.study.figures import sweep_figure

        return sweep_figure(self.frame, self.over, f"{self.name}: {self.configurations} configurations")

    @property
    def configurations(self) -> int:
        """How many there are."""
        return int(self.frame["configuration"].nunique())

    def __repr__(self) -> str:
        return f"<Sweep of {self.name}: {self.configurations} configurations over {', '.join(self.over)}>"


def sweep(
    scenario: Scenario | str | PathLike[str],
    over: Mapping[str, Sequence[Any] | str],
    *,
    sample: Sampling | None = None,
    points: int = 64,
    seed: int = 1,
    patterns: str | Sequence[str] | None = None,
    jobs: Jobs = 1,
    store: str | PathLike[str] | None = None,
    on_done: Callable[[], None] = lambda: None,
) -> Sweep:
    """Simulate a scenario under many settings.

    Args:
        scenario: The scenario, or the file it stands in.
        over: What varies, by dotted path: values one after the other, `"1:8:4"` for evenly spaced ones, or with
            `sample` an interval such as `"0.5:2"`.
        sample: Draw points that fill the space instead of taking all combinations.
        points: How many to draw.
        seed: Of the drawn points; the scenario has its own.
        patterns: Hosting patterns to compare, or one; all when absent.
        jobs: Processes, or a cluster; the result does not depend on it.
        store: Where finished simulations are kept, and found again.
        on_done: Called after each configuration.

    Raises:
        ScenarioError: Everything that is wrong with any of them, each fault once.
    """
    axes = axes_of(over)
    chosen = draw(axes, points, sample, seed) if sample else grid(axes)
    given = configurations(scenario, chosen)
    asked = given[0].scenario
    names = named_patterns(asked, patterns) if patterns else None
    place = None if store is None else Path(store)
    return Sweep(asked.name, tuple(over), tabulate(given, patterns=names, store=place, jobs=jobs, on_done=on_done))


def configurations(
    path: Scenario | str | PathLike[str],
    points: Sequence[dict[str, Any]],
    *,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    numbers: range | None = None,
) -> list[Configuration]:
    """The scenarios of all points, checked; a model that does not fit its GPUs is an answer, not a fault.

    Args:
        path: The scenario, or its file.
        points: What each of them sets.
        overrides: Named overrides of the file for all of them.
        settings: What all of them set.
        numbers: Only these points.

    Raises:
        ScenarioError: Everything that is wrong with any of them, each fault once.
    """
    if isinstance(path, Scenario):
        base = path.merged
        apply_settings(base, settings or {})
    else:
        base = read_merged(path, overrides=overrides, settings=settings)
    found: list[Configuration] = []
    drawer = _Drawer()
    faults: list[Fault] = []
    # Unpickled it is copied in a thirteenth of the time of a deep copy.
    bare = pickle.dumps(base)
    for number in numbers or range(len(points)):
        document = pickle.loads(bare)  # nosec B301 - made just above
        apply_settings(document, points[number])
        try:
            scenario = checked(document, must_fit=False)
            if not faults:
                found.append(Configuration(number, points[number], scenario.sha256, drawer, drawer.put(scenario)))
        except ScenarioError as error:
            faults += error.faults
    if faults:
        several = list(dict.fromkeys(faults))
        more = len(several) - _SHOWN
        cut = [Fault("over", 0, "", f"and {more} more faults")] if more > 0 else []
        raise ScenarioError([*several[:_SHOWN], *cut])
    return found


def tabulate(
    given: Sequence[Configuration],
    *,
    patterns: Sequence[str] | None = None,
    store: Path | None = None,
    jobs: Jobs = 1,
    on_done: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """Simulate every configuration.

    Args:
        given: From `configurations`.
        patterns: Hosting patterns to compare; all when absent.
        store: Where finished simulations are kept, and found again.
        jobs: Processes, or a cluster; the result does not depend on it.
        on_done: Called after each configuration.

    Returns:
        One row per configuration, pattern, workload and metric: `configuration`, a column for each setting, `pattern`,
        `workload` (`all` for the pattern as a whole), `metric`, `value`, `ci95_low`, `ci95_high`, `note`. `chosen`,
        `objectives_met` and `objective_met` are 1, 0, or NaN where the replications cannot tell.
    """
    found: dict[int, list[Row]] = {}
    for number, rows in answered(given, patterns=patterns, store=store, jobs=jobs):
        found[number] = rows
        on_done()
    layout = Layout.of([one.settings for one in given])
    return layout.frame([row for number in sorted(found) for row in found[number]])


def answered(
    given: Sequence[Configuration], *, patterns: Sequence[str] | None, store: Path | None, jobs: Jobs
) -> Iterator[tuple[int, list[Row]]]:
    """Number and rows of each configuration, as they come; see `tabulate`."""
    if store is not None:
        make_folder(store, RunStoreError)
    settings = {one.number: one.settings for one in given}
    names = tuple(patterns) if patterns else None
    questions = [Question(one.number, one.sealed, names) for one in given]
    for number, rows in answers(questions, _answer, jobs=jobs, store=store):
        head = {"configuration": number} | {path: plain(value) for path, value in settings[number].items()}
        yield number, [head | row for row in rows]


def _answer(
    scenario: Scenario, folder: Path, _: int, patterns: Sequence[str], replications: int, jobs: Jobs
) -> list[Row]:
    """The rows of one configuration, on any machine."""
    try:
        results = run(
            scenario,
            patterns=patterns,
            replications=replications,
            jobs=jobs,
            folder=folder,
            tables=False,
            band=False,
            outlook=False,
            break_evens=False,
        )
    except NothingFits as error:
        reason = " ".join(fault.message for fault in error.faults)
        return [_row(name, "all", "feasible", 0.0, note=reason) for name in patterns]
    return [row for result in results.patterns for row in _rows(results, result)]


def _rows(results: Results, result: PatternResult) -> list[Row]:
    """Every figure of one hosting pattern."""

    def of(workload: str, metric: str, value: float | None, ci95: tuple[float, float] | None = None) -> Row:
        return _row(result.name, workload, metric, value, ci95)

    if not result.feasible or result.monthly_cost_usd is None or result.requests is None:
        return [_row(result.name, "all", "feasible", 0.0, note=" ".join(result.infeasible_reasons))]
    cost = result.monthly_cost_usd
    rows = [
        of("all", "feasible", 1.0),
        of("all", "chosen", _chosen(results, result.name)),
        _availability(results, result.name),
        _row(
            result.name,
            "all",
            "objectives_met",
            None if result.objectives_met is None else float(result.objectives_met),
            note=result.cannot_tell,
        ),
        of("all", "monthly_cost_usd", cost.mean, cost.ci95),
        of("all", "usd_per_million_tokens", result.usd_per_million_tokens),
        of("all", "busy_fraction", (result.utilisation or {}).get("busy_fraction")),
        of("all", "failover_share", result.requests.failover_share),
    ]
    for metric, latency in result.latency.items():
        if latency:
            rows.append(of("all", f"{metric}_p99", latency.p99, latency.ci95))
    for name, part in result.workloads.items():
        for metric, latency in part.latency.items():
            if latency:
                rows.append(of(name, f"{metric}_mean", latency.mean))
                rows.append(of(name, f"{metric}_p99", latency.p99, latency.ci95))
        rows.append(of(name, "share_met", part.share_met, part.objective.hardest.ci95 if part.objective else None))
        rows.append(of(name, "objective_met", None if part.objective_met is None else float(part.objective_met)))
        rows.append(of(name, "goodput", part.goodput))
    return rows


def _availability(results: Results, name: str) -> Row:
    """Whether every model of a pattern answers to the end of the horizon, and which ends soon."""
    ends = [one for one in results.decision.retirements if one.pattern == name]
    gone = any(one.within_horizon for one in ends)
    return _row(name, "all", "available", float(not gone), note="; ".join(map(str, ends)) or None)


def _chosen(results: Results, name: str) -> float | None:
    """1 for the choice, 0 for what is not, None for what may be: these replications cannot tell."""
    open_ones = results.decision.undecided
    return None if open_ones and name in open_ones.candidates else float(results.decision.recommended == name)


def _row(
    pattern: str,
    workload: str,
    metric: str,
    value: float | None,
    ci95: tuple[float, float] | None = None,
    note: str | None = None,
) -> Row:
    low, high = ci95 or (None, None)
    return {
        "pattern": pattern,
        "workload": workload,
        "metric": metric,
        "value": value,
        "ci95_low": low,
        "ci95_high": high,
        "note": note,
    }
