"""Requests over the horizon: when they arrive, and when they leave their backend or are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.plots.style import COLOURS, GREY, colours_of, figure
from simulator.workload.calendar import to_local

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from simulator.experiment.tables import Tables
    from simulator.scenario.schema import Scenario

HOUR_S: Final = 3600.0
#: Outcomes that are no answer; what is under way when the horizon ends is not lost.
LOST: Final = ("rejected", "timed_out", "cancelled")


def arrivals(scenario: Scenario, tables: Tables) -> go.Figure:
    """Requests an hour by workload, one replication."""
    some = next(tables.row_groups("requests"))["pattern"][0].as_py()
    rows = tables.requests(some, ["workload", "arrival_s"])
    drawn = figure(height=320, x={"type": "date"}, y={"title": "requests an hour", "rangemode": "tozero"})
    names = list(scenario.workloads)
    for name, colour in colours_of(names).items():
        _add_hours(drawn, scenario, rows[rows["workload"] == name], name, colour)
    return drawn.update_traces(stackgroup="one", line={"width": 0})


def failovers(scenario: Scenario, tables: Tables, pattern: str) -> go.Figure | None:
    """Requests of a pattern that left their first backend, by reason, and that were lost, by hour of arrival."""
    rows = tables.requests(pattern, ["arrival_s", "failed_over", "outcome"])
    kinds = {f"to another backend: {reason}": rows["failed_over"] == reason for reason in _others(rows["failed_over"])}
    kinds |= {outcome.replace("_", " "): rows["outcome"] == outcome for outcome in LOST}
    some = {name: rows[which] for name, which in kinds.items() if which.any()}
    if not some:
        return None
    drawn = figure(height=300, x={"type": "date"}, y={"title": "requests an hour", "rangemode": "tozero"})
    for number, (name, members) in enumerate(some.items()):
        colour = COLOURS[number] if number < len(COLOURS) else GREY
        _add_hours(drawn, scenario, members, name, colour)
    return drawn


def _others(reasons: pd.Series[str]) -> list[str]:
    return [str(reason) for reason in reasons.cat.categories if reason != "none"]


def _add_hours(drawn: go.Figure, scenario: Scenario, rows: pd.DataFrame, name: str, colour: str) -> None:
    hours = int(-(-scenario.horizon.duration_s // HOUR_S))
    counts = np.bincount((rows["arrival_s"] // HOUR_S).astype(int), minlength=hours)
    at = [f"{to_local(scenario.horizon, hour * HOUR_S):%Y-%m-%d %H:%M}" for hour in range(hours)]
    drawn.add_scatter(
        x=at, y=counts.tolist(), mode="lines", name=name, line={"color": colour, "width": 1.3, "shape": "hv"}
    )
