"""`simulator trace convert|detect`: from a log to a canonical trace."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.cli.exit_codes import BAD_INPUT
from simulator.cli.options import AsJson, optioned, said
from simulator.errors import TraceError
from simulator.trace.importers import TITLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.study.imported import Imported

Target = Annotated[Path, typer.Argument(help="Trace to write, .csv or .parquet.", show_default=False)]

#: Blank lines keep one format a line.
FORMATS = "Formats:\n\n" + "\n\n".join(f"{name}: {title}" for name, (title, _) in TITLES.items())


def convert(
    source: Annotated[Path, typer.Argument(help="Log file, packed or not, or a folder of them.", show_default=False)],
    target: Target,
    kind: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="What it is, of the formats below; by its fields when absent."),
    ] = None,
    tolerate: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Share of rows that may be wrong.")
    ] = 0.0,
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE.yaml", help="What the fields of a log are; options here win.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=COLUMN", help="What a column of the log holds. Repeatable.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Only records with this value, or != without it. Repeatable."),
    ] = None,
    unit: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=UNIT", help="Of time, arrival_s, duration: s, ms, us, ns.")
    ] = None,
    records: Annotated[
        str | None, typer.Option(metavar="PATH", help="Where records lie in JSON, such as runs[].requests[].")
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option("--zone", metavar="NAME", help="Time zone of the hours of the week, and of times without: UTC."),
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(metavar="STRPTIME", help="Of times that are neither ISO 8601 nor a count.")
    ] = None,
    workload: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of requests that no --label names.", show_default="requests")
    ] = None,
    label_by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Field whose values name workloads, such as model.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="VALUE=NAME", help="Workload of one of its values. Repeatable.")
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
    from simulator.study.imported import convert_trace

    with _counter("rows", quiet=quiet) as on_rows:
        found = convert_trace(
            kind,
            source,
            target,
            tolerate=tolerate,
            mapping=mapping,
            columns=_pairs("--column", column),
            where=_where(where),
            units=_pairs("--unit", unit),
            records=records,
            zone=zone,
            time_format=time_format,
            workload=workload,
            label_by=label_by,
            labels=_pairs("--label", label),
            sessions=sessions,
            keep_dates=keep_dates,
            origin=origin,
            licence=licence,
            smallest=smallest,
            seed=seed,
            on_rows=on_rows,
        )
    _tell(found, as_json=as_json, quiet=quiet)


def detect(
    files: Annotated[
        list[Path], typer.Argument(metavar="LOG...", help="Log files, packed or not.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Say which format a log has, and by which of its fields that is known.

    Example: simulator trace detect spend_logs.csv
    """
    from simulator.trace.importers.detect import detect as run

    logs: list[dict[str, Any]] = []
    faults: list[str] = []
    for path in files:
        try:
            found = run(path)
        except TraceError as error:
            faults.append(said(error))
            logs.append({"file": str(path), "formats": [], "fault": said(error)})
            continue
        logs.append({"file": str(path), "formats": [asdict(one) for one in found]})
        if not as_json:
            others = f"; also {', '.join(one.name for one in found[1:])}" if found[1:] else ""
            typer.echo(f"{path}: {found[0].name}, for it has {', '.join(found[0].signs)}{others}")
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "logs": logs}, indent=2))
    else:
        for fault in faults:
            typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(BAD_INPUT)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = [one.rpartition("=") for one in given or ()]
    if not all(left and right for left, _, right in pairs):
        raise typer.BadParameter("expected KEY=VALUE", param_hint=option)
    return {left.strip(): right.strip() for left, _, right in pairs}


def _where(given: list[str] | None) -> dict[str, tuple[str, ...]]:
    """Patterns by column; several of one column are alternatives, and `COLUMN!=VALUE` forbids one."""
    found: dict[str, tuple[str, ...]] = {}
    for one in given or ():
        column, sign, value = one.partition("=")
        if not sign or not column.rstrip("!").strip():
            raise typer.BadParameter("expected COLUMN=VALUE or COLUMN!=VALUE", param_hint="--where")
        name = column.removesuffix("!").strip()
        found[name] = (*found.get(name, ()), f"{'!' * column.endswith('!')}{value.strip()}")
    return found


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


def _tell(found: Imported, *, as_json: bool, quiet: bool) -> None:
    header, rows = found.header, found.rows
    if as_json:
        known_by = {"read_as": asdict(found.known_by)} if found.known_by else {}
        document = {"schema_version": 1, "trace": str(found.path), **known_by, "header": asdict(header), "rows": rows}
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{found.path}: {header.rows:,} requests of {rows['rows']:,} rows, {header.span_s:,.0f} s")
    if quiet:
        return
    if found.known_by is not None:
        typer.echo(f"read as {found.known_by.name}, for it has {', '.join(found.known_by.signs)}", err=True)
    for reason, count in rows["left_out"].items():
        typer.echo(f"left out {count:,}: {optioned(reason)}", err=True)
    if rows["duplicates"]:
        typer.echo(f"left out {rows['duplicates']:,}: a duplicate", err=True)
    if rows["unnamed"]:
        typer.echo(f"not named: {rows['unnamed']:,} requests of workloads with too few (--smallest)", err=True)
    if rows["disordered"]:
        typer.echo(f"sorted: {rows['disordered']:,} rows began before the row ahead of them", err=True)
    for fault in found.tolerated:
        typer.echo(f"tolerated: {optioned(fault)}", err=True)
    for sentence in header.assumed:
        typer.echo(f"assumed: {sentence}", err=True)
