"""`simulator sweep`."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simulator.cli.options import WAIT_S, Address, AsJson, Jobs, OnExecutor, Overrides, Quiet, Store, Wait, working
from simulator.errors import RunStoreError
from simulator.files import folder_for, writing_whole

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only the I-th of N equal parts, for a batch system; see `simulator merge`."),
    ] = None,
    store: Store = Path("runs/store"),
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the table goes.", show_default="runs/<name>-sweep-<hash>")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a scenario under many settings and keep one tidy table of every figure, and a picture.

    A killed sweep goes on where it was, and what it has of its table can be read meanwhile. Configurations that differ
    in prices alone share their simulations.

    Example: simulator sweep scenarios/ci_small.yaml --over hosting_patterns.hybrid.cluster.replicas=1,2,3
    """
    from simulator.cli.counting import counting
    from simulator.cli.running import bound_store, open_store
    from simulator.experiment.errand import identity
    from simulator.scenario.narrowing import named_patterns
    from simulator.scenario.yaml_source import parse_settings
    from simulator.study import axes as spaces
    from simulator.study.sweep import answered, configurations
    from simulator.study.sweep_table import Layout, Parts

    space = spaces.parse_axes(over)
    chosen = spaces.sample(space, points, sample, seed) if sample else spaces.grid(space)
    numbers, name_of_shard = _shard(shard, len(chosen))
    fixed = parse_settings(settings or ())
    given = configurations(file, chosen, overrides=overrides or (), settings=fixed, numbers=numbers)
    scenario = given[0].scenario
    named_patterns(scenario, pattern)
    what = {
        "schema_version": 1,
        "scenario": {"name": scenario.name, "sha256": [one.sha256 for one in given]},
        "over": over,
        "sample": sample,
        "points": len(chosen),
        "seed": seed if sample else None,
        "patterns": pattern,
    }
    mark = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    target = output or Path("runs") / f"{scenario.name}-sweep-{mark}{name_of_shard}"
    if shard:
        what["shard"] = [numbers.start, numbers.stop]
    package = hashlib.sha256(json.dumps(identity(), sort_keys=True).encode()).hexdigest()
    parts = Parts(target, Layout.of(chosen), numbers)
    parts.open(what | {"package": package})
    kept = open_store(store)
    done = len(parts.done)
    more = [one for one in given if one.number not in parts.done]
    try:
        with (
            working(executor, address, wait, jobs, told=False) as workers,
            counting("configurations", len(given), done=done, quiet=quiet) as advance,
        ):
            for number, rows in answered(more, patterns=pattern, store=kept.folder, jobs=workers):
                parts.add(number, rows)
                done += 1
                advance()
    except KeyboardInterrupt:
        said = f"{done:,} of {len(given):,} configurations are done; what was simulated is kept in {store}, whole parts"
        typer.echo(f"{said} of the table in {parts.place}; the same command goes on from there", err=True)
        raise
    paths = [axis.path for axis in space]
    keep_table(target, parts.frames(), paths, what | {"package": package})
    parts.close()
    bound_store(kept)
    tell(target, paths, as_json=as_json)


def _shard(text: str | None, count: int) -> tuple[range, str]:
    """Numbers of the configurations of a shard such as 3/100, and what the name of its folder ends with."""
    if text is None:
        return range(count), ""
    found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
    if not found or not (number := int(found[1])) <= (of := int(found[2])) <= count:
        expected = f"expected such as 3/100: the third of 100 shards, at most one for each of {count} configurations"
        raise typer.BadParameter(expected, param_hint="--shard")
    return range((number - 1) * count // of, number * count // of), f"-{number}-of-{of}"


def keep_table(target: Path, frames: Iterable[Any], paths: list[str], what: dict[str, Any]) -> None:
    """The table as Parquet, the picture, and what made them.

    Args:
        target: Folder for them.
        frames: The table, in parts.
        paths: Settings that vary.
        what: What is said in `sweep.json`.
    """
    from simulator.study.figures import sweep_figure
    from simulator.study.sweep_table import write_table
    from simulator.version import package_version

    named = {"simulator_version": package_version(), "command": "simulator " + shlex.join(sys.argv[1:])}
    # All are written before the first is in its place: an older sweep is replaced as one.
    with folder_for(target, RunStoreError), ExitStack() as stack:
        names = ("sweep.json", "sweep.html", "sweep.parquet")
        about, picture, table = (stack.enter_context(writing_whole(target / name)) for name in names)
        count = len(what["scenario"]["sha256"])
        shown = write_table(table, frames, count)
        drawn = int(shown["configuration"].nunique())
        of_them = "" if drawn == count else f", {drawn:,} of them drawn"
        title = f"{what['scenario']['name']}: {count} configurations{of_them}"
        picture.write(sweep_figure(shown, paths, title).to_html(include_plotlyjs=True, div_id="sweep").encode())
        table.seek(0)
        named["table_sha256"] = hashlib.file_digest(table, "sha256").hexdigest()  # type: ignore[arg-type]
        about.write((json.dumps(what | named, indent=2, ensure_ascii=False) + "\n").encode())


def tell(target: Path, paths: list[str], *, as_json: bool) -> None:
    """The cheapest patterns that meet every objective, or the whole table."""
    from simulator.study.sweep_table import best_of, read_frames

    frames = read_frames(target / "sweep.parquet", paths)
    if as_json:
        for number, frame in enumerate(frames):
            records = frame.to_json(orient="records", indent=1).removeprefix("[").removesuffix("\n]")
            typer.echo(("," if number else "[") + records, nl=False)
        typer.echo("\n]")
        return
    from rich.console import Console
    from rich.table import Table

    most = 12
    best = best_of(frames, ["configuration", *paths, "pattern"], most)
    columns = ("objectives_met", "available", "monthly_cost_usd", "e2e_s_p99", "busy_fraction", "feasible")
    names = [name for name in columns if name in best.metrics and not (name == "available" and best.all_available)]
    grid = Table(*(path.removeprefix("hosting_patterns.") for path in paths), "pattern")
    for name in names:
        grid.add_column(name, justify="right")
    for _, row in best.rows.iterrows():
        figures = [_figure(name, row[name]) for name in names]
        grid.add_row(*(str(row[path]) for path in paths), str(row["pattern"]), *figures)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(grid)
    for note in best.notes:
        console.print(f"Take care: {note}", style="yellow", markup=False, highlight=False)
    more = f"the cheapest {most} of {best.count}; " if best.count > most else ""
    typer.echo(f"{more}all figures in {target / 'sweep.parquet'}, drawn in {target / 'sweep.html'}")


def _figure(name: str, value: float) -> str:
    """A figure of the table; a question mark where the replications cannot tell."""
    if value != value:  # noqa: PLR0124 - NaN
        return "?" if name == "objectives_met" else ""
    return f"{value:,.0f}" if name == "monthly_cost_usd" else f"{value:.3g}"
