"""`simulator rollout`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import (
    WAIT_S,
    Address,
    AsJson,
    Jobs,
    OnExecutor,
    Overrides,
    Quiet,
    Settings,
    Store,
    Wait,
    working,
)
from simulator.files import write_whole


def rollout(
    file: Annotated[Path, typer.Argument(help="Scenario file with a `rollout`.", show_default=False)],
    settings: Settings = None,
    overrides: Overrides = None,
    replications: Annotated[int, typer.Option(min=1, help="Of each month.")] = 1,
    jobs: Jobs = 0,
    executor: OnExecutor = "local",
    address: Address = None,
    wait: Wait = WAIT_S,
    store: Store = Path("runs/store"),
    plot: Annotated[Path | None, typer.Option(metavar="HTML", help="Draw what is paid by each way.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate the months in which a site grows into its volume, and say which change of hosting pattern pays when.

    Months that were simulated before are not simulated again, so that other prices take seconds.

    Example: simulator rollout scenarios/health_system_rollout.yaml
    """
    from simulator.cli.counting import counting
    from simulator.cli.running import bound_store, open_store
    from simulator.experiment.checks import load_checked
    from simulator.report.currency import Shown
    from simulator.report.rollout import render
    from simulator.scenario.yaml_source import parse_settings
    from simulator.study.rollout import rollout as simulate

    scenario = load_checked(file, overrides=overrides or (), settings=parse_settings(settings or ()), must_fit=False)
    plan, kept = scenario.rollout, open_store(store)
    total = plan.months * (1 if plan.actual is None else 2) if plan else 0
    with working(executor, address, wait, jobs) as workers, counting("months", total, quiet=quiet) as advance:
        found = simulate(scenario, replications=replications, jobs=workers, store=kept.folder, on_done=advance)
    bound_store(kept)
    if plot is not None:
        drawn = found.plot().update_layout(title=scenario.name, margin={"t": 60})
        write_whole(plot, drawn.to_html(include_plotlyjs=True, div_id="rollout"))
        typer.echo(f"wrote {plot}", err=True)
    if as_json:
        typer.echo(json.dumps(found.document(), indent=2, ensure_ascii=False))
    else:
        shown = Shown.of(scenario.prices)
        shown.console(None if sys.stdout.isatty() else 140).print(render(shown.amounts(found)))
