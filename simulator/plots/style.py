"""One look for every figure: colours that everybody tells apart, quiet axes, no title."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.plots.figure import Figure

#: After Okabe and Ito (2008), told apart by everybody; the two lightest of them darkened to stand out from white.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B98200", "#3A9AD9", "#7B5EA7", "#6B7280")
GREY: Final = "#8A8F98"
#: From nothing to all of it; light and dark pages can both carry it.
SCALE: Final = ("#E8EEF4", "#9CC3E0", "#4A95C9", "#1565A5", "#0B3C6F")


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, in order."""
    return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}


def figure(*, height: int = 380, x: Mapping[str, Any], y: Mapping[str, Any]) -> Figure:
    """An empty figure.

    Args:
        height: In pixels; the width is that of its place.
        x: Properties of the horizontal axis.
        y: Properties of the vertical axis.
    """
    import plotly.graph_objects as go

    quiet = {"gridcolor": "rgba(138,143,152,0.25)", "zeroline": False, "automargin": True, "title_standoff": 8}
    drawn: Figure = go.Figure(
        layout={
            "template": "none",
            "height": height,
            "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13},
            "hovermode": "closest",
            "legend": {"orientation": "h", "y": -0.25, "yanchor": "top", "x": 0},
            "xaxis": quiet | dict(x),
            "yaxis": quiet | dict(y),
        }
    )
    return drawn
