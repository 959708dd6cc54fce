"""Recorded demand: by hour of the week, and how its lengths are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from simulator.plots.figure import Figure

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def figure(found: dict[str, Any], title: str) -> Figure:
    """Hour of the week of each workload, and how its lengths are spread; small cells are left out."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    shown = {name: one for name, one in found["workloads"].items() if one["requests"] is not None}
    titles = ["requests an hour, by hour of the week", "tokens: p50 to p99"]
    panels: Figure = make_subplots(rows=2, cols=1, subplot_titles=titles, vertical_spacing=0.12, row_heights=[0.6, 0.4])
    hours = [f"{day} {hour:02d}:00" for day in DAYS for hour in range(24)]
    for name, one in shown.items():
        rates = [cell for day in one["requests_per_hour_of_week"] for cell in day]
        panels.add_trace(go.Scatter(x=hours, y=rates, mode="lines", name=name, legendgroup=name), row=1, col=1)
        for kind in ("prompt_tokens", "output_tokens"):
            points = [one[kind][key] for key in ("p50", "p90", "p95", "p99")]
            label = f"{name} {kind.split('_')[0]}"
            marks = go.Scatter(x=points, y=[label] * 4, mode="lines+markers", legendgroup=name, showlegend=False)
            panels.add_trace(marks, row=2, col=1)
    panels.update_xaxes(type="log", title="tokens", tickformat=",", row=2, col=1)
    panels.update_xaxes(nticks=15, row=1, col=1)
    return panels.update_layout(title=title, height=500 + 60 * len(shown), template="plotly_white")
