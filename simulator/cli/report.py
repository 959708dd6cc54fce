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
    xlsx: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a workbook there instead: the bills as formulas.", show_default=False),
    ] = None,
    pdf: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a PDF there instead, two pages for a board and an annex, by an installed Chromium.",
            show_default=False,
        ),
    ] = None,
    rollout_file: Annotated[
        Path | None,
        typer.Option("--rollout", metavar="FILE", help="What 'simulator rollout --json' printed, to go into it."),
    ] = None,
) -> None:
    """Write a run as one HTML file that opens offline, as a PDF for a board, or as a workbook for a controller.

    Example: simulator report runs/ci_small --pdf board.pdf --xlsx bill.xlsx
    """
    from simulator.experiment.runs import reading
    from simulator.report.page import write_pdf, write_report
    from simulator.report.workbook import write_workbook

    with reading(kept):
        written = [] if xlsx is None else [write_workbook(kept, xlsx)]
        if pdf is not None:
            written.append(write_pdf(kept, pdf, rollout_file))
    if output or not written:
        written.append(write_report(kept, output, rollout=rollout_file))
    for file in written:
        typer.echo(f"wrote {file}", err=True)
