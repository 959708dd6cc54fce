"""`simulator bench …`: our engine beside the real one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.errors import ProfileError, TraceError

if TYPE_CHECKING:
    from simulator.performance.profile import PerformanceProfile

bench = typer.Typer(help="Hold the engine against recorded runs of real vLLM.", no_args_is_help=True)


@bench.command()
def conform(
    files: Annotated[list[Path], typer.Argument(help="Recorded scheduler runs, JSON or gzipped.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Replay recorded scheduler runs and count the steps in which ours does something else.

    The step-by-step engine and the coalesced one, which runs scenarios, are both replayed; exit code 1 when any step
    or request differs in either.
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
        raise typer.Exit(1)


@bench.command()
def validate(
    measurements: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Serving measurements, one row per experiment and stage.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Or a replay of your own ('simulator bench replay').")
    ] = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A profile of your own, or a folder of them. Repeatable."),
    ] = None,
    quality: Annotated[list[str] | None, typer.Option(help="Grades to replay.", show_default="A and A-")] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="With --replay, a setting of the server, such as max_num_seqs=32."),
    ] = None,
    replications: Annotated[int, typer.Option(min=1, help="Repetitions of random arrivals.")] = 3,
    derive: Annotated[
        bool, typer.Option("--derive", help="Derive profiles of known models that do not ship (extra 'profiles').")
    ] = False,
    plot: Annotated[Path | None, typer.Option(metavar="HTML", help="Also draw simulated against measured.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Replay published serving measurements, or a replay of your own, and say how far off the simulation is.

    Example: simulator bench validate --measurements rows.csv --profile my-model.json --plot errors.html
    """
    if replay is not None and measurements is None:
        _validate_replay(replay, profile or [], engine or [], as_json)
        return
    if measurements is None or replay is not None or engine:
        raise typer.BadParameter("give either --measurements, or --replay and what belongs to it")
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from simulator.bench import validation_report as report
    from simulator.bench.measurements import read_measurements
    from simulator.bench.validate import compare_all, derived_profile

    if derive:
        from simulator.performance.kernel_tables import check_package

        check_package()
    own = [read for path in profile or [] for read in _profiles(path)]
    collection = read_measurements(measurements, quality or ("A", "A-"))
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
        report.figure(rows).write_html(plot, include_plotlyjs=True, div_id="validation")
        typer.echo(f"wrote {plot}", err=True)
    if not rows:
        raise ProfileError("nothing could be compared; the reasons are above")


@bench.command()
def replay(
    trace: Annotated[Path, typer.Argument(help="A canonical trace, .csv or .parquet.", show_default=False)],
    url: Annotated[str, typer.Option(help="Of the server, such as http://127.0.0.1:8000.")],
    model: Annotated[str, typer.Option(help="Name under which the server knows the model.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the record goes, .json or .json.gz.")],
    limit_requests: Annotated[int | None, typer.Option(min=1, help="Send no more than so many.")] = None,
    limit_duration_s: Annotated[float, typer.Option(min=0.001, help="Send nothing later than this.")] = 600.0,
    max_concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Most requests under way at once.")] = 256,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of the random prompts; a server that saw them before has them in its cache."),
    ] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Allow a server on another machine.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Send a trace to a live OpenAI-compatible server at its recorded times and record what clients see.

    Prompts are random token numbers of the recorded lengths; nothing of an answer is kept but its times and counts.

    Example: simulator bench replay light.csv --url http://127.0.0.1:8000 --model my-model --output light.json.gz
    """
    import hashlib
    import secrets
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from simulator.bench import replay as sending
    from simulator.bench.replay_record import ReplayedTrace, ReplayRecord, write_replay
    from simulator.version import package_version
    from simulator.workload.trace import read_trace

    sending.check_address(url, allow_remote=allow_remote)
    if not output.parent.is_dir():
        raise TraceError(f"--output {output}: there is no folder {output.parent}")
    table = read_trace(trace)
    limits = sending.Limits(limit_requests, limit_duration_s, max_concurrency)
    count = sending.chosen(table, limits)
    # New ones each time: prompts a server has in its prefix cache cost it nothing.
    seed = secrets.randbits(32) if seed is None else seed
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("answered", total=count)
        facts, requests = sending.replay(table, url, model, limits, seed=seed, on_done=lambda: progress.advance(task))
    record = ReplayRecord(
        schema_version=1,
        simulator_version=package_version(),
        recorded_on=datetime.now(tz=UTC).date().isoformat(),
        command=f"simulator bench replay {trace.name} --model {model} --limit-duration-s {limit_duration_s:g} "
        f"--max-concurrency {max_concurrency} --seed {seed}",
        model=model,
        trace=ReplayedTrace(
            name=trace.name, sha256=hashlib.sha256(trace.read_bytes()).hexdigest(), rows=len(table), sent=count
        ),
        max_concurrency=max_concurrency,
        server=facts,
        requests=requests,
    )
    write_replay(record, output)
    late_s = max((at - due for at, due in zip(requests.sent_s, requests.planned_s, strict=True) if at), default=0.0)
    counts = {kind: requests.outcome.count(kind) for kind in dict.fromkeys(requests.outcome)}
    outcomes = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    typer.echo(f"{count} requests: {outcomes}; sent {1000 * late_s:.1f} ms late at most; wrote {output}")
    if set(counts) != {"completed"}:
        raise typer.Exit(1)


@bench.command()
def fit_overhead(
    replay: Annotated[Path, typer.Argument(help="A light replay of your server.", show_default=False)],
    profile: Annotated[Path, typer.Option(metavar="FILE", help="Profile of what the server runs on.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the profile with its overheads goes.")],
    engine: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting of the server, such as max_num_seqs=32.")
    ] = None,
) -> None:
    """Fit what kernels leave out, per step and in the front end, on a light replay of your own server.

    Example: simulator bench fit-overhead light.json.gz --profile my-profile.json --output fitted.json
    """
    from simulator.bench import overhead_fit
    from simulator.bench.replay_check import engine_of
    from simulator.bench.replay_record import read_replay
    from simulator.files import write_whole
    from simulator.performance.profile import read_profile_file

    record = read_replay(replay)
    fitted = overhead_fit.fit_overhead(record, read_profile_file(profile), engine_of(record, engine or []))
    write_whole(output, fitted.model_dump_json(indent=1) + "\n")
    found = fitted.overhead
    for name in overhead_fit.FITTED:
        typer.echo(f"{name:28s} {1e6 * getattr(found, name):10.2f} us")
    typer.echo(
        f"over {found.step.rows} requests: inter-token {found.step.median_percent} % off in the median, "
        f"TTFT {found.front_end.median_percent} %; wrote {output}"
    )


def _validate_replay(path: Path, profiles: list[Path], engine: list[str], as_json: bool) -> None:
    from rich.console import Console

    from simulator.bench import replay_check
    from simulator.bench.replay_record import read_replay

    own = [read for one in profiles for read in _profiles(one)]
    if len(own) != 1:
        raise ProfileError(f"--replay needs the one profile of what the server runs on; --profile gave {len(own)}")
    record = read_replay(path)
    found = replay_check.compare_replay(record, own[0], replay_check.engine_of(record, engine))
    if as_json:
        typer.echo(json.dumps(replay_check.document(found, record, own[0].id), indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 100).print(
            replay_check.table(found, f"{path.name}, {own[0].id}")
        )


def _profiles(path: Path) -> list[PerformanceProfile]:
    from simulator.performance.profile import read_profile_file

    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ProfileError(f"{path}: holds no profile (*.json)")
    return [read_profile_file(file) for file in files]
