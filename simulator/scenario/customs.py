"""What in a scenario is one's own: see `simulator.extensions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.scenario.base import Custom
from simulator.scenario.routing import CustomRouting
from simulator.scenario.workloads import SyntheticWorkload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.scenario.schema import Scenario

_KEYS = (("arrivals", "arrivals"), ("prompt_tokens", "lengths"), ("output_tokens", "lengths"))


def customs(scenario: Scenario) -> Iterator[tuple[tuple[str, ...], str, CustomRouting | Custom]]:
    """Key, group and form of everything in a scenario that is one's own."""
    for name, pattern in scenario.hosting_patterns.items():
        if isinstance(pattern.routing, CustomRouting):
            yield ("hosting_patterns", name, "routing"), "routers", pattern.routing
    for name, load in scenario.workloads.items():
        if isinstance(load, SyntheticWorkload):
            for key, group in _KEYS:
                if isinstance(found := getattr(load, key), Custom):
                    yield ("workloads", name, key), group, found
