"""What the loss of a part of a hosting pattern does in its busiest hour, and what that comes to in a year.

Each kind of part that can be lost is taken away at the beginning of the busiest hour of the horizon and stays away for
its mean time of repair; that day is simulated. What counts is the requests that arrive in that hour. A workload that
has none then, such as a nightly batch, gets a busiest hour of its own.

A year is then the sum over all parts of the share of the time in which each is down, times the share of the requests
that are lost meanwhile. Two parts at once are counted as if everything were lost: an upper bound of what they add.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.analysis.limits import EQUAL_S
from simulator.cost.overrides import scenario_book
from simulator.experiment import checkpoint
from simulator.experiment.replications import replicate, representatives
from simulator.experiment.tables import Tables
from simulator.scenario.costs import Rental
from simulator.scenario.fault_sources import Failure, FaultSource, Outage
from simulator.scenario.horizon import Horizon
from simulator.scenario.resilience import YEAR_H
from simulator.scenario.workloads import RecordedWorkload
from simulator.workload.calendar import to_local
from simulator.workload.synthesis import synthesise_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from simulator.analysis.timeline import Timeline
    from simulator.experiment.workers import Jobs
    from simulator.scenario.patterns import HostedCluster, HostingPattern
    from simulator.scenario.resilience import Component
    from simulator.scenario.schema import Scenario

_HOUR_S: Final = 3600.0
#: GPUs of a machine where nothing says otherwise: that of most servers for A100 and H100.
_GPUS_PER_NODE: Final = 8


@dataclass(frozen=True, slots=True)
class Part:
    """Something that can fail, of which a pattern may have several.

    Attributes:
        component: Kind of part.
        of: Cluster, site or API it belongs to.
        count: How many there are, each as likely to fail.
        unavailable: Share of the time in which one of them is down.
        faults: What happens when one fails at some moment of the simulation.
    """

    component: Component
    of: str
    count: int
    unavailable: float
    faults: list[FaultSource] = field(default_factory=list)

    @property
    def hours_per_year(self) -> float:
        """Expected time a year in which any of them is down."""
        return self.count * self.unavailable * YEAR_H


@dataclass(frozen=True, slots=True)
class LostHour:
    """A workload in the hour after a loss.

    Attributes:
        arrived: Its requests that arrived in that hour.
        answered: Share of them that were answered.
        within: Share within the limit of its objectives that the fewest are within; None without limits.
        kept: Whether that is what the objectives ask for (without limits: that nearly all were answered), chance
            allowed for.
    """

    arrived: int
    answered: float
    within: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """One part taken away in the busiest hour.

    Attributes:
        component: Kind of part.
        of: Cluster, site or API it belonged to.
        day: First simulated day, from whose midnight the timeline counts.
        at: When it was lost, local time.
        workloads: What the requests of that hour saw.
        survived: Whether every workload kept what it is promised.
        hours_per_year: Expected time a year in which such a part is down.
        timeline: That day.
    """

    component: str
    of: str
    day: str
    at: str
    workloads: dict[str, LostHour]
    survived: bool
    hours_per_year: float
    timeline: Timeline | None


def parts_of(scenario: Scenario, pattern: HostingPattern, at: str = "+0s") -> Iterator[Part]:
    """Everything of a pattern that can fail.

    Args:
        scenario: Says how often.
        pattern: The pattern.
        at: Moment at which it fails in a simulation.
    """
    rates, offers = scenario.constraints.failures, scenario_book(scenario.prices).gpu_offers

    def failure(cluster: str, scope: str, repair_s: float, gpus: int) -> Failure:
        facts = {"kind": "failure", "cluster": cluster, "scope": scope, "at": [at], "gpus_per_node": gpus}
        return Failure.model_validate(facts | {"repair": f"{repair_s:.0f}s"})

    sites: dict[str, list[str]] = {}
    for name, one in pattern.hosted.items():
        gpus = rates.gpus_per_node or _node_gpus(one, offers)
        cluster = one.cluster
        # A replica has as many GPUs to fail as it is split among.
        share = min(1.0, cluster.tensor_parallel * rates.replica.unavailable)
        replica = failure(name, "gpu", rates.replica.repair, gpus)
        yield Part("replica", name, cluster.replicas, share, [replica])
        nodes = ceil(cluster.replicas * cluster.tensor_parallel / gpus)
        yield Part("node", name, nodes, rates.node.unavailable, [failure(name, "node", rates.node.repair, gpus)])
        sites.setdefault(cluster.site or name, []).append(name)
    for site, clusters in sites.items():
        gone: list[FaultSource] = [failure(name, "cluster", rates.site.repair, 8) for name in clusters]
        yield Part("site", site, 1, rates.site.unavailable, gone)
    for name in pattern.metered:
        facts = {"kind": "outage", "api": name, "at": [at], "duration": f"{rates.api.repair:.0f}s"}
        yield Part("api", name, 1, rates.api.unavailable, [Outage.model_validate(facts)])


def _node_gpus(one: HostedCluster, offers: Any) -> int:  # noqa: ANN401 - offers of the price book by key
    compute = one.costs.compute
    offer = offers.get(compute.offer) if isinstance(compute, Rental) and compute.offer else None
    return min(16, offer.gpus_per_instance) if offer else _GPUS_PER_NODE


def losses(
    scenario: Scenario, names: Sequence[str], *, jobs: Jobs = 1, folder: Path | None = None
) -> dict[str, list[Loss]]:
    """Take away each part of each pattern that the scenario asks about, in the busiest hour.

    Args:
        scenario: The scenario.
        names: Patterns that were simulated.
        jobs: Processes, or a cluster.
        folder: Where finished simulations are kept.

    Returns:
        By pattern, one for each part; none where the scenario asks for nothing.
    """
    wanted = asked(scenario)
    if not wanted or not names:
        return {}
    found: dict[str, list[Loss]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        for day, at_s in busiest_hours(scenario):
            lost = _at(scenario, names, wanted, day, at_s, jobs, folder or Path(scratch))
            for name, one in lost:
                found[name].append(one)
    return found


def _at(
    scenario: Scenario, names: Sequence[str], wanted: set[str], day: Horizon, at_s: float, jobs: Jobs, place: Path
) -> Iterator[tuple[str, Loss]]:
    """Each part of each pattern taken away at one moment."""
    cases: dict[str, tuple[str, Part]] = {}
    patterns = {}
    for name in names:
        pattern = scenario.hosting_patterns[name]
        for part in parts_of(scenario, pattern, f"+{at_s:.0f}s"):
            if part.component in wanted:
                key = f"{name}~{part.component} {part.of}"
                cases[key] = name, part
                patterns[key] = pattern.model_copy(update={"faults": [*pattern.faults, *part.faults]})
    if not cases:
        return
    update = {"horizon": day, "hosting_patterns": patterns}
    update["experiment"] = scenario.experiment.model_copy(update={"warm_up": 0.0})
    asked_of = scenario.model_copy(update=update)
    runs = replicate(asked_of, [*cases], replications=1, jobs=jobs, folder=place)
    shared = representatives(asked_of, [*cases])
    kept = {key: place / checkpoint.file_name(asked_of, key, 0) for key in shared.values()}
    tables = Tables(kept, shared=shared)
    columns = ["workload", "arrival_s", "first_token_s", "last_token_s", "outcome"]
    for key, (name, part) in cases.items():
        hours = _hours(asked_of, tables.requests(key, columns), at_s)
        yield (
            name,
            Loss(
                component=part.component,
                of=part.of,
                day=f"{day.start_local:%Y-%m-%d}",
                at=f"{to_local(day, at_s):%Y-%m-%d %H:%M}",
                workloads=hours,
                survived=all(hour.kept for hour in hours.values()),
                hours_per_year=part.hours_per_year,
                timeline=runs[key][0].timeline,
            ),
        )


def asked(scenario: Scenario) -> set[str]:
    """Kinds of parts whose loss is simulated: those to survive, and all where an availability is promised."""
    promised = any(load.objectives and load.objectives.availability for load in scenario.workloads.values())
    return {"replica", "node", "site", "api"} if promised else set(scenario.constraints.survives)


def busiest_hours(scenario: Scenario) -> list[tuple[Horizon, float]]:
    """The days to simulate and when in them, in seconds, the hour begins in which something is lost.

    The clock hour with most tokens, and that of each workload that has no request in it. Tokens are those of the first
    replication. What is recorded or changes from week to week is simulated as a whole.
    """
    hours = np.zeros((len(scenario.workloads), ceil(scenario.horizon.duration_s / _HOUR_S)))
    for table, _ in synthesise_parts(scenario, 0):
        hour = np.minimum((table.arrival_s // _HOUR_S).astype(np.int64), hours.shape[1] - 1)
        np.add.at(hours, (table.workload, hour), table.prompt_tokens + table.output_tokens)
    chosen = [int(np.argmax(hours.sum(axis=0)))]
    for row in hours:
        if row.any() and not row[chosen].any():
            chosen.append(int(np.argmax(row)))
    return [_day(scenario, number * _HOUR_S) for number in dict.fromkeys(chosen)]


def _day(scenario: Scenario, at_s: float) -> tuple[Horizon, float]:
    fixed = any(
        isinstance(load, RecordedWorkload) or getattr(load, "trend", None) is not None
        for load in scenario.workloads.values()
    )
    local = to_local(scenario.horizon, at_s)
    first = local.replace(hour=0, minute=0, second=0, microsecond=0)
    last = min(scenario.horizon.end_local, first + timedelta(days=2))
    if fixed or last - first < timedelta(days=1):
        return scenario.horizon, at_s
    horizon = Horizon(
        start=f"{first:%Y-%m-%d}",
        end=f"{last:%Y-%m-%d}",
        time_zone=scenario.horizon.time_zone,
        holidays=scenario.horizon.holidays,
    )
    return horizon, at_s - (first.timestamp() - scenario.horizon.start_local.timestamp())


def _hours(scenario: Scenario, requests: pd.DataFrame, at_s: float) -> dict[str, LostHour]:
    inside = requests[(requests["arrival_s"] >= at_s) & (requests["arrival_s"] < at_s + _HOUR_S)]
    end_s = scenario.horizon.duration_s
    return {
        name: _hour(scenario, name, inside[inside["workload"] == name], end_s)
        for name in scenario.workloads
        if (inside["workload"] == name).any()
    }


def _hour(scenario: Scenario, name: str, rows: pd.DataFrame, end_s: float) -> LostHour:
    objectives = scenario.workloads[name].objectives
    done = rows["outcome"] == "completed"
    ended = int((rows["outcome"] != "unfinished").sum())
    answered = float(done.sum() / ended) if ended else 1.0
    judged: list[tuple[int, int]] = []
    for column, limit in (
        ("first_token_s", objectives.ttft if objectives else None),
        ("last_token_s", objectives.end_to_end if objectives else None),
    ):
        if limit is None:
            continue
        met = done & (rows[column] - rows["arrival_s"] <= limit + EQUAL_S)
        # Open at the end with its limit not run out: nobody knows.
        known = done | (rows["outcome"] != "unfinished") | (rows["arrival_s"] + limit <= end_s)
        judged.append((int(met.sum()), int(known.sum())))
    share = objectives.share if objectives and judged else 0.99
    within = min((met / known for met, known in judged if known), default=None)
    counts = judged or [(int(done.sum()), ended)]
    return LostHour(len(rows), answered, within, all(_kept(met, known, share) for met, known in counts))


def _kept(met: int, known: int, share: float) -> bool:
    """Whether so few happen to a pattern that keeps the share in one hour of twenty or more (binomial)."""
    from scipy.special import bdtr

    return not known or met >= share * known or float(bdtr(met, known, share)) >= 0.05


def yearly_availability(answered: float, name: str, parts: Sequence[Loss]) -> float:
    """Expected share of a workload's requests that are answered over a year.

    Args:
        answered: Share that is answered while nothing is lost.
        name: The workload.
        parts: What can be lost, from `losses`.
    """
    down = {(one.component, one.of): one.hours_per_year / YEAR_H for one in parts}
    unanswered = dict.fromkeys(down, 0.0)
    for one in parts:
        if (hour := one.workloads.get(name)) is not None:
            key = (one.component, one.of)
            unanswered[key] = max(unanswered[key], 1.0 - hour.answered)
    lost = sum(share * unanswered[key] for key, share in down.items())
    both = (sum(down.values()) ** 2 - sum(share**2 for share in down.values())) / 2.0
    return max(0.0, answered * (1.0 - lost - both))
