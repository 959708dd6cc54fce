"""`simulator run`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.cli.options import (
    WAIT_S,
    Address,
    AsJson,
    Jobs,
    OnExecutor,
    Overrides,
    Quiet,
    ScenarioFile,
    Settings,
    Store,
    Wait,
    load,
    working,
)
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.results import Results
    from simulator.scenario.schema import Scenario


def run(
    file: ScenarioFile,
    settings: Settings = None,
    overrides: Overrides = None,
    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="NAME", help="Only this hosting pattern. Repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces experiment.seed.")] = None,
    replications: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="Replaces experiment.replications; auto: until cost and p99 are precise."),
    ] = None,
    precision: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="With auto, half-width of the intervals over their mean.")
    ] = 0.05,
    jobs: Jobs = 0,
    executor: OnExecutor = "local",
    address: Address = None,
    wait: Wait = WAIT_S,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to keep the run.", show_default="runs/<name>-<hash>")
    ] = None,
    store: Store = Path("runs/store"),
    with_report: Annotated[bool, typer.Option("--report", help="Also write report.html into the run.")] = False,
    full: Annotated[bool, typer.Option("--full", help="All tables, definitions, reasons and doubts.")] = False,
    rules_of_thumb: Annotated[
        bool,
        typer.Option("--rules-of-thumb", help="All, and what the source article's rules of thumb say otherwise."),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a scenario and compare its hosting patterns; what was simulated before, prices apart, is not again.

    Example: simulator run scenarios/health_system.yaml --set experiment.replications=3
    """
    until = precision if replications == "auto" else None
    if until is None and replications is not None and not (replications.isdecimal() and int(replications)):
        raise typer.BadParameter("expected a whole number above 0, or auto", param_hint="--replications")
    given = {"experiment.seed": seed, "experiment.replications": None if until else replications}
    settings = [*(settings or []), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    scenario = load(file, overrides, settings, must_fit=False)
    from simulator.cli.running import bound_store, keep_run, run_and_keep, run_with_progress

    more: Callable[[Path], object] | None = None
    if with_report:
        from simulator.report.page import write_page

        more = write_page

    kept = keep_run(scenario, output, pattern, store)
    try:
        with working(executor, address, wait, jobs, told=False) as workers:
            ask = partial(
                run_with_progress,
                scenario, patterns=pattern, jobs=workers, store=kept.store, until=until, quiet=quiet,
            )  # fmt: skip
            results = run_and_keep(kept, ask, more)
    except KeyboardInterrupt:
        if finished := kept.finished():
            typer.echo(f"{finished} finished simulations are kept; the same command continues from there", err=True)
        raise
    bound_store(kept.in_use)
    if as_json:
        sys.stdout.buffer.write(results.to_json())
    else:
        _print(results, scenario, full=full or rules_of_thumb, with_rules_of_thumb=rules_of_thumb)
    if until is not None:
        from simulator.decision.words import percent
        from simulator.study.precision import half_width

        wide = half_width(results)
        reached = "within" if wide <= until else "NOT within"
        count = counted(results.replications, "replication")
        typer.echo(f"{count}: ± {percent(wide)}, {reached} the ± {percent(until)} asked for", err=True)
    if not quiet:
        typer.echo(f"kept in {kept.target}", err=True)


def _print(results: Results, scenario: Scenario, *, full: bool, with_rules_of_thumb: bool) -> None:
    from simulator.report.brief import brief
    from simulator.report.console import render
    from simulator.report.currency import Shown
    from simulator.report.warnings import warnings_about

    shown = Shown.of(scenario.prices)
    # A pipe has no width of its own; the tables need this much.
    console = shown.console(None if sys.stdout.isatty() else 120)
    names = [result.name for result in results.patterns]
    found, warnings = shown.amounts(results), shown.amounts(warnings_about(scenario, names))
    page = render(found, warnings, with_rules_of_thumb=with_rules_of_thumb) if full else brief(found, warnings)
    console.print(page)
    if shown.rate:
        console.print(shown.rate, style="dim", highlight=False)
