"""Options that several commands have, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
