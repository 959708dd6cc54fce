"""Requests over the horizon: when they arrive, and when they leave their backend or are lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.plots.style import COLOURS, GREY, colours_of, figure
from simulator.workload.calendar import to_local

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from simulator.experiment.tables import Tables
    from simulator.plots.figure import Figure
    from simulator.scenario.schema import Scenario

HOUR_S: Final = 3600.0
#: Outcomes that are no answer; what is under way when the horizon ends is not lost.
LOST: Final = ("rejected", "timed_out", "cancelled")


def arrivals(scenario: Scenario, tables: Tables) -> Figure:
    """Requests an hour by workload, one replication."""
    names = list(scenario.workloads)
    first = next((part for part in tables.row_groups("requests", columns=["pattern"]) if len(part)), None)
    counts = {name: np.zeros(_hours(scenario), np.int64) for name in names}
    if first is not None:
        kinds = partial(_workloads, names)
        counts |= _by_hour(scenario, tables, first["pattern"][0].as_py(), kinds, "workload")
    drawn = figure(height=320, x={"type": "date"}, y={"title": "requests an hour", "rangemode": "tozero"})
    for name, colour in colours_of(names).items():
        _add_hours(drawn, scenario, counts[name], name, colour)
    return drawn.update_traces(stackgroup="one", line={"width": 0})


def _workloads(names: list[str], rows: pd.DataFrame) -> dict[str, pd.Series[bool]]:
    return {name: rows["workload"] == name for name in names}


def failovers(scenario: Scenario, tables: Tables, pattern: str) -> Figure | None:
    """Requests of a pattern that left their first backend, by reason, and that were lost, by hour of arrival."""
    counts = _by_hour(scenario, tables, pattern, _kinds, "failed_over", "outcome")
    some = {name: by_hour for name, by_hour in counts.items() if by_hour.any()}
    if not some:
        return None
    drawn = figure(height=300, x={"type": "date"}, y={"title": "requests an hour", "rangemode": "tozero"})
    for number, (name, by_hour) in enumerate(some.items()):
        colour = COLOURS[number] if number < len(COLOURS) else GREY
        _add_hours(drawn, scenario, by_hour, name, colour)
    return drawn


def _kinds(rows: pd.DataFrame) -> dict[str, pd.Series[bool]]:
    """Which requests left their first backend for each reason, and which were lost."""
    moved = {f"to another backend: {reason}": rows["failed_over"] == reason for reason in _others(rows["failed_over"])}
    return moved | {outcome.replace("_", " "): rows["outcome"] == outcome for outcome in LOST}


def _others(reasons: pd.Series[str]) -> list[str]:
    return [str(reason) for reason in reasons.cat.categories if reason != "none"]


def _by_hour(
    scenario: Scenario,
    tables: Tables,
    pattern: str,
    kinds: Callable[[pd.DataFrame], dict[str, pd.Series[bool]]],
    *columns: str,
) -> dict[str, NDArray[np.int64]]:
    """Requests of each kind by hour of arrival."""
    found: dict[str, NDArray[np.int64]] = {}
    for part in tables.row_groups(pattern=pattern, columns=["arrival_s", *columns]):
        rows = part.to_pandas()
        hour = (rows["arrival_s"] // HOUR_S).astype(int)
        for name, members in kinds(rows).items():
            found[name] = found.get(name, 0) + np.bincount(hour[members], minlength=_hours(scenario))
    return found


def _hours(scenario: Scenario) -> int:
    return int(-(-scenario.horizon.duration_s // HOUR_S))


def _add_hours(drawn: go.Figure, scenario: Scenario, counts: NDArray[np.int64], name: str, colour: str) -> None:
    hours = _hours(scenario)
    at = [f"{to_local(scenario.horizon, hour * HOUR_S):%Y-%m-%d %H:%M}" for hour in range(hours)]
    drawn.add_scatter(
        x=at, y=counts.tolist(), mode="lines", name=name, line={"color": colour, "width": 1.3, "shape": "hv"}
    )
