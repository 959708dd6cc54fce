"""Replicas that come and go by the clock: what their timetable wants in an ordinary week, and in the measured hours."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from simulator.scenario.autoscaling import ScheduledScaling
from simulator.scenario.horizon import Horizon
from simulator.scenario.moments import moments_s
from simulator.units import WEEK_S
from simulator.workload.volume import is_the_month

if TYPE_CHECKING:
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario


def beyond_measured(scenario: Scenario, pattern: HostingPattern) -> dict[str, float]:
    """By cluster, the mean share of its replicas that are wanted in an ordinary week, less that of the measured hours.

    Only of clusters that follow a timetable each week of which is like the other: dates and moments that come once
    count as measured, and so does a horizon that is itself the month.
    """
    if is_the_month(scenario):
        return {}
    # The second week: the first still has what the horizon begins with. No clock of it changes.
    monday = scenario.horizon.start_local.date() - timedelta(days=scenario.horizon.start_local.weekday())
    weeks = Horizon(start=monday.isoformat(), end=(monday + timedelta(weeks=2)).isoformat(), time_zone="UTC")
    found = {}
    for name, one in pattern.hosted.items():
        config = one.cluster.autoscaling
        if isinstance(config, ScheduledScaling) and all(change.at.startswith("every ") for change in config.changes):
            here = _wanted(config, scenario.horizon, scenario.experiment.warm_up, scenario.horizon.duration_s)
            found[name] = (_wanted(config, weeks, WEEK_S, 2.0 * WEEK_S) - here) / one.cluster.replicas
    return found


def _wanted(config: ScheduledScaling, horizon: Horizon, begin_s: float, end_s: float) -> float:
    """Mean replicas that a timetable wants from one moment of a horizon to another."""
    changes = [(at_s, change.replicas) for change in config.changes for at_s in moments_s(change.at, horizon)]
    steps = [(0.0, config.first_replicas), *sorted(changes, key=lambda change: change[0]), (end_s, 0)]
    hours = sum(
        count * max(0.0, min(until_s, end_s) - max(at_s, begin_s)) for (at_s, count), (until_s, _) in pairwise(steps)
    )
    return hours / (end_s - begin_s)
