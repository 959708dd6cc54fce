"""Who may be sent where, and why, before anything is simulated: for `simulator explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from simulator.report.layout import section, table_of
from simulator.scenario.routing_explained import explain_routing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from simulator.scenario.routing_explained import RoutingExplained
    from simulator.scenario.schema import Scenario


def explained(scenario: Scenario) -> dict[str, RoutingExplained]:
    """The routing of each hosting pattern that has a choice."""
    workloads = list(scenario.workloads)
    patterns = scenario.hosting_patterns.items()
    return {name: explain_routing(one, workloads) for name, one in patterns if len(one.backend_names) > 1}


def render(found: dict[str, RoutingExplained]) -> RenderableType:
    """Tables of routes, with overlaps of rules and what the source document's router does otherwise."""
    return Group(*(part for name, one in found.items() for part in _pattern(name, one)))


def _pattern(name: str, one: RoutingExplained) -> Iterator[RenderableType]:
    table = table_of(("workload", "may use, the preferred first", "because"))
    for column in table.columns:
        column.justify = "left"
        column.no_wrap = False
    for route in one.routes:
        table.add_row(route.workload, ", ".join(route.backends) or "nothing", route.rule)
    yield section(f"Routing of {name}", f"{one.kind}: {one.policy}", table)
    for text in one.overlaps:
        yield Text(f"  Rules overlap: {text}")
    if one.differences:
        table = table_of(("about", "as written", "corrected"))
        for column in table.columns:
            column.justify = "left"
            column.no_wrap = False
        for difference in one.differences:
            table.add_row(difference.subject, difference.as_written, difference.corrected)
        yield section("As written and corrected", "", table)
