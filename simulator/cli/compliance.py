"""`simulator compliance`: who may see protected health information, before any cost counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.exit_codes import FAILED
from simulator.cli.options import AsJson


def compliance(
    file: Annotated[Path, typer.Argument(help="Scenario file.", show_default=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Set one key, e.g. constraints.phi_may_leave=false."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--override", metavar="NAME", help="Apply a named override. Repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which workload may use which backend and why not, the data flow, and the technical checklist.

    Exit code 0: every hosting pattern may be used; 1: one may not. Engineering, not legal advice.

    Example: simulator compliance scenarios/health_system.yaml
    """
    from simulator.compliance.check import assess
    from simulator.experiment.checks import load_checked
    from simulator.scenario.yaml_source import parse_settings
    from simulator.version import package_version

    scenario = load_checked(file, overrides=overrides or (), settings=parse_settings(settings or ()), must_fit=False)
    found = assess(scenario)
    if as_json:
        about = {"name": scenario.name, "sha256": scenario.sha256}
        head = {"schema_version": 1, "simulator_version": package_version(), "scenario": about}
        typer.echo(json.dumps({**head, **found.document()}, indent=2, ensure_ascii=False))
    else:
        from rich.console import Console

        from simulator.report.compliance import render

        Console(width=None if sys.stdout.isatty() else 120).print(render(found))
    if not found.allowed:
        raise typer.Exit(FAILED)
