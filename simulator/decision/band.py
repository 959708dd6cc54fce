"""What the doubt about step times does to the result: each cluster again at both ends of its profile's band."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.experiment.objectives import is_steady, limit_samples, objective_result
from simulator.experiment.step_time_band import BandEnd, StepTimeBandResult
from simulator.performance.profile import cluster_profile
from simulator.scenario.patterns import ApiPattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.analysis.metrics import RunSummary
    from simulator.experiment.pattern_result import PatternResult
    from simulator.scenario.patterns import HostedCluster, HostingPattern
    from simulator.scenario.schema import Scenario

_ENDS = ("low", "high")


def with_band_ends(scenario: Scenario, names: Sequence[str]) -> tuple[Scenario, list[str]]:
    """The scenario with two more patterns for each of these that has a cluster, and what those are called."""
    added: dict[str, HostingPattern] = {}
    for name in names:
        pattern = scenario.hosting_patterns[name]
        if isinstance(pattern, ApiPattern):
            continue
        for end in _ENDS:
            hosted = {cluster: _at(end, one) for cluster, one in pattern.hosted.items()}
            changes = {"clusters": hosted} if pattern.clusters else {"cluster": hosted["cluster"].cluster}
            added[_name(name, end)] = pattern.model_copy(update=changes)
    return scenario.model_copy(update={"hosting_patterns": scenario.hosting_patterns | added}), list(added)


def add_band(result: PatternResult, scenario: Scenario, runs: Mapping[str, Sequence[RunSummary]]) -> PatternResult:
    """A pattern's result with what its cluster does at both ends, if it has one that was simulated."""
    pattern = scenario.hosting_patterns[result.name]
    if isinstance(pattern, ApiPattern) or _name(result.name, _ENDS[0]) not in runs:
        return result
    # Where several clusters have bands, the widest speaks for all; each was simulated at its own end.
    profiles = [cluster_profile(one.cluster) for one in pattern.hosted.values()]
    profile = max(profiles, key=lambda profile: profile.step_time_band.high / profile.step_time_band.low)
    band = profile.step_time_band
    low, high = (_end(getattr(band, end), runs[_name(result.name, end)][0], steady=is_steady(pattern)) for end in _ENDS)
    return replace(result, step_time_band=StepTimeBandResult(profile.label, band.source, low, high))


def _at(end: str, one: HostedCluster) -> HostedCluster:
    factor = one.cluster.step_time_factor * getattr(cluster_profile(one.cluster).step_time_band, end)
    return one.model_copy(update={"cluster": one.cluster.model_copy(update={"step_time_factor": factor})})


def _name(pattern: str, end: str) -> str:
    # No scenario can name a pattern so.
    return f"{pattern}~{end}"


def _end(factor: float, run: RunSummary, *, steady: bool) -> BandEnd:
    p99 = {name: (group.latency.get("e2e_s") or {}).get("p99") for name, group in run.workloads.items()}
    found = {
        name: objective_result(limit_samples([group], steady=steady), group.target_share)
        for name, group in run.workloads.items()
    }
    missed, open_ones = (
        [name for name, objective in found.items() if objective and objective.answer == answer]
        for answer in ("missed", "cannot_tell")
    )
    return BandEnd(factor, p99, missed, open_ones)
