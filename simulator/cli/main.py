"""The command `simulator`: a thin shell over the package, one file a command or group of commands.

Results go to standard output, everything else to standard error; `exit_codes` says how it may end.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.cli.apis import apis
from simulator.cli.audit import audit
from simulator.cli.bench import bench
from simulator.cli.break_even import break_even
from simulator.cli.capacity import capacity
from simulator.cli.compliance import compliance
from simulator.cli.exit_codes import BAD_INPUT, INTERNAL_FAULT, INTERRUPTED
from simulator.cli.explain import explain
from simulator.cli.export import export
from simulator.cli.gate import check, compare
from simulator.cli.init import init
from simulator.cli.plan import plan
from simulator.cli.prices import prices
from simulator.cli.profile import profile
from simulator.cli.report import report
from simulator.cli.rollout import rollout
from simulator.cli.run import run
from simulator.cli.runs import runs
from simulator.cli.schema import schema
from simulator.cli.sweep import sweep
from simulator.cli.trace import trace
from simulator.cli.trace_edit import cut, merge, scale, shift
from simulator.cli.trace_model import compare as compare_traces
from simulator.cli.trace_model import fit, synthesise
from simulator.cli.validate import validate
from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

app = typer.Typer(
    name="simulator",
    help="Where should a hospital's language models run? Simulates vLLM clusters and metered APIs, with the bill.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(apis, name="apis")
app.add_typer(bench, name="bench")
app.add_typer(export, name="export")
app.add_typer(profile, name="profile")
app.add_typer(runs, name="runs")
app.add_typer(prices, name="prices")
app.add_typer(trace, name="trace")

_OF_TRACES: tuple[Callable[..., None], ...] = (cut, fit, merge, scale, shift, synthesise)
for command in _OF_TRACES:
    trace.command()(command)
trace.command("compare")(compare_traces)


def _show_version(value: bool) -> None:
    if value:
        from simulator.version import package_version

        typer.echo(f"simulator {package_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""


_COMMANDS: tuple[Callable[..., None], ...] = (
    validate,
    schema,
    run,
    report,
    init,
    explain,
    compliance,
    capacity,
    sweep,
    plan,
    break_even,
    rollout,
    audit,
    compare,
    check,
)
for command in _COMMANDS:
    app.command(command.__name__.replace("_", "-"))(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and exit with its code; a fault of ours says so in one line."""
    try:
        app(args=None if arguments is None else list(arguments), standalone_mode=True)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except SimulatorError as error:
        typer.echo(str(error), err=True)
        code = BAD_INPUT
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        code = INTERRUPTED
    except Exception as error:
        if os.environ.get("SIMULATOR_DEBUG"):
            traceback.print_exc()
        summary = " ".join(str(error).split())
        typer.echo(f"simulator failed: {type(error).__name__}: {summary:.300}", err=True)
        typer.echo("this is a fault of the simulator; set SIMULATOR_DEBUG=1 to see where", err=True)
        code = INTERNAL_FAULT
    sys.exit(code)
