"""Images of workloads at the backends of a pattern: what they are there, and what is wrong with that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.errors import ProfileError, ProfileNotFound, ScenarioError
from simulator.experiment.model_length import sent_to
from simulator.performance.image_loads import api_load, cluster_load, images_of
from simulator.scenario.patterns import Cluster, api_key, cluster_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulator.performance.image_table import ImageLoads
    from simulator.scenario.apis import MeteredApi
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import AnyWorkload


def seen_by(scenario: Scenario, pattern: HostingPattern) -> dict[str, set[str]]:
    """By backend, the workloads with images that may come there, from another API too.

    Raises:
        ScenarioError: See `sent_to`.
    """
    pictured = {name for name, load in scenario.workloads.items() if images_of(load) is not None}
    if not pictured:
        return {}
    sent = {backend: pictured & set(loads) for backend, loads in sent_to(scenario, pattern).items()}
    for name, api in pattern.metered.items():
        if api.spills_to is not None:
            sent[api.spills_to] |= sent[name]
    return sent


def loads_of(scenario: Scenario, pattern: HostingPattern) -> ImageLoads | None:
    """What the images of all workloads are to all backends; None without images.

    Raises:
        ScenarioError: See `sent_to`.
        ProfileNotFound: See `image_loads`.
        ProfileError: Likewise.
    """
    from simulator.performance.image_table import image_loads

    sent = seen_by(scenario, pattern)
    return image_loads(pattern, scenario.workloads, lambda load, backend: load in sent.get(backend, ()))


def refusal(backend: Cluster | MeteredApi, loads: Mapping[str, AnyWorkload]) -> str | None:
    """Why a backend could not serve the images of these workloads; None where it could.

    Raises:
        ProfileNotFound: See `cluster_load`.
    """
    for name, load in loads.items():
        images = images_of(load)
        try:
            cluster_load(backend, images) if isinstance(backend, Cluster) else api_load(backend, images)
        except ProfileNotFound:
            raise
        except ProfileError as error:
            return f"{name} has images: {error}"
    return None


def image_faults(scenario: Scenario) -> Iterator[tuple[tuple[str, ...], str]]:
    """Backends that take no images, refuse some, or count them in a way that is not known: key, and what is wrong."""
    for name, pattern in scenario.hosting_patterns.items():
        try:
            seen = seen_by(scenario, pattern)
        except ScenarioError:
            # A registry that cannot be read is said by itself.
            return
        for backend, loads in seen.items():
            hosted = backend in pattern.hosted
            key = cluster_key(pattern, backend) if hosted else api_key(pattern, backend)
            one = pattern.hosted[backend].cluster if hosted else pattern.metered[backend]
            for load in sorted(loads):
                try:
                    said = refusal(one, {load: scenario.workloads[load]})
                except ProfileNotFound:
                    # Said by itself.
                    continue
                if said is not None:
                    yield ("hosting_patterns", name, *key, "model"), said
