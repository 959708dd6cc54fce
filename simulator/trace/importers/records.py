"""Records of a log: some of a file's at a time, and of each only the fields that are asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    #: What a field is called in the file, best name first.
    Fields = Mapping[str, tuple[str, ...]]
    #: The records inside one value of a JSON file.
    Unpack = Callable[[Any], Iterable[Any]]

CHUNK: Final = 1 << 15
#: Longest value of a CSV file and longest line of JSON: long prompts pass, a missing quote does not eat the file.
LONGEST: Final = 1 << 24
#: What is given in place of a value where text is no JSON.
NOT_JSON: Final = object()


@dataclass(frozen=True, slots=True)
class Records:
    """Some records of a file.

    Attributes:
        path: Of the file.
        lines: 1-based line at which each begins; its number where the file has no lines.
        columns: By field, the value of each record as it stood there, None where it has none.
    """

    path: Path
    lines: list[int]
    columns: dict[str, list[Any]]


@dataclass(slots=True)
class Position:
    """Where a reader is: the line of the record it is at."""

    line: int = 1


def parse_json(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """The value of some text, or `NOT_JSON`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def look_up(record: dict[str, Any], names: list[tuple[str, tuple[str, ...]]]) -> Any:  # noqa: ANN401 - likewise
    """The value under the first of these names that has one; a name with dots may lead into what stands there."""
    for name, steps in names:
        value = record.get(name)
        if value is None and len(steps) > 1:
            value = step_into(record, steps)
        if value is not None:
            return value
    return None


def step_into(value: Any, steps: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever the file holds
    """What lies down these steps; text on the way may be JSON, a list of pairs is a map of Parquet's."""
    for step in steps:
        if isinstance(value, str):
            value = parse_json(value) if value.lstrip()[:1] == "{" else None
        elif isinstance(value, list):
            value = dict(one for one in value if isinstance(one, tuple) and len(one) == 2)
        value = value.get(step) if isinstance(value, dict) else None
    return value
