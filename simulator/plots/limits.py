"""How much of each promised time a hosting pattern takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.plots.style import GREY, figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.plots.figure import Figure

_WORDS: Final = {
    "ttft_s": "first token",
    "ttfat_s": "first answer token",
    "e2e_s": "whole answer",
    "chain_s": "whole chain",
    "itl_s": "inter-token latency",
}
#: Where a time is drawn that is never reached, over the largest that is.
_BEYOND: Final = 2.0


def taken(
    document: Mapping[str, Any], sharing: Mapping[str, Sequence[str]], colours: Mapping[str, str]
) -> Figure | None:
    """For each limit the time within which the promised share of requests is answered, over that limit.

    Args:
        document: The published JSON document.
        sharing: Simulated patterns, each with all that differ from it in money alone.
        colours: By hosting pattern.

    Returns:
        The figure; None where no limit is set.
    """
    rows = {row["name"]: row["workloads"] for row in document["patterns"] if row["name"] in sharing}
    limits = {
        (name, number): one
        for loads in list(rows.values())[:1]
        for name, load in loads.items()
        for number, one in enumerate((load["objective"] or {"limits": []})["limits"])
    }
    if not limits:
        return None
    labels = [f"{name}: {_WORDS[one['metric']]} in {_limit(one['limit_s'])}" for (name, _), one in limits.items()]
    ratios = {pattern: [_ratio(rows[pattern], *place) for place in limits] for pattern in rows}
    known = [ratio for found in ratios.values() for ratio in found if ratio is not None]
    beyond = _BEYOND * max([1.0, *known])
    drawn = figure(
        height=80 + 34 * len(labels),
        x={"title": "time taken, of the time promised", "type": "log", "tickformat": "~%", "dtick": "D2"},
        y={"autorange": "reversed", "showgrid": True},
    )
    for number, (pattern, found) in enumerate(ratios.items()):
        drawn.add_scatter(
            x=[beyond if ratio is None else ratio for ratio in found],
            y=labels,
            mode="markers",
            name=", ".join(sharing[pattern]),
            text=["never within it" if ratio is None else f"{100 * ratio:.1f} % of the limit" for ratio in found],
            hovertemplate="%{y}: %{text}<extra>%{fullData.name}</extra>",
            marker={
                "color": colours[pattern],
                "size": max(7, 15 - 3 * number),
                "symbol": ["x" if ratio is None else "circle" for ratio in found],
            },
        )
    return drawn.add_vline(x=1.0, line={"color": GREY, "dash": "dash", "width": 1.5})


def _limit(limit_s: float) -> str:
    return f"{limit_s / 3600:g} h" if limit_s >= 3600 else f"{limit_s:g} s"


def _ratio(workloads: Mapping[str, Any], name: str, number: int) -> float | None:
    objective = workloads[name]["objective"]
    one = objective["limits"][number] if objective else {"reached_s": None}
    return None if one["reached_s"] is None else float(one["reached_s"] / one["limit_s"])
