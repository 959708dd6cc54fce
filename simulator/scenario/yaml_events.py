"""YAML as nodes, from libyaml's events: ten times as fast as a parser in Python, and no other in what it says.

libyaml knows the grammar; what a plain scalar is, is decided by the rules of YAML 1.2. What the versions of YAML differ
about is left to the slow parser, and so is all that is wrong, because its messages are the better ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Tabs and what only 1.1 takes for the end of a line; directives and documents; explicit keys; a comment that touches
#: the sign of a block, and blanks that begin one; anchors of other than letters.
_UNSURE: Final = re.compile(
    r"[\t\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]|^(?:%|---|\.\.\.)|(?:^|[\s\[{,:])\?(?=\s|$)"
    r"|[|>][-+\d]*#|[|>][^\n]*\n\n* +(?:\n|\Z)|(?:^|[\s\[{,:-])[&*][\w-]*[^\w\s,\[\]{}-]",
    re.MULTILINE | re.ASCII,
)
_DEEPEST: Final = 100
_TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node begins.

    Attributes:
        line: From 0.
    """

    line: int


@dataclass(slots=True, eq=False)
class EventNode:
    """A node, under the names that the slow parser gives to its own.

    Attributes:
        id: Of what kind.
        tag: Resolved.
        value: Text of a scalar, items of a sequence, pairs of a mapping.
        start_mark: Where it begins.
    """

    id: Literal["scalar", "sequence", "mapping"]
    tag: str
    value: Any
    start_mark: Place


class Unsure(Exception):
    """The slow parser has to look at it."""


def compose(text: str, resolve: Callable[[str], str]) -> EventNode:
    """The node of a text that is one document.

    Args:
        text: YAML.
        resolve: Tag of a plain scalar.

    Raises:
        Unsure: libyaml is not here or finds it wrong, or the text has what the versions of YAML differ about.
    """
    try:
        import yaml

        parser = yaml.CSafeLoader
    except (ImportError, AttributeError):
        raise Unsure from None
    if _UNSURE.search(text):
        raise Unsure
    try:
        events = yaml.parse(text, Loader=parser)
        return _Composer(events, resolve).document()
    except (yaml.YAMLError, StopIteration, ValueError):
        raise Unsure from None


class _Composer:
    def __init__(self, events: Iterator[Any], resolve: Callable[[str], str]) -> None:
        self._next = events.__next__
        self._resolve = resolve
        self._anchors: dict[str, EventNode] = {}

    def document(self) -> EventNode:
        names = [type(self._next()).__name__ for _ in range(2)]
        if names != ["StreamStartEvent", "DocumentStartEvent"]:
            raise Unsure
        node = self._node(self._next(), 0)
        names = [type(self._next()).__name__ for _ in range(2)]
        if names != ["DocumentEndEvent", "StreamEndEvent"]:
            raise Unsure
        return node

    def _node(self, event: Any, depth: int) -> EventNode:  # noqa: ANN401 - PyYAML has no types
        kind = type(event).__name__
        if kind == "AliasEvent":
            if event.anchor not in self._anchors:
                raise Unsure
            return self._anchors[event.anchor]
        if event.tag is not None or depth > _DEEPEST:
            raise Unsure
        place = Place(event.start_mark.line)
        if kind == "ScalarEvent":
            tag = self._resolve(event.value) if event.implicit[0] else f"{_TAG}str"
            return self._anchored(event, EventNode("scalar", tag, event.value, place))
        if kind == "SequenceStartEvent":
            node = self._anchored(event, EventNode("sequence", f"{_TAG}seq", [], place))
            while type(inner := self._next()).__name__ != "SequenceEndEvent":
                node.value.append(self._node(inner, depth + 1))
            return node
        node = self._anchored(event, EventNode("mapping", f"{_TAG}map", [], place))
        while type(inner := self._next()).__name__ != "MappingEndEvent":
            key = self._node(inner, depth + 1)
            node.value.append((key, self._node(self._next(), depth + 1)))
        return node

    def _anchored(self, event: Any, node: EventNode) -> EventNode:  # noqa: ANN401 - as above
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node
