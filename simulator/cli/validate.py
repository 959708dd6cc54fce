"""`simulator validate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.exit_codes import BAD_INPUT
from simulator.cli.options import AsJson, Overrides, Settings, load
from simulator.errors import Fault, ScenarioError


def validate(
    files: Annotated[list[Path], typer.Argument(help="Scenario files.", show_default=False)],
    settings: Settings = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check scenario files without simulating; print every fault with its file and line.

    A file is checked as it stands, and with each of its overrides unless some are named.

    Example: simulator validate scenarios/*.yaml
    """
    from simulator.report.warnings import too_long

    faults: list[Fault] = []
    warnings: dict[str, list[str]] = {}
    for path in files:
        try:
            scenario = load(path, overrides, settings)
            for name in () if overrides else scenario.override_names:
                load(path, [name], settings)
        except ScenarioError as error:
            faults += error.faults
        else:
            found = too_long(scenario, scenario.hosting_patterns)
            if found:
                warnings[str(path)] = found
            if not as_json:
                patterns = len(scenario.hosting_patterns)
                typer.echo(f"{path}: ok ({len(scenario.workloads)} workloads, {patterns} hosting patterns)")
                for warning in found:
                    typer.echo(f"{path}: take care: {warning}", err=True)
    if as_json:
        rows = [{"file": f.file, "line": f.line, "key": f.key, "message": f.message} for f in faults]
        document = {"schema_version": 1, "ok": not faults, "faults": rows}
        typer.echo(json.dumps(document | ({"warnings": warnings} if warnings else {}), indent=2))
    else:
        for fault in faults:
            typer.echo(str(fault), err=True)
    if faults:
        raise typer.Exit(BAD_INPUT)
