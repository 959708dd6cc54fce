"""A result into a run directory, with what made it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from simulator.experiment.store import manifest, write_run
from simulator.extensions import mark, place
from simulator.performance.clusters import profiles_of
from simulator.scenario.customs import customs
from simulator.workload.calendar import ClinicalCalendar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from simulator.experiment.tables import Tables
    from simulator.scenario.schema import Scenario


def keep(
    target: Path,
    scenario: Scenario,
    published: Mapping[str, Any],
    content: bytes,
    tables: Tables,
    more: Callable[[Path], object] | None = None,
) -> None:
    """Write a run directory.

    Args:
        target: From `simulator.experiment.store.open_place`.
        scenario: The question.
        published: The published JSON document.
        content: Its bytes.
        tables: Requests and levels.
        more: See `write_run`.

    Raises:
        SimulationGone: What was simulated was removed meanwhile.
        RunStoreError: The place cannot be written.
    """
    calendar = ClinicalCalendar(scenario.horizon)
    profiles = profiles_of(scenario.hosting_patterns[name] for name in tables.shared)
    inputs = {
        "profiles": {
            profile.id: {
                "sha256": hashlib.sha256(profile.model_dump_json().encode()).hexdigest(),
                "label": profile.label,
                "provenance": profile.provenance,
            }
            for profile in profiles
        },
        "holidays": {str(day): name for day, name in calendar.holidays.items()},
        **({"extensions": found} if (found := _extensions(scenario)) else {}),
        "same_simulation": {name: other for name, other in tables.shared.items() if name != other},
    }
    write_run(target, scenario, content, manifest(scenario, dict(published), inputs), tables.kept, more)


def _extensions(scenario: Scenario) -> dict[str, dict[str, str]]:
    """Code of others that was run, by the key that asks for it: nobody here has looked at it."""
    return {
        ".".join(key): {
            "group": f"simulator.{group}",
            "name": one.name,
            "code": place(group, one.name),
            "sha256": mark(group, one.name),
        }
        for key, group, one in customs(scenario)
    }
