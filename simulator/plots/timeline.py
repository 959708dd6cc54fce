"""What happened when: requests that nobody served or that another backend did, and what was broken meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.plots.style import COLOURS, GREY, figure
from simulator.scenario.horizon import Horizon
from simulator.workload.calendar import to_local

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.plots.figure import Figure
    from simulator.scenario.schema import Scenario

_KINDS: Final = {"lost": "lost", "failed_over": "served by another backend"}
_DASHES: Final = {"lost": "solid", "failed_over": "dot", "completed": "dash"}


def timeline(scenario: Scenario, document: Mapping[str, Any], pattern: str) -> Figure | None:
    """Requests lost and failed over by workload and time of arrival, with incidents shaded; None without any faults."""
    found = _row(document, pattern).get("timeline")
    return None if found is None else _drawn(found, scenario.horizon, _KINDS)


def loss(scenario: Scenario, document: Mapping[str, Any], pattern: str, number: int) -> Figure:
    """The day on which a pattern loses a part of it in its busiest hour: what is answered, by whom, and what is not."""
    found = _row(document, pattern)["losses"][number]
    horizon = Horizon.model_validate({"start": found["day"], "duration": "2d", "time_zone": scenario.horizon.time_zone})
    return _drawn(found["timeline"], horizon, {"completed": "answered"} | _KINDS)


def _row(document: Mapping[str, Any], pattern: str) -> Mapping[str, Any]:
    return next(row for row in document["patterns"] if row["name"] == pattern)


def _drawn(found: Mapping[str, Any], horizon: Horizon, kinds: Mapping[str, str]) -> Figure:
    drawn = figure(
        height=340,
        x={"title": "local time"},
        y={"title": f"requests in {found['interval_s'] / 60:g} min", "rangemode": "tozero"},
    )
    intervals = max((len(counts["arrived"]) for counts in found["workloads"].values()), default=0)
    times = [_local(horizon, index * found["interval_s"]) for index in range(intervals)]
    for number, (name, counts) in enumerate(found["workloads"].items()):
        for kind, words in kinds.items():
            if any(counts[kind]):
                drawn.add_scatter(
                    x=times,
                    y=counts[kind],
                    mode="lines",
                    line={
                        "shape": "hv",
                        "color": COLOURS[number % len(COLOURS)],
                        "dash": _DASHES[kind],
                    },
                    name=f"{name}, {words}",
                    hovertemplate=f"%{{x|%a %d %b %H:%M}}: %{{y}} {words}<extra>{name}</extra>",
                )
    end_s = len(times) * found["interval_s"]
    for incident in found["incidents"]:
        drawn.add_vrect(
            x0=_local(horizon, incident["start_s"]),
            x1=_local(horizon, min(incident["end_s"], end_s)),
            fillcolor=GREY,
            opacity=0.25,
            line_width=0,
            annotation={"text": f"{incident['backend']}: {incident['cause']}", "font": {"size": 11}, "textangle": -90},
        )
    return drawn


def _local(horizon: Horizon, at_s: float) -> str:
    """Wall-clock time without an offset, which an axis would take for another time zone."""
    return to_local(horizon, at_s).replace(tzinfo=None).isoformat(timespec="seconds")
