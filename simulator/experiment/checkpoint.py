"""Finished simulations kept on disk, so that an interrupted run continues where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from simulator.analysis.metrics import RunSummary
from simulator.performance.profile import cluster_profile
from simulator.version import package_version

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.scenario.patterns import HostingPattern
    from simulator.scenario.schema import Scenario


def simulation_key(pattern: HostingPattern) -> str:
    """Hash of what determines a simulation: everything about a pattern but money and words."""
    money: dict[str, Any] = {
        "costs": True,
        "api": {"prices"},
        "clusters": {"__all__": {"costs"}},
        "apis": {"__all__": {"prices"}},
    }
    return _hash(pattern.model_dump(mode="json", exclude={"description": True, **money}))


def demand_key(scenario: Scenario) -> str:
    """Hash of everything else a summary depends on, this package's version included."""
    facts = scenario.model_dump(
        mode="json",
        exclude={
            "name": True,
            "description": True,
            "hosting_patterns": True,
            "prices": {"book"},
            "constraints": {"monthly_cost_at_most"},
            "experiment": {"replications"},
        },
    )
    return _hash([package_version(), facts])


def file_name(scenario: Scenario, pattern: str, replication: int) -> str:
    """Name under which a simulation is kept; it changes with everything the simulation depends on."""
    content = scenario.hosting_patterns[pattern]
    profiles = [cluster_profile(one.cluster).model_dump(mode="json") for one in content.hosted.values()]
    key = _hash([demand_key(scenario), simulation_key(content), profiles])
    return f"{key[:24]}-{replication}.json"


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@cache
def _adapter() -> TypeAdapter[RunSummary]:
    return TypeAdapter(RunSummary)


def save(path: Path, summary: RunSummary) -> None:
    """Write a summary, whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(_adapter().dump_json(summary))
    part.replace(path)


def load(path: Path) -> RunSummary | None:
    """The summary that was saved, to the last bit; None where there is none that can be read."""
    try:
        return _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
