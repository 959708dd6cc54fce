"""A scenario with other hosting patterns, or fewer workloads, in which whatever names them still means the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.errors import Fault, ScenarioError
from simulator.scenario.routing import Rules
from simulator.scenario.rule_table import unreachable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.rule_table import RoutingRule
    from simulator.scenario.schema import Scenario


def named_patterns(scenario: Scenario, names: str | Collection[str] | None) -> list[str]:
    """The hosting patterns of these names in the scenario's order; one name is one pattern, none are all.

    Raises:
        ScenarioError: There is no such pattern.
    """
    known = scenario.hosting_patterns
    asked = [names] if isinstance(names, str) else [*(names or known)]
    if unknown := [name for name in asked if name not in known]:
        expected = f"no such hosting pattern; expected one of {', '.join(known)}"
        raise ScenarioError([Fault("patterns", 0, name, expected) for name in unknown])
    return [name for name in known if name in asked]


def with_patterns(
    scenario: Scenario, patterns: Mapping[str, HostingPattern], stand_for: Mapping[str, Collection[str]] | None = None
) -> Scenario:
    """The scenario with these hosting patterns alone, and without its rollout, which may name others.

    What the data flow says of a pattern holds for every one that stands for it.

    Args:
        scenario: The scenario.
        patterns: By name.
        stand_for: By name, the patterns of the scenario that one stands for; itself when absent.
    """
    known = stand_for or {}
    flow = {}
    for name, hop in scenario.compliance.data_flow.items() if scenario.compliance else ():
        theirs = {*(hop.patterns or ())}
        mine = [one for one in patterns if not theirs.isdisjoint(known.get(one, (one,)))]
        flow[name] = hop if hop.patterns is None else hop.model_copy(update={"patterns": mine})
    return scenario.model_copy(
        update={"hosting_patterns": dict(patterns), "rollout": None, "compliance": _compliance(scenario, flow)}
    )


def divided(scenario: Scenario, parts: Mapping[str, Collection[str]]) -> Scenario:
    """The scenario whose workloads some of its patterns serve together, each its own: hops of one see no other's.

    Args:
        scenario: The scenario.
        parts: By pattern, the workloads it serves.
    """
    flow = {}
    for name, hop in scenario.compliance.data_flow.items() if scenario.compliance else ():
        come_by = {load for pattern in hop.patterns or () for load in parts.get(pattern, ())}
        mine = [load for load in hop.workloads or scenario.workloads if load in come_by]
        flow[name] = hop if hop.patterns is None else hop.model_copy(update={"workloads": mine})
    return scenario.model_copy(update={"compliance": _compliance(scenario, flow)})


def with_workload(scenario: Scenario, workload: str) -> Scenario:
    """The scenario with one of its workloads alone; routing and data flow forget the others."""
    flow = {}
    for name, hop in scenario.compliance.data_flow.items() if scenario.compliance else ():
        mine = [one for one in hop.workloads or () if one == workload]
        flow[name] = hop if hop.workloads is None else hop.model_copy(update={"workloads": mine})
    patterns = {
        name: pattern.model_copy(update={"routing": _routing(pattern.routing, workload)})
        for name, pattern in scenario.hosting_patterns.items()
    }
    return scenario.model_copy(
        update={
            "workloads": {workload: scenario.workloads[workload]},
            "hosting_patterns": patterns,
            "compliance": _compliance(scenario, flow),
        }
    )


def _compliance(scenario: Scenario, flow: Mapping[str, object]) -> object:
    return scenario.compliance and scenario.compliance.model_copy(update={"data_flow": dict(flow)})


def _routing(routing: Any, workload: str) -> object:  # noqa: ANN401 - one of the routers
    """A router that knows one workload."""
    update: dict[str, object] = {}
    for key in ("backends", "facts"):
        if named := getattr(routing, key, None):
            update[key] = {name: value for name, value in named.items() if name == workload}
    for kind in ("experimental", "production", "sporadic"):
        if named := getattr(routing, kind, None):
            update[kind] = type(named)(name for name in named if name == workload)
    if isinstance(routing, Rules):
        kept = [_of(rule, workload) for rule in routing.rules if workload in (rule.when.workloads or [workload])]
        dead = {rule.name for rule in unreachable(kept, [workload])}
        update["rules"] = [rule for rule in kept if rule.name not in dead]
    return routing.model_copy(update=update) if update else routing


def _of(rule: RoutingRule, workload: str) -> RoutingRule:
    if rule.when.workloads is None:
        return rule
    return rule.model_copy(update={"when": rule.when.model_copy(update={"workloads": [workload]})})
