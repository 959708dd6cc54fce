"""A price for all GPUs of a cluster stays the price of so many GPUs when the cluster gets others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.scenario.yaml_source import Document, Key

#: Amounts for the whole cluster.
_WHOLE: Final = ("gpus", "chassis", "infrastructure", "spares", "residual")


@contextmanager
def prices_kept(document: Document) -> Iterator[None]:
    """Write down what a purchase is the price of, before something else than its prices is changed.

    A purchase whose cluster has another number of GPUs afterwards, and which is itself the same, gets `for_gpus`: the
    GPUs it had.
    """
    before = {key: (gpus, dict(compute)) for key, _, gpus, compute in _purchases(document.data)}
    yield
    for key, holder, gpus, compute in list(_purchases(document.data)):
        known, same = before.get(key, (gpus, None))
        if known != gpus and compute == same and "for_gpus" not in compute and any(name in compute for name in _WHOLE):
            # Where costs stand in the file once for several clusters, only these are meant.
            holder["costs"] = {**holder["costs"], "compute": {**compute, "for_gpus": known}}
            document.origins[(*key, "for_gpus")] = document.origin(key)


def _purchases(data: object) -> Iterator[tuple[Key, dict[str, Any], int, dict[str, Any]]]:
    """Each purchase: its key, what holds cluster and costs, the GPUs of the cluster, and itself."""
    for key, holder in _holders(data):
        cluster, costs = holder.get("cluster"), holder.get("costs")
        compute = costs.get("compute") if isinstance(costs, dict) else None
        if not isinstance(cluster, dict) or not isinstance(compute, dict) or compute.get("kind") != "purchase":
            continue
        counts = [cluster.get(name, 1) for name in ("replicas", "tensor_parallel")]
        if all(type(count) is int and count > 0 for count in counts):
            yield (*key, "costs", "compute"), holder, counts[0] * counts[1], compute


def _holders(data: object) -> Iterator[tuple[Key, dict[str, Any]]]:
    patterns = data.get("hosting_patterns") if isinstance(data, dict) else None
    for name, pattern in patterns.items() if isinstance(patterns, dict) else ():
        if isinstance(pattern, dict):
            yield ("hosting_patterns", name), pattern
            clusters = pattern.get("clusters")
            for one, holder in clusters.items() if isinstance(clusters, dict) else ():
                if isinstance(holder, dict):
                    yield ("hosting_patterns", name, "clusters", one), holder
