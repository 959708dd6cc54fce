"""Pictures of a sweep: what a setting does to cost and p99, by hosting pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import plotly.graph_objects as go

#: Metrics drawn, with their axis.
SHOWN: Final = {"monthly_cost_usd": "USD a month", "e2e_s_p99": "end to end p99, s", "busy_fraction": "GPUs busy"}
#: Of Okabe and Ito: told apart by everybody.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def sweep_figure(frame: pd.DataFrame, axes: Sequence[str], title: str) -> go.Figure:
    """Cost, p99 and use against every setting that was varied: a row for each figure, a column for each setting.

    Args:
        frame: From `simulator.study.sweep.sweep`.
        axes: Settings that were varied.
        title: Heading.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    whole = frame[(frame["workload"] == "all") & frame["metric"].isin(SHOWN)]
    panels = make_subplots(
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
