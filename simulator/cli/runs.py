"""`simulator runs …`: what is kept on disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from simulator.cli.options import AsJson
from simulator.wording import joined

runs = typer.Typer(help="Runs that were kept, and the simulations stored for reuse.", no_args_is_help=True)

Root = Annotated[Path, typer.Option("--in", metavar="DIR", help="Folder of the runs.")]


@runs.command("list")
def list_runs(root: Root = Path("runs"), as_json: AsJson = False) -> None:
    """List the runs that were kept, and what is on disk.

    Example: simulator runs list --in runs
    """
    from simulator.experiment import runs as kept
    from simulator.experiment.eviction import most_bytes

    found = kept.list_runs(root)
    stored = kept.stored_bytes(root)
    if as_json:
        rows = [
            {name: str(value) if isinstance(value, Path) else value for name, value in _fields(run).items()}
            for run in found
        ]
        document = {"schema_version": 1, "runs": rows, "store_bytes": stored, "store_bytes_at_most": most_bytes()}
        typer.echo(json.dumps(document, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    grid = Table("run", "written", "replications", "recommends", "MB")
    for run in found:
        grid.add_row(
            run.path.name, run.written_at, str(run.replications), run.recommended or "nothing", f"{run.bytes / 1e6:.1f}"
        )
    Console(width=None if sys.stdout.isatty() else 140).print(grid)
    typer.echo(
        f"{len(found)} runs; {stored / 1e6:.1f} MB of stored simulations, of at most {most_bytes() / 1e9:.3g} GB "
        "('simulator runs prune' removes what nobody used for 30 days, --all everything)"
    )


@runs.command()
def show(run: Annotated[Path, typer.Argument(help="A run directory.")], as_json: AsJson = False) -> None:
    """Show what a run found.

    Example: simulator runs show runs/candidate
    """
    from simulator.experiment import runs as kept

    with kept.reading(run):
        _show(kept.read_summary(run), as_json=as_json)


def _show(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    decision = summary["decision"]
    grid = Table("pattern", "USD a month", "end to end p99, s", "feasible")
    for pattern in summary["patterns"]:
        cost, latency = pattern["monthly_cost_usd"], pattern["latency"].get("e2e_s")
        grid.add_row(
            pattern["name"],
            f"{cost['mean']:,.0f}" if cost else "",
            f"{latency['p99']:.2f}" if latency else "",
            "yes" if pattern["feasible"] else joined(pattern["infeasible_reasons"]),
        )
    Console(width=None if sys.stdout.isatty() else 140).print(grid)
    typer.echo(f"recommends {decision['recommended'] or 'nothing'}")
    for reason in decision["reasons"]:
        typer.echo(f"- {reason}")


@runs.command()
def prune(
    root: Root = Path("runs"),
    older_than_days: Annotated[float, typer.Option(min=0, help="Younger ones stay.")] = 30.0,
    everything: Annotated[bool, typer.Option("--all", help="Whatever their age.")] = False,
) -> None:
    """Remove stored simulations and what killed runs left; runs themselves stay.

    Example: simulator runs prune --older-than-days 7
    """
    from simulator.experiment import runs as kept

    files, freed = kept.prune(root, older_than_days=older_than_days, everything=everything)
    left = kept.stored_bytes(root)
    typer.echo(f"removed {files} files, {freed / 1e6:.1f} MB; {left / 1e6:.1f} MB of stored simulations stay")


def _fields(run: Any) -> dict[str, Any]:  # noqa: ANN401 - a small dataclass
    from dataclasses import asdict

    return asdict(run)
