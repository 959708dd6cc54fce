"""Which backend of a hosting pattern a workload may use; validation, the run and failover all ask here."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from simulator.compliance.case import Case, Finding, findings
from simulator.compliance.registry import Registry, load_registry
from simulator.scenario.patterns import api_key, cluster_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.scenario.compliance import Compliance, Placement
    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario
    from simulator.scenario.workloads import Workload


def allowed_backends(scenario: Scenario, pattern: HostingPattern) -> dict[str, dict[str, str | None]]:
    """By workload and backend, clusters first, why the workload may not use it; None where it may.

    Raises:
        ScenarioError: The registry cannot be read.
    """
    return {
        load: {backend: "; ".join(text for _, text in found) or None for backend, found in row.items()}
        for load, row in objections(scenario, pattern).items()
    }


def objections(scenario: Scenario, pattern: HostingPattern) -> dict[str, dict[str, list[Finding]]]:
    """The same as lists, each with the key within the pattern it is about.

    Raises:
        ScenarioError: The registry cannot be read.
    """
    section = scenario.compliance
    if section is None:
        return {load: _without_section(scenario, load, pattern) for load in scenario.workloads}
    registry = load_registry(section.registry)
    return {load: _row(scenario, section, registry, pattern, load) for load in scenario.workloads}


def reachable(pattern: HostingPattern, load: str) -> list[str]:
    """Backends the routing of a pattern may send a workload to, by failover too."""
    routing = pattern.routing
    named = {*routing.order(load, tuple(pattern.hosted), tuple(pattern.metered)), routing.degrade_to}
    return [name for name in pattern.backend_names if name in named]


def _row(
    scenario: Scenario, section: Compliance, registry: Registry, pattern: HostingPattern, load: str
) -> dict[str, list[Finding]]:
    row = {
        backend: [((*where, *key), text) for key, text in findings(case)]
        for backend, where, case in _cases(scenario, section, registry, pattern, load)
    }
    # What an API cannot take it sends on by itself, whoever asks: it is as forbidden as where it sends.
    spills = {name: api.spills_to for name, api in pattern.metered.items()}
    for name, target in spills.items():
        key = (*api_key(pattern, name), "deployment", "spillover")
        row[name] += [(key, f"it spills over to {target}: {text}") for _, text in row.get(str(target), [])]
    return row


def _without_section(scenario: Scenario, load: str, pattern: HostingPattern) -> dict[str, list[Finding]]:
    """All that `constraints.phi_may_leave` says by itself: no health information goes to an API."""
    held_back = scenario.workloads[load].phi is True and not scenario.constraints.phi_may_leave
    text = "protected health information may not leave the site (constraints.phi_may_leave)"
    apis = {name: [(api_key(pattern, name), text)] if held_back else [] for name in pattern.metered}
    return {name: [] for name in pattern.hosted} | apis


def _cases(
    scenario: Scenario, section: Compliance, registry: Registry, pattern: HostingPattern, name: str
) -> Iterator[tuple[str, tuple[str, ...], Case]]:
    """Every backend with the key of its part of the pattern."""
    first = scenario.horizon.start_local.date()
    last = (scenario.horizon.end_local - timedelta(microseconds=1)).date()
    load: Workload = scenario.workloads[name]

    def case(placement: Placement, *, hosted: bool, default: str, scope: str | None = None) -> Case:
        key = placement.registry_model or default
        leaves = scenario.constraints.phi_may_leave
        return Case(load, hosted, placement, key, section, registry, leaves, first, last, scope)

    for backend, one in pattern.hosted.items():
        own = case(one.cluster.placement, hosted=True, default=f"self_hosted/{one.cluster.model}")
        yield backend, cluster_key(pattern, backend), own
    for backend, api in pattern.metered.items():
        scope = getattr(api.deployment, "scope", None)
        yield backend, api_key(pattern, backend), case(api.placement, hosted=False, default=api.model, scope=scope)
