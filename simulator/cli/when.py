"""`simulator when`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import AsJson, Jobs, Overrides, Quiet, Settings, Store, load


def when(
    file: Annotated[Path, typer.Argument(help="Scenario file with a `rollout`.", show_default=False)],
    settings: Settings = None,
    overrides: Overrides = None,
    replicas: Annotated[
        int | None, typer.Option("--up-to-replicas", min=1, max=64, help="Also search when to add replicas.")
    ] = None,
    replications: Annotated[int, typer.Option(min=1, help="Of each month.")] = 1,
    jobs: Jobs = 0,
    store: Store = Path("runs/store"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search the month in which to leave the API, to buy, or to add a node, and say what early and late cost.

    The phases of the scenario's `rollout` are taken in their order; their own conditions are not asked.

    Example: simulator when scenarios/health_system_rollout.yaml
    """
    from simulator.cli.counting import counting
    from simulator.cli.options import working
    from simulator.cli.running import bound_store, open_store
    from simulator.report.currency import Shown
    from simulator.report.timing import render
    from simulator.study.timing import when as search

    scenario = load(file, overrides, settings, must_fit=False)
    kept = open_store(store)
    total = scenario.rollout.months if scenario.rollout else 0
    with working("local", None, 0.0, jobs) as workers, counting("months", total, quiet=quiet) as advance:
        found = search(
            scenario,
            most_replicas=replicas,
            replications=replications,
            jobs=workers,
            store=kept.folder,
            on_done=advance,
        )
    bound_store(kept)
    if as_json:
        typer.echo(json.dumps(found.document(), indent=2, ensure_ascii=False))
    else:
        shown = Shown.of(scenario.prices)
        shown.console(None if sys.stdout.isatty() else 140).print(render(shown.amounts(found)))
