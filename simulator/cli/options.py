"""Options that several commands have, said once."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from simulator.errors import Fault, ScenarioError, SimulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.experiment.workers import Jobs as JobsOrCluster
    from simulator.scenario.schema import Scenario

Executor = Literal["local", "dask", "ray"]
WAIT_S = 600.0

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
OnExecutor = Annotated[
    Executor, typer.Option("--executor", help="Where it is simulated: here, or on a cluster that is running.")
]
Address = Annotated[
    str | None,
    typer.Option(help="Of the cluster: tcp://10.0.0.7:8786 of a Dask scheduler, 10.0.0.7:6379 of a Ray head."),
]
Wait = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long to wait for the first worker of a cluster.")
]
Store = Annotated[Path, typer.Option(metavar="DIR", help="Where finished simulations are kept for reuse.")]


#: Arguments of the library, and the options that give them.
_OPTIONS: Final = {
    "address": "--address",
    "allow_different": "--allow-different",
    "by_s": "--by",
    "columns": "--column",
    "deployments": "--deployment",
    "end_s": "--to",
    "executor": "--executor",
    "gpus": "--gpu",
    "kind": "--format",
    "label_by": "--label-by",
    "labels": "--label",
    "leases": "--lease",
    "over": "--over",
    "overrides": "--override",
    "patterns": "--pattern",
    "policy": "--policy",
    "quantisations": "--quantisation",
    "records": "--records",
    "settings": "--set",
    "smallest": "--smallest",
    "start_s": "--from",
    "tensor_parallel": "--tensor-parallel",
    "time_format": "--time-format",
    "tolerate": "--tolerate",
    "units": "--unit",
    "where": "--where",
    "workload": "--workload",
    "workloads": "--workload",
    "zone": "--zone",
}
_ARGUMENT: Final = re.compile(rf"`({'|'.join(_OPTIONS)})`")


def said(error: SimulatorError | Fault) -> str:
    """Its text, with an argument of the library called by the option that gives it.

    An argument is the place of a fault without a line, or stands in backquotes.
    """
    if isinstance(error, ScenarioError):
        return "\n".join(map(said, error.faults))
    if isinstance(error, Fault):
        argument, space, rest = error.file.partition(" ")
        # Of prices; what kind of log it is stands in backquotes.
        option = {**_OPTIONS, "kind": "--kind"}.get(argument) if error.line == 0 else None
        return str(replace(error, file=f"{option}{space}{rest}") if option else error)
    return optioned(str(error))


def optioned(text: str) -> str:
    """The same of any text."""
    return _ARGUMENT.sub(lambda found: _OPTIONS[found[1]], text)


@contextmanager
def working(
    executor: Executor, address: str | None, wait_s: float, jobs: int, *, told: bool = True
) -> Iterator[JobsOrCluster]:
    """Who simulates: so many processes, all cores where that is 0, or the workers of a cluster.

    Args:
        executor: Where.
        address: Of the cluster.
        wait_s: How long to wait while it has no worker.
        jobs: Processes here.
        told: Whether to say what is kept when somebody interrupts.

    Raises:
        SimulatorError: There is no such cluster.
    """
    try:
        with _working(executor, address, wait_s, jobs) as workers:
            yield workers
    except KeyboardInterrupt:
        if told:
            typer.echo("what was simulated is kept; the same command goes on from there", err=True)
        raise


@contextmanager
def _working(executor: Executor, address: str | None, wait_s: float, jobs: int) -> Iterator[JobsOrCluster]:
    if executor == "local":
        if address is not None:
            raise SimulatorError(f"--address {address}: of what? Give --executor dask or --executor ray too")
        yield jobs or os.cpu_count() or 1
        return
    from simulator.experiment.clusters import on_cluster

    with on_cluster(executor, address, wait_s=wait_s) as workers:
        yield workers


def load(path: Path, overrides: list[str] | None, settings: list[str] | None, *, must_fit: bool = True) -> Scenario:
    """The scenario of a file with what `--override` and `--set` ask for, checked.

    Raises:
        ScenarioError: Every fault of it.
    """
    from simulator.experiment.checks import load_checked
    from simulator.scenario.yaml_source import parse_settings

    return load_checked(path, overrides=overrides or (), settings=parse_settings(settings or []), must_fit=must_fit)
