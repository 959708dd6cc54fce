"""`simulator trace …`: recorded demand, from a log to a canonical trace and on."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from simulator.cli.exit_codes import BAD_INPUT
from simulator.cli.options import AsJson
from simulator.errors import TraceError
from simulator.files import write_whole
from simulator.wording import counted

trace = typer.Typer(help="Recorded demand: import logs, look at traces and change them.", no_args_is_help=True)

TraceFile = Annotated[Path, typer.Argument(metavar="TRACE", help="A .csv or .parquet trace.", show_default=False)]


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
            typer.echo(f"{path}: ok ({counted(count, 'request')}, {counted(len(workloads), 'workload')}, {about})")
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
    from simulator.report.traces import summary
    from simulator.study.traces import read_trace

    asked = read_trace(file)
    header, found = asked.header, asked.statistics
    if plot is not None:
        write_whole(plot, asked.plot().to_html(include_plotlyjs=True, div_id="trace"))
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
