"""`simulator bench …`: our engine beside the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from simulator.errors import TraceError

bench = typer.Typer(help="Hold the engine against recorded runs of real vLLM.", no_args_is_help=True)


@bench.callback()
def _root() -> None:
    """Keeps `conform` a command of its own."""


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
