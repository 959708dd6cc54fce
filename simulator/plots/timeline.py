"""What happened when: requests that nobody served or that another backend did, and what was broken meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.plots.style import COLOURS, GREY, figure
from simulator.workload.calendar import to_local

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go

    from simulator.scenario.schema import Scenario

_KINDS: Final = {"lost": "lost", "failed_over": "served by another backend"}


def timeline(scenario: Scenario, document: Mapping[str, Any], pattern: str) -> go.Figure | None:
    """Requests lost and failed over by workload and time of arrival, with incidents shaded; None without any faults."""
    row = next(row for row in document["patterns"] if row["name"] == pattern)
    found = row.get("timeline")
    if found is None:
        return None
    drawn = figure(
        height=340,
        x={"title": "local time"},
        y={"title": f"requests in {found['interval_s'] / 60:g} min", "rangemode": "tozero"},
    )
    for number, (name, counts) in enumerate(found["workloads"].items()):
        times = [_local(scenario, index * found["interval_s"]) for index in range(len(counts["arrived"]))]
        for kind, words in _KINDS.items():
            if any(counts[kind]):
                drawn.add_scatter(
                    x=times,
                    y=counts[kind],
                    mode="lines",
                    line={
                        "shape": "hv",
                        "color": COLOURS[number % len(COLOURS)],
                        "dash": "solid" if kind == "lost" else "dot",
                    },
                    name=f"{name}, {words}",
                    hovertemplate=f"%{{x|%a %d %b %H:%M}}: %{{y}} {words}<extra>{name}</extra>",
                )
    horizon_s = scenario.horizon.duration_s
    for incident in found["incidents"]:
        drawn.add_vrect(
            x0=_local(scenario, incident["start_s"]),
            x1=_local(scenario, min(incident["end_s"], horizon_s)),
            fillcolor=GREY,
            opacity=0.25,
            line_width=0,
            annotation={"text": f"{incident['backend']}: {incident['cause']}", "font": {"size": 11}, "textangle": -90},
        )
    return drawn


def _local(scenario: Scenario, at_s: float) -> str:
    """Wall-clock time without an offset, which an axis would take for another time zone."""
    return to_local(scenario.horizon, at_s).replace(tzinfo=None).isoformat(timespec="seconds")
