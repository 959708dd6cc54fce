"""`simulator sweep`."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from simulator.cli.options import WAIT_S, Address, AsJson, Jobs, OnExecutor, Overrides, Quiet, Store, Wait, working
from simulator.errors import Fault, ScenarioError
from simulator.files import make_folder, writing_whole


def sweep(
    file: Annotated[Path, typer.Argument(help="Scenario file.", show_default=False)],
    over: Annotated[
        list[str],
        typer.Option(metavar="PATH=VALUES", help="What varies: 1,2,4 or LOW:HIGH:COUNT, or LOW:HIGH with --sample."),
    ],
    sample: Annotated[
        Literal["latin", "sobol"] | None,
        typer.Option(help="Draw points that fill the space instead of taking all combinations."),
    ] = None,
    points: Annotated[int, typer.Option(min=1, help="How many to draw, with --sample.")] = 64,
    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="NAME", help="Only this hosting pattern. Repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting in all of them.")
    ] = None,
    overrides: Overrides = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawn points; the scenario has its own.")] = 1,
    jobs: Jobs = 0,
    executor: OnExecutor = "local",
    address: Address = None,
    wait: Wait = WAIT_S,
    store: Store = Path("runs/store"),
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the table goes.", show_default="runs/<name>-sweep-<hash>")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a scenario under many settings and keep one tidy table of every figure, and a picture.

    A killed sweep goes on where it was; configurations that differ in prices alone share their simulations.

    Example: simulator sweep scenarios/ci_small.yaml --over hosting_patterns.hybrid.cluster.replicas=1,2,3
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from simulator.cli.running import bound_store, open_store
    from simulator.scenario.yaml_source import parse_settings
    from simulator.study import axes as spaces
    from simulator.study.sweep import configurations
    from simulator.study.sweep import sweep as simulate_all

    space = spaces.parse_axes(over)
    chosen = spaces.sample(space, points, sample, seed) if sample else spaces.grid(space)
    given = configurations(file, chosen, overrides=overrides or (), settings=parse_settings(settings or ()))
    known = given[0].scenario.hosting_patterns
    if unknown := [name for name in pattern or () if name not in known]:
        expected = f"no such hosting pattern; expected one of {', '.join(known)}"
        raise ScenarioError([Fault("--pattern", 0, name, expected) for name in unknown])
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("configurations", total=len(given))
        kept = open_store(store)
        with working(executor, address, wait, jobs) as workers:
            frame = simulate_all(
                given, patterns=pattern, store=kept.folder, jobs=workers, on_done=lambda: bar.advance(task)
            )
    what = {
        "schema_version": 1,
        "scenario": {"name": given[0].scenario.name, "sha256": [one.scenario.sha256 for one in given]},
        "over": over,
        "sample": sample,
        "points": len(given),
        "seed": seed if sample else None,
        "patterns": pattern,
    }
    mark = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    target = output or Path("runs") / f"{given[0].scenario.name}-sweep-{mark}"
    _keep(target, frame, [axis.path for axis in space], what)
    bound_store(kept)
    _tell(frame, [axis.path for axis in space], target, as_json=as_json)


def _keep(target: Path, frame: Any, paths: list[str], what: dict[str, Any]) -> None:  # noqa: ANN401 - a DataFrame
    """The table as Parquet, the picture, and what made them."""
    import io

    from simulator.errors import RunStoreError
    from simulator.study.figures import sweep_figure
    from simulator.version import package_version

    make_folder(target, RunStoreError)
    table = io.BytesIO()
    frame.to_parquet(table, index=False, compression="zstd")
    title = f"{what['scenario']['name']}: {what['points']} configurations"
    picture = sweep_figure(frame, paths, title).to_html(include_plotlyjs=True, div_id="sweep")
    made_by = what | {"simulator_version": package_version(), "command": "simulator " + shlex.join(sys.argv[1:])}
    content = {
        "sweep.json": (json.dumps(made_by, indent=2, ensure_ascii=False) + "\n").encode(),
        "sweep.html": picture.encode(),
        "sweep.parquet": table.getvalue(),
    }
    # All are written before the first is in its place: an older sweep is replaced as one.
    with ExitStack() as stack:
        files = [stack.enter_context(writing_whole(target / name)) for name in content]
        for file, written in zip(files, content.values(), strict=True):
            file.write(written)


def _tell(frame: Any, paths: list[str], target: Path, *, as_json: bool) -> None:  # noqa: ANN401 - a DataFrame
    """The cheapest patterns that meet every objective, or the whole table."""
    if as_json:
        typer.echo(frame.to_json(orient="records", indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    whole = frame[frame["workload"] == "all"]
    keys = ["configuration", *paths, "pattern"]
    wide = whole.pivot_table(index=keys, columns="metric", values="value", sort=False).reset_index()
    columns = ("objectives_met", "available", "monthly_cost_usd", "e2e_s_p99", "busy_fraction", "feasible")
    names = [name for name in columns if name in wide and not (name == "available" and wide[name].all())]
    order = [name for name in ("available", "objectives_met", "monthly_cost_usd") if name in wide]
    ascending = [name == "monthly_cost_usd" for name in order]
    # What nobody can tell comes after what is met, before what is missed.
    ordered = wide.sort_values(order, ascending=ascending, key=lambda values: values.fillna(0.5)) if order else wide
    most = 12
    grid = Table(*(path.removeprefix("hosting_patterns.") for path in paths), "pattern")
    for name in names:
        grid.add_column(name, justify="right")
    for _, row in ordered.head(most).iterrows():
        figures = [_figure(name, row[name]) for name in names]
        grid.add_row(*(str(row[path]) for path in paths), str(row["pattern"]), *figures)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(grid)
    noted = whole[whole["metric"].isin(["available", "objectives_met"]) & whole["note"].notna()]
    for note in noted["note"].unique():
        console.print(f"Take care: {note}", style="yellow", markup=False, highlight=False)
    more = f"the cheapest {most} of {len(ordered)}; " if len(ordered) > most else ""
    typer.echo(f"{more}all figures in {target / 'sweep.parquet'}, drawn in {target / 'sweep.html'}")


def _figure(name: str, value: float) -> str:
    """A figure of the table; a question mark where the replications cannot tell."""
    if value != value:  # noqa: PLR0124 - NaN
        return "?" if name == "objectives_met" else ""
    return f"{value:,.0f}" if name == "monthly_cost_usd" else f"{value:.3g}"
