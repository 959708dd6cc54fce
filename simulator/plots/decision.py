"""What would change a verdict, and what a rollout costs over the months."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.plots.style import COLOURS, GREY, figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.plots.figure import Figure

_LOW, _HIGH = COLOURS[0], COLOURS[1]
#: What was moved, as people say it.
_LIMITS: Final = {"ttft": "first token", "end_to_end": "whole answer", "chain": "whole chain"}
_SPELT: Final = {"api": "API", "gpu": "GPU"}
_DASHES: Final = {"projection": "solid", "actual": "dot"}


def tornado(document: Mapping[str, Any]) -> Figure | None:
    """A bar for each assumption that matters, from one end of its range to the other.

    It shows what the cheapest alternative costs beyond the choice, with what is assumed at either end. Left of zero, or
    at a cross, another pattern should be chosen: the one that stands beside the cross.

    Args:
        document: The published JSON document.

    Returns:
        The figure; None where nothing is recommended, there is no alternative, or nothing moves a dollar.
    """
    found = document["decision"].get("tornado")
    if not found or found["margin_usd"] is None:
        return None
    base, choice = found["margin_usd"], found["recommended"]
    bars = [bar for bar in found["bars"] if _moves(bar, base, choice)]
    if not bars:
        return None
    names = [_named(bar["factor"]) for bar in bars]
    drawn = figure(
        height=90 + 30 * len(bars),
        x={"title": f"USD a month that the next costs more than {choice}", "tickformat": ","},
        y={"autorange": "reversed", "showgrid": False},
    )
    for end, colour in (("low", _LOW), ("high", _HIGH)):
        margins = [bar[f"margin_{end}_usd"] for bar in bars]
        drawn.add_bar(
            x=[0.0 if margin is None else margin - base for margin in margins],
            base=base,
            y=names,
            orientation="h",
            name=f"at the {end} end",
            marker={"color": colour},
            text=["" if margin is None else _value(bar, end) for bar, margin in zip(bars, margins, strict=True)],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y} at %{text}: %{x:,.0f} USD<extra></extra>",
        )
        gone = [bar for bar in bars if bar[f"recommended_{end}"] != choice]
        if gone:
            drawn.add_scatter(
                x=[_cross(bar, end) for bar in gone],
                y=[names[bars.index(bar)] for bar in gone],
                mode="markers+text",
                name=f"another choice at the {end} end",
                text=[f"{_value(bar, end)}: {bar[f'recommended_{end}'] or 'nothing'}" for bar in gone],
                textposition="middle right",
                hovertemplate="%{y} at %{text}<extra></extra>",
                marker={"color": colour, "symbol": "x", "size": 10},
            )
    drawn.add_vline(x=base, line={"color": GREY, "width": 1})
    return drawn.add_vline(x=0.0, line={"color": GREY, "dash": "dash", "width": 1.2}).update_layout(barmode="overlay")


def _named(factor: str) -> str:
    """What was moved: an assumption, or a limit of a workload, which keeps its name.

    >>> _named("api_time"), _named("chart_notes.ttft")
    ('API time', 'chart_notes: first token')
    """
    workload, dot, metric = factor.rpartition(".")
    if dot:
        return f"{workload}: {_LIMITS.get(metric, metric)}"
    words = factor.replace("_", " ")
    return next((long + words[len(short) :] for short, long in _SPELT.items() if words.startswith(short)), words)


def _cross(bar: Mapping[str, Any], end: str) -> float:
    """Where the cross stands: at the margin, and at nothing where the choice is out altogether."""
    margin = bar[f"margin_{end}_usd"]
    return 0.0 if margin is None else float(margin)


def _value(bar: Mapping[str, Any], end: str) -> str:
    """What the assumption is there, as short as it can be."""
    value, unit = bar[end], bar["unit"]
    if unit == "s":
        return f"{value:.3g} s"
    return f"× {value:.3g}" if unit.startswith("times") else f"{value / 1e6:,.0f}M tokens"


def _moves(bar: Mapping[str, Any], margin_usd: float, choice: str) -> bool:
    """Whether an assumption changes the margin by a dollar at least, or the choice."""
    ends = (bar["margin_low_usd"], bar["margin_high_usd"])
    moved = any(end is None or abs(end - margin_usd) >= 1.0 for end in ends)
    return moved or any(bar[f"recommended_{end}"] != choice for end in ("low", "high"))


def rollout_cash(document: Mapping[str, Any]) -> Figure:
    """What is paid up to each month of a rollout, a line for each way through it.

    Args:
        document: The JSON document of a rollout.
    """
    drawn = figure(
        height=440,
        x={"title": "month", "rangemode": "tozero"},
        y={"title": "USD paid so far", "tickformat": ",", "rangemode": "tozero"},
    )
    for variant, dash in _DASHES.items():
        course = (document[variant] or {"course": {"strategies": []}})["course"]
        for number, one in enumerate(course["strategies"]):
            note = " (actual)" if variant == "actual" else ""
            drawn.add_scatter(
                x=list(range(1, len(one["cumulative_usd"]) + 1)),
                y=one["cumulative_usd"],
                mode="lines",
                name=f"{one['text']}{note}",
                line={
                    "color": COLOURS[number % len(COLOURS)],
                    "dash": dash,
                    "width": 3 if one["name"] == "plan" else 1.8,
                },
                hovertemplate="month %{x}: %{y:,.0f} USD<extra>%{fullData.name}</extra>",
            )
    steps = [step for step in document["projection"]["course"]["steps"] if step["month"] is not None]
    if steps:
        plan = document["projection"]["course"]["strategies"][0]["cumulative_usd"]
        drawn.add_scatter(
            x=[step["month"] for step in steps],
            y=[plan[step["month"] - 1] for step in steps],
            mode="markers",
            name="change of pattern",
            text=[step["text"] for step in steps],
            hovertemplate="%{text}<extra></extra>",
            marker={"color": GREY, "size": 10, "symbol": "diamond"},
        )
    return drawn


def rollout_volume(document: Mapping[str, Any]) -> Figure:
    """Tokens a month, as projected, and as the curve through what was observed has them.

    Args:
        document: The JSON document of a rollout.
    """
    drawn = figure(
        height=260,
        x={"type": "category", "nticks": 13},
        y={"title": "million tokens a month", "tickformat": ",", "rangemode": "tozero"},
    )
    for name, colour in (("projection", COLOURS[0]), ("actual", COLOURS[1])):
        course = document.get(name)
        if course:
            drawn.add_scatter(
                x=[month["date"] for month in course["months"]],
                y=[month["tokens_per_month"] / 1e6 for month in course["months"]],
                mode="lines+markers",
                name=name,
                line={"color": colour, "width": 2},
                marker={"size": 5},
            )
    return drawn
