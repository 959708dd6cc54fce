"""What has been changed of a scenario, with its undoing; every state is a value, and nothing here runs anything."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from simulator.errors import ScenarioError
from simulator.experiment.checks import checked
from simulator.scenario.loading import read_merged
from simulator.scenario.merging import apply_settings
from simulator.scenario.yaml_source import parse_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from simulator.scenario.schema import Scenario
    from simulator.scenario.yaml_source import Document
    from simulator.studio.controls import Key


@dataclass(frozen=True, slots=True)
class Session:
    """A file, and what was changed of it.

    Attributes:
        source: The file.
        base: What it says, merged.
        scenario: What it says with the changes; always a valid one.
        changes: The changes that are in force: texts by key, as they would stand in the file; an empty one leaves
            the key out.
        past: Changes that were in force before, the last one last.
        future: Changes that were undone, the next to be redone last.
        pending: Changes that make no valid scenario yet; they are tried again with the next.
        faults: What the command line would say about them, by key.
        variants: Changes that were given a name.
    """

    source: Path
    base: Document
    scenario: Scenario
    changes: Mapping[Key, str] = field(default_factory=dict)
    past: tuple[Mapping[Key, str], ...] = ()
    future: tuple[Mapping[Key, str], ...] = ()
    pending: Mapping[Key, str] = field(default_factory=dict)
    faults: Mapping[Key, str] = field(default_factory=dict)
    variants: Mapping[str, Mapping[Key, str]] = field(default_factory=dict)

    @classmethod
    def opened(cls, source: Path) -> Self:
        """A scenario file, with nothing changed.

        Raises:
            ScenarioError: Everything that is wrong with it.
        """
        base = read_merged(source)
        return cls(source, base, with_changes(base, {}))

    def changed(self, more: Mapping[Key, str]) -> Self:
        """With other values; those that make no valid scenario wait for what makes them so."""
        tried = {**self.pending, **more}
        try:
            return self._moved({**self.changes, **tried}, {})
        except ScenarioError as error:
            faults = error.faults
        if tried.keys() != more.keys():
            waiting = {key: text for key, text in self.pending.items() if key not in more}
            try:
                moved = self._moved({**self.changes, **more}, waiting)
                return replace(moved, faults={key: said for key, said in self.faults.items() if key in waiting})
            except ScenarioError as error:
                faults = error.faults
        said: dict[Key, str] = {}
        for fault in faults:
            key = _blamed(fault.key, tried, more)
            # Its place is the control beside it, unless it is about another.
            text = fault.message if fault.key == ".".join(key) else f"{fault.key}: {fault.message}"
            said[key] = f"{said[key]}; {text}" if key in said else text
        kept = {key: text for key, text in self.faults.items() if key in tried and key not in more}
        return replace(self, pending=tried, faults=kept | said)

    def _moved(self, changes: Mapping[Key, str], pending: Mapping[Key, str]) -> Self:
        """Raises ScenarioError: They make no valid scenario."""
        found = _differing(self.base.data, changes)
        if found == dict(self.changes):
            return replace(self, pending=pending, faults={})
        return replace(self._at(found, (*self.past, self.changes), ()), pending=pending)

    def undone(self) -> Self:
        """As it was before the last change; what waits for validity is let go."""
        if self.pending or not self.past:
            return replace(self, pending={}, faults={})
        *past, last = self.past
        future = (*self.future, self.changes)
        return self._at(last, tuple(past), future)

    def redone(self) -> Self:
        """As it was before the last undoing."""
        if not self.future:
            return self
        *future, following = self.future
        return self._at(following, (*self.past, self.changes), tuple(future))

    def reset(self) -> Self:
        """As the file has it."""
        if not self.changes:
            return replace(self, pending={}, faults={})
        return self._at({}, (*self.past, self.changes), ())

    def _at(
        self,
        changes: Mapping[Key, str],
        past: tuple[Mapping[Key, str], ...],
        future: tuple[Mapping[Key, str], ...],
    ) -> Self:
        scenario = with_changes(self.base, changes)
        return replace(self, changes=changes, scenario=scenario, past=past, future=future, pending={}, faults={})

    def named(self, name: str) -> Self:
        """With what is in force kept under a name."""
        return replace(self, variants={**self.variants, name: self.changes})

    def taken(self, name: str) -> Self:
        """With what was kept under a name in force, as one change."""
        changes = self.variants[name]
        return self if changes == self.changes else self._at(changes, (*self.past, self.changes), ())

    def dropped(self, name: str) -> Self:
        """Without what was kept under a name."""
        return replace(self, variants={other: kept for other, kept in self.variants.items() if other != name})


def with_changes(base: Document, changes: Mapping[Key, str]) -> Scenario:
    """A scenario with changes, checked as the command line checks `--set`.

    Raises:
        ScenarioError: Everything that is wrong.
    """
    document = deepcopy(base)
    apply_settings(document, settings_of(document.data, changes))
    return checked(document, must_fit=False)


def settings_of(data: Mapping[str, Any], changes: Mapping[Key, str]) -> dict[str, Any]:
    """Changes as `--set` takes them; below a name with a dot in it, such as a model's, the mapping is set as a whole.

    Raises:
        ScenarioError: A value is not YAML.
    """
    settings: dict[str, Any] = {}
    for key, text in changes.items():
        value = parse_value(text, ".".join(key)) if text.strip() else None
        cut = next((number for number, part in enumerate(key) if "." in part), None)
        if cut is None:
            settings[".".join(key)] = value
            continue
        place = ".".join(key[:cut])
        whole = settings.setdefault(place, deepcopy(_at(data, key[:cut]) or {}))
        for part in key[cut:-1]:
            whole = whole.setdefault(part, {})
        if value is None:
            whole.pop(key[-1], None)
        else:
            whole[key[-1]] = value
    return settings


def _at(data: object, key: Key) -> Any:  # noqa: ANN401 - a YAML value is anything
    """What stands at a key; None where nothing does."""
    for part in key:
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        else:
            return None
    return data


def _differing(data: Mapping[str, Any], changes: Mapping[Key, str]) -> dict[Key, str]:
    """Those that say something else than the file."""
    return {key: text for key, text in changes.items() if not _same(_at(data, key), text, ".".join(key))}


def _same(written: object, text: str, key: str) -> bool:
    if not text.strip():
        return written is None
    value = parse_value(text, key)
    return type(value) is type(written) and value == written


def _blamed(dotted: str, tried: Mapping[Key, str], more: Mapping[Key, str]) -> Key:
    """The changed key that a fault is about: itself, the nearest above or below it, or else the newest."""
    for key in tried:
        own = ".".join(key)
        if dotted == own or dotted.startswith(f"{own}.") or (dotted and own.startswith(f"{dotted}.")):
            return key
    return [*more][-1]
