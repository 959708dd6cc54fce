"""How files, named overrides and `--set` combine: `--set` > `--override` > file > `extends` > default."""

from __future__ import annotations

from copy import deepcopy
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from simulator.errors import Fault, ScenarioError
from simulator.scenario.yaml_source import Document, Key, read_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def read_with_bases(path: Path, chain: tuple[Path, ...] = ()) -> Document:
    """A file on top of the files it extends.

    Raises:
        ScenarioError: See `read_document`; also a cycle, or a base that does not exist.
    """
    document = read_document(path)
    if "extends" not in document.data:
        return document
    base = document.data.pop("extends")
    file, line = document.origins[("extends",)]
    if not isinstance(base, str):
        raise ScenarioError([Fault(file, line, "extends", "expected the name of a scenario file")])
    target = (path.parent / base).resolve()
    if target in (*chain, path.resolve()):
        raise ScenarioError([Fault(file, line, "extends", f"'{base}' extends this file in turn")])
    if not target.is_file():
        raise ScenarioError([Fault(file, line, "extends", f"there is no file '{base}' beside this one")])
    merged = read_with_bases(path.parent / base, (*chain, path.resolve()))
    merge(merged, document)
    return merged


def merge(base: Document, over: Document) -> None:
    """Lay one document over another: mappings merge, everything else replaces, null removes."""
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
    """Apply named `overrides:` blocks of the scenario, in order; takes the block itself out.

    Raises:
        ScenarioError: An unknown name, or two blocks that set the same key to different values.
    """
    blocks = document.data.pop("overrides", {})
    file, line = document.origin(("overrides",))
    if not isinstance(blocks, dict) or not all(isinstance(block, dict) for block in blocks.values()):
        raise ScenarioError([Fault(file, line, "overrides", "expected named blocks of keys and values")])
    chosen: dict[Key, tuple[str, Any]] = {}
    for name in names:
        if name not in blocks:
            nearest = get_close_matches(name, blocks, n=1)
            known = f"did you mean '{nearest[0]}'?" if nearest else f"there are: {', '.join(blocks) or 'none'}"
            raise ScenarioError([Fault("--override", 0, name, f"the scenario has no such override; {known}")])
        for leaf, value in _leaves(blocks[name], ()):
            other, earlier = chosen.setdefault(leaf, (name, value))
            if earlier != value:
                message = f"'{other}' and '{name}' both set it, to {earlier!r} and {value!r}"
                raise ScenarioError([Fault("--override", 0, dotted(leaf), message)])
        cut = len(("overrides", name))
        origins = {
            place[cut:]: origin for place, origin in document.origins.items() if place[:cut] == ("overrides", name)
        }
        merge(document, Document(blocks[name], origins))
    _forget(document, ("overrides",))


def _leaves(value: Any, key: Key) -> list[tuple[Key, Any]]:  # noqa: ANN401 - a YAML value is anything
    if isinstance(value, dict) and value:
        return [leaf for part, item in value.items() for leaf in _leaves(item, (*key, part))]
    return [(key, value)]


def apply_settings(document: Document, settings: Mapping[str, Any]) -> None:
    """Set single keys by dotted path; a list's entries are numbered from 0.

    Raises:
        ScenarioError: A path that leads through something that is neither a mapping nor a list.
    """
    for path, value in settings.items():
        parts: list[str | int] = []
        target: Any = document.data
        *parents, last = path.split(".")
        for part in parents:
            step = _step(target, part, path)
            parts.append(step)
            target = target.setdefault(step, {}) if isinstance(target, dict) else target[step]
        step = _step(target, last, path)
        key = (*parts, step)
        _forget(document, key)
        if value is None and isinstance(target, dict):
            target.pop(step, None)
        else:
            target[step] = deepcopy(value)
            document.origins[key] = (f"--set {path}", 0)


def _step(target: Any, part: str, path: str) -> str | int:  # noqa: ANN401 - a YAML value is anything
    if isinstance(target, dict) and part:
        return part
    if isinstance(target, list) and part.isdigit() and int(part) < len(target):
        return int(part)
    allowed = f"a number from 0 to {len(target) - 1}" if isinstance(target, list) else "no further key"
    raise ScenarioError([Fault("--set", 0, path, f"'{part}' leads nowhere; expected {allowed} at this place")])


def dotted(key: Key) -> str:
    """A key path as people write it."""
    return ".".join(str(part) for part in key)
