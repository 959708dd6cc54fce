"""Cost by line of the bill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.plots.style import COLOURS, figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go


def breakdown(document: Mapping[str, Any]) -> go.Figure:
    """A bar for each hosting pattern, a piece for each line of its bill, largest lines first.

    Args:
        document: The published JSON document.
    """
    patterns = [row for row in document["patterns"] if row["requests"] is not None]
    sums: dict[str, float] = {}
    for row in patterns:
        for line, usd in row["cost_lines_usd"].items():
            sums[line] = sums.get(line, 0.0) + usd
    names = [row["name"] for row in patterns]
    bars = figure(
        height=90 + 46 * len(names),
        x={"title": "USD a month", "tickformat": ",", "rangemode": "tozero"},
        y={"autorange": "reversed", "showgrid": False},
    )
    for number, line in enumerate(sorted(sums, key=lambda line: -sums[line])):
        bars.add_bar(
            x=[row["cost_lines_usd"].get(line, 0.0) for row in patterns],
            y=names,
            orientation="h",
            name=line.replace("_", " "),
            marker={"color": COLOURS[number % len(COLOURS)], "opacity": 1.0 if number < len(COLOURS) else 0.6},
            hovertemplate="%{y}<br>%{fullData.name}: %{x:,.2f} USD<extra></extra>",
        )
    return bars.update_layout(barmode="stack", bargap=0.35)
