"""`simulator capacity`: whether a cluster is of the right size."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import WAIT_S, Address, AsJson, Jobs, OnExecutor, Store, Wait, working


def capacity(
    file: Annotated[Path, typer.Argument(help="Scenario file.", show_default=False)],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Set one key of the scenario. Repeatable.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--override", metavar="NAME", help="Apply a named override. Repeatable.")
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="NAME", help="Only this hosting pattern. Repeatable.")
    ] = None,
    replications: Annotated[
        int | None, typer.Option(min=1, help="Replaces experiment.replications.", show_default="the scenario's")
    ] = None,
    jobs: Jobs = 0,
    executor: OnExecutor = "local",
    address: Address = None,
    wait: Wait = WAIT_S,
    store: Store = Path("runs/store"),
    as_json: AsJson = False,
) -> None:
    """Say how much fails over, what rules of thumb make of it, and what one replica more or less would cost.

    Each neighbour is simulated with the same requests.

    Example: simulator capacity scenarios/ci_small.yaml --pattern hybrid
    """
    from simulator.cli.running import bound_store, open_store
    from simulator.experiment.checks import load_checked
    from simulator.scenario.yaml_source import parse_settings
    from simulator.study.capacity import capacity as advise

    scenario = load_checked(file, overrides=overrides or (), settings=parse_settings(settings or ()), must_fit=False)
    kept = open_store(store)
    with working(executor, address, wait, jobs) as workers:
        found = advise(scenario, patterns=pattern, replications=replications, jobs=workers, store=kept.folder)
    bound_store(kept)
    if as_json:
        typer.echo(json.dumps(found.document(), indent=2, ensure_ascii=False))
        return
    from simulator.report.capacity import render
    from simulator.report.currency import Shown

    shown = Shown.of(scenario.prices)
    shown.console(None if sys.stdout.isatty() else 120).print(render(shown.amounts([*found.patterns])))
