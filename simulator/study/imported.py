"""A log, imported as a canonical trace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from simulator.errors import TraceError
from simulator.experiment.summary import Tabular
from simulator.study.traces import Trace, read_trace
from simulator.trace.header import TraceHeader, known_zone
from simulator.trace.importers import find_format
from simulator.trace.importers.context import UNITS, Context, Labels
from simulator.trace.importers.convert import Wish, convert
from simulator.trace.importers.detect import Found, surest
from simulator.trace.importers.mapping import Columns, LogMapping, read_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class Imported(Tabular):
    """A log that was imported.

    Attributes:
        path: The trace.
        header: What stands beside it.
        rows: What became of every row of the log.
        tolerated: A line for each kind of wrong row.
        known_by: What it was taken for, and by which fields, where nobody had said.
    """

    path: Path
    header: TraceHeader
    rows: dict[str, Any]
    tolerated: tuple[str, ...] = ()
    known_by: Found | None = None

    def trace(self) -> Trace:
        """The trace."""
        return read_trace(self.path)

    def summary(self) -> pd.DataFrame:
        """One row for everything that became of rows: what, why, and how many."""
        import pandas as pd

        counted = [(name, "", count) for name, count in self.rows.items() if isinstance(count, int)]
        counted += [("left_out", reason, count) for reason, count in self.rows["left_out"].items()]
        counted += [("wrong", one["reason"], one["count"]) for one in self.rows["wrong"]]
        return pd.DataFrame(counted, columns=["what", "reason", "count"])

    def __repr__(self) -> str:
        return f"<Imported {self.path.name}: {self.header.rows:,} requests of {self.rows['rows']:,} rows>"


def convert_trace(
    kind: str | None,
    source: str | PathLike[str],
    target: str | PathLike[str],
    *,
    tolerate: float = 0.0,
    mapping: str | PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, str | Sequence[str]] | None = None,
    units: Mapping[str, str] | None = None,
    records: str | None = None,
    zone: str | None = None,
    time_format: str | None = None,
    workload: str | None = None,
    label_by: str | None = None,
    labels: Mapping[str, str] | None = None,
    sessions: bool = False,
    keep_dates: bool = False,
    origin: str | None = None,
    licence: str | None = None,
    smallest: int = 5,
    seed: int = 1,
    on_rows: Callable[[int], None] | None = None,
) -> Imported:
    """Import a log as a canonical trace. No text and no identity of anybody passes.

    Args:
        kind: What the log is, such as `litellm`; see `simulator trace convert --help`. When None it is known by
            its fields, or is `csv` where `columns` or a `mapping` are given.
        source: A file, packed or not, or a folder of them.
        target: Trace to write, .csv or .parquet.
        tolerate: Share of rows that may be wrong.
        mapping: A file that says what the fields of a log are; arguments win over it.
        columns: Column of the log by field.
        where: Only records with these values, by column; `!x` forbids one.
        units: Unit of `time`, `arrival_s` and `duration`, where they are numbers.
        records: Path to the records in JSON, such as `runs[].requests[]`.
        zone: IANA time zone of the hours of the week, and of times that name none; UTC when absent.
        time_format: `strptime` format of times that are neither ISO 8601 nor a count.
        workload: Name of requests that `labels` does not name; `requests` when absent.
        label_by: Field whose values name workloads.
        labels: Workload by value of that field.
        sessions: Take it that requests of a session extend one another.
        keep_dates: Say on which day it begins; by default the week is kept secret.
        origin: What the header says of the origin.
        licence: What the header says of the terms.
        smallest: A workload of fewer requests is not named.
        seed: Of what aggregated logs leave to be drawn.
        on_rows: Told now and then how many rows were read.

    Raises:
        TraceError: Something is broken, too many rows are wrong, or an argument is; nobody says what the log is, and
            its fields do not tell.
        ScenarioError: Everything that is wrong with the mapping.
    """
    # Whoever says what stands in which column means a table of their own.
    kind = "csv" if kind is None and (columns or mapping is not None) else kind
    known_by = surest(Path(source)) if kind is None else None
    found = find_format(known_by.name if known_by else kind or "")
    known = LogMapping(columns=Columns()) if mapping is None else read_mapping(Path(mapping))
    if not 0.0 <= tolerate <= 1.0 or smallest < 1:
        raise TraceError("`tolerate` is a share from 0 to 1, `smallest` a number of requests from 1")
    names = known.labels | dict(labels or {})
    context = Context(
        labels=Labels(workload or known.workload or "requests", label_by or ("label" if known.labels else None), names),
        zone=_zone(zone or known.zone or "UTC"),
        time_form=_time_form(time_format or known.time_format),
        columns=known.names() | {field: (name,) for field, name in (columns or {}).items()},
        units=known.units.model_dump(exclude_none=True) | _units(units or {}),
        where=known.wanted() | {name: _several(values) for name, values in (where or {}).items()},
        records=records or known.records,
        apart=tuple(known.apart),
        seed=seed,
        sessions=sessions,
    )
    wish = Wish(tolerate, keep_dates, origin or known.source, licence or known.licence, smallest)
    place = Path(target)
    header = convert(found, Path(source), place, context, wish, on_rows)
    return Imported(place, header, context.tally.as_dict(), tuple(context.tally.faults()), known_by)


def _several(values: str | Sequence[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _units(given: Mapping[str, str]) -> dict[str, str]:
    for field, unit in given.items():
        if field in UNITS and unit not in UNITS[field]:
            raise TraceError(f"`units` {field}: expected one of {', '.join(UNITS[field])}")
    return dict(given)


def _time_form(form: str | None) -> str | None:
    """A form that `strptime` knows."""
    if form is None:
        return None
    try:
        datetime.strptime(datetime(2026, 11, 16, tzinfo=UTC).strftime(form), form)  # noqa: DTZ007 - only tried
        known = "%" in form
    except ValueError as error:
        # `%Z` may not read again what it writes; a bad directive is what is looked for.
        known = "bad directive" not in str(error) and "stray %" not in str(error)
    if not known:
        raise TraceError(f"`time_format` {form}: expected directives of strptime, such as %Y-%m-%d")
    return form


def _zone(name: str) -> ZoneInfo:
    if not known_zone(name):
        raise TraceError(f"`zone` {name}: expected an IANA name such as Europe/Berlin")
    return ZoneInfo(name)
