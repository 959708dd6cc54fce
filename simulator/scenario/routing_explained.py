"""What a pattern's routing does, before anything is simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.scenario.document_routers import DEFECTS
from simulator.scenario.routing import Rules, SeedAsWritten, SeedCorrected
from simulator.scenario.rule_table import overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.routing import Routing


@dataclass(frozen=True, slots=True)
class Route:
    """Where a workload is sent.

    Attributes:
        workload: Its name.
        backends: Backends it may use, the preferred first.
        rule: What decides that; empty where the scenario lists the backends, or none in particular.
    """

    workload: str
    backends: tuple[str, ...]
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """A router of the source document as written, and corrected.

    Attributes:
        subject: A workload that it sends elsewhere, or its name for what concerns all.
        as_written: What it does.
        corrected: What the corrected one does.
    """

    subject: str
    as_written: str
    corrected: str


@dataclass(frozen=True, slots=True)
class RoutingExplained:
    """A pattern's routing in words.

    Attributes:
        kind: Of the policy.
        policy: What it does.
        routes: By workload.
        overlaps: Requests that two rules would send to different backends, and which one decides.
        differences: From the document's router to the corrected one; empty for other kinds.
    """

    kind: str
    policy: str
    routes: tuple[Route, ...]
    overlaps: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


def explain_routing(pattern: HostingPattern, workloads: Sequence[str]) -> RoutingExplained:
    """Explain which backends each workload may use, in which order, and why."""
    routing, hosted, metered = pattern.routing, tuple(pattern.hosted), tuple(pattern.metered)
    return RoutingExplained(
        kind=routing.kind,
        policy=str(type(routing).__doc__).splitlines()[0],
        routes=tuple(Route(name, routing.order(name, hosted, metered), _rule(routing, name)) for name in workloads),
        overlaps=_overlaps(routing, workloads) if isinstance(routing, Rules) else (),
        differences=_differences(routing, workloads) if isinstance(routing, (SeedAsWritten, SeedCorrected)) else (),
    )


def _rule(routing: Routing, workload: str) -> str:
    return routing.target(workload)[1] if isinstance(routing, (SeedAsWritten, SeedCorrected)) else ""


def _overlaps(routing: Rules, workloads: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"{case}: '{first}' decides, '{later}' would send it elsewhere"
        for (first, later), case in overlaps(routing.rules, workloads).items()
    )


def _differences(routing: SeedAsWritten | SeedCorrected, workloads: Sequence[str]) -> tuple[Difference, ...]:
    content = {name: getattr(routing, name) for name in routing.model_fields_set if name != "kind"}
    written = SeedAsWritten.model_construct(None, kind="seed_as_written", **content)
    corrected = SeedCorrected.model_construct(None, kind="seed_corrected", **content)
    found = [
        Difference(name, ": ".join(written.target(name)), ": ".join(corrected.target(name)))
        for name in workloads
        if written.target(name)[0] != corrected.target(name)[0]
    ]
    return (*found, *(Difference(routing.router, *pair) for pair in DEFECTS[routing.router]))
