"""A trace as a person wants to see it: a table of what it is like, and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from rich.console import RenderableType

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_BARS: Final = " ▁▂▃▄▅▆▇█"


def summary(found: dict[str, Any]) -> RenderableType:
    """Tables of rates, burstiness and lengths.

    Args:
        found: From `simulator.trace.statistics.statistics`.
    """
    from rich.console import Group
    from rich.table import Table

    lengths = Table("workload", "requests", "tokens", "mean", "p50", "p90", "p95", "p99", "log corr.", "shared prefix")
    for name, one in found["workloads"].items():
        if one["requests"] is None:
            lengths.add_row(name, "few", one["why"])
            continue
        for kind in ("prompt_tokens", "output_tokens"):
            quantiles = [f"{one[kind][key]:,.0f}" for key in ("mean", "p50", "p90", "p95", "p99")]
            first = kind == "prompt_tokens"
            ends = (_number(one["log_correlation_of_lengths"]), f"{one['prefix_share_of_prompt_tokens']:.1%}")
            lengths.add_row(*((name, f"{one['requests']:,}") if first else ("", "")), kind.split("_")[0], *quantiles,
                            *(ends if first else ()))  # fmt: skip
    bursts = Table("", *found["index_of_dispersion"], "5min", "all")
    rows = {
        "gaps: standard deviation / mean": found["inter_arrival_cv"],
        "counts: variance / mean": found["index_of_dispersion"],
        "… within 5 minutes": found["index_of_dispersion_within_5min"],
    }
    for label, values in rows.items():
        bursts.add_row(label, *(_number(values.get(name)) for name in (*found["index_of_dispersion"], "5min", "all")))
    head = f"{found['requests']:,} requests in {found['span_s']:,.0f} s: {found['requests_per_s']:.4g} a second"
    week = week_lines(found["requests_per_hour_of_week"])
    return Group(head, lengths, bursts, week, f"hours are {found['hours_are']}")


def week_lines(cells: list[list[float | None]]) -> str:
    """A line for each day, a bar for each hour; a dot where the trace does not reach or a cell is small."""
    most = max((cell for day in cells for cell in day if cell is not None), default=0.0) or 1.0
    lines = [f"requests an hour by hour of the week, {most:,.1f} at most"]
    for name, day in zip(DAYS, cells, strict=True):
        bars = "".join("·" if cell is None else _BARS[round(cell / most * (len(_BARS) - 1))] for cell in day)
        lines.append(f"{name} {bars}")
    return "\n".join(lines)


def figure(found: dict[str, Any], title: str) -> go.Figure:
    """Hour of the week of each workload, and how its lengths are spread; small cells are left out."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    shown = {name: one for name, one in found["workloads"].items() if one["requests"] is not None}
    titles = ["requests an hour, by hour of the week", "tokens: p50 to p99"]
    panels = make_subplots(rows=2, cols=1, subplot_titles=titles, vertical_spacing=0.12, row_heights=[0.6, 0.4])
    hours = [f"{day} {hour:02d}:00" for day in DAYS for hour in range(24)]
    for name, one in shown.items():
        rates = [cell for day in one["requests_per_hour_of_week"] for cell in day]
        panels.add_trace(go.Scatter(x=hours, y=rates, mode="lines", name=name, legendgroup=name), row=1, col=1)
        for kind in ("prompt_tokens", "output_tokens"):
            points = [one[kind][key] for key in ("p50", "p90", "p95", "p99")]
            label = f"{name} {kind.split('_')[0]}"
            marks = go.Scatter(x=points, y=[label] * 4, mode="lines+markers", legendgroup=name, showlegend=False)
            panels.add_trace(marks, row=2, col=1)
    panels.update_xaxes(type="log", title="tokens", row=2, col=1)
    panels.update_xaxes(nticks=15, row=1, col=1)
    return panels.update_layout(title=title, height=500 + 60 * len(shown), template="plotly_white")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
