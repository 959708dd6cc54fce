"""What the page shows of the desk's answers: the verdict, then tables, then figures, each once the last is painted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dash import Dash, Input, Output, State, html, no_update

from simulator.studio import page, view
from simulator.studio.growth import months_ahead

if TYPE_CHECKING:
    from simulator.studio.answer import Answer
    from simulator.studio.session import Session
    from simulator.studio.state import Studio

_SOON: Final = (
    "The first answer comes within seconds; where this version has never simulated on this machine, its engine is "
    "compiled first, which takes a minute or two."
)
#: What comes with the answer to a change: as little as a verdict takes, since every part costs the browser its time.
FIRST: Final = (("verdict", "children"), ("shown", "data"))
#: What follows once the verdict has been painted, in the order of `_parts`.
_PARTS: Final = (
    *((name, "children") for name in ("comparison", "changes", "care", "variants", "kept")),
    *((name, "className") for name in ("answer", "changes")),
    *((name, "disabled") for name in ("undo", "redo", "reset")),
)
#: Waits until the browser has painted what it was told before; a page that nobody sees paints nothing.
_PAINTED: Final = """
(shown) => new Promise((told) => document.hidden
    ? told(shown)
    : requestAnimationFrame(() => setTimeout(() => told(shown))))
"""
#: Looks at the desk again at once, and from then on now and then, while that works on.
_LOOK_AGAIN: Final = """
(shown) => {
    if (shown && shown[2]) dash_clientside.set_props("tick", { disabled: false, n_intervals: Date.now() });
    return dash_clientside.no_update;
}
"""
#: How long a look waits for news; the next one is then about to come.
_LOOK_S: Final = 0.9


def first(studio: Studio) -> tuple[Any, ...]:
    """The verdict as it is known now, in the order of `FIRST`."""
    news = _news(studio)
    _, found, working, fault = studio.desk.state
    if found is None or fault:
        said = [html.H2("Simulating" if working else "No answer"), html.P(fault or _SOON)]
        return html.Div(said, className="verdict none"), news
    return view.verdict(found, found.document, working=working), news


def _news(studio: Studio) -> list[object]:
    """Two of them differ where the page would."""
    number, _, working, _ = studio.desk.state
    return [number, studio.stamp, working]


def on_answers(app: Dash, studio: Studio) -> None:
    """A look at the desk while it works, which waits there for news; what takes longer follows only from those."""

    @app.callback(
        *(Output(name, prop) for name, prop in FIRST),
        Input("tick", "n_intervals"),
        State("shown", "data"),
    )
    def look(_: object, shown: object) -> Any:  # noqa: ANN401 - what is shown
        if (news := _news(studio)) == shown:
            studio.desk.wait_for_news(int(str(news[0])), _LOOK_S)
        return (no_update,) * len(FIRST) if _news(studio) == shown else first(studio)

    _once_painted(app, "shown", "painted")
    again: Any = app.clientside_callback
    again(_LOOK_AGAIN, Output("looked", "data"), Input("painted", "data"))

    @app.callback(
        *(Output(name, prop) for name, prop in _PARTS),
        Output("tick", "disabled"),
        Output("told", "data"),
        Input("painted", "data"),
    )
    def rest(shown: object) -> Any:  # noqa: ANN401 - what is shown, and whether there will be more
        news = _news(studio)
        return *_parts(studio), news == shown and not news[-1], news


def _once_painted(app: Dash, told: str, painted: str) -> None:
    """Pass on what was told once the browser has painted what came with it."""
    passed: Any = app.clientside_callback
    passed(_PAINTED, Output(painted, "data"), Input(told, "data"))


def _parts(studio: Studio) -> tuple[Any, ...]:
    """Tables, words and buttons."""
    _, found, _, fault = studio.desk.state
    session = studio.session
    idle = (not session.past and not session.pending, not session.future, not session.changes)
    variants, kept = view.side_by_side(studio.variants()), _kept(session)
    if found is None or fault:
        # Figures without a single answer would be empty axes.
        return *(no_update,) * 3, variants, kept, "stale" if found else "none-yet", "", *idle
    document = found.document
    return (
        view.comparison(found, document),
        # Until break-evens and other prices are looked at again, the last ones stand, faded.
        view.changes(found, document) if found.outlook else no_update,
        view.care(found, document),
        variants,
        kept,
        "stale" if found.scenario is not session.scenario and found.scenario != session.scenario else "",
        "" if found.outlook else "stale",
        *idle,
    )


def _kept(session: Session) -> list[Any]:
    """Variants to go back to."""
    return [
        html.Div(
            [
                html.Span(name),
                html.Button("Take", id={"type": "take", "name": name}, **view.aria(label=f"Take {name}")),
                html.Button("Drop", id={"type": "drop", "name": name}, **view.aria(label=f"Drop {name}")),
            ],
            className="row variant",
        )
        for name in session.variants
    ]


def on_figures(app: Dash, studio: Studio) -> None:
    """Figures of money with every answer; those of time only where something was simulated.

    They take the browser several times as long as words do, which it therefore paints first.
    """
    _once_painted(app, "told", "seen")

    @app.callback(
        *(Output(f"figure-{name}", "figure") for name in ("cost", "volume", "growth", "tornado")),
        *(Output(f"place-{name}", "className") for name in ("volume", "growth", "tornado")),
        Output("place-growth", "hidden"),
        Input("seen", "data"),
    )
    def money(_: object) -> Any:  # noqa: ANN401 - figures
        number, found, _, _ = studio.desk.state
        # Whoever looks at other volumes and prices takes the time of what comes before.
        studio.desk.seen(number)
        if found is None:
            return (no_update,) * 8
        plots, months = found.plots, months_ahead(found.scenario)
        others = plots.cost_by_volume(), plots.cost_over_months(months), plots.tornado()
        # Until other volumes are priced again, the last figures stand, faded.
        stale = ("" if one else "stale" for one in others)
        return plots.cost(), *(one or no_update for one in others), *stale, not months

    @app.callback(
        *(Output(f"figure-{name}", "figure") for name in ("wait", "busy", "time")),
        *(Output(f"place-{name}", "className") for name in ("wait", "busy", "time")),
        *(Output(f"place-{name}", "hidden") for name in ("busy", "time")),
        Output("drawn", "data"),
        Input("seen", "data"),
        *(Input(f"{name}-{choice}", "value") for name, *_, choice in page.FIGURES if choice),
        State("drawn", "data"),
    )
    def time(_: object, workload: str | None, pattern: str | None, drawn: object) -> Any:  # noqa: ANN401 - figures
        _, found, _, _ = studio.desk.state
        if found is None:
            return (no_update,) * 9
        if found.fineness.week:
            # Of a week no request was kept: the last figures stand, faded.
            return *(no_update,) * 3, *("stale",) * 3, *(no_update,) * 2, no_update
        # What was simulated; a price changes nothing of it.
        now = [str(found.results.tables.kept), workload, pattern]
        if now == drawn:
            return *(no_update,) * 3, *("",) * 3, *(no_update,) * 3
        return *_of_time(found, workload, pattern), now


def _of_time(found: Answer, workload: str | None, pattern: str | None) -> tuple[Any, ...]:
    plots, scenario = found.plots, found.scenario
    name = workload if workload in scenario.workloads else next(iter(scenario.workloads))
    limits = scenario.workloads[name].objectives
    metric = "ttft_s" if limits is not None and limits.ttft is not None else "e2e_s"
    hosted = [one for one in plots.simulated if scenario.hosting_patterns[one].hosted]
    own = pattern if pattern in hosted else next(iter(hosted), None)
    wait = plots.latency(name, metric)
    if own is None:
        return wait, no_update, no_update, *("",) * 3, True, True
    return wait, plots.week(own), plots.over_time(own), *("",) * 3, False, False
