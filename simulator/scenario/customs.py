"""What in a scenario is one's own: see `simulator.extensions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.scenario.base import Custom
from simulator.scenario.patterns import api_key, cluster_key, costs_key
from simulator.scenario.routing import CustomRouting
from simulator.scenario.workloads import SyntheticWorkload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario

_KEYS = (
    (("arrivals",), "arrivals"),
    (("prompt_tokens",), "lengths"),
    (("output_tokens",), "lengths"),
    (("reasoning", "thinking_tokens"), "lengths"),
)


def customs(scenario: Scenario) -> Iterator[tuple[tuple[str, ...], str, CustomRouting | Custom]]:
    """Key, group and form of everything in a scenario that is one's own."""
    for name, pattern in scenario.hosting_patterns.items():
        if isinstance(pattern.routing, CustomRouting):
            yield ("hosting_patterns", name, "routing"), "routers", pattern.routing
        for within, group, one in _of_backends(pattern):
            yield ("hosting_patterns", name, *within), group, one
    for name, load in scenario.workloads.items():
        if isinstance(load, SyntheticWorkload):
            for key, group in _KEYS:
                found: object = load
                for part in key:
                    found = getattr(found, part, None)
                if isinstance(found, Custom):
                    yield ("workloads", name, *key), group, found


def _of_backends(pattern: HostingPattern) -> Iterator[tuple[tuple[str, ...], str, Custom]]:
    for name, hosted in pattern.hosted.items():
        if hosted.cluster.step_time is not None:
            yield (*cluster_key(pattern, name), "step_time"), "step_times", hosted.cluster.step_time
        for line, one in hosted.costs.lines.items():
            yield (*costs_key(pattern, name), "lines", line), "cost_lines", one
    for name, api in pattern.metered.items():
        if api.provider is not None:
            yield (*api_key(pattern, name), "provider"), "api_providers", api.provider
        for line, one in api.costs.lines.items():
            yield (*api_key(pattern, name), "costs", "lines", line), "cost_lines", one
