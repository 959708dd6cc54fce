"""A result into a run directory, with what made it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from simulator.experiment.store import manifest, write_run
from simulator.performance.profile import profiles_of
from simulator.workload.calendar import ClinicalCalendar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from simulator.experiment.tables import Tables
    from simulator.scenario.schema import Scenario


def keep(
    place: Path,
    scenario: Scenario,
    published: Mapping[str, Any],
    content: bytes,
    tables: Tables,
    more: Callable[[Path], object] | None = None,
) -> None:
    """Write a run directory.

    Args:
        place: From `simulator.experiment.store.open_place`.
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
        "same_simulation": {name: other for name, other in tables.shared.items() if name != other},
    }
    write_run(place, scenario, content, manifest(scenario, dict(published), inputs), tables.kept, more)
