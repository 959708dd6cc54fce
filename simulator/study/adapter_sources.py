"""What is assumed of LoRA adapters, for `simulator explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.performance.clusters import cluster_profile
from simulator.performance.lora import slot_bytes
from simulator.scenario.patterns import cluster_key
from simulator.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.scenario.schema import Scenario


def adapter_notes(scenario: Scenario) -> Iterator[tuple[str, str, str, str]]:
    """Of each backend that has or would need adapters: place, name, how sure it is, and where it comes from."""
    named = [load.adapter for load in scenario.workloads.values() if load.adapter is not None]
    for name, pattern in scenario.hosting_patterns.items():
        for cluster, one in pattern.hosted.items():
            if (lora := one.cluster.engine.lora) is not None:
                profile = cluster_profile(one.cluster)
                taken = lora.max_loras * slot_bytes(profile.model, profile.tensor_parallel, lora.max_lora_rank) / GIB
                place = ".".join(("hosting_patterns", name, *cluster_key(pattern, cluster), "engine.lora"))
                what = f"{lora.max_loras} adapters of rank {lora.max_lora_rank}: {taken:.2f} GiB of each GPU"
                yield place, what, "derived", "vLLM 0.33, lora/layers; step times by bytes and launches, not measured"
        if named and pattern.metered:
            place = f"hosting_patterns.{name}"
            what = f"adapters ({', '.join(sorted(set(named)))}) are not sent to an API"
            yield place, what, "assumed", "its model and price must be those of the fine-tuned model; check them"
