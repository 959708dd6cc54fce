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
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which template; --list shows them.",
            autocompletion=_templates,
            show_default="hospital",
        ),
    ] = None,
    list_templates: Annotated[  # noqa: ARG001 - eager, it has ended the command
        bool, typer.Option("--list", callback=_list, is_eager=True, help="Show the templates and exit.")
    ] = False,
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask a few questions instead; the options below answer them.")
    ] = False,
    use: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="What for: notes, messages, appeals, charts, discharges, radiology."),
    ] = None,
    clinicians: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Clinicians who would use it.")] = None,
    beds: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Staffed beds.")] = None,
    may_leave: Annotated[
        bool | None,
        typer.Option(
            "--may-leave/--must-stay",
            help="Whether health information may go to an API under an agreement.",
            show_default=False,
        ),
    ] = None,
    engineers: Annotated[
        float | None, typer.Option(min=0, max=10_000, help="People who could run GPUs, as full-time equivalents.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Most it may cost, such as '5000 USD/month'; none.")
    ] = None,
    time_zone: Annotated[str | None, typer.Option(metavar="ZONE", help="Such as America/Chicago.")] = None,
    month: Annotated[
        str | None, typer.Option(metavar="MONTH", help="Simulated month, such as 2027-01.", show_default="the next")
    ] = None,
) -> None:
    """Write a commented scenario to start from, and beside it the schema by which an editor completes and checks it.

    With --ask it is made from a few answers, which options can give as well.

    Example: simulator init clinic.yaml --ask --use notes,messages --clinicians 120 --must-stay --engineers 1
    """
    given = {
        "use": use, "clinicians": clinicians, "beds": beds, "may_leave": may_leave,
        "engineers": engineers, "budget": budget, "time_zone": time_zone,
    }  # fmt: skip
    from simulator.scenario.templates import read_template

    if reason := _taken(path):
        raise ScenarioError([Fault(str(path), 0, "", f"cannot be written: {reason}")])
    if ask or month is not None or any(answer is not None for answer in given.values()):
        if template is not None:
            raise typer.BadParameter("a template asks no questions; leave it out", param_hint="--template")
        from simulator.cli.interview import asked

        text = asked(given, month, path)
    else:
        text = read_template(template or "hospital")
    _write(path, text)
    typer.echo(f"wrote {path}; now: simulator explain {path}, simulator run {path}", err=True)


def _taken(path: Path) -> str:
    """Why nothing can be made under this name; empty where something may be."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return "File exists"


def _write(path: Path, text: str) -> None:
    from simulator.files import write_whole
    from simulator.scenario.json_schema import scenario_schema

    # Before the scenario, which is not written twice: where this fails, the same command can be given again. Through a
    # link that leads nowhere it would lie where nobody asked for it.
    schema = path.parent / "scenario.schema.json"
    if not os.path.lexists(schema):
        write_whole(schema, scenario_schema())
    write_whole(path, text, anew=True)
