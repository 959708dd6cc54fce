"""How long users wait: the share of requests within a latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.experiment.tables import latency_s
from simulator.plots.style import GREY, figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from simulator.experiment.tables import Tables
    from simulator.plots.figure import Figure
    from simulator.scenario.schema import Scenario

TITLES: Final = {"ttft_s": "time to first token, s", "itl_s": "inter-token latency, s", "e2e_s": "end to end, s"}
#: Shares at which a curve has a point: even in the middle, fine in the tail.
_SHARES: Final = np.unique(np.concatenate([np.linspace(0.0, 0.9, 46), 1.0 - np.logspace(-1.0, -4.0, 61), [1.0]]))
_COLUMNS: Final = ("workload", "arrival_s", "first_token_s", "last_token_s", "output_tokens", "outcome")


def distribution(
    scenario: Scenario,
    tables: Tables,
    patterns: Sequence[str],
    colours: Mapping[str, str],
    workload: str | None,
    metric: str,
) -> Figure:
    """Share of the requests that arrived within a latency; one that did not complete is within none.

    Args:
        scenario: The question; it has the objectives.
        tables: Requests of the first replications.
        patterns: Hosting patterns; those that share a simulation share a line.
        colours: By hosting pattern.
        workload: Only this one; all together when absent.
        metric: `ttft_s`, `itl_s` or `e2e_s`.

    Raises:
        KeyError: There is no such workload or metric.
    """
    objectives = scenario.workloads[workload].objectives if workload else None
    drawn = figure(
        height=340,
        x={"title": TITLES[metric], "type": "log", "dtick": "D2", "tickformat": "~g"},
        y={"title": "share of requests", "tickformat": ".0%", "range": [0.0, 1.03]},
    )
    # Each line is thinner than the one before it: both are seen where they coincide.
    for number, (pattern, names) in enumerate(sharing(tables, patterns).items()):
        found, arrived = [], 0
        for part in tables.row_groups(pattern=pattern, columns=_COLUMNS):
            rows = part.to_pandas()
            counted = rows["arrival_s"] >= scenario.experiment.warm_up
            if workload:
                counted &= rows["workload"] == workload
            done = rows[counted & (rows["outcome"] == "completed")]
            found.append(np.asarray(latency_s(done, metric).dropna()))
            arrived += int(counted.sum())
        waits, shares = curve(np.concatenate([np.zeros(0), *found]), arrived)
        drawn.add_scatter(
            x=waits,
            y=shares,
            mode="lines",
            name=", ".join(names),
            line={"color": colours[pattern], "width": max(1.5, 4.5 - number)},
            hovertemplate="%{y:.2%} within %{x:.3g} s<extra>%{fullData.name}</extra>",
        )
    limit_s = None if objectives is None else objectives.limits.get(metric)
    if objectives is not None and limit_s is not None:
        wanted = f"objective: {100.0 * objectives.share:g} % within {limit_s:g} s"
        drawn.add_scatter(
            x=[limit_s, limit_s], y=[0.0, objectives.share], mode="lines+markers", name=wanted, hoverinfo="name",
            line={"color": GREY, "dash": "dash", "width": 1.5},
            marker={"symbol": ["line-ew-open", "x"], "size": 9, "color": GREY},
        )  # fmt: skip
    return drawn


def sharing(tables: Tables, patterns: Sequence[str]) -> dict[str, list[str]]:
    """By simulated pattern, all that share it."""
    found: dict[str, list[str]] = {}
    for name in patterns:
        found.setdefault(tables.shared.get(name, name), []).append(name)
    return found


def curve(values: NDArray[np.float64], arrived: int) -> tuple[list[float], list[float]]:
    """Points of a distribution: values of four significant digits, and shares of `arrived` within them."""
    if not len(values):
        return [], []
    found = np.quantile(values, _SHARES, method="inverted_cdf")
    return [float(f"{value:.4g}") for value in found], [float(f"{s:.5g}") for s in _SHARES * len(values) / arrived]
