"""What of a JSON value is looked at: the parser skips the rest, which never becomes an object, let alone a prompt.

Values come out as those of `parse_json` do, without the names that nobody asks for; text that the skipping parser does
not take is read whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any, Final, TypedDict, Union

import msgspec

from simulator.trace.importers.records import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Steps of a path whose names are taken apart in every way; longer ones are kept whole below their first step.
_STEPS: Final = 6
#: As `TypedDict` is called with names that are known only when it is.
_typed_dict: Final[Any] = TypedDict


@dataclass(frozen=True, slots=True)
class Shape:
    """A value of which something is looked at where it is an object or a list; any other is kept as it is.

    Attributes:
        names: Of an object, with the shape of what stands there, None for all of it; None for all of an object.
        entries: Of a list, the shape of each; None for all of them.
    """

    names: tuple[tuple[str, Shape | None], ...] | None = None
    entries: Shape | None = None
    #: Told once: what many names share would be gone through for each of them.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.names, self.entries)))

    def __hash__(self) -> int:
        return self._hash

    def also(self, other: Shape) -> Shape:
        """What either looks at."""
        if self.names is None or other.names is None:
            names = None
        else:
            mine, theirs = dict(self.names), dict(other.names)
            both = {name: _either(mine[name], theirs[name]) for name in mine.keys() & theirs.keys()}
            names = tuple(sorted((mine | theirs | both).items(), key=lambda one: one[0]))
        return Shape(names, _either(self.entries, other.entries))

    def listed(self) -> Shape:
        """The same, or a list of such."""
        return Shape(self.names, self)


def _either(one: Shape | None, other: Shape | None) -> Shape | None:
    return None if one is None or other is None else one.also(other)


def an_object(names: Mapping[str, Shape | None]) -> Shape:
    """With what stands under these names."""
    return Shape(tuple(sorted(names.items(), key=lambda one: one[0])))


def a_list(entry: Shape | None) -> Shape:
    """Of entries of this shape."""
    return Shape(None, entry)


def paths(names: Iterable[str], inside: Shape | None = None) -> Shape:
    """An object with all that `records.look_up` can find under these names, each of it of the shape `inside`."""
    return reduce(Shape.also, (_path(tuple(name.split(".")), inside) for name in names), an_object({}))


def _path(steps: tuple[str, ...], inside: Shape | None) -> Shape:
    if len(steps) > _STEPS:
        return an_object({".".join(steps[:length]): None for length in range(1, len(steps) + 1)})
    parts = {".".join(steps[:length]): _path(steps[length:], inside) for length in range(1, len(steps))}
    return an_object(parts | {".".join(steps): inside})


def under(record: Shape, names: Iterable[str]) -> Shape:
    """A record, a list of them, or either under one of these names of an object."""
    around = record.also(an_object(dict.fromkeys(names, record.listed())))
    return Shape(around.names, record)


@lru_cache(maxsize=64)
def parser(shape: Shape | None) -> Callable[[str], Any]:
    """What reads some text as `parse_json` does, but of its value only this."""
    if shape is None:
        return parse_json
    decode = msgspec.json.Decoder(_type(shape)).decode

    def read(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
        try:
            return decode(text)
        except (ValueError, RecursionError):
            # Broken, or one of the things that only Python's parser takes: NaN, half a pair of surrogates.
            return parse_json(text)

    return read


@lru_cache(maxsize=4096)
def _type(shape: Shape | None) -> Any:  # noqa: ANN401 - a type, made as it runs
    """What is looked at below one name is looked at below a hundred others: one type is made for all of them."""
    if shape is None:
        return Any
    if shape.names is None:
        values: Any = dict[str, Any]
    else:
        values = _typed_dict("Looked", {name: _type(inner) for name, inner in shape.names}, total=False)
    entries = _type(shape.entries)
    return Union[values, list[entries], str, int, float, bool, None]  # type: ignore[valid-type]  # noqa: UP007 - a type
