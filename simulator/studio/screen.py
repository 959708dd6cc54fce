"""What the page shows of the desk's answers: words and tables first, figures once those have been painted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dash import Dash, Input, Output, State, html, no_update, set_props

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
#: What an answer changes of the page, in the order of `_parts`.
_PARTS: Final = (
    *((name, "children") for name in ("verdict", "comparison", "changes", "care", "variants", "kept")),
    *((name, "className") for name in ("verdict", "answer", "changes")),
    *((name, "disabled") for name in ("undo", "redo", "reset")),
)
#: Waits until the browser has painted what it was told before; a page that nobody sees paints nothing.
_PAINTED: Final = """
(shown) => new Promise((told) => document.hidden
    ? told(shown)
    : requestAnimationFrame(() => setTimeout(() => told(shown))))
"""


def put(studio: Studio, stamp: int) -> None:
    """Say what there is to say with the answer to whatever the browser asked."""
    news = _news(studio, stamp)
    for (name, prop), value in zip(_PARTS, _parts(studio), strict=True):
        if value is not no_update:
            set_props(name, {prop: value})
    set_props("shown", {"data": news})


def _news(studio: Studio, stamp: int) -> list[object]:
    """Two of them differ where the page would."""
    number, _, working, _ = studio.desk.state
    return [number, stamp, working]


def on_answers(app: Dash, studio: Studio) -> None:
    """A light look at the desk now and then; what takes longer follows only from news."""

    @app.callback(
        *(Output(name, prop) for name, prop in _PARTS),
        Output("shown", "data"),
        Output("tick", "disabled"),
        Input("stamp", "data"),
        Input("tick", "n_intervals"),
        State("shown", "data"),
    )
    def look(stamp: int, _: object, shown: object) -> Any:  # noqa: ANN401 - what is shown, and whether there will be more
        news = _news(studio, stamp)
        if news == shown:
            return *(no_update,) * (len(_PARTS) + 1), not news[-1]
        return *_parts(studio), news, not news[-1]


def _parts(studio: Studio) -> tuple[Any, ...]:
    """Words, tables and buttons."""
    _, found, working, fault = studio.desk.state
    session = studio.session
    idle = (not session.past and not session.pending, not session.future, not session.changes)
    variants, kept = view.side_by_side(studio.variants()), _kept(session)
    if found is None or fault:
        said = [html.H2("Simulating" if working else "No answer"), html.P(fault or _SOON)]
        # Figures without a single answer would be empty axes.
        return said, *(no_update,) * 3, variants, kept, "verdict none", "stale" if found else "none-yet", "", *idle
    document = found.document
    parts = (
        view.verdict(found, document, working=working),
        view.comparison(found, document),
        # Until break-evens and other prices are looked at again, the last ones stand, faded.
        view.changes(found, document) if found.outlook else no_update,
        view.care(found, document),
    )
    names = (
        view.verdict_class(document),
        "stale" if found.scenario is not session.scenario and found.scenario != session.scenario else "",
        "" if found.outlook else "stale",
    )
    return *parts, variants, kept, *names, *idle


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
    painted: Any = app.clientside_callback
    painted(_PAINTED, Output("painted", "data"), Input("shown", "data"))

    @app.callback(
        *(Output(f"figure-{name}", "figure") for name in ("cost", "volume", "growth", "tornado")),
        *(Output(f"place-{name}", "className") for name in ("volume", "growth", "tornado")),
        Output("place-growth", "hidden"),
        Input("painted", "data"),
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
        Input("painted", "data"),
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
