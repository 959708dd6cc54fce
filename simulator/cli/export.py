"""`simulator export …`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from simulator.errors import Fault, ScenarioError

export = typer.Typer(help="A kept run in the formats of other tools.", no_args_is_help=True)

Run = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]
Folder = Annotated[
    Path | None, typer.Option("--output", metavar="DIR", help="Where the tables go.", show_default="RUN/export")
]


@export.command()
def prometheus(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where the text goes.", show_default="RUN/metrics.om"),
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="NAME", help="Only this hosting pattern. Repeatable.")
    ] = None,
    interval: Annotated[str, typer.Option(metavar="DURATION", help="Time between two scrapes.")] = "5min",
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Move the run to start then, e.g. 2026-11-01.", show_default="as simulated"),
    ] = None,
    vllm_buckets: Annotated[
        bool, typer.Option("--vllm-buckets", help="Only vLLM's own buckets, without the finer ones between them.")
    ] = False,
) -> None:
    """Write a run as OpenMetrics with vLLM's metric names and timestamps, for Prometheus to load.

    Example: simulator export prometheus runs/candidate --pattern self_hosted
    """
    from simulator.experiment.runs import reading
    from simulator.export.kept_run import read_run
    from simulator.export.prometheus import openmetrics
    from simulator.files import writing_whole

    faults: list[Fault] = []
    interval_s, start_epoch_s = _seconds(interval, faults), _epoch_s(start, faults)
    if faults:
        raise ScenarioError(faults)
    target = output or run / "metrics.om"
    with reading(run), writing_whole(target) as file:
        kept = read_run(run)
        for piece in openmetrics(
            kept, interval_s=interval_s, patterns=pattern, start_epoch_s=start_epoch_s, fine=not vllm_buckets
        ):
            file.write(piece.encode())
    typer.echo(
        f"wrote {target}; load it with: promtool tsdb create-blocks-from openmetrics {target} DATA_DIR", err=True
    )


def _seconds(text: str, faults: list[Fault]) -> float:
    from simulator.units import parse_duration_s

    try:
        found = parse_duration_s(text)
    except ValueError as error:
        faults.append(Fault("--interval", 0, text, str(error)))
        return 1.0
    if found < 1.0:
        faults.append(Fault("--interval", 0, text, "expected at least 1 s"))
    return found


def _epoch_s(text: str | None, faults: list[Fault]) -> float | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        faults.append(Fault("--start", 0, text, "expected a date or time such as 2026-11-01 or 2026-11-01T08:00+01:00"))
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


@export.command()
def csv(run: Run, output: Folder = None) -> None:
    """Write figures, bill lines, requests and levels of a run as CSV.

    Example: simulator export csv runs/candidate --output tables
    """
    _tables(run, output, "csv")


@export.command()
def parquet(run: Run, output: Folder = None) -> None:
    """Write figures, bill lines, requests and levels of a run as Parquet.

    Example: simulator export parquet runs/candidate --output tables
    """
    _tables(run, output, "parquet")


@export.command()
def grafana() -> None:
    """Print a Grafana dashboard for what `export prometheus` writes, to be imported there.

    Example: simulator export grafana > dashboard.json
    """
    from importlib import resources

    sys.stdout.write((resources.files("simulator.export") / "data" / "grafana.json").read_text("utf-8"))


def _tables(run: Path, output: Path | None, form: str) -> None:
    from simulator.experiment.runs import reading
    from simulator.export.kept_run import read_run
    from simulator.export.tables import export_tables

    with reading(run):
        written = export_tables(read_run(run), output or run / "export", "csv" if form == "csv" else "parquet")
    for path in written:
        typer.echo(f"wrote {path}", err=True)
