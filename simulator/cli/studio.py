"""`simulator studio`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simulator.cli.options import Jobs, Store
from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.scenario.schema import Scenario


def studio(
    file: Annotated[
        Path, typer.Argument(metavar="[SCENARIO]", help="Scenario file, or directory of a run.", show_default=True)
    ] = Path("scenario.yaml"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 for any free port.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Also open it in the browser.")] = False,
    jobs: Jobs = 0,
    store: Store = Path("runs/store"),
) -> None:
    """Change a scenario on a page of this machine and see what that does; nothing leaves the machine.

    Example: simulator studio scenarios/health_system.yaml --port 8050
    """
    try:
        import dash  # noqa: F401
    except ImportError:
        raise SimulatorError("the studio needs Dash: pip install 'llm-hosting-simulator[studio]'") from None
    from simulator.cli.running import bound_store, open_store
    from simulator.studio.app import build
    from simulator.studio.desk import Desk
    from simulator.studio.server import HOST, bound, new_token, serve
    from simulator.studio.session import Session
    from simulator.studio.state import Studio

    session = Session.opened(_scenario_of(file))
    held, token = bound(port), new_token()
    kept = open_store(store)
    desk = Desk(kept.folder, jobs or os.cpu_count() or 1, patience_s=0.5)
    desk.ask(session.scenario)
    server = serve(build(Studio(session, desk, kept.folder, _export(kept.folder)), token), held)
    address = f"http://{HOST}:{server.port}/{token}/"
    typer.echo(address)
    typer.echo("for this machine alone; Ctrl+C ends it", err=True)
    if open_browser:
        typer.launch(address)
    try:
        server.serve_forever()
    finally:
        server.server_close()
        bound_store(kept)


def _scenario_of(file: Path) -> Path:
    return file / "scenario.yaml" if file.is_dir() else file


def _export(store: Path) -> Callable[[Scenario], Path]:
    def export(scenario: Scenario) -> Path:
        from simulator.cli.running import keep_run, run_and_keep
        from simulator.report.page import write_page
        from simulator.results import run

        kept = keep_run(scenario, None, None, store)
        run_and_keep(kept, lambda: run(scenario, folder=kept.store), write_page)
        return kept.target / "report.html"

    return export
