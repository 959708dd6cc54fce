"""The figures of the report: which there are, and what they say to somebody who cannot see them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.decision.words import percent
from simulator.plots.decision import rollout_cash, rollout_volume
from simulator.plots.levels import DAYS, busy_by_hour

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import plotly.graph_objects as go

    from simulator.plots import Plots

#: Sections of the page that have figures.
GROUPS: Final = ("change", "cost", "rollout", "wait", "busy", "demand")


def of(plots: Plots, rollout: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Every figure by name: `group`, `title`, `note`, `label`, `height` and the plain `plotly` data.

    Args:
        plots: Of the run.
        rollout: The JSON document of a rollout that goes with it.
    """
    found = {name: facts for name, facts in _figures(plots) if facts is not None}
    return found if rollout is None else found | of_rollout(rollout)


def groups(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Names of the figures of each section, in order."""
    return {group: [name for name, facts in figures.items() if facts["group"] == group] for group in GROUPS}


def _figures(plots: Plots) -> Iterator[tuple[str, dict[str, Any] | None]]:
    volume = plots.cost_by_volume()
    if volume is not None:
        note = plots.document["decision"]["cost_curve"]["basis"]
        label = "Monthly cost of each hosting pattern against tokens a month; the list above names the break-evens."
        yield "volume", _facts("change", volume, "Cost against volume", note, label)
    moved = plots.tornado()
    if moved is not None:
        note = (
            "USD a month by which the choice is cheaper, each assumption moved by itself to both ends of its range; "
            "a cross: at that end the pattern beside it is the choice"
        )
        label = (
            "How the lead of the recommended pattern changes with each assumption; the list above names the changes."
        )
        yield "tornado", _facts("change", moved, "What would change it", note, label)
    yield "cost", _facts("cost", plots.cost(), "USD a month by line of the bill", "", "The bills below say the same.")
    limits = plots.limits()
    if limits is not None:
        note = "dashed: as long as promised; a cross: never within it"
        label = "Time taken of the time promised, by workload and hosting pattern."
        yield "limits", _facts("wait", limits, "Time taken of the time promised", note, label)
    for name, workload in plots.scenario.workloads.items():
        metric = "e2e_s" if workload.objectives is None or workload.objectives.end_to_end else "ttft_s"
        for one in ("ttft_s", "e2e_s") if workload.objectives and workload.objectives.ttft else (metric,):
            what = {"ttft_s": "time to first token", "e2e_s": "end to end"}[one]
            label = f"Share of the requests of {name} within a time, {what}, by hosting pattern."
            yield f"wait-{name}-{one[:-2]}", _facts("wait", plots.latency(name, one), name, what, label)
    for name in plots.hosted:
        yield (
            f"week-{name}",
            _facts("busy", plots.week(name), name, "busy by local hour of the week", _week(plots, name)),
        )
    for name in plots.hosted:
        label = f"Sequences running and waiting, and KV blocks in use, of {name}, by hour."
        yield f"time-{name}", _facts("busy", plots.over_time(name), name, "queue and KV cache, highest hours", label)
    label = "Requests an hour by workload over the simulated time."
    yield "demand", _facts("demand", plots.demand(), "Requests an hour", "one replication", label)
    for name in plots.simulated:
        drawn = plots.failovers(name)
        label = f"Requests of {name} that went to another backend or were lost, by hour and reason."
        note = "sent elsewhere, or lost, by hour of arrival"
        yield f"lost-{name}", None if drawn is None else _facts("demand", drawn, name, note, label)
        broken = plots.timeline(name)
        label = f"Requests of {name} that were lost or served by another backend, by workload; incidents are shaded."
        note = "lost, or served by another backend; shaded while something is broken"
        yield f"faults-{name}", None if broken is None else _facts("demand", broken, name, note, label)
    yield from _losses(plots)


def _losses(plots: Plots) -> Iterator[tuple[str, dict[str, Any]]]:
    """The day of each kind of loss, the worst of its kind, of the pattern that is chosen or comes nearest."""
    decision = plots.document["decision"]
    name = decision["recommended"] or (decision["nearest"] or {}).get("pattern")
    row: Mapping[str, Any] = next((one for one in plots.document["patterns"] if one["name"] == name), {})
    shown: dict[str, int] = {}
    for number, one in enumerate(row.get("losses", ())):
        if one["component"] not in shown or not one["survived"]:
            shown.setdefault(one["component"], number)
            if row["losses"][shown[one["component"]]]["survived"]:
                shown[one["component"]] = number
    for component, number in shown.items():
        one = row["losses"][number]
        title = f"{name} without {'the ' if component != 'replica' else 'a '}{component} of {one['of']}"
        note = f"lost at {one['at']}, its busiest hour: {'kept its promises' if one['survived'] else 'broke a promise'}"
        label = f"Requests of {name} answered, lost and served by another backend on the day of that loss, by workload."
        yield f"loss-{component}", _facts("demand", plots.loss(str(name), number), title, note, label)


def of_rollout(rollout: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Figures of the JSON document of a rollout, by name."""
    return dict(_of_rollout(rollout))


def _of_rollout(rollout: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    label = "What staying, the plan, and switching now or later have cost by each month; the table below says the same."
    yield "cash", _facts("rollout", rollout_cash(rollout), "Paid so far", "when it is paid, no amortisation", label)
    yield "growth", _facts("rollout", rollout_volume(rollout), "Volume", "", "Tokens of each month of the rollout.")


def _facts(group: str, drawn: go.Figure, title: str, note: str, label: str) -> dict[str, Any]:
    plotly = json.loads(drawn.update_layout(showlegend=False).to_json())
    return {
        "group": group,
        "title": title,
        "note": note,
        "label": label,
        "height": drawn.layout.height,
        "plotly": {"data": plotly["data"], "layout": plotly["layout"]},
    }


def _week(plots: Plots, pattern: str) -> str:
    shares = busy_by_hour(plots.scenario, plots.tables.levels(pattern))
    if np.isnan(shares).all():
        return f"How busy {pattern} is by hour of the week: nothing was measured."
    day, hour = np.unravel_index(int(np.nanargmax(shares)), shares.shape)
    most, mean = float(shares[day, hour]), float(np.nanmean(shares))
    return (
        f"How busy the GPUs of {pattern} are by hour of the week: {percent(mean)} of the time on average, most on "
        f"{DAYS[day]} at {hour}:00, {percent(most)}."
    )
