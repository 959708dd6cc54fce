"""`simulator explain`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.cli.options import AsJson
from simulator.errors import Fault, ScenarioError
from simulator.wording import counted, elapsed

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.study.explanation import Size, Source, Value


def explain(
    file: Annotated[Path, typer.Argument(help="Scenario file.", show_default=False)],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Set one key. Repeatable.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--override", metavar="NAME", help="Apply a named override. Repeatable.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only what stands below this key, with what each key means.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also the values that are defaults.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a scenario means before it runs: its size, what deserves doubt, what was set where, and its sources.

    Example: simulator explain scenarios/ci_small.yaml --set experiment.seed=7 --only experiment
    """
    from simulator.cost.overrides import scenario_book
    from simulator.experiment.checks import load_checked
    from simulator.report.routing import explained, render
    from simulator.report.warnings import warnings_about
    from simulator.scenario.yaml_source import dotted, parse_settings
    from simulator.study.explanation import size_of, sources_of, values_of

    scenario = load_checked(file, overrides=overrides or (), settings=parse_settings(settings or []), must_fit=False)
    values = list(values_of(file, scenario, overrides or ()))
    if only is not None:
        values = [value for value in values if f"{dotted(value.key)}.".startswith(f"{only}.")]
        if not values:
            raise ScenarioError([Fault("--only", 0, only, "the scenario says nothing below this key")])
    sources = list(sources_of(scenario, scenario_book(scenario.prices, scenario.horizon.start_local.date())))
    if only is not None:
        sources = [source for source in sources if f"{source.place}.".startswith(f"{only}.")]
    size, warnings, routing = size_of(scenario), warnings_about(scenario), explained(scenario)
    if as_json:
        rows = [asdict(value) | {"key": dotted(value.key)} for value in values]
        document: dict[str, Any] = {
            "schema_version": 1,
            "scenario": {"name": scenario.name, "sha256": scenario.sha256},
            "values": rows,
            "sources": [asdict(source) for source in sources],
            "routing": {name: asdict(one) for name, one in routing.items()},
            "warnings": warnings,
            "size": asdict(size),
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160)
    if only is None:
        console.print(_sentence(size), markup=False, highlight=False)
        for warning in warnings:
            console.print(f"Take care: {warning}", style="yellow", markup=False, highlight=False)
    shown = [value for value in values if everything or only is not None or value.origin != "default"]
    _print_values(console, shown, with_meaning=only is not None)
    if defaults := len(values) - len(shown):
        console.print(f"and {counted(defaults, 'default')}: --all", style="dim", markup=False, highlight=False)
    _print_sources(console, sources)
    if only is None:
        console.print(render(routing))


def _print_values(console: Console, values: list[Value], *, with_meaning: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from simulator.scenario.yaml_source import dotted

    grid = Table("key", "value", "from", *(["meaning"] if with_meaning else []))
    for value in values:
        place = "default" if value.origin == "default" else value.place
        if value.origin == "override":
            place = f"--override {place}"
        row = [dotted(value.key), _short(value.value), place, *([value.meaning] if with_meaning else [])]
        grid.add_row(*(Text(cell, "dim" if value.origin == "default" else "") for cell in row))
    console.print(grid)


def _print_sources(console: Console, sources: list[Source]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not sources:
        return
    places: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
    for source in sources:
        places.setdefault((source.what, source.label, source.source, source.notes), []).append(source.place)
    grid = Table("rests on", "which is", "source")
    grid.add_column("used by", overflow="fold")
    for (what, label, origin, notes), used in places.items():
        grid.add_row(*(Text(cell) for cell in (what, label, "; ".join((origin, *notes)), "\n".join(used))))
    console.print(grid)


def _short(value: Any) -> str:  # noqa: ANN401 - a scenario value is anything
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _sentence(size: Size) -> str:
    lasts = "a second" if size.processor_s < 1.5 else elapsed(round(size.processor_s))
    alike = "" if size.simulated == size.patterns else f" ({size.simulated} that differ in more than money)"
    return (
        f"The run: {counted(size.patterns, 'hosting pattern')}{alike}, {counted(size.replications, 'replication')} of "
        f"about {counted(size.requests, 'request')}; {counted(size.simulations, 'simulation')}, about {lasts} of "
        "processor time."
    )
