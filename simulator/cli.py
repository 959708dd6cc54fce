"""The command `simulator`: a thin shell over the package.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 a gate or objective failed,
2 bad input or usage, 3 inconclusive, 70 a fault of this program, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from simulator.apis_cli import apis
from simulator.audit_cli import audit
from simulator.bench.cli import bench
from simulator.break_even_cli import break_even
from simulator.capacity_cli import capacity
from simulator.compliance_cli import compliance
from simulator.errors import Fault, ScenarioError, SimulatorError
from simulator.export_cli import export
from simulator.gate_cli import check, compare
from simulator.options import AsJson, Jobs, Overrides, Quiet, ScenarioFile, Settings, Store
from simulator.plan_cli import plan
from simulator.prices_cli import prices
from simulator.profile_cli import profile
from simulator.rollout_cli import rollout
from simulator.scenario_cli import explain, init
from simulator.study_cli import runs, sweep
from simulator.trace_cli import trace
from simulator.trace_edit_cli import cut, merge, scale, shift
from simulator.trace_model_cli import compare as compare_traces
from simulator.trace_model_cli import fit, synthesise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.decision.results import Results
    from simulator.scenario.schema import Scenario

BAD_INPUT, INTERNAL_FAULT, INTERRUPTED = 2, 70, 130

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
for command in (cut, fit, merge, scale, shift, synthesise):
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


def _load(path: Path, overrides: list[str] | None, settings: list[str] | None, *, must_fit: bool = True) -> Scenario:
    from simulator.experiment.checks import load_checked
    from simulator.scenario.yaml_source import parse_settings

    return load_checked(path, overrides=overrides or (), settings=parse_settings(settings or []), must_fit=must_fit)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Scenario files.", show_default=False)],
    settings: Settings = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check scenario files without simulating; print every fault with its file and line.

    A file is checked as it stands, and with each of its overrides unless some are named.

    Example: simulator validate scenarios/*.yaml
    """
    faults: list[Fault] = []
    for path in files:
        try:
            scenario = _load(path, overrides, settings)
            for name in () if overrides else scenario.override_names:
                _load(path, [name], settings)
        except ScenarioError as error:
            faults += error.faults
        else:
            if not as_json:
                patterns = len(scenario.hosting_patterns)
                typer.echo(f"{path}: ok ({len(scenario.workloads)} workloads, {patterns} hosting patterns)")
    if as_json:
        rows = [{"file": f.file, "line": f.line, "key": f.key, "message": f.message} for f in faults]
        typer.echo(json.dumps({"schema_version": 1, "ok": not faults, "faults": rows}, indent=2))
    else:
        for fault in faults:
            typer.echo(str(fault), err=True)
    if faults:
        raise typer.Exit(BAD_INPUT)


@app.command()
def schema(
    of: Annotated[
        Literal["scenario", "comparison", "policy"],
        typer.Argument(help="Of what; comparison: what compare and check print; policy: of check."),
    ] = "scenario",
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Scenario files as a page to read.")] = False,
) -> None:
    """Print the JSON Schema of scenario or policy files, for editors, or of what `compare` and `check` print.

    Example: simulator schema > scenario.schema.json
    """
    from simulator.gate.policy import policy_schema
    from simulator.gate.published import gate_schema
    from simulator.scenario.json_schema import scenario_schema
    from simulator.scenario.reference import scenario_reference

    own = scenario_reference if as_markdown else scenario_schema
    schemas = {"scenario": own, "comparison": gate_schema, "policy": policy_schema}
    typer.echo(schemas[of](), nl=False)


@app.command()
def run(
    file: ScenarioFile,
    settings: Settings = None,
    overrides: Overrides = None,
    pattern: Annotated[
        list[str] | None, typer.Option("--pattern", metavar="NAME", help="Only this hosting pattern. Repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces experiment.seed.")] = None,
    replications: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="Replaces experiment.replications; auto: until cost and p99 are precise."),
    ] = None,
    precision: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="With auto, half-width of the intervals over their mean.")
    ] = 0.05,
    jobs: Jobs = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to keep the run.", show_default="runs/<name>-<hash>")
    ] = None,
    store: Store = Path("runs/store"),
    with_report: Annotated[bool, typer.Option("--report", help="Also write report.html into the run.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a scenario and compare its hosting patterns; what was simulated before, prices apart, is not again.

    Example: simulator run scenarios/health_system.yaml --set experiment.replications=3
    """
    until = precision if replications == "auto" else None
    if until is None and replications is not None and not (replications.isdecimal() and int(replications)):
        raise typer.BadParameter("expected a whole number above 0, or auto", param_hint="--replications")
    given = {"experiment.seed": seed, "experiment.replications": None if until else replications}
    settings = [*(settings or []), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    scenario = _load(file, overrides, settings, must_fit=False)
    from simulator.report.running import bound_store, keep_run, run_with_progress

    kept = keep_run(scenario, output, pattern, store)
    try:
        results = run_with_progress(
            scenario, patterns=pattern, jobs=jobs or os.cpu_count() or 1, store=kept.store, until=until, quiet=quiet
        )
    except BaseException as error:
        finished = kept.give_up()
        if finished and isinstance(error, KeyboardInterrupt):
            typer.echo(f"{finished} finished simulations are kept; the same command continues from there", err=True)
        raise
    kept.write(results)
    bound_store(store)
    if as_json:
        sys.stdout.buffer.write(results.to_json())
    else:
        _print(results, scenario)
    if until is not None:
        from simulator.decision.precision import half_width

        wide = half_width(results)
        reached = "within" if wide <= until else "NOT within"
        typer.echo(
            f"{results.replications} replications: ± {wide:.1%}, {reached} the ± {until:.1%} asked for", err=True
        )
    if with_report:
        from simulator.report.page import write_page

        write_page(kept.target)
    if not quiet:
        typer.echo(f"kept in {kept.target}", err=True)


@app.command()
def report(
    kept: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to.", show_default="RUN/report.html")
    ] = None,
    rollout_file: Annotated[
        Path | None,
        typer.Option("--rollout", metavar="FILE", help="What 'simulator rollout --json' printed, to go into it."),
    ] = None,
) -> None:
    """Write a run as one HTML file that opens offline.

    Example: simulator report runs/ci_small --output report.html
    """
    from simulator.report.page import write_page

    typer.echo(f"wrote {write_page(kept, output, rollout_file)}", err=True)


app.command()(init)
app.command()(explain)
app.command()(compliance)
app.command()(capacity)
app.command()(sweep)
app.command()(plan)
app.command("break-even")(break_even)
app.command()(rollout)
app.command()(audit)
app.command()(compare)
app.command()(check)


def _print(results: Results, scenario: Scenario) -> None:
    from rich.console import Console

    from simulator.report.console import render
    from simulator.report.running import warnings_about

    # A pipe has no width of its own; the tables need this much.
    console = Console(width=None if sys.stdout.isatty() else 120)
    names = [result.name for result in results.patterns]
    console.print(render(results, warnings_about(scenario, names)))


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
