"""A trace as a person wants to see it: a table of what it is like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.plots.trace import DAYS

if TYPE_CHECKING:
    from rich.console import RenderableType

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
            ends = (_number(one["log_correlation_of_lengths"]), f"{100 * one['prefix_share_of_prompt_tokens']:.1f} %")
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


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
