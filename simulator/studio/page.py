"""The page without its answers: controls by section, tools, and a place for everything that is shown."""

from __future__ import annotations

import json
from itertools import groupby
from math import floor, log10
from typing import TYPE_CHECKING, Any, Final

from dash import dcc, html

from simulator.studio.view import aria

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.studio.controls import Control, Key
    from simulator.studio.session import Session

_GRAPH: Final[Any] = {"displayModeBar": False, "responsive": True}
#: Sections that are open at first.
_OPEN: Final = ("Volume", "Growth")
_SLIDERS: Final = ("Volume",)
_HINTS: Final = {
    "Volume": "what is asked of the models in a month",
    "Growth": "how it changes over time",
    "Length": "tokens of prompts and answers",
    "Limits": "what users will accept; empty for none",
    "Hosting": "models, GPUs, replicas",
    "Routing": "who serves a request",
    "Prices": "redrawn without simulating",
}
#: Figures in the order of the page: name, title, what it says to somebody who cannot see it, and its choice.
FIGURES: Final = (
    ("volume", "Cost against volume", "Monthly cost of each hosting pattern against tokens a month.", None),
    ("growth", "Growth", "Monthly cost of each hosting pattern, month by month, as the volume grows.", None),
    ("tornado", "How far it carries", "How the lead of the choice changes with each assumption.", None),
    ("wait", "How long users wait", "Share of requests answered within a time, by hosting pattern.", "workload"),
    ("busy", "How busy the GPUs are", "Share of the time GPUs are busy, by hour of the week.", "pattern"),
    ("time", "Queue and KV cache over time", "Sequences running and waiting, and KV blocks in use, by hour.", None),
    ("cost", "The bill", "What a month costs by line of the bill, for each hosting pattern.", None),
)


def control_id(kind: str, key: Key) -> dict[str, str]:
    """The name of a part of a control."""
    return {"type": kind, "key": json.dumps(key)}


def dom_id(name: Mapping[str, str]) -> str:
    """The same as the browser has it."""
    return json.dumps(name, sort_keys=True, separators=(",", ":"))


def controls(found: Sequence[Control], session: Session) -> list[Any]:
    """All controls, a fold for each section."""
    folds = []
    for section, members in groupby(found, key=lambda one: one.section):
        parts = []
        for group, own in groupby(members, key=lambda one: one.group):
            fields = [_control(one, session) for one in own]
            parts.append(html.Fieldset([html.Legend(group or "all of it"), *fields]))
        summary = html.Summary([section, html.Small(_HINTS.get(section, ""))])
        folds.append(html.Details([summary, *parts], open=section in _OPEN))
    return folds


def _control(one: Control, session: Session) -> Any:  # noqa: ANN401 - a component
    name = control_id("control", one.key)
    waiting = session.pending.get(one.key)
    value = one.value if waiting is None else waiting
    moved = one.key in session.changes
    said: Any = [one.label, html.Span("changed", className="unseen")] if moved else one.label
    # Every part of a page is asked at every change whether it has changed.
    parts = [html.Label(said, htmlFor=dom_id(name)), _entry(one, name, value)]
    if one.section in _SLIDERS and one.kind == "number":
        parts.append(_slider(one, value))
    parts.append(
        html.Div(session.faults.get(one.key, ""), id=control_id("fault", one.key), className="fault", role="alert")
    )
    return html.Div(parts, className="control changed" if moved else "control", title=one.help)


def _entry(one: Control, name: dict[str, str], value: str) -> Any:  # noqa: ANN401 - a component
    if one.kind == "choice":
        return dcc.Dropdown(
            list(one.choices), value, id=name, clearable=False, searchable=len(one.choices) > 8, className="choice",
            labels={"search": f"Search {one.label}"},
        )  # fmt: skip
    mode: Any = "numeric" if one.kind == "number" and one.whole else "decimal" if one.kind == "number" else "text"
    return dcc.Input(
        id=name, type="text", inputMode=mode, value=value, debounce=True, autoComplete="off", spellCheck="false",
        placeholder="none",
    )  # fmt: skip


def _slider(one: Control, value: str) -> Any:  # noqa: ANN401 - a component
    number = float(one.value or 0.0)
    top = max(reach(number), float(value) if _is_number(value) else 0.0)
    slider = control_id("slider", one.key)
    shown = dcc.Input(
        id=slider, type="range", min=0, max=top, step=step_of(top), value=number, debounce=0.15, className="range"
    )
    label = html.Label(f"{one.group} {one.label}, slider", htmlFor=dom_id(slider), className="unseen")
    return html.Div([label, shown], className="slide")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def reach(value: float) -> float:
    """The end of a slider: a round number, three times the value or a little more.

    >>> reach(540_000), reach(1_200), reach(0.0)
    (2000000.0, 4000.0, 1.0)
    """
    if value <= 0.0:
        return 1.0
    size = 10.0 ** floor(log10(3.0 * value))
    return float(next(part * size for part in (1, 2, 4, 5, 10) if part * size >= 3.0 * value))


def step_of(top: float) -> float:
    """A step of which a slider has some hundreds.

    >>> step_of(2_000_000.0), step_of(4.0)
    (1000.0, 0.001)
    """
    return float(10.0 ** (floor(log10(top)) - 3))


def figures(workloads: Sequence[str], patterns: Sequence[str]) -> list[Any]:
    """A place for each figure, with the choice of workload or hosting pattern where it has one."""
    choices = {"workload": list(workloads), "pattern": list(patterns)}
    found = []
    for name, title, label, choice in FIGURES:
        head: list[Any] = [html.H2(title, id=f"{name}-title")]
        if choice and len(choices[choice]) > 1:
            head.append(
                dcc.Dropdown(
                    choices[choice], choices[choice][0], id=f"{name}-{choice}", clearable=False, searchable=False,
                    className="pick",
                )
            )  # fmt: skip
        elif choice:
            head.append(dcc.Store(id=f"{name}-{choice}", data=next(iter(choices[choice]), None)))
        # What is wider than a phone scrolls, by keyboard too.
        wide: Any = {"tabIndex": 0} if name == "tornado" else {}
        graph = html.Div(dcc.Graph(id=f"figure-{name}", config=_GRAPH), role="img", **wide, **aria(label=label))
        place = html.Section(
            [html.Div(head, className="head"), graph], id=f"place-{name}", **aria(labelledby=f"{name}-title")
        )
        found.append(place)
    return found


def layout(session: Session, found: Sequence[Control], save_as: str) -> Any:  # noqa: ANN401 - a component
    """The whole page."""
    scenario = session.scenario
    hosted = [name for name, pattern in scenario.hosting_patterns.items() if pattern.hosted]
    tools = html.Div(
        [
            html.Button("Undo", id="undo", title="Ctrl+Z"),
            html.Button("Redo", id="redo", title="Ctrl+Shift+Z"),
            html.Button("As in the file", id="reset"),
        ],
        className="tools",
        role="toolbar",
        **aria(label="Changes"),
    )
    return html.Div(
        [
            html.A("To the verdict", href="#verdict", className="skip"),
            html.Header(
                [
                    html.Div(
                        [html.P("studio", className="eyebrow"), html.H1(scenario.name)],
                        className="name",
                    ),
                    tools,
                ]
            ),
            html.Main(
                [
                    html.Section(id="verdict", role="status", **aria(live="polite")),
                    html.Aside(
                        [html.Div(controls(found, session), id="controls"), _keeping(save_as)],
                        id="side",
                        **aria(label="Controls"),
                    ),
                    html.Div(
                        [
                            html.Section([html.H2("Comparison"), html.Div(id="comparison")]),
                            html.Section([html.H2("What would change it"), html.Div(id="changes")]),
                            html.Section([html.H2("Variants"), html.Div(id="variants")], id="place-variants"),
                            *figures([*scenario.workloads], hosted),
                            html.Section([html.H2("Take care"), html.Div(id="care")], id="place-care"),
                        ],
                        id="answer",
                        className="none-yet",
                    ),
                ]
            ),
            # Each follows from the one before: a verdict, painted, tables told, and seen.
            *(dcc.Store(id=name) for name in ("shown", "painted", "looked", "told", "seen")),
            dcc.Store(id="drawn"),
            # An answer to a look is thrown away once the next look is out: a slow machine would never see one.
            dcc.Interval(id="tick", interval=1000),
            dcc.Download(id="file"),
        ],
        className="studio",
    )


def _keeping(save_as: str) -> Any:  # noqa: ANN401 - a component
    name = dcc.Input(id="variant-name", type="text", placeholder="such as two replicas", autoComplete="off")
    place = dcc.Input(id="save-as", type="text", value=save_as, autoComplete="off", spellCheck="false")
    return html.Div(
        [
            html.H2("Keep"),
            html.Div(
                [html.Label("Variant", htmlFor="variant-name"), name, html.Button("Keep", id="keep")], className="row"
            ),
            html.Div(id="kept"),
            html.Div([html.Label("File", htmlFor="save-as"), place, html.Button("Save", id="save")], className="row"),
            html.Div([html.Button("Export the report", id="export")], className="row"),
            html.P(id="said", className="said", role="status", **aria(live="polite")),
        ],
        className="keeping",
    )
