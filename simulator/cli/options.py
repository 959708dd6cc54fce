"""Options that several commands have, said once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from simulator.scenario.schema import Scenario

ScenarioFile = Annotated[Path, typer.Argument(help="Scenario file.", show_default=False)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set one key, e.g. experiment.seed=7. Repeatable."),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--override", metavar="NAME", help="Apply a named override of the file. Repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notices.")]
Jobs = Annotated[int, typer.Option(min=0, help="Processes; 0 for all cores. The result is the same.")]
Store = Annotated[Path, typer.Option(metavar="DIR", help="Where finished simulations are kept for reuse.")]


def load(path: Path, overrides: list[str] | None, settings: list[str] | None, *, must_fit: bool = True) -> Scenario:
    """The scenario of a file with what `--override` and `--set` ask for, checked.

    Raises:
        ScenarioError: Every fault of it.
    """
    from simulator.experiment.checks import load_checked
    from simulator.scenario.yaml_source import parse_settings

    return load_checked(path, overrides=overrides or (), settings=parse_settings(settings or []), must_fit=must_fit)
