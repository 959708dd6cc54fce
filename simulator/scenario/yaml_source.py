"""One YAML 1.2 file as plain data, with the line of every key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

Key = tuple[str | int, ...]

LARGEST_BYTES: Final = 1_000_000
MOST_NODES: Final = 100_000
DEEPEST: Final = 40


@dataclass(slots=True)
class Document:
    """Plain data, and where each key of it was written.

    Attributes:
        data: Mappings, lists and scalars.
        origins: File and 1-based line by key path.
    """

    data: dict[str, Any]
    origins: dict[Key, tuple[str, int]] = field(default_factory=dict)

    def origin(self, key: Key) -> tuple[str, int]:
        """Where a key was written, or its nearest ancestor that was."""
        while key and key not in self.origins:
            key = key[:-1]
        return self.origins.get(key, ("scenario", 0))


def read_document(path: Path) -> Document:
    """Read one file.

    Raises:
        ScenarioError: Missing, unreadable, too large, not UTF-8, not YAML, not a mapping, or too deep.
    """
    name = str(path)
    text = _text(path, name)
    data = _parse(text, name)
    if data is None:
        raise _fault(name, 0, "the file is empty; expected a scenario (try 'simulator init')")
    if not isinstance(data, dict):
        raise _fault(name, 1, f"expected keys and values at the top level, found {_kind(data)}")
    document = Document({}, {(): (name, 0)})
    document.data = _plain(data, (), name, document.origins, [0])
    return document


def parse_value(text: str) -> Any:  # noqa: ANN401 - a YAML value is anything
    """The YAML 1.2 value of a `--set` argument.

    Raises:
        ScenarioError: It is not YAML.
    """
    value = _parse(text, "--set")
    return _plain(value, (), "--set", {}, [0])


def _fault(name: str, line: int, message: str) -> ScenarioError:
    return ScenarioError([Fault(name, line, "", message)])


def _text(path: Path, name: str) -> str:
    try:
        if path.is_dir():
            raise _fault(name, 0, "is a directory; expected a scenario file")
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise _fault(name, 0, f"is {size / 1e6:,.1f} MB; a scenario may not exceed {LARGEST_BYTES / 1e6:.0f} MB")
        content = path.read_bytes()
    except OSError as error:
        raise _fault(name, 0, f"cannot be read: {error.strerror or error}") from error
    if b"\0" in content:
        raise _fault(name, 0, "is a binary file; expected YAML text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _fault(name, line, "is not UTF-8 text") from error


def _parse(text: str, name: str) -> Any:  # noqa: ANN401 - a YAML value is anything
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    class Constructor(RoundTripConstructor):
        """Dates stay text: the model that reads them knows what to say about a wrong one."""

    Constructor.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str)
    yaml = YAML(typ="rt")
    yaml.Constructor = Constructor
    try:
        return yaml.load(text)
    except DuplicateKeyError as error:
        mark = error.problem_mark
        problem = str(error.problem).split(" with value")[0]
        raise _fault(name, mark.line + 1 if mark else 0, f"{problem}: each key may appear once") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(part) for part in (error.context, error.problem) if part)
        hint = "; indent with spaces, not tabs" if "'\\t'" in problem else ""
        raise _fault(name, mark.line + 1 if mark else 0, f"is not valid YAML: {problem}{hint}") from error
    except RecursionError as error:
        raise _fault(name, 0, f"is nested more than {DEEPEST} levels deep") from error
    except (YAMLError, ValueError) as error:
        raise _fault(name, 0, f"is not valid YAML: {str(error).splitlines()[0]}") from error


def _kind(value: object) -> str:
    kinds = {list: "a list", str: "text", bool: "true or false"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), f"{value!r:.40}")


def _plain(value: Any, key: Key, name: str, origins: dict[Key, tuple[str, int]], count: list[int]) -> Any:  # noqa: ANN401
    """Copy without ruamel's types; aliases are expanded, within limits."""
    count[0] += 1
    line = origins.get(key, (name, 0))[1]
    if count[0] > MOST_NODES:
        raise _fault(name, line, f"expands to more than {MOST_NODES:,} values; do its aliases refer to each other?")
    if len(key) > DEEPEST:
        raise _fault(name, line, f"is nested more than {DEEPEST} levels deep")
    if isinstance(value, dict):
        return {
            part: _plain(item, _note((*key, part), value, part, name, origins), name, origins, count)
            for part, item in ((_text_key(part), item) for part, item in value.items())
        }
    if isinstance(value, list):
        return [
            _plain(item, _note((*key, index), value, index, name, origins), name, origins, count)
            for index, item in enumerate(value)
        ]
    return _scalar(value)


def _text_key(part: object) -> str:
    return part if isinstance(part, str) else str(_scalar(part))


def _note(key: Key, parent: Any, part: str | int, name: str, origins: dict[Key, tuple[str, int]]) -> Key:  # noqa: ANN401
    places = getattr(getattr(parent, "lc", None), "data", None) or {}
    place = places.get(part)
    origins[key] = (name, place[0] + 1) if place else origins.get(key[:-1], (name, 0))
    return key


def _scalar(value: Any) -> Any:  # noqa: ANN401 - a YAML value is anything
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return str(value)
