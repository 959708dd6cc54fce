"""The step times that a cluster is simulated with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import ProfileError
from simulator.performance.profile import NAMED, linked, load_profile, read_profile_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import Cluster, HostingPattern


def cluster_profile(cluster: Cluster) -> PerformanceProfile:
    """The curves a cluster is simulated with: shipped or its own, over its link, scaled as it asks.

    Raises:
        ProfileNotFound: None ships for its model, GPU, parallelism and format; the message lists the nearest.
        ProfileError: Its own file cannot be read, is no profile, or is one of something else; or see `linked`.
    """
    if cluster.profile is None:
        profile = load_profile(
            model=cluster.model,
            gpu=cluster.gpu,
            tensor_parallel=cluster.tensor_parallel,
            quantisation=cluster.quantisation,
            variant=cluster.variant,
        )
    else:
        profile = read_profile_file(Path(cluster.profile))
        found = {"model": profile.model.name} | {k: getattr(profile, k) for k in NAMED if k != "model"}
        wrong = [
            f"{key} {found[key]}, not {getattr(cluster, key)}" for key in NAMED if found[key] != getattr(cluster, key)
        ]
        if wrong:
            raise ProfileError(f"{cluster.profile} is a profile of {'; '.join(wrong)}")
    profile = linked(profile, cluster.interconnect)
    if cluster.step_time is not None:
        from simulator.performance.own_step_time import sampled

        profile = sampled(profile, cluster)
    return profile if cluster.step_time_factor == 1.0 else profile.scaled(cluster.step_time_factor)


def profiles_of(patterns: Iterable[HostingPattern]) -> list[PerformanceProfile]:
    """The curves of all their clusters, each once."""
    found = [cluster_profile(one.cluster) for pattern in patterns for one in pattern.hosted.values()]
    return list({profile.id: profile for profile in found}.values())
