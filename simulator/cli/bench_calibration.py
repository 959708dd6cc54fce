"""`simulator bench measure|fit|replay|fit-overhead`: a profile of your own machine, and how well it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from simulator.cli.exit_codes import FAILED
from simulator.errors import ProfileError, TraceError

if TYPE_CHECKING:
    from simulator.bench.replay_record import ReplayedRequests
    from simulator.bench.step_record import MeasuredStep
    from simulator.scenario.patterns import EngineSettings

EngineOption = Annotated[
    list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting of the server, such as max_num_seqs=32.")
]

Anyway = Annotated[
    bool, typer.Option("--anyway", help="Write a profile that explains its measurements badly, labelled as estimated.")
]
CompletedOnly = Annotated[
    bool, typer.Option("--completed-only", help="Compare the completed requests, where others were not.")
]


def measure(
    model: Annotated[str, typer.Argument(help="A folder with a config.json, or a known model.", show_default=False)],
    gpu: Annotated[str, typer.Option(help="What scenarios call this GPU, such as a100-80gb.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the steps go, .json or .json.gz.")],
    tensor_parallel: Annotated[int, typer.Option(min=1, max=8, help="GPUs among which the model is split.")] = 1,
    quantisation: Annotated[Literal["bf16", "fp8", "int8", "w4a16"], typer.Option(help="Weight format.")] = "bf16",
    engine: EngineOption = None,
    repeats: Annotated[int, typer.Option(min=3, max=10, help="Repetitions of each step.")] = 8,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Time engine steps of a real vLLM on this machine, with random weights, over a grid of what a step can hold.

    Needs vLLM (extra 'bench'), no weights and no network. What an interrupted measurement has is kept beside the
    output, and the same command goes on from there.

    Example: simulator bench measure llama-3.1-8b --gpu l40s --output steps.json.gz
    """
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from simulator.bench import measure as measuring
    from simulator.bench.json_file import check_place, write_record
    from simulator.bench.step_journal import Journal
    from simulator.bench.step_record import StepRecord
    from simulator.performance.config_json import read_model
    from simulator.version import package_version

    shape, settings = read_model(model), _settings(engine)
    if not output.parent.is_dir():
        raise ProfileError(f"--output {output}: there is no folder {output.parent}")
    check_place(output)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("starting vLLM", total=None)
        folder = Path(model) if Path(model).is_dir() else None
        server = measuring.start(shape, folder, settings, tensor_parallel=tensor_parallel, quantisation=quantisation)
        points = measuring.grid(settings, server.num_gpu_blocks)
        settings = settings.model_copy(
            update={"num_gpu_blocks": server.num_gpu_blocks, "async_scheduling": server.machine.async_scheduling}
        )
        record = StepRecord(
            schema_version=1,
            simulator_version=package_version(),
            recorded_on=datetime.now(tz=UTC).date().isoformat(),
            # Names alone: where files lie is nobody's business.
            command=f"simulator bench measure {Path(model).name} --gpu {gpu} --tensor-parallel {tensor_parallel} "
            f"--quantisation {quantisation} --repeats {repeats}"
            + "".join(f" --engine {setting}" for setting in engine or ()),
            model=shape,
            gpu=gpu,
            tensor_parallel=tensor_parallel,
            quantisation=quantisation,
            engine=settings,
            machine=server.machine,
            points=(),
        )
        with Journal(output, record, repeats) as journal:
            left = [point for point in points if point[0] not in journal.done]
            progress.update(task, description="steps", total=len(points), completed=len(points) - len(left))

            def keep(point: MeasuredStep) -> None:
                journal.keep(point)
                progress.advance(task)

            measuring.measure(server, left, repeats, on_done=keep)
            write_record(
                record.model_copy(update={"points": tuple(journal.done[shape] for shape, _ in points)}), output
            )
            journal.finish()
    device = server.machine.device
    typer.echo(f"{len(points)} points, {repeats} repetitions each, on {device}; wrote {output}")


def fit(
    steps: Annotated[Path, typer.Argument(help="What 'bench measure' wrote.", show_default=False)],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the profile goes.")],
    anyway: Anyway = False,
) -> None:
    """Turn measured steps into a profile, and say how far it is off on steps it has not seen.

    Example: simulator bench fit steps.json.gz --output my-profile.json
    """
    from simulator.bench import fit as fitting
    from simulator.bench.step_record import read_steps
    from simulator.files import write_whole
    from simulator.performance.build import write_text

    profile = fitting.fit(read_steps(steps), steps.name, anyway=anyway)
    write_whole(output, write_text(profile))
    error = profile.fit_error
    typer.echo(
        f"{profile.id}: on {error.steps} steps it had not seen {error.mean_percent} % off in the mean, "
        f"{error.p95_percent} % at p95, {error.max_percent} % at most; wrote {output}"
    )


def _settings(given: list[str] | None) -> EngineSettings:
    from simulator.bench.engine_settings import engine_settings

    return engine_settings(given or [])


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
    api_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Environment variable that holds the server's key.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a record that is there.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a record that is there, from the first request it lacks.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Send a trace to a live OpenAI-compatible server at its recorded times and record what clients see.

    Prompts are random token numbers of the recorded lengths; nothing of an answer is kept but its times and counts.
    Stopped by Ctrl-C, it writes what has come by then, and --resume goes on from there.

    Example: simulator bench replay light.csv --url http://127.0.0.1:8000 --model my-model --output light.json.gz
    """
    import hashlib
    import secrets
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from simulator.bench import replay as sending
    from simulator.bench import server
    from simulator.bench.json_file import check_place, write_record
    from simulator.bench.replay_record import ReplayedTrace, ReplayRecord, read_replay
    from simulator.trace.canonical import read_trace
    from simulator.version import package_version

    to = sending.Sender(server.address_of(url, allow_remote=allow_remote), model, server.key_of(api_key_env))
    if not output.parent.is_dir():
        raise TraceError(f"--output {output}: there is no folder {output.parent}")
    if output.exists() and not (force or resume):
        raise TraceError(f"--output {output} is there already: --resume goes on with it, --force replaces it")
    table = read_trace(trace)
    limits = sending.Limits(limit_requests, limit_duration_s, max_concurrency)
    count = sending.chosen(table, limits)
    digest = hashlib.sha256(trace.read_bytes()).hexdigest()
    kept = read_replay(output) if resume and output.exists() else None
    begin = 0 if kept is None else kept.goes_on_at(digest, model, count)
    if begin == count:
        typer.echo(f"{output} has all {count} requests")
        return
    check_place(output)
    # New ones each time: prompts a server has in its prefix cache cost it nothing.
    chance = secrets.randbits(32) if seed is None else seed
    seed = chance if kept is None or kept.seed is None else kept.seed
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("answered", total=count, completed=begin)
        facts, requests = sending.replay(
            table, to, limits, seed=seed, begin=begin, on_done=lambda: progress.advance(task)
        )
    record = ReplayRecord(
        schema_version=1,
        simulator_version=package_version(),
        recorded_on=datetime.now(tz=UTC).date().isoformat(),
        command=f"simulator bench replay {trace.name} --model {model} --limit-duration-s {limit_duration_s:g} "
        f"--max-concurrency {max_concurrency} --seed {seed}",
        model=model,
        trace=ReplayedTrace(name=trace.name, sha256=digest, rows=len(table), sent=count),
        max_concurrency=max_concurrency,
        seed=seed,
        server=facts,
        requests=requests if kept is None else kept.requests.until(begin).then(requests),
    )
    write_record(record, output)
    typer.echo(f"{_told(record.requests)}; wrote {output}")
    kinds = set(record.requests.outcome)
    if "interrupted" in kinds:
        raise KeyboardInterrupt
    if kinds != {"completed"}:
        raise typer.Exit(FAILED)


def _told(requests: ReplayedRequests) -> str:
    """What came of a replay, on one line."""
    from simulator.bench.server import meaning

    kinds = requests.outcome
    outcomes = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    answers = [status for status, kind in zip(requests.status, kinds, strict=True) if kind == "refused"]
    reasons = [f"{answers.count(one)} times {meaning(one)}" for one in dict.fromkeys(answers) if one is not None]
    late_s = max((at - due for at, due in zip(requests.sent_s, requests.planned_s, strict=True) if at), default=0.0)
    told = [f"{len(kinds)} requests: {outcomes}", *reasons, f"sent {1000 * late_s:.1f} ms late at most"]
    if short := requests.missing_tokens():
        told.append(f"{short:,} of the tokens asked for never came, though the answers are whole")
    return "; ".join(told)


def fit_overhead(
    replay: Annotated[Path, typer.Argument(help="A light replay of your server.", show_default=False)],
    profile: Annotated[
        str, typer.Option(metavar="FILE", help="Profile of what the server runs on: a file, or one that ships.")
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the profile with its overheads goes.")],
    engine: EngineOption = None,
    completed_only: CompletedOnly = False,
    anyway: Anyway = False,
) -> None:
    """Fit what kernels leave out, per step and in the front end, on a light replay of your own server.

    Example: simulator bench fit-overhead light.json.gz --profile my-profile.json --output fitted.json
    """
    from simulator.bench import overhead_fit
    from simulator.bench.replay_check import doubts, engine_of
    from simulator.bench.replay_record import read_replay
    from simulator.files import write_whole
    from simulator.performance.build import write_text
    from simulator.performance.profile import profile_of

    record, before = read_replay(replay), profile_of(profile)
    for doubt in doubts(record, before):
        typer.echo(f"note: {doubt}", err=True)
    fitted = overhead_fit.fit_overhead(
        record, before, engine_of(record, engine or []), completed_only=completed_only, anyway=anyway
    )
    write_whole(output, write_text(fitted))
    found = fitted.overhead
    for name in overhead_fit.FITTED:
        typer.echo(f"{name:28s} {1e6 * getattr(found, name):10.2f} us")
    typer.echo(
        f"over {found.step.rows} requests: inter-token {found.step.median_percent} % off in the median, "
        f"TTFT {found.front_end.median_percent} %; steps {fitted.step_time_band.low} to {fitted.step_time_band.high} "
        f"times as long; wrote {output}"
    )
