"""`simulator trace fit|synthesise|compare`: from recorded demand to a model, back again, and how well they agree."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simulator.cli.options import AsJson, Jobs
from simulator.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.workload.goodness import Observed

TraceFile = Annotated[Path, typer.Argument(metavar="TRACE", help="A .csv or .parquet trace.", show_default=False)]
Only = Annotated[list[str] | None, typer.Option("--workload", metavar="NAME", help="Only this workload. Repeatable.")]


def fit(
    file: TraceFile,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it; else it is printed.")
    ] = None,
    only: Only = None,
    begins: Annotated[
        str | None, typer.Option(metavar="DAY[ HH:MM]", help="When in the week it begins, such as 'wed 13:30'.")
    ] = None,
) -> None:
    """Learn a scenario's `workloads:` from a trace: profile, clumping, lengths, correlation, prefixes.

    Example: simulator trace fit traces/clinic_week.csv -o clinic.yaml
    """
    from simulator.study.traces import fit_trace

    found = fit_trace(file, workloads=only, begins=begins)
    if output is None:
        typer.echo(found.text, nl=False)
        return
    found.save(output)
    for name, one in found.learned.items():
        for note in one.notes:
            typer.echo(f"{name}: {note}", err=True)
    typer.echo(f"wrote {output}; now: simulator trace synthesise {output} synthetic.parquet", err=True)


def synthesise(
    file: Annotated[Path, typer.Argument(metavar="DEMAND", help="Scenario, or what `trace fit` wrote.")],
    target: Annotated[Path, typer.Argument(help="Trace to write, .csv or .parquet.", show_default=False)],
    months: Annotated[float | None, typer.Option(min=0.001, help="How long, in months of 730 h.")] = None,
    duration: Annotated[str | None, typer.Option(metavar="TIME", help="How long, such as 4w or 90min.")] = None,
    start: Annotated[
        str | None, typer.Option(metavar="DATE", help="First day; its calendar decides.", show_default="the file's")
    ] = None,
    time_zone: Annotated[str | None, typer.Option(metavar="ZONE", help="IANA zone of the hours of the week.")] = None,
    only: Only = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Set one key of the file. Repeatable.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--override", metavar="NAME", help="Apply a named override of the file. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces experiment.seed.")] = None,
    replication: Annotated[int, typer.Option(min=0, help="Number of the replication.")] = 0,
    coarse: Annotated[
        bool, typer.Option("--coarse", help="Round arrivals down to 1/1024 s, which makes the file a third smaller.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Terms to state in its header.")] = "none stated",
) -> None:
    """Write the requests a scenario would simulate, or any length of what a fitted model makes, as a trace.

    A scenario keeps its horizon unless told otherwise; a fragment makes 730 hours from Monday, 1 March 2027.

    Example: simulator trace synthesise clinic.yaml quarter.parquet --months 3 --seed 7
    """
    if months is not None and duration is not None:
        raise typer.BadParameter("give this or --duration", param_hint="--months")
    from simulator.scenario.yaml_source import parse_settings
    from simulator.study.traces import synthesise as draw

    header = draw(
        file,
        target,
        months=months,
        duration=duration,
        start=start,
        time_zone=time_zone,
        workloads=only or (),
        overrides=overrides or (),
        settings=parse_settings(settings or []),
        seed=seed,
        replication=replication,
        coarse=coarse,
        licence=licence,
    ).header
    typer.echo(f"{target}: {header.rows:,} requests in {header.span_s / 86_400:.4g} days", err=True)


def compare(
    first: TraceFile,
    second: Annotated[
        Path, typer.Argument(metavar="TRACE|DEMAND", help="Another trace, or a scenario or fragment to draw from.")
    ],
    replications: Annotated[int, typer.Option(min=1, help="How often to draw from a scenario or fragment.")] = 5,
    learned_from: Annotated[
        Path | None, typer.Option(metavar="TRACE", help="What the fragment was learned from: its own chance counts.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Scenario whose hosting patterns serve both.")
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="NAME", help="Only this one of them. Repeatable.")
    ] = None,
    only: Only = None,
    simulate: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="Whether p99 and cost of both are simulated.")
    ] = True,
    jobs: Jobs = 0,
    as_json: AsJson = False,
) -> None:
    """Say how well two demands agree: clumping, lengths, hours of the week, and simulated p99 and cost.

    Each statistic is taken in blocks of time; a difference counts as chance when the blocks' spread explains it.
    A model fitted to a trace is no surer than that trace: name it with --learned-from.
    Without --scenario both are served by a metered API and by 70B replicas on four A100s each, enough for the first.

    Example: simulator trace compare second_half.parquet fitted.yaml --learned-from first_half.parquet
    """
    from simulator.experiment.pattern_result import document as plain
    from simulator.report.trace_comparison import render_comparison
    from simulator.study.trace_comparison import realisations, reference_patterns, simulate_both
    from simulator.workload.goodness import compare as judge

    one = _observed(first, only)
    if second.suffix in (".yaml", ".yml"):
        from simulator.scenario.fragment import load_demand

        taught = _observed(learned_from, only) if learned_from else None
        others = realisations(load_demand(second, workloads=only or ()), one, replications, taught)
    elif learned_from is not None:
        raise typer.BadParameter("only a scenario or fragment learns", param_hint="--learned-from")
    else:
        others = [_observed(second, only)]
    goodness = judge([one], others)
    outcomes = []
    if simulate:
        patterns = _patterns(scenario, pattern) if scenario else reference_patterns(one)
        outcomes = simulate_both([one], others, patterns, jobs or os.cpu_count() or 1)
    if as_json:
        found = {
            "schema_version": 1, "first": str(first), "second": str(second), **asdict(goodness),
            "simulated": [
                asdict(one) | {"difference": one.difference, "recordings_differ": one.recordings_differ}
                for one in outcomes
            ],
        }  # fmt: skip
        typer.echo(json.dumps(plain(found), indent=2))
        return
    typer.echo(render_comparison(str(first), str(second), goodness, outcomes), nl=False)


def _observed(file: Path, only: Sequence[str] | None) -> Observed:
    from simulator.study.traces import known_workloads
    from simulator.trace.canonical import read_trace
    from simulator.trace.header import read_header
    from simulator.workload.fit import only_workloads
    from simulator.workload.goodness import Observed

    table, header = read_trace(file), read_header(file)
    if header is None:
        raise TraceError(f"{file}: has no header that says how long it lasts")
    table = only_workloads(table, known_workloads(str(file), table.workloads, only))
    if not len(table):
        raise TraceError(f"{file}: holds no request to compare")
    return Observed(table, header.span_s, header.week_offset_s)


def _patterns(file: Path, names: Sequence[str] | None) -> dict[str, Any]:
    from simulator.experiment.checks import load_checked

    found = load_checked(file).hosting_patterns
    unknown = [name for name in names or () if name not in found]
    if unknown:
        raise typer.BadParameter(f"expected one of {', '.join(found)}", param_hint="--pattern")
    return {name: pattern for name, pattern in found.items() if not names or name in names}
