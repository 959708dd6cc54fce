"""A replay beside the simulation of the same requests, sent at the same moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.bench.engine_settings import engine_settings
from simulator.bench.serving import Served, request_table, serve
from simulator.engine.vllm.plan import plan_of
from simulator.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import plotly.graph_objects as go
    from rich.table import Table

    from simulator.bench.replay_record import ReplayRecord
    from simulator.engine.vllm.plan import ReplicaPlan
    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import EngineSettings


def engine_of(record: ReplayRecord, given: Iterable[str] = ()) -> EngineSettings:
    """The server's settings: what it said of itself, then what is given as `key=value`, else vLLM's defaults.

    Raises:
        ProfileError: A setting is unknown or its value is not allowed.
    """
    server = record.server
    settings: dict[str, Any] = {
        "block_size": server.block_size,
        "num_gpu_blocks": server.num_gpu_blocks,
        "prefix_caching": server.prefix_caching,
    }
    return engine_settings(given, {name: value for name, value in settings.items() if value is not None})


def measured(record: ReplayRecord, *, completed_only: bool = False) -> Served:
    """What the clients saw of every completed request, in order of sending.

    Args:
        record: The replay.
        completed_only: Leave out the others instead of refusing.

    Raises:
        TraceError: Some were not completed: a simulation that completes all of them is no comparison; or none was.
    """
    requests = record.requests
    lost = [outcome for outcome in requests.outcome if outcome != "completed"]
    if lost and not (completed_only and len(lost) < len(requests.outcome)):
        kinds = ", ".join(f"{lost.count(kind)} {kind}" for kind in dict.fromkeys(lost))
        hint = "" if len(lost) == len(requests.outcome) else "; --completed-only compares the others"
        raise TraceError(
            f"of {len(requests.outcome)} requests not all were completed ({kinds}): nothing to compare with{hint}"
        )
    order = [row for row in _order(record) if requests.outcome[row] == "completed"]
    ends = [requests.e2e_s(row) for row in order]
    return Served(
        arrival_s=_column(requests.sent_s, order),
        ttft_s=_column(requests.ttft_s, order),
        e2e_s=np.array(ends, np.float64),
        output_tokens=np.array(requests.output_tokens, np.int64)[order],
        preemptions=np.zeros(len(order), np.int64),
    )


def simulated(record: ReplayRecord, plan: ReplicaPlan, settings: EngineSettings) -> Served:
    """The same of the simulation of all that the server had to do; what it refused was no work.

    An answer that did not come whole counts as all that was asked for: until its client left, the server was at it.
    """
    requests = record.requests
    order = [row for row in _order(record) if requests.outcome[row] != "refused" and requests.sent_s[row] is not None]
    whole = np.array([requests.outcome[row] == "completed" for row in order])
    asked = requests.asked_tokens or requests.output_tokens
    output = np.where(whole, np.array(requests.output_tokens)[order], np.maximum(1, np.array(asked)[order]))
    table = request_table(_column(requests.sent_s, order), np.array(requests.prompt_tokens)[order], output)
    table.prefix_id[:] = np.array(requests.prefix_id)[order]
    table.prefix_tokens[:] = np.array(requests.prefix_tokens)[order]
    return serve(settings, plan, table).of(whole)


def doubts(record: ReplayRecord, profile: PerformanceProfile) -> list[str]:
    """What makes a comparison worth less, in words."""
    found, requests = [], record.requests
    if short := requests.missing_tokens():
        found.append(
            f"{short:,} tokens that were asked for never came: the server ends answers when it likes, and the "
            "simulation ends them where it did"
        )
    here, there = record.server.device, profile.provenance.get("device")
    if here and there and here != there:
        found.append(f"the replay is of {here}, the profile of {there}: they differ by more than any setting")
    return found


def compare_replay(
    record: ReplayRecord, profile: PerformanceProfile, settings: EngineSettings, *, completed_only: bool = False
) -> dict[str, tuple[float, float]]:
    """By metric, what the clients measured and what the simulation says.

    Raises:
        TraceError: Not every request was completed, and those that were are not asked for alone.
    """
    sides = both(record, profile, settings, completed_only=completed_only)
    theirs, ours = (served.metrics() for served in sides)
    return {name: (value, ours[name]) for name, value in theirs.items() if name in ours}


def both(
    record: ReplayRecord, profile: PerformanceProfile, settings: EngineSettings, *, completed_only: bool = False
) -> tuple[Served, Served]:
    """Every request that was completed, as measured and as simulated.

    Raises:
        TraceError: Not every request was completed, and those that were are not asked for alone.
    """
    theirs = measured(record, completed_only=completed_only)
    return theirs, simulated(record, plan_of(profile, settings), settings)


def figure(theirs: Served, ours: Served, title: str) -> go.Figure:
    """Share of requests up to each TTFT, mean inter-token time and end-to-end time, measured and simulated."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    names = ("time to first token, s", "mean inter-token time, s", "end to end, s")
    panels = make_subplots(rows=1, cols=3, shared_yaxes=True)
    sides = (("measured", theirs, "#888", "solid"), ("simulated", ours, "#1f5fa8", "dash"))
    for column, name in enumerate(names, start=1):
        for side, served, colour, dash in sides:
            many = served.output_tokens > 1
            gaps_s = (served.e2e_s - served.ttft_s)[many] / (served.output_tokens[many] - 1)
            values = np.sort((served.ttft_s, gaps_s, served.e2e_s)[column - 1])
            line = {"color": colour, "dash": dash, "shape": "hv"}
            share = np.arange(1, len(values) + 1) / max(1, len(values))
            curve = go.Scatter(x=values, y=share, mode="lines", name=side, line=line, showlegend=column == 1)
            panels.add_trace(curve, row=1, col=column)
        panels.update_xaxes(title=name, rangemode="tozero", row=1, col=column)
    panels.update_yaxes(title="share of requests", tickformat=".0%", row=1, col=1)
    legend = {"orientation": "h", "y": 1.12, "x": 1, "xanchor": "right"}
    return panels.update_layout(title=title, height=420, template="plotly_white", legend=legend)


def table(found: dict[str, tuple[float, float]], title: str) -> Table:
    """The comparison for a person."""
    from rich.table import Table

    grid = Table("metric", title=title, title_justify="left")
    for name in ("measured", "simulated", "error, %"):
        grid.add_column(name, justify="right")
    for name, (value, ours) in found.items():
        seconds = name.endswith("_s") and not name.endswith("_per_s")
        label, scale = (f"{name[:-2]}, ms", 1000.0) if seconds else (name, 1.0)
        error = f"{100.0 * (ours / value - 1.0):+.1f}" if value else ""
        grid.add_row(label, f"{scale * value:,.2f}", f"{scale * ours:,.2f}", error)
    return grid


def document(
    found: dict[str, tuple[float, float]], record: ReplayRecord, profile: str, doubts: Sequence[str] = ()
) -> dict[str, Any]:
    """The comparison for a program; times in seconds."""
    return {
        "schema_version": 1,
        "trace": record.trace.model_dump(),
        "server": record.server.model_dump(),
        "profile": profile,
        "requests": len(record.requests.outcome),
        "completed": record.requests.outcome.count("completed"),
        "doubts": list(doubts),
        "metrics": {
            name: {
                "measured": value,
                "simulated": ours,
                "error_percent": round(100.0 * (ours / value - 1.0), 2) if value else None,
            }
            for name, (value, ours) in found.items()
        },
    }


def _order(record: ReplayRecord) -> list[int]:
    when = record.requests.sent_s
    return sorted(range(len(when)), key=lambda row: when[row] or 0.0)


def _column(values: list[float | None], order: list[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values, np.float64)[order]
