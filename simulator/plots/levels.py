"""What a cluster does hour by hour: busy in a typical week, and its queue and KV blocks over the horizon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.plots.style import COLOURS, SCALE, figure
from simulator.workload.calendar import to_local

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from simulator.experiment.tables import Tables
    from simulator.plots.figure import Figure
    from simulator.scenario.schema import Scenario

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
#: More points than this say no more on a screen.
_MOST_POINTS: Final = 800


def week(scenario: Scenario, tables: Tables, pattern: str) -> Figure:
    """Share of the time in which a step is executing, mean over replicas and weeks, by local hour of the week."""
    shares = busy_by_hour(scenario, tables.levels(pattern))
    known = shares[~np.isnan(shares)]
    drawn = figure(
        height=300,
        x={"title": "local hour", "dtick": 3, "showgrid": False},
        y={"autorange": "reversed", "showgrid": False},
    )
    drawn.add_heatmap(
        z=np.round(shares, 4).tolist(),
        x=list(range(24)),
        y=list(DAYS),
        colorscale=[[number / (len(SCALE) - 1), colour] for number, colour in enumerate(SCALE)],
        zmin=0.0,
        zmax=max(0.01, float(known.max())) if len(known) else 1.0,
        xgap=1,
        ygap=1,
        colorbar={"tickformat": ".0%", "thickness": 12, "outlinewidth": 0, "title": {"text": "GPUs<br>busy"}},
        hovertemplate="%{y} %{x}:00, busy %{z:.1%} of the time<extra></extra>",
    )
    return drawn


def busy_by_hour(scenario: Scenario, levels: pd.DataFrame) -> NDArray[np.float64]:
    """Busy fraction by local day and hour, shape (7, 24), after the warm-up; NaN where the horizon has no such hour."""
    busy, lasted = np.zeros((7, 24)), np.zeros((7, 24))
    horizon_s, warm_up_s = scenario.horizon.duration_s, scenario.experiment.warm_up
    for start_s, busy_s in zip(levels["start_s"], levels["busy_s"], strict=True):
        if start_s >= warm_up_s:
            at = to_local(scenario.horizon, start_s)
            busy[at.weekday(), at.hour] += busy_s
            lasted[at.weekday(), at.hour] += min(3600.0, horizon_s - start_s)
    return np.where(lasted > 0.0, busy / np.maximum(lasted, 1.0), np.nan)


def over_time(scenario: Scenario, tables: Tables, pattern: str) -> Figure:
    """Sequences running and waiting of all replicas, and the share of KV blocks in use, hour by hour."""
    levels = tables.levels(pattern)
    hours = levels.groupby("start_s", sort=True)[["sequence_s", "waiting_s", "kv_block_s", "kv_blocks"]].sum()
    lasted_s = np.minimum(3600.0, scenario.horizon.duration_s - hours.index.to_numpy())
    every = max(1, -(-len(hours) // _MOST_POINTS))
    at = [f"{to_local(scenario.horizon, start_s):%Y-%m-%d %H:%M}" for start_s in hours.index[::every]]
    drawn = figure(height=420, x={"type": "date"}, y={"title": "sequences", "rangemode": "tozero", "domain": [0.42, 1]})
    curves: tuple[tuple[str, pd.Series[float], str, str], ...] = (
        ("running", hours["sequence_s"] / lasted_s, COLOURS[0], "y"),
        ("waiting", hours["waiting_s"] / lasted_s, COLOURS[1], "y"),
        ("KV blocks in use", hours["kv_block_s"] / lasted_s / hours["kv_blocks"], COLOURS[2], "y2"),
    )
    for name, values, colour, axis in curves:
        drawn.add_scatter(
            x=at,
            y=[float(f"{value:.4g}") for value in _highest(values.to_numpy(), every)],
            name=name,
            yaxis=axis,
            mode="lines",
            line={"color": colour, "width": 1.3, "shape": "hv"},
        )
    second = {**drawn.layout.yaxis.to_plotly_json(), "title": "KV in use", "tickformat": ".0%", "domain": [0.0, 0.32]}
    return drawn.update_layout(yaxis2=second, xaxis={"anchor": "y2"})


def _highest(values: NDArray[np.floating[Any]], every: int) -> NDArray[np.floating[Any]]:
    """The highest of each so many values: peaks are what a picture of a queue is for."""
    return np.maximum.reduceat(values, np.arange(0, len(values), every)) if len(values) else values
