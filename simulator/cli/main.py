"""The command `simulator`: a thin shell over the package, one file a command or group of commands.

Results go to standard output, everything else to standard error; `exit_codes` says how it may end.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Annotated, Any

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
from simulator.cli.interruption import listening, was_asked
from simulator.cli.merge import merge as merge_sweeps
from simulator.cli.options import said
from simulator.cli.places import guard
from simulator.cli.plan import plan
from simulator.cli.prices import prices
from simulator.cli.profile import profile
from simulator.cli.report import report
from simulator.cli.rollout import rollout
from simulator.cli.run import run
from simulator.cli.runs import runs
from simulator.cli.schema import schema
from simulator.cli.studio import studio
from simulator.cli.sweep import sweep
from simulator.cli.trace import trace
from simulator.cli.trace_edit import cut, merge, scale, shift
from simulator.cli.trace_import import FORMATS, convert, detect
from simulator.cli.trace_model import compare as compare_traces
from simulator.cli.trace_model import fit, synthesise
from simulator.cli.validate import validate
from simulator.cli.when import when
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

trace.command(epilog=FORMATS)(convert)
_OF_TRACES: tuple[Callable[..., None], ...] = (cut, detect, fit, merge, scale, shift, synthesise)
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
    studio,
    when,
    audit,
    compare,
    check,
)
app.command("merge")(merge_sweeps)
for command in _COMMANDS:
    app.command(command.__name__.replace("_", "-"))(command)
guard(app)


#: What a disk or a process may lack; not a fault of ours.
_OF_THE_MACHINE = {
    getattr(errno, name, errno.ENOSPC)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EMFILE", "ENFILE", "ENOMEM", "EIO")
}
#: What a file that somebody named may be: a name too long, a link to itself, below what is no folder, nobody's pipe.
_OF_A_NAME = {getattr(errno, name, errno.ENOTDIR) for name in ("ENAMETOOLONG", "ELOOP", "ENOTDIR", "ENXIO", "ENODEV")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and exit with its code; a fault of ours says so in one line."""
    _prepare()
    try:
        with listening():
            try:
                app(args=None if arguments is None else list(arguments), standalone_mode=True)
            finally:
                # What cannot be printed after all is said here, not while Python ends.
                sys.stdout.flush()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
        if code == INTERRUPTED:  # which Typer makes of it, without a word
            typer.echo("interrupted", err=True)
    except SimulatorError as error:
        typer.echo(said(error), err=True)
        code = BAD_INPUT
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        code = INTERRUPTED
    except Exception as error:
        if was_asked():
            typer.echo("interrupted", err=True)
            code = INTERRUPTED
        elif isinstance(error, OSError) and error.errno in _OF_A_NAME:
            typer.echo(f"{error.filename}: cannot be read: {error.strerror}", err=True)
            code = BAD_INPUT
        elif (missing := _missing(error)) is not None:
            typer.echo(f"the machine has not what this takes: {missing}", err=True)
            code = BAD_INPUT
        else:
            code = _internal_fault(error)
    sys.exit(code)


def _missing(error: BaseException) -> str | None:
    """What the machine lacks for it; None where it is a fault of ours."""
    if isinstance(error, OSError):
        if error.errno == errno.ENOENT and error.filename is None:
            # Python's words for want of a place for temporary files; the system has none of its own for the other.
            return error.strerror if "temporary" in str(error.strerror) else "the current folder is no longer there"
        return str(error) if error.errno in _OF_THE_MACHINE else None
    if isinstance(error, BrokenExecutor):
        return "a process of its own was killed, most often for want of memory"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            # Libraries wrap it in errors of their own.
            return str(cause) or "not enough memory"
        cause = cause.__cause__ or cause.__context__
    return None


def _internal_fault(error: Exception) -> int:
    if os.environ.get("SIMULATOR_DEBUG"):
        traceback.print_exc()
    summary = " ".join(str(error).split())
    typer.echo(f"simulator failed: {type(error).__name__}: {summary:.300}", err=True)
    typer.echo("this is a fault of the simulator; set SIMULATOR_DEBUG=1 to see where", err=True)
    return INTERNAL_FAULT


class _Output(io.FileIO):
    """Standard output whose reader may go: that changes neither what is done nor how the command ends.

    Attributes:
        said: Whether somebody knows that nothing more can be written, or nobody can be told.
    """

    said = False

    def write(self, content: Any) -> int | None:  # type: ignore[override]  # noqa: ANN401 - any buffer
        """See the base."""
        try:
            return super().write(content)
        except BrokenPipeError:
            return memoryview(content).nbytes
        except OSError:
            if self.said:
                return memoryview(content).nbytes
            self.said = True
            raise


def _prepare() -> None:
    """Let the readers of our output go when they like, have none, or know fewer characters than we do."""
    for name in ("stdout", "stderr"):
        given = getattr(sys, name)
        if given is None:  # closed before we began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        # Not what a test or a notebook has put in its place.
        if given is not None and given is getattr(sys, f"__{name}__"):
            raw = _Output(given.fileno(), "wb", closefd=False)
            raw.said = name == "stderr"
            given.flush()
            # Escapes of this form are right in JSON, too.
            stream = io.TextIOWrapper(
                io.BufferedWriter(raw), given.encoding, "backslashreplace", line_buffering=given.line_buffering
            )
            setattr(sys, name, stream)
