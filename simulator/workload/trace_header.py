"""The header beside a trace: where it comes from, how long it is, and the checksum that ties both files."""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from io import StringIO
from typing import TYPE_CHECKING, Any

from simulator.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KINDS: dict[str, tuple[type, ...]] = {
    "source": (str,), "licence": (str,), "span_s": (int, float), "rows": (int,), "columns": (list,),
    "sha256": (str,), "schema_version": (int,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TraceHeader:
    """What stands beside a trace.

    Attributes:
        source: Where it comes from.
        licence: Under what terms.
        span_s: Seconds it covers; every arrival lies before.
        rows: Requests in it.
        columns: Names, in order.
        sha256: Checksum of the trace file.
        schema_version: Of this header.
    """

    source: str
    licence: str
    span_s: float
    rows: int
    columns: tuple[str, ...]
    sha256: str
    schema_version: int = 1


def read_header(path: Path) -> TraceHeader | None:
    """The header beside a trace (`.yaml`, else `.json`), or None.

    Raises:
        TraceError: A key is missing, unknown or of the wrong kind.
    """
    for suffix in (".yaml", ".json"):
        beside = path.with_suffix(suffix)
        if beside.is_file():
            return _read(beside)
    return None


def write_header(header: TraceHeader, trace: Path) -> None:
    """Write the header as YAML beside its trace."""
    from ruamel.yaml import YAML

    yaml, text = YAML(), StringIO()
    yaml.dump(asdict(header) | {"columns": list(header.columns)}, text)
    with replacing(trace.with_suffix(".yaml")) as draft:
        draft.write_text(text.getvalue(), encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside the target that takes its place when the block succeeds, so no reader sees half a file."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> TraceHeader:
    try:
        content = _load(path)
    except Exception:  # the YAML library has many, and their messages quote the file
        raise TraceError(f"{path}: not readable as {path.suffix[1:]}") from None
    if not isinstance(content, dict):
        raise TraceError(f"{path}: expected keys {', '.join(_KINDS)}")
    faults = [f"missing key {name}" for name in _KINDS if name not in content]
    for name, kinds in _KINDS.items():
        value = content.get(name)
        if name in content and (not isinstance(value, kinds) or isinstance(value, bool)):
            faults.append(f"{name}: expected {kinds[-1].__name__}")
    if content.keys() - _KINDS.keys():
        faults.append(f"unknown key; allowed are {', '.join(_KINDS)}")
    if not faults and content["schema_version"] != 1:
        faults.append("schema_version: expected 1")
    if not faults and not 0 < content["span_s"] < math.inf:
        faults.append("span_s: expected a positive number of seconds")
    if faults:
        raise TraceError("\n".join(f"{path}: {fault}" for fault in faults))
    content["columns"] = tuple(content["columns"])
    return TraceHeader(**{field.name: content[field.name] for field in fields(TraceHeader)})


def _load(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(text)
