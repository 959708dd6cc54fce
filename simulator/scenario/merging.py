"""How files, named overrides and `--set` combine: `--set` > `--override` > file > `extends` > default."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import Fault, ScenarioError, nearest
from simulator.scenario.bought_gpus import prices_kept
from simulator.scenario.short_forms import written_out
from simulator.scenario.yaml_source import Document, Key, dotted, read_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Mappings whose keys the scenario chooses; a new name there is a new entry, not a slip.
_NAMED: Final = {"workloads": "workload", "hosting_patterns": "hosting pattern"}


def read_with_bases(path: Path, chain: tuple[Path, ...] = ()) -> Document:
    """A file on top of the files it extends.

    Raises:
        ScenarioError: See `read_document`; also a cycle, or a base that does not exist.
    """
    document = read_document(path)
    written_out(document.data)
    if "extends" not in document.data:
        return document
    base = document.data.pop("extends")
    file, line = document.origins.pop(("extends",))
    if message := _unusable(base, path, chain):
        raise ScenarioError([*document.faults, Fault(file, line, "extends", message)])
    merged = read_with_bases(path.parent / base, (*chain, path.resolve()))
    merge(merged, document)
    merged.origins[()] = document.origins[()]
    merged.faults += document.faults
    return merged


def _unusable(base: object, path: Path, chain: tuple[Path, ...]) -> str | None:
    """Why a file cannot be extended, or None."""
    if not isinstance(base, str):
        return "expected the name of a scenario file"
    try:
        target = (path.parent / base).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        return f"there is no file '{base}': {getattr(error, 'strerror', None) or error}"
    if target.is_dir():
        return f"'{base}' is a directory; expected a scenario file"
    return f"'{base}' extends this file in turn" if target in (*chain, path.resolve()) else None


def merge(base: Document, over: Document) -> None:
    """Lay one document over another: mappings merge, everything else replaces, null removes."""
    with prices_kept(base):
        _merge(base, over, base.data, over.data, ())


def _merge(base: Document, over: Document, below: dict[str, Any], above: dict[str, Any], key: Key) -> None:
    for part, value in above.items():
        path = (*key, part)
        if value is None:
            below.pop(part, None)
            _forget(base, path)
        elif isinstance(value, dict) and isinstance(below.get(part), dict) and not _changes_kind(value, below[part]):
            _merge(base, over, below[part], value, path)
        else:
            below[part] = deepcopy(value)
            _forget(base, path)
            base.origins |= {place: origin for place, origin in over.origins.items() if place[: len(path)] == path}


def _changes_kind(above: dict[str, Any], below: dict[str, Any]) -> bool:
    """A mapping of another kind replaces: its keys would mean nothing to the old one."""
    return "kind" in above and "kind" in below and above["kind"] != below["kind"]


def _forget(document: Document, path: Key) -> None:
    for place in [place for place in document.origins if place[: len(path)] == path]:
        del document.origins[place]


def apply_overrides(document: Document, names: Sequence[str]) -> None:
    """Apply named `overrides:` blocks of the scenario, in order; takes the blocks out.

    An unknown name, and a key that two blocks set to different values, become faults of the document.
    """
    blocks = document.data.pop("overrides", {})
    file, line = document.origin(("overrides",))
    if not isinstance(blocks, dict):
        document.faults.append(Fault(file, line, "overrides", "expected named blocks of keys and values"))
        return
    document.overrides = tuple(blocks)
    chosen: dict[Key, tuple[str, Any]] = {}
    for name in names:
        if name not in blocks:
            message = f"the scenario has no such override; {nearest(name, blocks)}"
            document.faults.append(Fault("overrides", 0, name, message))
        elif not isinstance(blocks[name], dict):
            file, line = document.origin(("overrides", name))
            document.faults.append(Fault(file, line, f"overrides.{name}", "expected keys and values"))
        else:
            document.faults += _contradictions(name, blocks[name], chosen)
            cut = len(("overrides", name))
            origins = {
                place[cut:]: origin for place, origin in document.origins.items() if place[:cut] == ("overrides", name)
            }
            merge(document, Document(blocks[name], origins))
    _forget(document, ("overrides",))


def _contradictions(name: str, block: dict[str, Any], chosen: dict[Key, tuple[str, Any]]) -> list[Fault]:
    faults = []
    for leaf, value in _leaves(block, ()):
        other, earlier = chosen.setdefault(leaf, (name, value))
        if earlier != value:
            message = f"'{other}' and '{name}' both set it, to {earlier!r} and {value!r}"
            faults.append(Fault("overrides", 0, dotted(leaf), message))
    return faults


def _leaves(value: Any, key: Key) -> list[tuple[Key, Any]]:  # noqa: ANN401 - a YAML value is anything
    if isinstance(value, dict) and value:
        return [leaf for part, item in value.items() for leaf in _leaves(item, (*key, part))]
    return [(key, value)]


def apply_settings(document: Document, settings: Mapping[str, Any]) -> None:
    """Set single keys by dotted path; a list's entries are numbered from 0.

    A path that leads nowhere becomes a fault of the document.
    """
    with prices_kept(document):
        for path, value in settings.items():
            try:
                _set(document, path, value)
            except LookupError as error:
                document.faults.append(Fault("settings", 0, path, str(error.args[0])))
            written_out(document.data)


def _set(document: Document, path: str, value: Any) -> None:  # noqa: ANN401 - a YAML value is anything
    key: list[str | int] = []
    target: Any = document.data
    *parents, last = path.split(".")
    for part in parents:
        step = _step(target, part, key)
        key.append(step)
        target = target.setdefault(step, {}) if isinstance(target, dict) else target[step]
    step = _step(target, last, None if isinstance(value, dict) else key)
    _forget(document, (*key, step))
    if value is None and isinstance(target, dict):
        target.pop(step, None)
    else:
        target[step] = _as_written(value)
        document.origins[(*key, step)] = (f"settings {path}", 0)


def _as_written(value: Any) -> Any:  # noqa: ANN401 - a YAML value is anything
    """A value as a file would have it: a day as text, a number of numpy as a number."""
    if isinstance(value, date):
        return value.isoformat()
    is_scalar = hasattr(value, "dtype") and getattr(value, "ndim", None) == 0
    return value.item() if is_scalar else deepcopy(value)


def _step(target: Any, part: str, key: list[str | int] | None) -> str | int:  # noqa: ANN401 - a YAML value is anything
    if isinstance(target, list):
        if part in (numbers := [str(number) for number in range(len(target))]):
            return numbers.index(part)
        raise LookupError(f"'{part}' leads nowhere; expected a number from 0 to {len(target) - 1} at this place")
    if not isinstance(target, dict) or not part:
        raise LookupError(f"'{part}' leads nowhere; expected no further key at this place")
    entry = _NAMED.get(str(key[0])) if key and len(key) == 1 else None
    if entry and part not in target:
        raise LookupError(f"there is no {entry} '{part}'; {nearest(part, target)}")
    return part
