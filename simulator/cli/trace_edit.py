"""`simulator trace cut|merge|scale|shift`: traces out of traces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.units import parse_duration_s

if TYPE_CHECKING:
    from simulator.trace.header import TraceHeader

Source = Annotated[Path, typer.Argument(metavar="TRACE", help="A .csv or .parquet trace.", show_default=False)]
Target = Annotated[Path, typer.Argument(help="Trace to write, .csv or .parquet.", show_default=False)]


def cut(
    source: Source,
    target: Target,
    start: Annotated[str, typer.Option("--from", metavar="DURATION", help="Where it begins, such as 1d or 8h.")] = "0s",
    end: Annotated[
        str | None, typer.Option("--to", metavar="DURATION", help="Where it ends.", show_default="the end")
    ] = None,
    workload: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this one. Repeatable.")] = None,
) -> None:
    """Write a stretch of a trace, or some of its workloads.

    Example: simulator trace cut traces/clinic_week.csv monday.parquet --to 1d
    """
    from simulator.trace.editing import cut as run

    end_s = None if end is None else _seconds("--to", end)
    header = run(source, target, start_s=_seconds("--from", start), end_s=end_s, workloads=workload or ())
    _tell(target, header)


def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="TRACE...", help="Traces.", show_default=False)],
    target: Annotated[Path, typer.Option("--output", "-o", help="Trace to write, .csv or .parquet.")],
) -> None:
    """Write several traces as one; requests of the same hour of the week stay together.

    Example: simulator trace merge notes.parquet letters.parquet -o both.parquet
    """
    from simulator.trace.editing import merge as run

    _tell(target, run(sources, target))


def scale(
    source: Source,
    target: Target,
    factor: Annotated[
        float, typer.Option(min=0.0001, max=1000.0, help="How many times as many requests, in the same time.")
    ],
    within: Annotated[
        str, typer.Option(metavar="DURATION", help="How far copies are moved against each other at most.")
    ] = "30min",
    seed: Annotated[int, typer.Option(min=0, help="Of what is kept and how far copies are moved.")] = 1,
) -> None:
    """Thin a trace, or lay copies over each other; time is not stretched.

    Example: simulator trace scale traces/clinic_week.csv twice.parquet --factor 2
    """
    from simulator.trace.editing import scale as run

    _tell(target, run(source, target, factor, seed=seed, within_s=_seconds("--within", within)))


def shift(
    source: Source,
    target: Target,
    by: Annotated[str, typer.Option(metavar="DURATION", help="How much later, such as 3h; -3h is earlier.")] = "0s",
    wrap: Annotated[bool, typer.Option("--wrap", help="What leaves at one end comes back at the other.")] = False,
    jitter: Annotated[
        str, typer.Option(metavar="DURATION", help="Each later by a random part of this too, after a coarse clock.")
    ] = "0s",
    seed: Annotated[int, typer.Option(min=0, help="Of the random parts.")] = 1,
) -> None:
    """Move every request of a trace to another time.

    Example: simulator trace shift traces/clinic_week.csv later.parquet --by 90min --wrap
    """
    from simulator.trace.editing import shift as run

    jitter_s = _seconds("--jitter", jitter)
    if jitter_s < 0:
        raise typer.BadParameter("expected a duration of 0 or more", param_hint="--jitter")
    _tell(target, run(source, target, _seconds("--by", by), wrap=wrap, jitter_s=jitter_s, seed=seed))


def _seconds(option: str, text: str) -> float:
    sign = -1.0 if text.startswith("-") else 1.0
    try:
        return sign * parse_duration_s(text.removeprefix("-"))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _tell(target: Path, header: TraceHeader) -> None:
    typer.echo(f"{target}: {header.rows:,} requests, {header.span_s:,.0f} s")
