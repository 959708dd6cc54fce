"""What compliance says about a scenario: what is refused and why, what is in place, and what nobody has said."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from simulator.compliance.backends import allowed_backends, objections, reachable
from simulator.compliance.case import geography
from simulator.compliance.data_flow import HopResult, data_flow, not_de_identified, unstated
from simulator.compliance.registry import load_registry
from simulator.errors import ScenarioError, nearest
from simulator.scenario.compliance import Placement
from simulator.scenario.patterns import api_key, cluster_key
from simulator.wording import counted, is_or_are

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from simulator.compliance.registry import Registry
    from simulator.errors import Fault
    from simulator.scenario.compliance import Compliance
    from simulator.scenario.schema import Scenario
    from simulator.scenario.yaml_source import Key

DISCLAIMER: Final = (
    "This is engineering, not legal advice: what the scenario says is compared with a register of models and a list of "
    "agreements. Nobody has read a contract."
)

#: A key of the scenario, and what is wrong there.
Refusal = tuple["Key", str]


@dataclass(frozen=True, slots=True)
class PatternAssessment:
    """One hosting pattern.

    Attributes:
        name: Its name.
        allowed: Whether it may be used; None where nothing speaks against it and nothing was assessed.
        reasons: Why not.
        backends: By workload and backend, why it may not be used; None where it may.
        data_flow: What requests come by besides the model.
    """

    name: str
    allowed: bool | None
    reasons: list[str]
    backends: dict[str, dict[str, str | None]]
    data_flow: list[HopResult]


@dataclass(frozen=True, slots=True)
class Assessment:
    """A scenario as a whole.

    Attributes:
        assessed: Whether it has a `compliance` section.
        registry: Id, date and hash of the register; None when nothing was assessed.
        patterns: In the scenario's order.
        controls: The technical checklist: in place, missing or not stated.
        not_assessed: What the scenario says nothing about.
    """

    assessed: bool
    registry: dict[str, str] | None
    patterns: list[PatternAssessment]
    controls: dict[str, str] = field(default_factory=dict)
    not_assessed: list[str] = field(default_factory=list)

    @property
    def allowed(self) -> bool:
        """Whether no pattern is refused."""
        return not any(pattern.reasons for pattern in self.patterns)

    def document(self) -> dict[str, Any]:
        """Plain data."""
        return {"disclaimer": DISCLAIMER, **asdict(self)}

    def words(self) -> str:
        """In one line."""
        if self.registry is None:
            return "not assessed: the scenario has no section 'compliance'"
        count = len(self.not_assessed)
        unsaid = f"{counted(count, 'point')} {is_or_are(count)} not stated" if count else "every point is stated"
        return f"registry {self.registry['id']} of {self.registry['date']}; {unsaid}; engineering, not legal advice"


def assess(scenario: Scenario, names: Collection[str] | None = None) -> Assessment:
    """Everything that can be said.

    Args:
        scenario: The scenario.
        names: Only these hosting patterns; all when absent.

    Raises:
        ScenarioError: The registry cannot be read.
    """
    section = scenario.compliance
    registry = load_registry(section.registry) if section else None
    patterns = []
    for name, pattern in scenario.hosting_patterns.items():
        if names is not None and name not in names:
            continue
        reasons = [text for _, text in refusals(scenario, name)]
        hops = data_flow(scenario, section, registry, name) if section and registry else []
        allowed = False if reasons else None if section is None else True
        patterns.append(PatternAssessment(name, allowed, reasons, allowed_backends(scenario, pattern), hops))
    if section is None or registry is None:
        return Assessment(False, None, patterns, not_assessed=["everything: the scenario has no compliance section"])
    about = {"id": registry.id, "date": str(registry.date), "sha256": registry.sha256}
    controls = _controls(scenario, section, registry)
    return Assessment(True, about, patterns, controls, list(_not_assessed(scenario, section, controls)))


def refusals(scenario: Scenario, name: str) -> list[Refusal]:
    """Why a hosting pattern may not be used; empty when it may.

    Without a `compliance` section, a pattern is refused when a workload may use no backend it could be sent to; with
    one, also when it may not use one of them, unless the section says that such requests stay with the others.

    Raises:
        ScenarioError: The registry cannot be read.
    """
    section, pattern = scenario.compliance, scenario.hosting_patterns[name]
    strict = section is not None and section.forbidden_failover == "refuse"
    loads: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for load, row in objections(scenario, pattern).items():
        used = reachable(pattern, load)
        if not strict and not all(row[backend] for backend in used):
            continue
        for backend in used:
            for key, text in row[backend]:
                loads.setdefault((backend, key, text), []).append(load)
    refused: list[Refusal] = [
        (("hosting_patterns", name, *key), f"{', '.join(names)} may not use {backend}: {text}")
        for (backend, key, text), names in loads.items()
    ]
    return refused if section is None else [*refused, *_flow_refusals(scenario, section, name)]


def _flow_refusals(scenario: Scenario, section: Compliance, name: str) -> Iterator[Refusal]:
    for hop in data_flow(scenario, section, load_registry(section.registry), name):
        for reason in hop.reasons:
            yield ("compliance", "data_flow", hop.hop), f"{hop.hop} ({hop.kind.replace('_', ' ')}): {reason}"
    for load in not_de_identified(scenario, section, name):
        text = "it is said to be de-identified, and no hop of compliance.data_flow takes health information out of it"
        yield ("workloads", load, "phi"), text


def unusable(scenario: Scenario) -> tuple[list[Refusal], list[Fault]]:
    """What makes the section itself unusable: names that do not exist, and faults of the registry's own file."""
    section = scenario.compliance
    if section is None:
        return list(_without_section(scenario)), []
    wrong = list(_unknown_names(scenario, section))
    try:
        registry = load_registry(section.registry)
    except ScenarioError as error:
        return wrong, list(error.faults)
    return [*wrong, *_unknown_regions(scenario, section, registry)], []


def _without_section(scenario: Scenario) -> Iterator[Refusal]:
    """Keys that would have no effect."""
    if scenario.says("compliance"):
        return
    text = "is not assessed without a section 'compliance'; add 'compliance: {}' or leave it out"
    for name, load in scenario.workloads.items():
        if load.data_protection is not None:
            yield ("workloads", name, "data_protection"), text
    for key, placement in _placements(scenario):
        if placement != Placement():
            yield key, text


def _placements(scenario: Scenario) -> Iterator[tuple[Key, Placement]]:
    for name, pattern in scenario.hosting_patterns.items():
        for backend, one in pattern.hosted.items():
            key = ("hosting_patterns", name, *cluster_key(pattern, backend), "placement")
            yield key, one.cluster.placement
        for backend, api in pattern.metered.items():
            yield ("hosting_patterns", name, *api_key(pattern, backend), "placement"), api.placement


def _unknown_names(scenario: Scenario, section: Compliance) -> Iterator[Refusal]:
    known = {"workloads": [*scenario.workloads], "patterns": [*scenario.hosting_patterns]}
    for name, hop in section.data_flow.items():
        for kind, names in known.items():
            for number, given in enumerate(getattr(hop, kind) or ()):
                if given not in names:
                    text = f"there is no '{given}' in this scenario; {nearest(given, names)}"
                    yield ("compliance", "data_flow", name, kind, number), text


def _unknown_regions(scenario: Scenario, section: Compliance, registry: Registry) -> Iterator[Refusal]:
    places: list[tuple[Key, str | None]] = [((*key, "region"), at.region) for key, at in _placements(scenario)]
    places += [(("compliance", "data_flow", name, "region"), hop.region) for name, hop in section.data_flow.items()]
    for key, place in places:
        if place is not None and geography(registry, place) is None:
            yield key, f"'{place}' is not in the registry {registry.id}; {nearest(place, registry.regions)}"


def _controls(scenario: Scenario, section: Compliance, registry: Registry) -> dict[str, str]:
    words = {True: "in place", False: "missing", None: "not stated"}
    states = {name: words[getattr(section.controls, name)] for name in type(section.controls).model_fields}
    regions = {at.region for _, at in _placements(scenario) if at.region in registry.regions}
    eligible = {registry.regions[str(region)].hipaa_eligible for region in regions}
    state = False if False in eligible else None if None in eligible or not eligible else True
    return {"hipaa_eligible_region": words[state]} | states


def _not_assessed(scenario: Scenario, section: Compliance, controls: dict[str, str]) -> Iterator[str]:
    for kind in unstated(scenario, section):
        yield f"data flow: nothing is said about {kind.replace('_', '-')}"
    for name, state in controls.items():
        if state == "not stated":
            yield f"control: {name}"
    for name, load in scenario.workloads.items():
        if load.phi is True and (load.data_protection is None or load.data_protection.residency is None):
            yield f"residency of {name}"
    if section.audit_retention_years is None:
        yield "retention of audit records"
