"""One YAML 1.2 file as plain data, with the line of every key."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from simulator.errors import Fault, ScenarioError
from simulator.scenario.yaml_events import Unsure, compose

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    from simulator.scenario.yaml_events import EventNode

    Node = MappingNode | ScalarNode | SequenceNode | EventNode

Key = tuple[str | int, ...]

LARGEST_BYTES: Final = 1_000_000
MOST_VALUES: Final = 100_000
DEEPEST: Final = 40

_TAG: Final = "tag:yaml.org,2002:"
_TEXT: Final = {f"{_TAG}{kind}" for kind in ("str", "timestamp", "value")}
_SCALARS: Final = {f"{_TAG}{kind}" for kind in ("bool", "float", "int", "null")}
_COLLECTIONS: Final = {f"{_TAG}map", f"{_TAG}seq"}
_MERGE: Final = f"{_TAG}merge"
_OTHER_VERSION: Final = re.compile(r"^%YAML\s+(?!1\.2\s*(#.*)?$)", re.MULTILINE)

_SURROGATE: Final = re.compile("[\ud800-\udfff]")

#: What the parser says, and what it means to whoever wrote the file.
_PLAINER: Final = (
    ("character '\\t'", "indent with spaces, not tabs"),
    ("cannot start any token", "quote a value that begins with a sign such as @, % or `"),
    ("expected <block end>", "the indentation does not match the lines above"),
    ("mapping values are not allowed", "wrong indentation, or a second ': ' in a line; quote text that contains it"),
    ("could not find expected ':'", "expected 'key: value'; is there a colon and a space after the key?"),
    ("expected a single document", "expected one document, found a second one after '---'"),
    ("end of stream", "a quote or bracket opened here is never closed"),
    ("expected ',' or", "expected a comma or the closing bracket; is the bracket opened above left open?"),
)


@dataclass(slots=True)
class Document:
    """Plain data, where each key of it was written, and what is already known to be wrong.

    Attributes:
        data: Mappings, lists and scalars.
        origins: File and 1-based line by key path.
        faults: Found while reading and merging.
        overrides: Names of the blocks under `overrides:`.
    """

    data: dict[str, Any]
    origins: dict[Key, tuple[str, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    overrides: tuple[str, ...] = ()

    def origin(self, key: Key) -> tuple[str, int]:
        """Where a key was written, or its nearest ancestor that was."""
        while key and key not in self.origins:
            key = key[:-1]
        return self.origins.get(key, ("scenario", 0))


def dotted(key: Key) -> str:
    """A key path as people write it."""
    return ".".join(str(part) for part in key)


def read_document(path: Path) -> Document:
    """Read one file.

    Raises:
        ScenarioError: Missing, unreadable, too large, not UTF-8, not YAML, not a mapping, or too deep.
    """
    name = str(path)
    yaml, node = _compose(_text(path, name), name)
    if node is None:
        raise _fault(name, 0, "the file is empty; expected a scenario (try 'simulator init')")
    if node.id != "mapping":
        found = "a list" if node.id == "sequence" else "text"
        raise _fault(name, _line(node), f"expected keys and values at the top level, found {found}")
    reader = _Reader(name, yaml)
    data = reader.read(node, ())
    if not isinstance(data, dict):  # a tag
        raise ScenarioError(reader.faults)
    return Document(data, reader.origins, reader.faults)


def parse_value(text: str, key: str = "") -> Any:  # noqa: ANN401 - a YAML value is anything
    """The YAML 1.2 value of a `--set` argument, for the key it names.

    Raises:
        ScenarioError: It is not YAML.
    """
    faults: Sequence[Fault] = ()
    value = None
    try:
        yaml, node = _compose(text, "--set")
        if node is not None:
            reader = _Reader("--set", yaml)
            value, faults = reader.read(node, ()), reader.faults
    except ScenarioError as error:
        faults = error.faults
    if faults:
        raise ScenarioError([Fault("--set", 0, key, fault.message) for fault in faults])
    return value


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Values by dotted path, from `PATH=VALUE` arguments of `--set`.

    Raises:
        ScenarioError: One is not of this form, or its value is not YAML.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign or not key:
            raise ScenarioError([Fault("--set", 0, setting, "expected PATH=VALUE, such as experiment.seed=7")])
        values[key] = parse_value(text, key)
    return values


def _fault(name: str, line: int, message: str) -> ScenarioError:
    return ScenarioError([Fault(name, line, "", message)])


def _text(path: Path, name: str) -> str:
    try:
        if path.is_dir():
            raise _fault(name, 0, "is a directory; expected a scenario file")
        found = path.stat()
        size = found.st_size
        if size <= LARGEST_BYTES:
            content = _content(path) if path.is_file() else _streamed(path, found.st_dev, found.st_ino)
            size = max(size, len(content))
    except (OSError, ValueError) as error:
        raise _fault(name, 0, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if size > LARGEST_BYTES:
        raise _fault(name, 0, f"is {size / 1e6:,.1f} MB; a scenario may not exceed {LARGEST_BYTES / 1e6:.0f} MB")
    if b"\0" in content:
        raise _fault(name, 0, "is a binary file; expected YAML text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _fault(name, line, "is not UTF-8 text") from error


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_BYTES + 1)


@cache
def _streamed(path: Path, device: int, inode: int) -> bytes:  # noqa: ARG001 - another pipe may have the same name
    """What came through a pipe, which gives it once, for everybody who asks."""
    return _content(path)


def _compose(text: str, name: str) -> tuple[YAML, Node | None]:
    """Parse without building anything: every node keeps its place, and nothing is constructed from a tag."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    if other := _OTHER_VERSION.search(text):
        raise _fault(name, text[: other.start()].count("\n") + 1, "expected YAML 1.2; leave the %YAML line out")
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        with suppress(Unsure):
            return yaml, compose(text, cache(lambda value: _plain_tag(yaml, value)))
        return yaml, yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(part) for part in (error.context, error.problem) if part)
        plainer = next((meaning for said, meaning in _PLAINER if said in problem), problem)
        # What is never closed or finished is found too late; where it begins helps more.
        if ("end of stream" in problem or "expected ':'" in problem) and error.context_mark:
            mark = error.context_mark
        raise _fault(name, mark.line + 1 if mark else 0, f"is not valid YAML: {plainer}") from error
    except RecursionError as error:
        raise _fault(name, 0, f"is nested more than {DEEPEST} levels deep") from error
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise _fault(name, line, f"is not valid YAML: character U+{ord(text[error.position]):04X}") from error
    except (YAMLError, ValueError) as error:
        raise _fault(name, 0, f"is not valid YAML: {str(error).splitlines()[0]}") from error


def _plain_tag(yaml: YAML, value: str) -> str:
    """What a plain scalar is by the rules of YAML 1.2."""
    from ruamel.yaml.nodes import ScalarNode

    return str(yaml.resolver.resolve(ScalarNode, value, (True, False)))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Turns nodes into plain data; aliases are expanded, within limits.

    Attributes:
        origins: File and line of every key read.
        faults: What could not be read.
    """

    def __init__(self, name: str, yaml: YAML) -> None:
        self.origins: dict[Key, tuple[str, int]] = {}
        self.faults: list[Fault] = []
        self._name = name
        self._yaml = yaml
        self._values = 0
        self._known: dict[tuple[str, str], Any] = {}

    def read(self, node: Node, key: Key) -> Any:  # noqa: ANN401 - a YAML value is anything
        """The plain value of a node, and of everything below it."""
        self.origins.setdefault(key, (self._name, _line(node)))
        self._count(node)
        self._check_depth(node, len(key))
        if node.id == "mapping" and node.tag in _COLLECTIONS:
            return self._mapping(node, key)
        if node.id == "sequence" and node.tag in _COLLECTIONS:
            return [self.read(item, (*key, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _count(self, node: Node) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            message = f"expands to more than {MOST_VALUES:,} values; do its aliases refer to each other?"
            raise _fault(self._name, _line(node), message)

    def _check_depth(self, node: Node, depth: int) -> None:
        if depth > DEEPEST:
            raise _fault(self._name, _line(node), f"is nested more than {DEEPEST} levels deep")

    def _mapping(self, node: Node, key: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        written: dict[str, int] = {}
        for part, item in node.value:
            name = str(part.value)
            if part.tag == _MERGE:
                continue
            if part.id != "scalar" or _SURROGATE.search(name):
                self._note(part, key, "a key must be plain text")
            elif name in written:
                self._note(part, (*key, name), f"duplicate key; it is already in line {written[name]}")
            else:
                written[name] = _line(part)
                data[name] = self._item(part, item, key)
        for part, item in node.value:
            if part.tag == _MERGE:
                self._merge(part, item, key, data, 1)
        return data

    def _item(self, part: Node, item: Node, key: Key) -> Any:  # noqa: ANN401 - a YAML value is anything
        path = (*key, str(part.value))
        self.origins[path] = (self._name, _line(part))
        return self.read(item, path)

    def _merge(self, arrows: Node, node: Node, key: Key, data: dict[str, Any], depth: int) -> None:
        """`<<: *anchor`: the keys the mapping does not have yet."""
        sources: list[Node] = node.value if node.id == "sequence" else [node]
        for source in sources:
            self._count(source)
            self._check_depth(source, depth)
            if source.id != "mapping":
                self._note(arrows, (*key, "<<"), "expected an alias of keys and values")
                continue
            for part, item in source.value:
                if part.tag != _MERGE and part.id == "scalar" and part.value not in data:
                    data[str(part.value)] = self._item(part, item, key)
            # What the alias merges in its turn comes last: its own keys win, wherever its '<<' stands.
            for part, item in source.value:
                if part.tag == _MERGE:
                    self._merge(part, item, key, data, depth + 1)

    def _scalar(self, node: Node, key: Key) -> Any:  # noqa: ANN401 - a YAML value is anything
        if node.id == "scalar" and node.tag in _TEXT:
            if _SURROGATE.search(node.value):
                self._note(node, key, "half of a surrogate pair is not a character")
            return str(node.value)
        if node.id != "scalar" or node.tag not in _SCALARS:
            self._note(node, key, "tags such as '!name' are not read; expected plain YAML")
            return None
        written = node.tag, node.value
        try:
            if written not in self._known:
                self._known[written] = self._constructed(node)
            return self._known[written]
        except (ValueError, IndexError, KeyError):
            self._note(node, key, f"'{node.value:.40}' is not a number")
            return None

    def _constructed(self, node: Node) -> Any:  # noqa: ANN401 - a YAML value is anything
        from ruamel.yaml.nodes import ScalarNode

        return self._yaml.constructor.construct_object(ScalarNode(node.tag, node.value))

    def _note(self, node: Node, key: Key, message: str) -> None:
        self.faults.append(Fault(self._name, _line(node), dotted(key), message))
