"""`simulator report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    kept: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to.", show_default="RUN/report.html")
    ] = None,
    rollout_file: Annotated[
        Path | None,
        typer.Option("--rollout", metavar="FILE", help="What 'simulator rollout --json' printed, to go into it."),
    ] = None,
) -> None:
    """Write a run as one HTML file that opens offline.

    Example: simulator report runs/ci_small --output report.html
    """
    from simulator.experiment.runs import reading
    from simulator.report.page import write_page

    with reading(kept):
        written = write_page(kept, output, rollout_file)
    typer.echo(f"wrote {written}", err=True)
