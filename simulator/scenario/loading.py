"""From a scenario file to a `Scenario`.

Precedence: `--set` > `--override` > file > `extends` > default.
"""

from __future__ import annotations

import os
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from simulator.scenario.compliance import Compliance
from simulator.scenario.costs import Prices, rates_of
from simulator.scenario.horizon import Horizon
from simulator.scenario.mending import mended
from simulator.scenario.merging import apply_overrides, apply_settings, read_with_bases
from simulator.scenario.patterns import HostingPattern
from simulator.scenario.schema import Constraints, Scenario
from simulator.scenario.workloads import AnyWorkload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from simulator.scenario.yaml_source import Document
    from simulator.units import Rates


def load_scenario(
    path: str | PathLike[str],
    *,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Scenario:
    """Read, merge and validate a scenario file.

    Args:
        path: YAML file.
        overrides: Names of blocks under its `overrides:` to apply.
        settings: Values by dotted key path, such as `{"experiment.seed": 7}`.

    Raises:
        ScenarioError: Everything that is wrong, each with file, line and key.
    """
    return Scenario.from_document(read_merged(path, overrides=overrides, settings=settings))


def read_merged(
    path: str | PathLike[str],
    *,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Document:
    """What a scenario file says together with the files it extends, overrides and settings; see `load_scenario`.

    Raises:
        ScenarioError: A file cannot be read.
    """
    document = read_with_bases(Path(path))
    apply_overrides(document, overrides)
    apply_settings(document, settings or {})
    _place_files(document)
    return document


#: Where a scenario names files; a star stands for every name.
_FILES = (
    ("hosting_patterns", "*", "cluster", "profile"),
    ("hosting_patterns", "*", "clusters", "*", "cluster", "profile"),
    ("workloads", "*", "trace", "file"),
)


def _place_files(document: Document) -> None:
    """Make paths of other files relative to where the command runs; in a file they are relative to it."""
    for path, holder in _named_files(document.data):
        file, _ = document.origins.get(path, ("", 0))
        if Path(file).is_file():
            holder[path[-1]] = os.path.normpath(Path(file).parent / holder[path[-1]])


def movable(resolved: dict[str, Any]) -> dict[str, Any]:
    """A resolved scenario that means the same files wherever it is written."""
    found = deepcopy(resolved)
    for path, holder in _named_files(found):
        holder[path[-1]] = str(Path(holder[path[-1]]).absolute())
    return found


def _named_files(data: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every path of a key that names a file, with what holds it."""
    for pattern in _FILES:
        for path, holder in _holders(data, pattern):
            if isinstance(holder, dict) and isinstance(holder.get(path[-1]), str):
                yield path, holder
    compliance = data.get("compliance")
    # A registry that ships with the package has a name without an ending.
    named = compliance.get("registry") if isinstance(compliance, dict) else None
    if isinstance(compliance, dict) and isinstance(named, str) and Path(named).suffix:
        yield ("compliance", "registry"), compliance


def _holders(data: object, pattern: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every path of this pattern, with what holds its last key."""
    step, *rest = pattern
    if not rest:
        yield (step,), data
    elif isinstance(data, dict):
        for name in list(data) if step == "*" else [step]:
            for path, holder in _holders(data.get(name), tuple(rest)):
                yield (name, *path), holder


@dataclass(frozen=True, slots=True)
class SoundParts:
    """What of a scenario can be checked despite faults elsewhere.

    Attributes:
        scenario: No valid one: it has a horizon or None, and whatever workloads, hosting patterns and prices are sound,
            or are without what is wrong in them.
        workloads: By name, the keys on the way to what was taken out of it or put into it.
        patterns: The same of hosting patterns.
    """

    scenario: Scenario
    workloads: dict[str, set[str]] = field(default_factory=dict)
    patterns: dict[str, set[str]] = field(default_factory=dict)


def sound_parts(document: Document) -> SoundParts:
    """The parts that are valid by themselves, or would be without what is wrong in them."""
    data = document.data
    rates = rates_of(data)
    workloads, touched = mended(data.get("workloads"), AnyWorkload)
    patterns, changed = mended(data.get("hosting_patterns"), HostingPattern, rates)
    parts = {
        "horizon": _sound({"": data.get("horizon")}, Horizon).get(""),
        "workloads": workloads,
        "hosting_patterns": patterns,
        "prices": _sound({"": data.get("prices")}, Prices).get("", Prices()),
        "compliance": _sound({"": data.get("compliance")}, Compliance).get(""),
        "constraints": _sound({"": data.get("constraints")}, Constraints, rates).get("", Constraints()),
    }
    sound = Scenario.model_construct(**parts)
    sound._document = document
    return SoundParts(sound, touched, changed)


def _sound(entries: object, kind: Any, rates: Rates | None = None) -> dict[str, Any]:  # noqa: ANN401 - a type annotation is anything
    adapter = TypeAdapter(kind)
    sound = {}
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        with suppress(ValidationError):
            sound[name] = adapter.validate_python(entry, context=rates)
    return sound
