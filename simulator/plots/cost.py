"""Cost: by line of the bill, and at other volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.plots.style import COLOURS, GREY, figure

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
    some = [line for line in sums if sums[line]]
    for number, line in enumerate(sorted(some, key=lambda line: -sums[line])):
        bars.add_bar(
            x=[row["cost_lines_usd"].get(line, 0.0) for row in patterns],
            y=names,
            orientation="h",
            name=line.replace("_", " "),
            marker={"color": COLOURS[number % len(COLOURS)], "opacity": 1.0 if number < len(COLOURS) else 0.6},
            hovertemplate="%{y}<br>%{fullData.name}: %{x:,.2f} USD<extra></extra>",
        )
    return bars.update_layout(barmode="stack", bargap=0.35)


def by_volume(document: Mapping[str, Any], colours: Mapping[str, str]) -> go.Figure | None:
    """Monthly cost against tokens a month, a mark at each break-even and a line at today's volume.

    Args:
        document: The published JSON document.
        colours: By hosting pattern.

    Returns:
        The figure; None where the decision has no cost curve.
    """
    curve = document["decision"].get("cost_curve")
    if not curve or not curve["series"]:
        return None
    drawn = figure(
        height=420,
        x={"title": "million tokens a month", "tickformat": ",", "rangemode": "tozero"},
        y={"title": "USD a month", "tickformat": ",", "rangemode": "tozero"},
    )
    lines = {
        one["pattern"]: (np.array(one["tokens_per_month"]) / 1e6, one["monthly_cost_usd"]) for one in curve["series"]
    }
    for number, (name, (volumes, costs)) in enumerate(lines.items()):
        drawn.add_scatter(
            x=volumes.tolist(),
            y=costs,
            mode="lines",
            name=name,
            line={"color": colours[name], "width": max(1.5, 4.0 - 0.6 * number)},
            hovertemplate="%{x:,.0f} million tokens: %{y:,.0f} USD<extra>%{fullData.name}</extra>",
        )
    reach = max(max(volumes) for volumes, _ in lines.values())
    meet = [row for row in document["decision"]["break_even"] if 0 < (row["tokens_per_month"] or 0) <= 1e6 * reach]
    if meet:
        drawn.add_scatter(
            x=[row["tokens_per_month"] / 1e6 for row in meet],
            y=[row["api_usd"] for row in meet],
            mode="markers",
            name="break-even",
            text=[row["text"] for row in meet],
            hovertemplate="%{text}<extra></extra>",
            marker={"color": GREY, "size": 10, "symbol": "diamond", "line": {"color": "#ffffff", "width": 1.5}},
        )
    today, most = curve["today_tokens_per_month"] / 1e6, max(max(costs) for _, costs in lines.values())
    line = {"color": GREY, "dash": "dash", "width": 1.2}
    drawn.add_scatter(x=[today] * 2, y=[0.0, most], mode="lines", name="today's volume", line=line, hoverinfo="name")
    return drawn
