"""What requests come by besides the model: who sees health information there, and under which agreement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from simulator.compliance.case import agreement_missing, geography
from simulator.scenario.compliance import DataProtection, HopKind
from simulator.wording import counted, is_or_are

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from simulator.compliance.registry import Registry
    from simulator.scenario.compliance import Compliance, Hop
    from simulator.scenario.schema import Scenario

#: Hops about which a scenario should say something, if only that there are none.
EXPECTED: Final[tuple[HopKind, ...]] = ("cdn", "gateway", "de_identification", "storage", "logs")
assert set(EXPECTED) <= set(get_args(HopKind))


@dataclass(frozen=True, slots=True)
class HopResult:
    """One hop of the data flow of a hosting pattern.

    Attributes:
        hop: Its name.
        kind: What it does.
        provider: Who runs it; None for one on site.
        sees_phi_of: Workloads whose health information comes by.
        covered: Whether it needs no agreement or has one, and nothing else speaks against it.
        reasons: What does.
    """

    hop: str
    kind: str
    provider: str | None
    sees_phi_of: list[str]
    covered: bool
    reasons: list[str]


def data_flow(scenario: Scenario, section: Compliance, registry: Registry, pattern: str) -> list[HopResult]:
    """The hops of one hosting pattern, in the order in which the scenario names them."""
    first = scenario.horizon.start_local.date()
    return [_hop_result(scenario, section, registry, name, pattern, first) for name in hops_of(section, pattern)]


def hops_of(section: Compliance, pattern: str) -> dict[str, Hop]:
    """The hops of one hosting pattern by name, in their order."""
    flow = section.data_flow.items()
    return {name: hop for name, hop in flow if hop.patterns is None or pattern in hop.patterns}


def _hop_result(
    scenario: Scenario, section: Compliance, registry: Registry, name: str, pattern: str, first: date
) -> HopResult:
    hops = hops_of(section, pattern)
    hop = hops[name]
    sees = [load for load in _passing(scenario, hop) if sees_phi(scenario, hops, name, load)]
    reasons = list(_objections(scenario, section, registry, hop, sees, first))
    return HopResult(name, hop.kind, hop.provider, sees, not reasons, reasons)


def _passing(scenario: Scenario, hop: Hop) -> list[str]:
    """Workloads whose content comes by a hop."""
    return [name for name in scenario.workloads if hop.content and (hop.workloads is None or name in hop.workloads)]


def sees_phi(scenario: Scenario, hops: Mapping[str, Hop], hop: str, load: str) -> bool:
    """Whether health information of a workload reaches a hop of these: it does until the first that takes it out."""
    phi = scenario.workloads[load].phi
    if phi != "de_identified":
        return phi
    names = [name for name, other in hops.items() if load in _passing(scenario, other)]
    for name in names:
        if name == hop:
            return any(hops[other].kind == "de_identification" for other in names)
        if hops[name].kind == "de_identification":
            return False
    return False


def _objections(
    scenario: Scenario, section: Compliance, registry: Registry, hop: Hop, sees: list[str], first: date
) -> Iterator[str]:
    if hop.on_site:
        return
    assert hop.provider is not None
    for name in _passing(scenario, hop):
        load = scenario.workloads[name]
        protection = load.data_protection or DataProtection()
        if protection.air_gap:
            yield f"nothing of {name} may leave the site, and {hop.provider} runs it (data_protection.air_gap)"
        elif name in sees and not (scenario.constraints.phi_may_leave and protection.may_leave):
            yield f"protected health information of {name} may not leave the site, and {hop.provider} runs it"
        if protection.residency:
            where = geography(registry, hop.region) if hop.region else None
            if where not in protection.residency:
                said = f"{hop.region} lies in {where or 'an unknown place'}" if hop.region else "its region is not said"
                yield f"requests of {name} must stay in {' or '.join(protection.residency)}, and {said}"
        limit = protection.kept_at_most_days
        if limit is not None and (hop.keeps_days is None or hop.keeps_days > limit):
            kept = "it is not said how long" if hop.keeps_days is None else counted(hop.keeps_days, "day")
            yield f"it keeps content of {name} ({kept}); at most {counted(limit, 'day')} {is_or_are(limit)} allowed"
    if sees and (missing := agreement_missing(section, hop.provider, first)):
        yield f"it sees protected health information of {', '.join(sees)}, and {missing}"


def not_de_identified(scenario: Scenario, section: Compliance, pattern: str) -> list[str]:
    """Workloads said to be de-identified though no hop of the data flow that was given for a pattern does it."""
    done = {
        name
        for hop in hops_of(section, pattern).values()
        if hop.kind == "de_identification"
        for name in _passing(scenario, hop)
    }
    return [
        name
        for name, load in scenario.workloads.items()
        if section.data_flow and load.phi == "de_identified" and name not in done
    ]


def unstated(scenario: Scenario, section: Compliance) -> list[str]:
    """Kinds of hop about which the scenario says nothing."""
    stated = {hop.kind for hop in section.data_flow.values()}
    needed = {load.phi for load in scenario.workloads.values()}
    return [
        kind for kind in EXPECTED if kind not in stated and (kind != "de_identification" or "de_identified" in needed)
    ]
