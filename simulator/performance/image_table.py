"""What the images of all workloads are to all backends of a pattern, as arrays for the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from simulator.performance.image_loads import api_load, cluster_load, images_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.workloads import Workload
    from simulator.trace.request_table import RequestTable


@dataclass(frozen=True, slots=True)
class ImageLoads:
    """`ImageLoad` by backend (clusters, then APIs) and workload.

    Attributes:
        tokens: int32; its last row, for requests that no backend took, is 0.
        encoder_s: float64, of clusters.
        front_s: float64, of clusters.
    """

    tokens: NDArray[np.int32]
    encoder_s: NDArray[np.float64]
    front_s: NDArray[np.float64]

    def served(self, table: RequestTable, backend: NDArray[np.int8]) -> RequestTable:
        """The requests with the prompts that the backends which took them counted."""
        whole = table.prompt_tokens + self.tokens[backend, table.workload]
        return replace(table, prompt_tokens=whole.astype(np.int32, copy=False))


def image_loads(
    pattern: HostingPattern, workloads: Mapping[str, Workload], may_use: Callable[[str, str], bool]
) -> ImageLoads | None:
    """What all of them are to all backends; None without images.

    Args:
        pattern: The hosting pattern.
        workloads: By name.
        may_use: Whether a workload may come to a backend, by their names; to others its images are nothing.

    Raises:
        ProfileNotFound: See `cluster_profile`.
        ProfileError: See `cluster_load` and `api_load`.
    """
    if all(images_of(load) is None for load in workloads.values()):
        return None
    shape = (len(pattern.backend_names) + 1, len(workloads))
    found = ImageLoads(np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape))
    for number, backend in enumerate(pattern.backend_names):
        for column, (name, load) in enumerate(workloads.items()):
            images = images_of(load) if may_use(name, backend) else None
            if backend in pattern.hosted:
                one = cluster_load(pattern.hosted[backend].cluster, images)
            else:
                one = api_load(pattern.metered[backend], images)
            found.tokens[number, column] = one.tokens
            found.encoder_s[number, column], found.front_s[number, column] = one.encoder_s, one.front_s
    return found
