"""Records of a log: some of a file's at a time, and of each only the fields that are asked for."""

from __future__ import annotations

import binascii
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
#: What stands before the record in lines: of CloudWatch's export a moment, of Kubernetes a moment and a stream, of
#: `logcli` a moment and labels, of `docker compose logs` and `kubectl logs --prefix` a name, of syslog its header.
PREFIX: Final = re.compile(
    r'(?:[^{"\n,;]{0,80}\{\w+="[^{}\n]{0,2000}\})?(?:[^{"\n,;]|(?<=\d),(?=\d)){0,300}?(?=\{\s*["}]|\[\s*\{)'
)
#: How Kubernetes begins a line, of a record or not.
CONTAINER: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) std(?:out|err) [FP] ")
#: How an object begins that stands in Base64: with a brace.
BASE64_OBJECT: Final = re.compile(r"e[w-z0-9+/][A-Za-z0-9+/]{2}")
#: How logs write that nothing stands somewhere.
ABSENT: Final = frozenset({"", "-", "null", "NULL", "None", "none", "N/A", "n/a", "\\N"})


@dataclass(frozen=True, slots=True)
class Records:
    """Some records of a file.

    Attributes:
        path: Of the file.
        lines: 1-based line at which each begins; its number where the file has no lines.
        columns: By field, the value of each record as it stood there, None where it has none.
        numbers: 1-based number of each in its file, where lines do not tell them apart.
    """

    path: Path
    lines: list[int]
    columns: dict[str, list[Any]]
    numbers: list[int] | None = None

    def places(self, at: Iterable[int]) -> list[str]:
        """Where these stand, as a message says it after the name of the file."""
        if self.numbers is None:
            return [str(self.lines[one]) for one in at]
        return [f"{self.lines[one]} (record {self.numbers[one]:,})" for one in at]


def is_absent(value: object) -> bool:
    """Whether a log says that there is no such value."""
    return value is None or (type(value) is str and value in ABSENT)


@dataclass(slots=True)
class Position:
    """Where a reader is.

    Attributes:
        line: Of the record it is at.
        read: Characters of records read so far, or a little more.
    """

    line: int = 1
    read: int = 0


def parse_json(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """The value of some text, or `NOT_JSON`."""
    try:
        return from_json(text, cache_strings="keys")
    except (ValueError, TypeError):
        pass
    # No JSON; or half a pair of surrogates, or a value deeper than the fast parser goes.
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def look_up_all(
    records: Sequence[dict[str, Any]],
    names: list[tuple[str, tuple[str, ...]]],
    here: Collection[str] | None = None,
    inside: dict[str, set[str] | None] | None = None,
) -> list[Any]:
    """`look_up` in each of them; `here` are the names that some of them have, `inside` is kept from field to field."""
    found: list[Any] = [None] * len(records)
    open_ = list(range(len(records)))
    for name, steps in names:
        if here is not None and name not in here and not _may_be(records, steps, here, inside):
            continue
        if len(open_) == len(records):
            values = [record.get(name) for record in records]
        else:
            values = [records[at].get(name) for at in open_]
        if len(steps) > 1:
            values = [
                step_into(records[at], steps) if value is None else value
                for at, value in zip(open_, values, strict=True)
            ]
        if len(values) == len(records):
            found = values
        else:
            for at, value in zip(open_, values, strict=True):
                found[at] = value
        if None not in values and "" not in values:
            return found
        open_ = [at for at, value in zip(open_, values, strict=True) if value is None or value == ""]
    for at in open_:
        found[at] = None
    return found


def _may_be(
    records: Sequence[dict[str, Any]],
    steps: tuple[str, ...],
    here: Collection[str],
    inside: dict[str, set[str] | None] | None,
) -> bool:
    """Whether anything can lie down these steps, by the names that stand where the first of them leads."""
    if len(steps) == 1:
        return False
    first, *longer = _beginnings(steps)
    if any(one in here for one in longer):
        return True
    if first not in here or inside is None:
        return first in here
    if first not in inside:
        held = [record.get(first) for record in records]
        kinds = set(map(type, held))
        # Text may be JSON, and a list pairs.
        plain = kinds.isdisjoint((str, list))
        inside[first] = set().union(*(one for one in held if type(one) is dict)) if plain else None
    names = inside[first]
    return names is None or steps[1] in names or any(one in names for one in _beginnings(steps[1:])[1:]) or (
        ".".join(steps[1:]) in names
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _beginnings(steps: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(".".join(steps[:length]) for length in range(1, len(steps)))


def look_up(record: dict[str, Any], names: list[tuple[str, tuple[str, ...]]]) -> Any:  # noqa: ANN401 - likewise
    """The value under the first of these names that has one; a name with dots may lead into what stands there."""
    for name, steps in names:
        value = record.get(name)
        if value is None and len(steps) > 1:
            value = step_into(record, steps)
        if value is not None and value != "":
            return value
    return None


def step_into(value: Any, steps: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever the file holds
    """What lies down these steps; text on the way may be JSON, in Base64 too, a list of pairs is a map of Parquet's.

    A name with dots of its own, such as `gen_ai.usage.input_tokens`, is found at any depth.
    """
    inner = value
    for step in steps:
        if type(inner) is not dict:
            break
        inner = inner.get(step)
    else:
        if inner is not None:
            return inner
    return _step_into(value, steps)


def _decoded(text: str) -> str:
    """An object in Base64, as SageMaker's data capture keeps an answer unless told otherwise; empty if it is none."""
    if BASE64_OBJECT.match(text) is None:
        return ""
    try:
        return binascii.a2b_base64(text).decode()
    except ValueError:
        return ""


def _step_into(value: Any, steps: tuple[str, ...]) -> Any:  # noqa: ANN401 - likewise
    if not steps:
        return value
    if isinstance(value, str):
        value = parse_json(value if value.lstrip()[:1] == "{" else _decoded(value))
    elif isinstance(value, list):
        value = dict(one for one in value if isinstance(one, tuple) and len(one) == 2)
    if not isinstance(value, dict):
        return None
    found = value.get(steps[0])
    if len(steps) == 1:
        return found
    if found is not None and (inner := _step_into(found, steps[1:])) is not None:
        return inner
    for name, rest in _dotted(steps):
        if (found := value.get(name)) is not None and (inner := _step_into(found, rest)) is not None:
            return inner
    return None


@lru_cache(maxsize=4096)
def _dotted(steps: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names of several of the first steps at once, and the steps behind them."""
    return tuple((".".join(steps[:length]), steps[length:]) for length in range(2, len(steps) + 1))
