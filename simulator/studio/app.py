"""The page at work: what a change does, and what is shown once there is an answer to it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# Whole before there are threads: figures that are drawn while another thread loads it find half of it, and fail.
import pandas as pd  # noqa: F401
from dash import ALL, Dash, Input, Output, State, ctx, no_update, set_props

from simulator.errors import ScenarioError, SimulatorError
from simulator.scenario.loading import read_merged
from simulator.studio import page, screen
from simulator.studio.saving import real_place, save

if TYPE_CHECKING:
    from simulator.studio.state import Studio

#: Nothing of the verdict changes.
_NOTHING: Final = (no_update,) * len(screen.FIRST)
_INDEX: Final = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<title>{%title%}</title>{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""


def build(studio: Studio, token: str) -> Dash:
    """The page, below a path that only who was told it knows."""
    app = Dash(
        "simulator.studio",
        url_base_pathname=f"/{token}/",
        index_string=_INDEX,
        title=f"{studio.session.scenario.name}: studio",
        update_title="",
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        assets_folder=str(Path(__file__).with_name("assets")),
        serve_locally=True,
        suppress_callback_exceptions=True,
        add_log_handler=False,
    )
    save_as = f"{studio.session.source.stem}_changed.yaml"

    def layout() -> Any:  # noqa: ANN401 - a component
        with studio.lock:
            session = studio.session
            return page.layout(session, studio.controls, save_as)

    app.layout = layout
    _on_controls(app, studio)
    _on_tools(app, studio)
    _on_keeping(app, studio)
    screen.on_answers(app, studio)
    screen.on_figures(app, studio)
    return app


def _first() -> list[Output]:
    """What is known already, such as with another price, is there with the same answer."""
    return [Output(name, prop, allow_duplicate=True) for name, prop in screen.FIRST]


def _on_controls(app: Dash, studio: Studio) -> None:
    @app.callback(
        *_first(),
        Input({"type": "control", "key": ALL}, "value"),
        Input({"type": "slider", "key": ALL}, "value"),
        prevent_initial_call=True,
    )
    def change(*_: object) -> Any:  # noqa: ANN401 - the verdict or no update
        name = ctx.triggered_id
        if name is None or len(ctx.triggered) != 1:
            # Whole sets of controls come anew with the tools, and say nothing new.
            return _NOTHING
        said = ctx.triggered[0]["value"]
        text = "" if said is None else f"{said:.12g}" if isinstance(said, float) else str(said)
        key = tuple(json.loads(name["key"]))
        with studio.lock:
            if studio.said(key) == text:
                return _NOTHING
            faults, mended = studio.change(key, text)
        for one in mended:
            set_props(page.control_id("fault", one), {"children": ""})
        for one, message in faults.items():
            set_props(page.control_id("fault", one), {"children": message})
        twin = "control" if name["type"] == "slider" else "slider"
        if name["type"] == "slider":
            set_props(page.control_id(twin, key), {"value": text})
        elif key not in faults and key[-2:-1] == ("volume",):
            with suppress(ValueError):
                set_props(page.control_id(twin, key), {"value": float(text)})
        return screen.first(studio)


def _on_tools(app: Dash, studio: Studio) -> None:
    @app.callback(
        Output("controls", "children"),
        *_first(),
        Input("undo", "n_clicks"),
        Input("redo", "n_clicks"),
        Input("reset", "n_clicks"),
        Input({"type": "take", "name": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def tool(*_: object) -> Any:  # noqa: ANN401 - controls and the verdict
        name = ctx.triggered_id
        if name is None or not ctx.triggered[0]["value"]:
            return no_update, *_NOTHING
        with studio.lock:
            session = studio.session
            if isinstance(name, str):
                moved = {"undo": session.undone, "redo": session.redone, "reset": session.reset}[name]()
            else:
                moved = session.taken(name["name"])
            studio.become(moved)
            return page.controls(studio.controls, moved), *screen.first(studio)


def _on_keeping(app: Dash, studio: Studio) -> None:
    @app.callback(
        Output("said", "children"),
        Output("file", "data"),
        *_first(),
        Input("keep", "n_clicks"),
        Input("save", "n_clicks"),
        Input("export", "n_clicks"),
        Input({"type": "drop", "name": ALL}, "n_clicks"),
        State("variant-name", "value"),
        State("save-as", "value"),
        prevent_initial_call=True,
    )
    def keep(*values: object) -> Any:  # noqa: ANN401 - what is said, a file and the verdict
        name, (variant, place) = ctx.triggered_id, values[-2:]
        if name is None or not ctx.triggered[0]["value"]:
            return no_update, no_update, *_NOTHING
        with studio.lock:
            session = studio.session
        try:
            if name == "save":
                return _saved(studio, Path(str(place or "").strip() or "scenario_changed.yaml")), no_update, *_NOTHING
            if name == "export":
                report = studio.export(session.scenario)
                file = {"content": report.read_text("utf-8"), "filename": report.name}
                return f"Wrote {report}", file, *_NOTHING
        except (SimulatorError, OSError) as error:
            return str(error), no_update, *_NOTHING
        if name == "keep":
            called = str(variant or "").strip() or f"variant {len(session.variants) + 1}"
            studio.become(session.named(called))
            return f"Kept as {called}", no_update, *screen.first(studio)
        studio.become(session.dropped(name["name"]))
        return f"Dropped {name['name']}", no_update, *screen.first(studio)


def _saved(studio: Studio, target: Path) -> str:
    with studio.lock:
        if studio.session.pending:
            raise (
                ScenarioError([])
                if not studio.session.faults
                else SimulatorError("not saved: " + "; ".join(studio.session.faults.values()))
            )
        place = real_place(target)
        studio.saved[place] = save(studio.session, target, last=studio.saved.get(place))
        source = studio.session.source
        moved = read_merged(source).data != studio.session.base.data
    note = f"; {source.name} was changed since it was opened: what was saved is what this page shows" if moved else ""
    return f"Wrote {target}: simulator run {target}{note}"
