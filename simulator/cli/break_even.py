"""`simulator break-even`."""

from __future__ import annotations

import json
import sys
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
    Settings,
    Store,
    Wait,
    working,
)

if TYPE_CHECKING:
    from simulator.report.currency import Shown
    from simulator.study.headroom import BreakEvens


def break_even(
    file: Annotated[Path, typer.Argument(help="Scenario file.", show_default=False)],
    settings: Settings = None,
    overrides: Overrides = None,
    jobs: Jobs = 0,
    executor: OnExecutor = "local",
    address: Address = None,
    wait: Wait = WAIT_S,
    store: Store = Path("runs/store"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate the volumes at which clusters and APIs cost the same, and how much a cluster serves at its objectives.

    Example: simulator break-even scenarios/health_system.yaml
    """
    from rich.console import Console

    from simulator.cli.running import bound_store, open_store
    from simulator.experiment.checks import load_checked
    from simulator.report.currency import Shown
    from simulator.scenario.yaml_source import parse_settings
    from simulator.study.headroom import break_even as simulate

    scenario = load_checked(file, overrides=overrides or (), settings=parse_settings(settings or ()), must_fit=False)
    console = Console(stderr=True)
    with console.status("simulating") as status:
        if quiet or not console.is_terminal:
            status.stop()
        kept = open_store(store)
        with working(executor, address, wait, jobs) as workers:
            found = simulate(
                scenario,
                jobs=workers,
                store=kept.folder,
                on_simulated=lambda what: status.update(f"simulating {what}"),
            )
    bound_store(kept)
    if as_json:
        typer.echo(json.dumps(found.document(), indent=2, ensure_ascii=False))
    else:
        _tell(found, Shown.of(scenario.prices))


def _tell(found: BreakEvens, shown: Shown) -> None:
    """What each cluster can serve, and where it meets each API."""
    from rich.table import Table

    from simulator.decision.words import percent, usd

    room = Table("cluster", "serves at every objective", "of its capacity", "then")
    for one in found.headroom:
        volume = "–" if one.tokens_per_month is None else f"{one.tokens_per_month / 1e6:,.0f}M tokens a month"
        share = "–" if one.capacity_share is None else percent(one.capacity_share)
        room.add_row(one.pattern, volume, share, one.missed or "its capacity is reached")
    meet = Table("cluster", "API", "M tokens a month", "cluster, USD", "API, USD", "")
    for row in found.meetings:
        volume = "–" if row.tokens_per_month is None else f"{row.tokens_per_month / 1e6:,.0f}"
        costs = ["–" if cost is None else usd(shown.amount(cost)) for cost in (row.cluster_usd, row.api_usd)]
        meet.add_row(row.cluster, row.api, volume, *costs, shown.text(row.text))
    console = shown.console(None if sys.stdout.isatty() else 150)
    for said in dict.fromkeys(one.cannot_tell for one in found.results.patterns if one.cannot_tell):
        console.print(said, style="yellow", highlight=False)
    console.print(room)
    console.print(meet)
