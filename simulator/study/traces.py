"""Recorded demand and what is learned from it: read, fit, draw."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.errors import TraceError
from simulator.experiment.summary import Tabular
from simulator.files import write_whole
from simulator.scenario.fragment import fragment_text, load_demand
from simulator.scenario.schema import Scenario
from simulator.scenario.workloads import RecordedWorkload
from simulator.trace import canonical
from simulator.trace.editing import header_of
from simulator.trace.header import TraceHeader, read_header
from simulator.trace.request_table import RequestTable, joined
from simulator.trace.statistics import statistics
from simulator.units import DAY_S
from simulator.workload.fit import Learned, fit_workload, only_workloads
from simulator.workload.prefixes import is_nested
from simulator.workload.replay import in_week
from simulator.workload.synthesis import synthesise_parts
from simulator.workload.thinking import thinks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from simulator.plots.figure import Figure

#: Of a month of 730 hours, as `synthesise` counts them.
_MONTH_H: Final = 730


@dataclass(frozen=True, repr=False)
class Trace(Tabular):
    """Recorded requests.

    Attributes:
        header: Where they come from and how long they last.
        path: Their file; None where they were drawn and not written.
        held: The requests, where they were read or drawn already.
    """

    header: TraceHeader
    path: Path | None = None
    held: RequestTable | None = None

    @cached_property
    def table(self) -> RequestTable:
        """The requests, as arrays."""
        if self.held is not None:
            return self.held
        assert self.path is not None
        return canonical.read_trace(self.path)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def requests(self) -> pd.DataFrame:
        """One row per request, with the columns of the trace."""
        return canonical.as_frame(self.table, self.header.columns)

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Hours of the week, burstiness by time scale, lengths and their correlation."""
        return statistics(self.table, self.header)

    def summary(self) -> pd.DataFrame:
        """One row per workload: requests, lengths in tokens, their correlation, and what prefixes share.

        Of workloads of fewer than five requests nothing is said.
        """
        import pandas as pd

        rows = []
        for name, one in self.statistics["workloads"].items():
            row: dict[str, Any] = {"workload": name, "requests": one["requests"]}
            if one["requests"] is not None:
                row |= {f"{kind}_{key}": one[kind][key] for kind in _LENGTHS for key in _SHOWN}
                row |= {key: one[key] for key in ("log_correlation_of_lengths", "prefix_share_of_prompt_tokens")}
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self) -> Figure:
        """Hour of the week of each workload, and how its lengths are spread."""
        from simulator.plots.trace import figure

        return figure(self.statistics, self.header.source)

    def __repr__(self) -> str:
        days, names = self.header.span_s / DAY_S, len(self.table.workloads)
        return f"<Trace of {len(self):,} requests in {days:.4g} days, {names} workloads>"


_LENGTHS: Final = ("prompt_tokens", "output_tokens")
_SHOWN: Final = ("mean", "p50", "p90", "p95", "p99")


def read_trace(path: str | PathLike[str]) -> Trace:
    """Read a canonical trace, with its header where there is one.

    Raises:
        TraceError: It cannot be read, or is not as its header says.
    """
    place = Path(path)
    return Trace(header_of(place), place, canonical.read_trace(place))


@dataclass(frozen=True, slots=True, repr=False)
class FittedTrace(Tabular):
    """A scenario's `workloads:`, learned from a trace.

    Attributes:
        text: The section as YAML, with where it comes from.
        learned: By workload, its keys and values, and notes on what was and was not learned.
    """

    text: str
    learned: dict[str, Learned]

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the section, for a scenario to extend or for `synthesise`."""
        write_whole(Path(path), self.text)
        return Path(path)

    def summary(self) -> pd.DataFrame:
        """One row per workload and key, in the form that a scenario has."""
        import pandas as pd

        rows = [
            {"workload": name, "key": key, "value": value}
            for name, one in self.learned.items()
            for key, value in one.workload.items()
        ]
        return pd.DataFrame(rows, columns=["workload", "key", "value"])

    def __repr__(self) -> str:
        return f"<FittedTrace of {', '.join(self.learned)}>"


def fit_trace(
    trace: Trace | str | PathLike[str],
    *,
    workloads: str | Sequence[str] | None = None,
    begins: str | None = None,
) -> FittedTrace:
    """Learn a scenario's `workloads:` from a trace: profile, clumping, lengths, correlation, prefixes.

    Args:
        trace: The trace, or its file.
        workloads: Only these, or one.
        begins: When in the week it begins, such as `wed 13:30`; as its header says when absent.

    Raises:
        TraceError: It cannot be read, has no such workload, or holds no request.
    """
    path = trace.path if isinstance(trace, Trace) else Path(trace)
    name = "the trace" if path is None else str(path)
    table = trace.table if isinstance(trace, Trace) else canonical.read_trace(Path(trace))
    header = read_header(path) if path is not None else trace.header if isinstance(trace, Trace) else None
    names = known_workloads(name, table.workloads, workloads)
    if not len(table):
        raise TraceError(f"{name}: holds no request to learn from")
    begins_s = in_week(begins) if begins is not None else header.week_offset_s if header else None
    # Without a header, one mean gap after the last request.
    span_s = header.span_s if header else float(table.arrival_s[-1]) * (1.0 + 1.0 / len(table)) + 1e-3
    heading = [
        f"Learned by `simulator trace fit` from {len(table):,} requests in {span_s / 86_400:.4g} days.",
        f"Source: {header.source if header else 'unknown, the trace has no header'}",
        f"Trace SHA-256: {(header.sha256 if header else '') or 'unknown'}",
        *(f"Of that trace: {sentence}." for sentence in (header.assumed if header else ())),
        "Every figure is measured on that trace unless a note says otherwise.",
    ]
    learned = {name: fit_workload(only_workloads(table, [name]), span_s, begins_s) for name in names}
    return FittedTrace(
        fragment_text(heading, {name: (one.workload, one.notes) for name, one in learned.items()}), learned
    )


def known_workloads(place: str, known: Sequence[str], asked: str | Sequence[str] | None) -> Sequence[str]:
    """The workloads of a trace that are asked for; all when none is.

    Raises:
        TraceError: It has none of that name.
    """
    names = [asked] if isinstance(asked, str) else asked or known
    unknown = [name for name in names if name not in known]
    if unknown:
        raise TraceError(f"{place}: no workload {', '.join(unknown)}; it has {', '.join(known)}")
    return names


def synthesise(
    demand: Scenario | str | PathLike[str],
    target: str | PathLike[str] | None = None,
    *,
    months: float | None = None,
    duration: str | None = None,
    start: str | None = None,
    time_zone: str | None = None,
    workloads: str | Sequence[str] = (),
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    replication: int = 0,
    coarse: bool = False,
    licence: str = "none stated",
) -> Trace:
    """The requests that a scenario would simulate, or any length of what a fitted model makes.

    A scenario keeps its horizon unless told otherwise; a fragment makes 730 hours from Monday, 1 March 2027.

    Args:
        demand: A scenario, its file, or the file of what `fit_trace` learned.
        target: Trace to write, .csv or .parquet; nothing is written when absent.
        months: How long, in months of 730 h.
        duration: How long, such as `4w`.
        start: First day.
        time_zone: IANA zone of the hours of the week.
        workloads: Only these, or one.
        overrides: Named overrides of the file.
        settings: Values by dotted key path.
        seed: Replaces `experiment.seed`.
        replication: Number of the replication.
        coarse: Round arrivals down to 1/1024 s, which makes a file a third smaller.
        licence: Terms to state in the header.

    Raises:
        ScenarioError: Everything that is wrong with the demand.
        TraceError: The target cannot be written, or a recorded trace cannot be read.
        ValueError: Both `months` and `duration` are given.
    """
    if months is not None and duration is not None:
        raise ValueError("give `months` or `duration`, not both")
    given = dict(settings or {}) | ({} if seed is None else {"experiment.seed": seed})
    scenario = load_demand(
        demand.merged if isinstance(demand, Scenario) else Path(demand),
        start=start,
        duration=f"{months * _MONTH_H:.6f}h" if months is not None else duration,
        time_zone=time_zone,
        workloads=[workloads] if isinstance(workloads, str) else workloads,
        overrides=overrides,
        settings=given,
    )
    parts = map(operator.itemgetter(0), synthesise_parts(scenario, replication))
    if coarse:
        parts = (replace(table, arrival_s=np.floor(table.arrival_s * 1024.0) / 1024.0) for table in parts)  # type: ignore[assignment]
    name = scenario.name if isinstance(demand, Scenario) else Path(demand).name
    header = _header(scenario, name, replication, licence)
    if target is not None:
        place = Path(target)
        return Trace(canonical.write_chunks(parts, place, header), place)
    table = joined([*parts])
    return Trace(replace(header, rows=len(table)), held=table)


def _header(scenario: Scenario, name: str, replication: int, licence: str) -> TraceHeader:
    first = scenario.horizon.start_local
    replayed = any(isinstance(load, RecordedWorkload) for load in scenario.workloads.values())
    return TraceHeader(
        source=f"simulator trace synthesise {name}, seed {scenario.experiment.seed}, replication {replication}",
        licence=licence,
        span_s=scenario.horizon.duration_s,
        rows=0,
        columns=canonical.all_columns(
            nested=any(map(is_nested, scenario.workloads.values())),
            thinking=any(map(thinks, scenario.workloads.values())),
        ),
        sha256="",
        time_zone=scenario.horizon.time_zone,
        week_offset_s=first.weekday() * DAY_S,
        start_date=first.date().isoformat(),
        deidentified=() if replayed else ("Drawn from a model: no request is anybody's.",),
    )
