"""What the doubt about step times does to the result: each cluster again at both ends of its profile's band."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from simulator.experiment.objectives import is_steady, limit_samples, objective_result
from simulator.experiment.step_time_band import BandEnd, StepTimeBandResult
from simulator.performance.clusters import cluster_profile
from simulator.scenario.patterns import ApiPattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.analysis.metrics import RunSummary
    from simulator.cost.bill import Bill
    from simulator.cost.usage import Usage
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


@dataclass(frozen=True, slots=True)
class Band:
    """What a pattern's cluster does at both ends, before anything is priced.

    Attributes:
        result: Without what the ends cost.
        usual: What the bill of a month like the first replication charges for.
        low: The same at the low end.
        high: The same at the high end.
    """

    result: StepTimeBandResult
    usual: Usage
    low: Usage
    high: Usage


def band_of(
    pattern: HostingPattern,
    usual: RunSummary,
    ends: Sequence[RunSummary],
    usage_of: Callable[[RunSummary], Usage],
) -> Band:
    """What a pattern with a cluster does at both ends.

    Args:
        pattern: The pattern.
        usual: Its first replication.
        ends: The same at the low and the high end.
        usage_of: What the bill of a month like one replication charges for.
    """
    # Where several clusters have bands, the widest speaks for all; each was simulated at its own end.
    profiles = [cluster_profile(one.cluster) for one in pattern.hosted.values()]
    profile = max(profiles, key=lambda profile: profile.step_time_band.high / profile.step_time_band.low)
    band = profile.step_time_band
    low, high = (
        replace(
            _end(getattr(band, end), run, steady=is_steady(pattern)),
            overloaded=run.saturation == "overloaded",
            times_as_long=times_as_long(usual, run),
        )
        for end, run in zip(_ENDS, ends, strict=True)
    )
    return Band(StepTimeBandResult(profile.label, band.source, low, high), *map(usage_of, (usual, *ends)))


def bands_of(
    scenario: Scenario,
    names: Sequence[str],
    runs: Mapping[str, Sequence[RunSummary]],
    usage_of: Callable[[HostingPattern, RunSummary], Usage],
) -> dict[str, Band]:
    """The same of every pattern that was simulated at both ends, by name."""
    return {
        name: band_of(
            pattern,
            runs[name][0],
            [runs[_name(name, end)][0] for end in _ENDS],
            partial(usage_of, pattern),
        )
        for name in names
        for pattern in (scenario.hosting_patterns[name],)
        if _name(name, _ENDS[0]) in runs
    }


def with_band(result: PatternResult, band: Band | None, bill_of: Callable[[Usage], Bill]) -> PatternResult:
    """A pattern's result with what its cluster does and costs at both ends, if that is known.

    Args:
        result: The result.
        band: What it does there.
        bill_of: The bill of a month.
    """
    if band is None:
        return result
    usual, found = bill_of(band.usual), band.result
    low, high = (
        replace(end, cost_more_usd=_more_usd(usual, bill_of(usage)))
        for end, usage in ((found.low, band.low), (found.high, band.high))
    )
    return replace(result, step_time_band=replace(found, low=low, high=high))


def times_as_long(usual: RunSummary, run: RunSummary) -> dict[str, dict[str, float | None]]:
    """How much longer the wanted share of each workload's requests takes, on the same demand, by limit."""
    found: dict[str, dict[str, float | None]] = {}
    for name, group in run.workloads.items():
        share, samples = group.target_share, (limit_samples([usual.workloads[name]]), limit_samples([group]))
        if share is None:
            continue
        before, after = ({one.metric: one.reached_s(share) for one in each} for each in samples)
        found[name] = {
            metric: None if taken_s is None else taken_s / (before.get(metric) or taken_s)
            for metric, taken_s in after.items()
        }
    return found


def _more_usd(usual: Bill, bill: Bill) -> dict[str, float]:
    """Lines that cost more or less, to the cent."""
    keys = dict.fromkeys(line.key for one in (usual, bill) for line in one.lines)
    more = {key: round(float(bill.usd(key) - usual.usd(key)), 2) for key in keys}
    return {key: usd for key, usd in more.items() if usd}


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
