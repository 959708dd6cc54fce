"""The header beside a trace: where it comes from, how long it is, and the checksum that ties both files."""

from __future__ import annotations

import hashlib
import re
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import date
from io import StringIO
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from simulator.errors import TraceError
from simulator.files import write_whole
from simulator.reading import parse_json, read_unpacked
from simulator.units import WEEK_S

if TYPE_CHECKING:
    from pathlib import Path

#: About 31 years; nanoseconds of it can be counted.
LONGEST_S: Final = 1e9
_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")
#: What each key may be; a key with a default may be absent.
_KINDS: dict[str, tuple[type, ...]] = {
    "source": (str,), "licence": (str,), "span_s": (int, float), "rows": (int,), "columns": (list,),
    "sha256": (str,), "schema_version": (int,), "time_zone": (str, type(None)),
    "week_offset_s": (int, float, type(None)), "start_date": (str, type(None)), "deidentified": (list,),
    "assumed": (list,),
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
        time_zone: Whose clock the hours of the week are read from, by IANA name; None where that is unknown.
        week_offset_s: Seconds from Monday 00:00 in that zone to arrival 0; None where that is unknown.
        start_date: ISO date of arrival 0; None where dates were dropped or unknown.
        deidentified: What was done so that nobody can be recognised, a sentence each.
        assumed: What the source does not say and was assumed or drawn, a sentence each.
    """

    source: str
    licence: str
    span_s: float
    rows: int
    columns: tuple[str, ...]
    sha256: str
    schema_version: int = 1
    time_zone: str | None = None
    week_offset_s: float | None = None
    start_date: str | None = None
    deidentified: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def header_path(trace: Path) -> Path:
    """Where the header of this trace is written: `t.yaml`, or `t.csv.yaml` where `t.parquet` has taken that."""
    other = trace.with_suffix({".csv": ".parquet", ".parquet": ".csv"}.get(trace.suffix, ".csv"))
    return trace.with_name(f"{trace.name}.yaml") if other.is_file() else trace.with_suffix(".yaml")


def header_file(path: Path) -> Path | None:
    """The file with the header of a trace: `t.csv.yaml`, `t.yaml` or `t.json` beside it."""
    if not path.name:  # a folder
        return None
    places = (path.with_name(f"{path.name}.yaml"), path.with_suffix(".yaml"), path.with_suffix(".json"))
    return next((beside for beside in places if beside.is_file()), None)


def read_header(path: Path) -> TraceHeader | None:
    """What it says, or None where there is none.

    Raises:
        TraceError: A key is missing, unknown or of the wrong kind.
    """
    beside = header_file(path)
    return None if beside is None else _read(beside)


def write_header(header: TraceHeader, trace: Path) -> None:
    """Write the header as YAML beside its trace."""
    from ruamel.yaml import YAML

    required = [field.name for field in fields(TraceHeader) if field.default is MISSING]
    content = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(header).items()
        if name in (*required, "schema_version") or value not in (None, ())
    }
    yaml, text = YAML(), StringIO()
    yaml.width = 1000
    yaml.dump(content, text)
    write_whole(header_path(trace), text.getvalue(), fault=TraceError)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        TraceError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from None


def _read(path: Path) -> TraceHeader:
    try:
        content = _load(path)
    except Exception:  # the YAML library has many, and their messages quote the file
        raise TraceError(f"{path}: not readable as {path.suffix[1:]}") from None
    if not isinstance(content, dict):
        raise TraceError(f"{path}: expected keys {', '.join(_KINDS)}")
    required = [field.name for field in fields(TraceHeader) if field.default is MISSING]
    faults = [f"missing key {name}" for name in (*required, "schema_version") if name not in content]
    for name, kinds in _KINDS.items():
        value = content.get(name)
        if name in content and (not isinstance(value, kinds) or isinstance(value, bool)):
            faults.append(f"{name}: expected {[kind for kind in kinds if kind is not type(None)][-1].__name__}")
    if content.keys() - _KINDS.keys():
        faults.append(f"unknown key; allowed are {', '.join(_KINDS)}")
    faults = faults or _relations(content)
    if faults:
        raise TraceError("\n".join(f"{path}: {fault}" for fault in faults))
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return TraceHeader(**values)


def _relations(content: dict[str, Any]) -> list[str]:
    faults = []
    if content["schema_version"] != 1:
        faults.append("schema_version: expected 1")
    if not 0 < content["span_s"] <= LONGEST_S:
        faults.append(f"span_s: expected a positive number of seconds, at most {LONGEST_S:,.0f}")
    if not 0 <= (content.get("week_offset_s") or 0) < WEEK_S:
        faults.append(f"week_offset_s: expected 0 or more seconds, and less than a week ({WEEK_S:,.0f})")
    lists = ("columns", "deidentified", "assumed")
    written = [str(entry) for value in content.values() for entry in (value if isinstance(value, list) else [value])]
    if any(_HALF_CHARACTER.search(entry) for entry in written):
        faults.append("half of a surrogate pair is not a character")
    mixed = [name for name in lists if not all(isinstance(entry, str) for entry in content.get(name, ()))]
    faults += [f"{name}: expected a list of text" for name in mixed]
    try:
        date.fromisoformat(content.get("start_date") or "2000-01-01")
    except ValueError:
        faults.append("start_date: expected a date such as 2026-11-23, in quotes")
    if not known_zone(content.get("time_zone") or "UTC"):
        faults.append("time_zone: expected an IANA name such as Europe/Berlin")
    return faults


def known_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # a name not found is a KeyError, a folder an OSError
        return False
    return True


def _load(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    content = read_unpacked(path)
    if path.suffix == ".json":
        return parse_json(content)
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(content.decode("utf-8"))
