"""`simulator bench …`: our engine beside the real one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.cli.bench_calibration import CompletedOnly, fit, fit_overhead, measure, replay
from simulator.cli.exit_codes import FAILED
from simulator.errors import ProfileError, TraceError
from simulator.files import write_whole

if TYPE_CHECKING:
    from simulator.performance.profile import PerformanceProfile

bench = typer.Typer(help="Hold the engine against real vLLM, recorded, published or your own.", no_args_is_help=True)
for command in (measure, fit, replay, fit_overhead):
    bench.command()(command)


@bench.command()
def conform(
    files: Annotated[list[Path], typer.Argument(help="Recorded scheduler runs, JSON or gzipped.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Replay recorded scheduler runs and count the steps in which ours does something else.

    The step-by-step engine and the coalesced one, which runs scenarios, are both replayed; exit code 1 when any step
    or request differs in either.

    Example: simulator bench conform recorded/*.json.gz
    """
    from simulator.bench.conform import conform as compare
    from simulator.bench.recording import read_recording

    recordings, faults = [], []
    for path in files:
        try:
            recordings.append((path, read_recording(path)))
        except TraceError as error:
            faults.append(str(error))
    if faults:
        raise TraceError("\n".join(faults))
    found = [(path, compare(recording)) for path, recording in recordings]
    steps = sum(result.steps for _, result in found)
    differing = sum(len(result.differing_steps) for _, result in found)
    requests = sum(len(result.differing_requests) for _, result in found)
    coalesced = sum(len(result.coalesced_requests) for _, result in found)
    if as_json:
        document = {
            "cases": len(found),
            "steps": steps,
            "differing_steps": differing,
            "differing_requests": requests,
            "coalesced_differing_requests": coalesced,
            "differing_cases": [
                {
                    "file": str(path),
                    "steps": result.differing_steps,
                    "requests": result.differing_requests,
                    "coalesced_requests": result.coalesced_requests,
                    "coalesced_steps": result.coalesced_steps,
                }
                for path, result in found
                if not result.agrees
            ],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        for path, result in found:
            if not result.agrees:
                counts = (
                    f"{len(result.differing_steps)} steps and {len(result.differing_requests)} requests differ; "
                    f"coalesced, {len(result.coalesced_requests)} requests"
                )
                typer.echo(f"{path}: {counts}" + (f"; {result.first}" if result.first else ""))
        counts = f"{differing} steps and {requests} requests differ; coalesced, {coalesced} requests"
        typer.echo(f"{len(found)} cases, {steps:,} steps: {counts}")
    if not all(result.agrees for _, result in found):
        raise typer.Exit(FAILED)


@bench.command()
def memory(
    start_ups: Annotated[Path, typer.Argument(metavar="CSV", help="Start-ups of real servers.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Hold the KV tokens and verdicts of real start-ups against the memory model.

    Example: simulator bench memory kv_reports.csv
    """
    from rich.console import Console

    from simulator.bench import start_ups as reports

    found, skipped = reports.read_start_ups(start_ups)
    held = reports.hold(found)
    if as_json:
        typer.echo(json.dumps(reports.document(held, skipped), indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(reports.table(held, skipped))
    if not held:
        raise ProfileError("no row could be represented; the reasons are above")


@bench.command()
def validate(
    measurements: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Serving measurements, one row per experiment and stage.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Or a replay of your own ('simulator bench replay').")
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Or the log of a real server, or what vllm bench serve, guidellm or AIPerf saw."
        ),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A profile of your own, a folder of them, or one that ships. Repeatable."),
    ] = None,
    quality: Annotated[list[str] | None, typer.Option(help="Grades to replay.", show_default="A and A-")] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="With --replay or --requests, a setting of the server."),
    ] = None,
    replications: Annotated[int, typer.Option(min=1, help="Repetitions of random arrivals.")] = 3,
    completed_only: CompletedOnly = False,
    derive: Annotated[
        bool, typer.Option("--derive", help="Derive profiles of known models that do not ship (extra 'profiles').")
    ] = False,
    plot: Annotated[Path | None, typer.Option(metavar="HTML", help="Also draw simulated against measured.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Replay published serving measurements, a replay of your own or a server's log; say how far off the simulation is.

    Example: simulator bench validate --measurements rows.csv --profile my-model.json --plot errors.html
    """
    if [measurements, replay, requests].count(None) != 2:
        raise typer.BadParameter("give one of --measurements, --replay and --requests")
    if requests is not None:
        _validate_requests(requests, profile or [], engine or [], as_json=as_json)
        return
    if replay is not None:
        _validate_replay(replay, profile or [], engine or [], plot, as_json=as_json, completed_only=completed_only)
        return
    if measurements is None or engine:
        raise typer.BadParameter("--engine belongs to --replay or --requests")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from simulator.bench import validation_report as report
    from simulator.bench.measurements import GRADES, read_measurements
    from simulator.bench.validate import compare_all, derived_profile

    if derive:
        from simulator.performance.kernel_wishes import check_package

        check_package()
    own = [read for path in profile or [] for read in _profiles(path)]
    collection = read_measurements(measurements, quality or GRADES)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("experiments", total=len(collection.experiments))
        rows, without = compare_all(
            collection.experiments,
            own,
            replications=replications,
            derive=derived_profile if derive else None,
            on_done=lambda: progress.advance(task),
        )
    skipped = collection.skipped | without
    if as_json:
        typer.echo(json.dumps(report.document(rows, skipped), indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(report.table(rows, skipped))
    if plot is not None:
        write_whole(plot, report.figure(rows).to_html(include_plotlyjs=True, div_id="validation"))
        typer.echo(f"wrote {plot}", err=True)
    if not rows:
        raise ProfileError("nothing could be compared; the reasons are above")


def _validate_requests(path: Path, profiles: list[str], engine: list[str], *, as_json: bool) -> None:
    from rich.console import Console

    from simulator.bench import client_log, request_log
    from simulator.bench.engine_settings import engine_settings

    own = _only([read for one in profiles for read in _profiles(one)], "--requests")
    settings = engine_settings(engine)
    if (tool := client_log.tool_of(path)) is None:
        theirs, prompt_tokens = request_log.read_requests(path)
        found = request_log.document(theirs, request_log.simulated(theirs, prompt_tokens, own, settings), own.id)
    else:
        log = client_log.read_client_log(path, tool)
        found = request_log.document(log.served, client_log.simulated(log, own, settings), own.id)
        found |= {"seen_by": tool, "left_out": log.left_out, "notes": list(log.assumed)}
        for told in (*log.assumed, *(f"left out: {count} {reason}" for reason, count in log.left_out.items())):
            typer.echo(f"{path}: {told}", err=True)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        title = f"{path.name}, {found['requests']} requests, {own.id}"
        Console(width=None if sys.stdout.isatty() else 100).print(request_log.table(found, title))


def _only(profiles: list[PerformanceProfile], option: str) -> PerformanceProfile:
    if len(profiles) != 1:
        raise ProfileError(f"{option} needs the one profile of what the server runs on; --profile gave {len(profiles)}")
    return profiles[0]


def _validate_replay(
    path: Path, profiles: list[str], engine: list[str], plot: Path | None, *, as_json: bool, completed_only: bool
) -> None:
    from rich.console import Console

    from simulator.bench import replay_check
    from simulator.bench.replay_record import read_replay

    own = _only([read for one in profiles for read in _profiles(one)], "--replay")
    record = read_replay(path)
    settings = replay_check.engine_of(record, engine)
    doubts = replay_check.doubts(record, own)
    found = replay_check.compare_replay(record, own, settings, completed_only=completed_only)
    if plot is not None:
        sides = replay_check.both(record, own, settings, completed_only=completed_only)
        drawing = replay_check.figure(*sides, f"{path.name}, {own.id}")
        write_whole(plot, drawing.to_html(include_plotlyjs=True, div_id="replay"))
        typer.echo(f"wrote {plot}", err=True)
    if as_json:
        typer.echo(json.dumps(replay_check.document(found, record, own.id, doubts), indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 100).print(replay_check.table(found, f"{path.name}, {own.id}"))
        for doubt in doubts:
            typer.echo(f"note: {doubt}")


def _profiles(given: str) -> list[PerformanceProfile]:
    """The profiles of a folder, leaving other JSON files alone, or one by its file or name."""
    from simulator.performance.profile import is_profile, profile_of

    if not Path(given).is_dir():
        return [profile_of(given)]
    if not (files := [file for file in sorted(Path(given).glob("*.json")) if is_profile(file)]):
        raise ProfileError(f"{given}: holds no profile (*.json)")
    return [profile_of(str(file)) for file in files]
