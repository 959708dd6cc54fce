"""`simulator plan`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.cli.exit_codes import FAILED, INCONCLUSIVE
from simulator.cli.options import (
    WAIT_S,
    Address,
    AsJson,
    Jobs,
    OnExecutor,
    Overrides,
    Quiet,
    Settings,
    Store,
    Wait,
    optioned,
    working,
)
from simulator.files import write_whole

if TYPE_CHECKING:
    from simulator.report.currency import Shown
    from simulator.study.candidates import Candidate
    from simulator.study.plan import Plan

_FORMATS = ("bf16", "fp8", "int8", "w4a16", "mxfp4", "nvfp4")


def plan(
    file: Annotated[Path, typer.Argument(help="Scenario file.", show_default=False)],
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            "--pattern",
            metavar="NAME",
            help="A hosting pattern to vary. Repeatable.",
            show_default="all of one cluster or API",
        ),
    ] = None,
    gpu: Annotated[
        list[str] | None,
        typer.Option(help="A GPU type that a cluster may use. Repeatable.", show_default="those of the patterns"),
    ] = None,
    tensor_parallel: Annotated[
        list[int] | None, typer.Option(help="GPUs of a replica: 1, 2, 4 or 8. Repeatable.", show_default="1, 2 and 4")
    ] = None,
    quantisation: Annotated[
        list[str] | None,
        typer.Option(help="A weight format: bf16, fp8, int8, w4a16, mxfp4 or nvfp4. Repeatable.", show_default="all"),
    ] = None,
    most_replicas: Annotated[int, typer.Option(min=1, max=64, help="Largest number of replicas.")] = 8,
    in_flight: Annotated[
        list[int] | None, typer.Option(min=1, help="A hybrid's limit of requests in the cluster. Repeatable.")
    ] = None,
    api_model: Annotated[
        list[str] | None, typer.Option(help="A model of the price book for the API. Repeatable.")
    ] = None,
    deployment: Annotated[
        list[str] | None,
        typer.Option(
            help="How an API may be deployed: own (as the pattern says), standard, priority, flex, provisioned, "
            "reserved or batch. Repeatable.",
            show_default="own, priority and batch",
        ),
    ] = None,
    workload: Annotated[
        str | None, typer.Option(metavar="NAME", help="Plan for this workload alone.", show_default="all together")
    ] = None,
    lease: Annotated[
        list[str] | None,
        typer.Option(
            help="Terms of GPU offers: on_demand, reserved, spot. Repeatable.", show_default="on_demand and reserved"
        ),
    ] = None,
    no_mixes: Annotated[
        bool, typer.Option("--no-mixes", help="Do not divide the workloads between a cluster and an API.")
    ] = False,
    settings: Settings = None,
    overrides: Overrides = None,
    jobs: Jobs = 0,
    executor: OnExecutor = "local",
    address: Address = None,
    wait: Wait = WAIT_S,
    store: Store = Path("runs/store"),
    plot: Annotated[Path | None, typer.Option(metavar="HTML", help="Draw cost against p99 of every candidate.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the cheapest configuration of hosting patterns that meets every objective, and why each other one is not.

    Example: simulator plan scenarios/health_system.yaml --pattern self_hosted_rental --gpu a100-80gb --gpu l40s
    """
    from rich.console import Console

    from simulator.cli.running import bound_store, open_store
    from simulator.experiment.checks import load_checked
    from simulator.report.currency import Shown
    from simulator.scenario.yaml_source import parse_settings
    from simulator.study.candidates import Space
    from simulator.study.plan import plan as search

    scenario = load_checked(file, overrides=overrides or (), settings=parse_settings(settings or ()), must_fit=False)
    space = Space(
        gpus=gpu or (),
        tensor_parallel=tensor_parallel or (1, 2, 4),  # type: ignore[arg-type]
        quantisations=quantisation or _FORMATS,  # type: ignore[arg-type]
        most_replicas=most_replicas,
        max_in_flight=in_flight or (None,),
        api_models=api_model or (),
        leases=lease or ("on_demand", "reserved"),
        deployments=deployment or ("own", "priority", "batch"),
        mixes=not no_mixes,
    )
    stderr = Console(stderr=True)
    kept = open_store(store)
    with stderr.status("simulating") as status:
        if quiet or not stderr.is_terminal:
            status.stop()
        with working(executor, address, wait, jobs) as workers:
            found = search(
                scenario,
                pattern,
                space,
                workload=workload,
                jobs=workers,
                store=kept.folder,
                on_simulated=lambda one: status.update(f"simulated {one.label}"),
            )
    bound_store(kept)
    if plot is not None:
        write_whole(plot, found.plot().to_html(include_plotlyjs=True, div_id="plan"))
        typer.echo(f"wrote {plot}", err=True)
    _tell_plan(found, Shown.of(scenario.prices), as_json=as_json)
    if found.best is None:
        raise typer.Exit(INCONCLUSIVE if found.doubt else FAILED)


def _tell_plan(found: Plan, shown: Shown, *, as_json: bool) -> None:
    """The choice, what else was simulated, and what was not."""
    frontier = {one.label for one in found.frontier()}
    if as_json:
        rows = [
            {
                "label": one.label,
                "offer": one.offer,
                "basis": one.basis,
                "monthly_cost_usd": round(one.cost_usd, 2),
                "e2e_p99_s": one.e2e_p99_s,
                "on_frontier": one.label in frontier,
                "refused": one.refused,
                "pattern": one.pattern.model_dump(mode="json"),
            }
            for one in found.simulated
        ]
        best = found.best.label if found.best else None
        doubt = None if found.doubt is None else asdict(found.doubt)
        head = {"schema_version": 1, "best": best, "undecided": doubt, "simulated": rows}
        document = head | {"not_simulated": found.refused, "warnings": found.warnings}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    from rich.table import Table

    grid = Table("configuration", "paid")
    for name in ("USD a month", "end to end p99, s"):
        grid.add_column(name, justify="right")
    grid.add_column("verdict")
    for one in found.simulated:
        p99 = "" if one.e2e_p99_s is None else f"{one.e2e_p99_s:.2f}"
        verdict = "the choice" if one is found.best else one.refused or _judged(one, found)
        paid = ", ".join(text for text in (one.basis, one.offer) if text)
        grid.add_row(
            one.label,
            paid,
            f"{shown.amount(one.cost_usd):,.0f}",
            p99 + (" *" if one.label in frontier else ""),
            shown.text(verdict),
        )
    console = shown.console(None if sys.stdout.isatty() else 160)
    console.print(grid)
    by_reason: dict[str, list[str]] = {}
    for label, reason in found.refused.items():
        by_reason.setdefault(optioned(shown.text(reason)), []).append(label)
    for reason, labels in by_reason.items():
        console.print(f"not simulated: {', '.join(labels)}: {reason}", style="dim", highlight=False)
    for warning in found.warnings:
        console.print(f"Take care: {warning}", style="yellow", markup=False, highlight=False)
    basis = f", {found.best.basis}" if found.best and found.best.basis == "on demand" else ""
    untold = [one.result.cannot_tell for one in found.simulated if one.result and one.result.cannot_tell]
    nothing = untold[0] if untold else "nothing meets every objective"
    choice = f"the choice: {found.best.label}{basis}" if found.best else nothing
    if not found.simulations:
        typer.echo("nothing could be tried, so nothing is known: each reason stands above")
        return
    choice = found.doubt.text if found.doubt else choice
    typer.echo(f"{choice}; {found.simulations} simulated; * nothing cheaper is faster")


def _judged(one: Candidate, found: Plan) -> str:
    """What is said of a candidate that nothing speaks against, and that is not the choice."""
    from simulator.decision.chance import untold

    doubt = untold(one.result) if one.result else None
    if doubt:
        return f"cannot tell ({doubt})"
    return "meets every objective, but costs more" if found.best else "meets every objective"
