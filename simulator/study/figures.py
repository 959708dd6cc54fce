"""Pictures of a sweep: what a setting does to cost and p99, by hosting pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from simulator.plots.figure import Figure
    from simulator.study.candidates import Candidate

#: Metrics drawn, with their axis.
SHOWN: Final = {"monthly_cost_usd": "USD a month", "e2e_s_p99": "end to end p99, s", "busy_fraction": "GPUs busy"}
#: Of Okabe and Ito: told apart by everybody.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def sweep_figure(frame: pd.DataFrame, axes: Sequence[str], title: str) -> Figure:
    """Cost, p99 and use against every setting that was varied: a row for each figure, a column for each setting.

    Args:
        frame: From `simulator.study.sweep.tabulate`.
        axes: Settings that were varied.
        title: Heading.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    whole = frame[(frame["workload"] == "all") & frame["metric"].isin(SHOWN)]
    panels: Figure = make_subplots(
        rows=len(SHOWN), cols=len(axes), shared_yaxes=True, shared_xaxes="columns", vertical_spacing=0.06
    )
    for row, (metric, label) in enumerate(SHOWN.items(), start=1):
        for column, axis in enumerate(axes, start=1):
            for number, (pattern, rows) in enumerate(whole[whole["metric"] == metric].groupby("pattern", sort=False)):
                ordered = rows.sort_values(axis)
                colour = COLOURS[number % len(COLOURS)]
                bars = None
                if ordered["ci95_low"].notna().any():
                    bars = {
                        "array": ordered["ci95_high"] - ordered["value"],
                        "arrayminus": ordered["value"] - ordered["ci95_low"],
                        "thickness": 1,
                    }
                # With one setting a line says which way it goes; with several each point has its own others.
                mode = "lines+markers" if len(axes) == 1 else "markers"
                points = go.Scatter(
                    x=ordered[axis], y=ordered["value"], error_y=bars, mode=mode, name=str(pattern),
                    legendgroup=str(pattern), showlegend=row == column == 1, marker={"color": colour, "size": 7},
                )  # fmt: skip
                panels.add_trace(points, row=row, col=column)
            panels.update_yaxes(rangemode="tozero", row=row, col=column)
        panels.update_yaxes(title=label, row=row, col=1)
    for column, axis in enumerate(axes, start=1):
        panels.update_xaxes(title=".".join(axis.split(".")[-2:]), row=len(SHOWN), col=column)
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"}
    return panels.update_layout(title=title, height=900, template="plotly_white", legend=legend)


def plan_figure(
    simulated: Sequence[Candidate], frontier: Sequence[Candidate], best: Candidate | None, title: str
) -> Figure:
    """Cost against p99 of every candidate that was simulated, with the frontier and the choice."""
    import plotly.graph_objects as go

    figure: Figure = go.Figure()
    figure.add_scatter(
        x=[one.cost_usd for one in frontier], y=[one.e2e_p99_s for one in frontier], mode="lines", name="frontier",
        line={"color": "#999999", "dash": "dot", "shape": "hv"}, hoverinfo="skip",
    )  # fmt: skip
    kinds = (("meets every objective", COLOURS[0], True), ("misses an objective", COLOURS[1], False))
    for label, colour, meets in kinds:
        some = [one for one in simulated if (one.refused is None) is meets and one.e2e_p99_s is not None]
        figure.add_scatter(
            x=[one.cost_usd for one in some], y=[one.e2e_p99_s for one in some], mode="markers", name=label,
            text=[f"{one.label}<br>{one.refused or ''}" for one in some], hovertemplate="%{text}<extra></extra>",
            marker={"color": colour, "size": 10, "symbol": "circle" if meets else "x"},
        )  # fmt: skip
    if best is not None:
        figure.add_scatter(
            x=[best.cost_usd], y=[best.e2e_p99_s], mode="markers", name=f"choice: {best.label}",
            marker={"color": "rgba(0,0,0,0)", "size": 20, "line": {"color": "#000000", "width": 2}},
        )  # fmt: skip
    figure.update_xaxes(title="USD a month", rangemode="tozero")
    figure.update_yaxes(title="end to end p99 of all requests, s", rangemode="tozero")
    legend = {"orientation": "h", "y": -0.18}
    return figure.update_layout(title=title, height=560, template="plotly_white", legend=legend)
