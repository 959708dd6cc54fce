"""`simulator init`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from simulator.errors import Fault, ScenarioError


def _templates() -> list[str]:
    """For the shell's completion."""
    from simulator.scenario.templates import template_names

    return template_names()


def _list(value: bool) -> None:
    if value:
        from simulator.scenario.templates import template_names, template_summary

        for name in template_names():
            typer.echo(f"{name}: {template_summary(name)}")
        raise typer.Exit


def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("scenario.yaml"),
    template: Annotated[
        str, typer.Option(metavar="NAME", help="Which template; --list shows them.", autocompletion=_templates)
    ] = "hospital",
    list_templates: Annotated[  # noqa: ARG001 - eager, it has ended the command
        bool, typer.Option("--list", callback=_list, is_eager=True, help="Show the templates and exit.")
    ] = False,
) -> None:
    """Write a commented scenario to start from, and beside it the schema by which an editor completes and checks it.

    Example: simulator init clinic.yaml --template clinic_group
    """
    from simulator.files import write_whole
    from simulator.scenario.json_schema import scenario_schema
    from simulator.scenario.templates import read_template

    text = read_template(template)
    if os.path.lexists(path):
        raise ScenarioError([Fault(str(path), 0, "", "cannot be written: File exists")])
    write_whole(path, text)
    schema = path.parent / "scenario.schema.json"
    if not schema.exists():
        write_whole(schema, scenario_schema())
    typer.echo(f"wrote {path}; now: simulator explain {path}, simulator run {path}", err=True)
