"""`simulator trace …`: recorded demand, from a log to a canonical trace and on."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.cli.exit_codes import BAD_INPUT
from simulator.cli.options import AsJson
from simulator.errors import TraceError
from simulator.files import write_whole
from simulator.trace.importers import TITLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.trace.header import TraceHeader
    from simulator.trace.importers.context import Context

trace = typer.Typer(help="Recorded demand: import logs, look at traces and change them.", no_args_is_help=True)

TraceFile = Annotated[Path, typer.Argument(metavar="TRACE", help="A .csv or .parquet trace.", show_default=False)]
Target = Annotated[Path, typer.Argument(help="Trace to write, .csv or .parquet.", show_default=False)]

#: Blank lines keep one format a line.
_FORMATS = "Formats:\n\n" + "\n\n".join(f"{name}: {title}" for name, (title, _) in TITLES.items())


@trace.command(epilog=_FORMATS)
def convert(
    source: Annotated[Path, typer.Argument(help="Log file, gzipped or not, or a folder of them.", show_default=False)],
    target: Target,
    kind: Annotated[str, typer.Option("--format", metavar="NAME", help="What it is, of the formats below.")],
    tolerate: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Share of rows that may be wrong.")
    ] = 0.0,
    zone: Annotated[
        str, typer.Option("--zone", metavar="NAME", help="Time zone of the hours of the week, and of times without.")
    ] = "UTC",
    time_format: Annotated[
        str | None, typer.Option(metavar="STRPTIME", help="Of times that are neither ISO 8601 nor a count.")
    ] = None,
    workload: Annotated[str, typer.Option(metavar="NAME", help="Of requests that no --label names.")] = "requests",
    label_by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Field whose values name workloads, such as model.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="VALUE=NAME", help="Workload of one of its values. Repeatable.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=COLUMN", help="What a column of the log holds. Repeatable.")
    ] = None,
    sessions: Annotated[
        bool, typer.Option("--sessions", help="Take it that requests of a session extend one another.")
    ] = False,
    keep_dates: Annotated[
        bool, typer.Option("--keep-dates", help="Say on which day it begins; by default the week is kept secret.")
    ] = False,
    origin: Annotated[str | None, typer.Option("--source", help="What the header says of the origin.")] = None,
    licence: Annotated[str | None, typer.Option(help="What the header says of the terms.")] = None,
    smallest: Annotated[int, typer.Option(metavar="N", min=1, help="A workload of fewer requests is not named.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of what aggregated logs leave to be drawn.")] = 1,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notices.")] = False,
) -> None:
    """Import a log as a canonical trace. No text and no identity of anybody passes.

    Example: simulator trace convert --format azure-llm-2023 AzureLLMInferenceTrace_conv.csv conv.parquet
    """
    from simulator.trace.importers import find_format
    from simulator.trace.importers.context import Context, Labels
    from simulator.trace.importers.convert import Wish
    from simulator.trace.importers.convert import convert as run

    found = find_format(kind)
    labels = Labels(workload, label_by, _pairs("--label", label))
    context = Context(
        labels=labels, zone=_zone(zone), time_form=time_format, columns=_pairs("--column", column), seed=seed,
        sessions=sessions,
    )  # fmt: skip
    wish = Wish(tolerate, keep_dates, origin, licence, smallest)
    with _counter("rows", quiet=quiet) as on_rows:
        header = run(found, source, target, context, wish, on_rows)
    _tell(target, header, context, as_json=as_json, quiet=quiet)


@trace.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="TRACE...", help="Traces.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Check traces against the format and their headers; print every kind of fault with its first row.

    Example: simulator trace validate traces/*.csv
    """
    from simulator.trace.canonical import read_chunks
    from simulator.trace.header import read_header

    rows: list[dict[str, Any]] = []
    for path in files:
        count, faults = 0, list[str]()
        workloads: tuple[str, ...] = ()
        try:
            for chunk in read_chunks(path):
                count, workloads = count + len(chunk), chunk.workloads
            header = read_header(path)
        except TraceError as error:
            header, faults = None, str(error).splitlines()
        rows.append({"file": str(path), "ok": not faults, "rows": count, "workloads": workloads, "faults": faults})
        if as_json:
            continue
        for fault in faults:
            typer.echo(fault, err=True)
        if not faults:
            about = f"{header.span_s:,.0f} s" if header else "no header beside it"
            typer.echo(f"{path}: ok ({count:,} requests, {len(workloads)} workloads, {about})")
    ok = all(row["ok"] for row in rows)
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "ok": ok, "traces": rows}, indent=2))
    if not ok:
        raise typer.Exit(BAD_INPUT)


@trace.command()
def inspect(
    file: TraceFile,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Draw it, as a page that opens offline.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a trace is like: hours of the week, burstiness by time scale, lengths and their correlation.

    Example: simulator trace inspect traces/clinic_week.csv --plot week.html
    """
    from simulator.report.traces import figure, summary
    from simulator.trace.canonical import read_trace
    from simulator.trace.editing import header_of
    from simulator.trace.statistics import statistics

    header = header_of(file)
    found = statistics(read_trace(file), header)
    if plot is not None:
        html = figure(found, header.source).to_html(include_plotlyjs=True, div_id="trace")
        write_whole(plot, html)
        typer.echo(f"wrote {plot}", err=True)
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "trace": str(file), "header": asdict(header)} | found, indent=2))
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 120).print(summary(found))


@trace.command()
def head(
    file: TraceFile,
    rows: Annotated[int, typer.Option("--rows", "-n", min=0, help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Print the header and the first requests of a trace.

    Example: simulator trace head traces/clinic_week.csv --rows 5
    """
    from simulator.trace.canonical import first_rows
    from simulator.trace.header import read_header

    header, frame = read_header(file), first_rows(file, rows)
    if as_json:
        about = None if header is None else asdict(header)
        document = {"schema_version": 1, "header": about, "requests": frame.to_dict("records")}
        typer.echo(json.dumps(document, indent=2))
        return
    for name, value in () if header is None else asdict(header).items():
        if value not in (None, ()):
            typer.echo(f"{name}: {', '.join(value) if isinstance(value, tuple) else value}")
    typer.echo(frame.to_string(index=False, max_rows=None) if len(frame) else "no requests")


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = [one.rpartition("=") for one in given or ()]
    if not all(left and right for left, _, right in pairs):
        raise typer.BadParameter("expected KEY=VALUE", param_hint=option)
    return {left.strip(): right.strip() for left, _, right in pairs}


def _zone(name: str) -> Any:  # noqa: ANN401 - zoneinfo loads when it is used
    from zoneinfo import ZoneInfo

    from simulator.trace.header import known_zone

    if not known_zone(name):
        raise typer.BadParameter("expected an IANA name such as Europe/Berlin", param_hint="--zone")
    return ZoneInfo(name)


@contextmanager
def _counter(what: str, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Something that shows a count on a terminal's standard error while it grows."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    columns = TextColumn("{task.completed:,.0f} {task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.update(task, completed=count)


def _tell(target: Path, header: TraceHeader, context: Context, *, as_json: bool, quiet: bool) -> None:
    tally = context.tally
    if as_json:
        document = {"schema_version": 1, "trace": str(target), "header": asdict(header), "rows": tally.as_dict()}
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{target}: {header.rows:,} requests of {tally.rows:,} rows, {header.span_s:,.0f} s")
    if quiet:
        return
    for reason, count in tally.left_out.items():
        typer.echo(f"left out {count:,}: {reason}", err=True)
    if tally.duplicates:
        typer.echo(f"left out {tally.duplicates:,}: a duplicate", err=True)
    if tally.unnamed:
        typer.echo(f"not named: {tally.unnamed:,} requests of workloads with too few (--smallest)", err=True)
    if tally.disordered:
        typer.echo(f"sorted: {tally.disordered:,} rows began before the row ahead of them", err=True)
    for fault in tally.faults():
        typer.echo(f"tolerated: {fault}", err=True)
