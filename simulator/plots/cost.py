"""Cost: by line of the bill, and at other volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.plots.style import COLOURS, GREY, figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.plots.figure import Figure


def breakdown(document: Mapping[str, Any]) -> Figure:
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
    most = document.get("budget_usd_per_month")
    if most is not None and names:
        line = {"color": GREY, "dash": "dash", "width": 1.5}
        bars.add_scatter(
            x=[most] * 2, y=[names[0], names[-1]], mode="lines", name="budget", line=line, hoverinfo="name"
        )
    # Many lines on a narrow page: the legend has the whole width, below everything else.
    legend = {"xref": "container", "yref": "container", "x": 0, "y": 0, "yanchor": "bottom", "traceorder": "normal"}
    return bars.update_layout(barmode="stack", bargap=0.35, legend=legend)


def over_months(
    document: Mapping[str, Any], months: Sequence[tuple[str, float]], colours: Mapping[str, str]
) -> Figure | None:
    """Monthly cost in each of some months, as the cost curve has it at their volumes; purchases are written off.

    Args:
        document: The published JSON document.
        months: Names, and tokens of each.
        colours: By hosting pattern.

    Returns:
        The figure; None where the decision has no cost curve, or there are no months.
    """
    curve = document["decision"].get("cost_curve")
    if not curve or not curve["series"] or not months:
        return None
    names, tokens = [name for name, _ in months], np.array([volume for _, volume in months])
    drawn = figure(
        height=420,
        x={"title": "month", "type": "category", "nticks": 12},
        y={"title": "USD a month", "tickformat": ",", "rangemode": "tozero"},
    )
    for one in curve["series"]:
        known = np.array(one["tokens_per_month"], dtype=float)
        costs = np.interp(tokens, known, one["monthly_cost_usd"])
        drawn.add_scatter(
            x=names,
            # Beyond the end of the curve nothing is known.
            y=[cost if volume <= known[-1] else None for cost, volume in zip(costs.tolist(), tokens, strict=True)],
            customdata=(tokens / 1e6).tolist(),
            mode="lines",
            line={"color": colours[one["pattern"]], "width": 2.5},
            name=one["pattern"],
            hovertemplate="%{x}, %{customdata:,.0f} million tokens: %{y:,.0f} USD<extra>%{fullData.name}</extra>",
        )
    return drawn


def by_volume(document: Mapping[str, Any], colours: Mapping[str, str]) -> Figure | None:
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
    under: list[str] = []
    for name, (volumes, costs) in lines.items():
        # What costs as much as a line before it is dashed over it, so that both are seen.
        hidden = sum(_alike(lines[name], lines[other]) for other in under)
        under.append(name)
        drawn.add_scatter(
            x=volumes.tolist(),
            y=costs,
            mode="lines",
            name=name,
            line={
                "color": colours[name],
                "width": 4.5 if not hidden else max(1.5, 3.5 - hidden),
                "dash": "solid" if not hidden else f"{8 + 4 * hidden}px,{8 + 4 * hidden}px",
            },
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
    budget = document.get("budget_usd_per_month")
    if budget is not None:
        level = {"color": GREY, "dash": "dot", "width": 1.5}
        drawn.add_scatter(x=[0.0, reach], y=[budget] * 2, mode="lines", name="budget", line=level, hoverinfo="name")
    today, most = curve["today_tokens_per_month"] / 1e6, max(max(costs) for _, costs in lines.values())
    line = {"color": GREY, "dash": "dash", "width": 1.2}
    drawn.add_scatter(x=[today] * 2, y=[0.0, most], mode="lines", name="today's volume", line=line, hoverinfo="name")
    return drawn


def _alike(one: tuple[Any, list[float]], other: tuple[Any, list[float]]) -> bool:
    """Whether two lines are nowhere farther from each other than a fiftieth of the figure's height."""
    places = np.union1d(one[0], other[0])
    first, second = (np.interp(places, *line) for line in (one, other))
    return bool(np.max(np.abs(first - second)) <= max(*one[1], *other[1]) / 50.0)
