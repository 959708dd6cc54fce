"""What breaks when: a timetable made before the simulation starts, from moments a scenario names and from streams.

A timetable depends on the scenario, the seed and the replication alone, never on what the simulation does, so every
hosting pattern with a cluster or an API of the same name sees the same faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from simulator.engine.operations.conditions import Episode
from simulator.engine.record import Incident
from simulator.scenario.apis import LognormalDelay
from simulator.scenario.fault_sources import (
    Failure,
    NetworkLoss,
    Outage,
    PlannedRestart,
    RandomSource,
    SpotInterruption,
)
from simulator.streams import stream
from simulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from simulator.scenario.patterns import Cluster, HostingPattern


@dataclass(frozen=True, slots=True)
class Downtime:
    """A stretch of time in which a replica does not serve.

    Attributes:
        cluster: Number of its cluster.
        replica: Number of the replica in it.
        closed_s: When it stops taking requests.
        lost_s: When what it has not finished is lost.
        back_s: When it serves again.
        cause: Kind of the fault.
        paid: Whether its GPUs are paid for meanwhile.
    """

    cluster: int
    replica: int
    closed_s: float
    lost_s: float
    back_s: float
    cause: str
    paid: bool = True


@dataclass(slots=True)
class Timetable:
    """Everything that will break.

    Attributes:
        downtimes: Of replicas.
        episodes: By number of the API's backend: when it fails or is slow.
        incidents: The same for people, by start.
    """

    downtimes: list[Downtime] = field(default_factory=list)
    episodes: dict[int, list[Episode]] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)


def timetable(
    pattern: HostingPattern,
    *,
    horizon_s: float,
    seed: int,
    replication: int,
    moments_s: Callable[[str], Sequence[float]],
) -> Timetable:
    """The faults of a hosting pattern.

    Args:
        pattern: The pattern.
        horizon_s: End of the simulation.
        seed: Root of the random streams.
        replication: Number of the replication.
        moments_s: When a moment of the scenario is, in seconds since the start.
    """
    maker = _Maker(pattern, horizon_s, moments_s, lambda name: stream(seed, replication, f"faults/{name}"))
    for number, source in enumerate(pattern.faults):
        maker.add(number, source)
    made = maker.made
    made.downtimes.sort(key=lambda one: (one.closed_s, one.cluster, one.replica))
    made.incidents.sort(key=lambda one: (one.start_s, one.backend))
    return made


@dataclass(slots=True)
class _Maker:
    pattern: HostingPattern
    horizon_s: float
    moments_s: Callable[[str], Sequence[float]]
    stream: Callable[[str], np.random.Generator]
    made: Timetable = field(default_factory=Timetable)

    def add(self, number: int, source: object) -> None:
        name = f"{number}/{getattr(source, 'kind', '')}"
        if isinstance(source, Outage):
            backend = self.pattern.backend_names.index(source.api)
            self._episodes(source, name, [backend])
        elif isinstance(source, NetworkLoss):
            hosted, names = len(self.pattern.hosted), self.pattern.backend_names
            self._episodes(source, name, list(range(hosted, len(names))))
        elif isinstance(source, Failure):
            self._failures(source, name)
        elif isinstance(source, SpotInterruption):
            self._interruptions(source, name)
        elif isinstance(source, PlannedRestart):
            self._restarts(source, name)

    def _recur(self, source: RandomSource, rng: np.random.Generator, befall: Callable[[float], float]) -> None:
        """Have it happen: at the moments that are named, or at random.

        Nothing breaks while it is broken: the time to the next one counts from the end of the last (a renewal process,
        so that mean time between over that plus mean time to repair is the share of the time in which it works).

        Args:
            source: What happens.
            rng: Its stream.
            befall: Has it begin at a moment, and says when it is over.
        """
        if source.at is not None:
            for start_s in sorted(at_s for text in source.at for at_s in self.moments_s(text)):
                befall(start_s)
            return
        assert source.mean_time_between is not None
        self._renew(source.mean_time_between, rng, befall)

    def _renew(self, mean_s: float, rng: np.random.Generator, befall: Callable[[float], float]) -> None:
        start_s = float(rng.exponential(mean_s))
        while start_s < self.horizon_s:
            start_s = befall(start_s) + float(rng.exponential(mean_s))

    def _episodes(self, source: Outage | NetworkLoss, name: str, backends: list[int]) -> None:
        rng = self.stream(name)
        error_share, slowdown = (source.error_share, source.slowdown) if isinstance(source, Outage) else (1.0, 1.0)
        what = "down" if error_share == 1.0 else f"{100 * error_share:.0f} % of calls fail, {slowdown:g} times as slow"

        def befall(start_s: float) -> float:
            end_s = start_s + _draw(source.duration, rng)
            for backend in backends:
                episode = Episode(start_s, end_s, error_share=error_share, slowdown=slowdown)
                self.made.episodes.setdefault(backend, []).append(episode)
                name_of_it = self.pattern.backend_names[backend]
                self.made.incidents.append(Incident(start_s, end_s, source.kind, name_of_it, what))
            return end_s

        self._recur(source, rng, befall)

    def _cluster(self, name: str) -> tuple[int, Cluster]:
        return list(self.pattern.hosted).index(name), self.pattern.hosted[name].cluster

    def _failures(self, source: Failure, name: str) -> None:
        number, cluster = self._cluster(source.cluster)
        for unit, (replicas, parts) in enumerate(_units(source, cluster)):
            rng = self.stream(f"{name}/{unit}")
            befall = partial(self._fail, source, number, cluster, replicas, rng)
            if source.mean_time_between is not None:
                self._renew(source.mean_time_between / parts, rng, befall)
            elif unit == 0:
                self._recur(source, rng, befall)

    def _fail(
        self, source: Failure, number: int, cluster: Cluster, replicas: range, rng: np.random.Generator, start_s: float
    ) -> float:
        """Take down some replicas; when what broke is repaired, from which on it may break again."""
        repaired_s = start_s + _repair_s(source, rng)
        for replica in replicas:
            back_s = repaired_s + _draw(cluster.start_up, rng)
            self._down(Downtime(number, replica, start_s, start_s, back_s, f"{source.scope} failure"))
        what = f"{len(replicas)} of {counted(cluster.replicas, 'replica')}"
        self.made.incidents.append(Incident(start_s, repaired_s, f"{source.scope} failure", source.cluster, what))
        return repaired_s

    def _interruptions(self, source: SpotInterruption, name: str) -> None:
        number, cluster = self._cluster(source.cluster)
        for replica in range(cluster.replicas):
            rng = self.stream(f"{name}/{replica}")
            if source.at is not None and replica:
                return
            self._recur(source, rng, partial(self._interrupt, source, number, cluster, replica, rng))

    def _interrupt(
        self,
        source: SpotInterruption,
        number: int,
        cluster: Cluster,
        replica: int,
        rng: np.random.Generator,
        start_s: float,
    ) -> float:
        """Take a replica away; when another serves in its place."""
        lost_s = start_s + source.notice
        back_s = lost_s + _draw(source.replacement, rng)
        self._down(Downtime(number, replica, start_s, lost_s, back_s, source.kind, paid=False))
        what = f"1 of {counted(cluster.replicas, 'replica')}"
        self.made.incidents.append(Incident(start_s, back_s, source.kind, source.cluster, what))
        return back_s

    def _restarts(self, source: PlannedRestart, name: str) -> None:
        """One replica after another, each when the one before serves again."""
        number, cluster = self._cluster(source.cluster)
        rng = self.stream(name)
        for first_s in sorted(at_s for text in source.at for at_s in self.moments_s(text)):
            start_s = first_s
            for replica in range(cluster.replicas):
                lost_s = start_s + source.drain
                back_s = lost_s + source.down + _draw(cluster.start_up, rng)
                self._down(Downtime(number, replica, start_s, lost_s, back_s, source.kind))
                start_s = back_s
            what = f"{cluster.replicas} replicas, one after another"
            self.made.incidents.append(Incident(first_s, start_s, source.kind, source.cluster, what))

    def _down(self, downtime: Downtime) -> None:
        if downtime.closed_s < self.horizon_s:
            self.made.downtimes.append(downtime)


def _units(source: Failure, cluster: Cluster) -> Iterator[tuple[range, int]]:
    """What can break: the replicas that go with it, and how many parts of it do so independently."""
    replicas = range(cluster.replicas)
    if source.scope == "cluster":
        yield replicas, 1
    elif source.scope == "node":
        together = max(1, source.gpus_per_node // cluster.tensor_parallel)
        nodes = -(-cluster.tensor_parallel // source.gpus_per_node)
        for first in replicas[::together]:
            yield replicas[first : first + together], nodes
    else:
        for replica in replicas:
            yield range(replica, replica + 1), cluster.tensor_parallel


def _draw(delay: LognormalDelay | float, rng: np.random.Generator) -> float:
    if isinstance(delay, LognormalDelay):
        return float(delay.median * np.exp(delay.sigma * rng.standard_normal()))
    return float(delay)


def _repair_s(source: Failure, rng: np.random.Generator) -> float:
    if not isinstance(source.repair, list):
        return float(source.repair)
    luck, width = rng.random(2)
    left = float(luck)
    for one in source.repair:
        left -= one.share
        if left < 0.0:
            break
    return float(one.at_least + width * (one.at_most - one.at_least))
