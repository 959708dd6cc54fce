"""A scenario read for its demand alone: whole, or only the `workloads:` that a fit has written."""

from __future__ import annotations

import json
import textwrap
from os import PathLike
from typing import TYPE_CHECKING, Any

from simulator.errors import Fault, ScenarioError, nearest
from simulator.scenario.loading import read_merged
from simulator.scenario.merging import apply_settings
from simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulator.scenario.schema import Scenario
    from simulator.scenario.yaml_source import Document

#: What a fragment leaves open; nothing of it is simulated.
_STAND_IN: dict[str, Any] = {
    "name": "fragment",
    "hosting_patterns": {
        "none": {
            "kind": "metered_api",
            "api": {
                "model": "bedrock/llama-3.3-70b",
                "ttft": {"median": "1s", "sigma": 0},
                "output_tokens_per_s": {"median": 1, "sigma": 0},
            },
        }
    },
}
#: A Monday, and 730 hours.
_START, _MONTH = "2027-03-01", "730h"
_WIDE = 100


def load_demand(
    path: Path | Document,
    *,
    start: str | None = None,
    duration: str | None = None,
    time_zone: str | None = None,
    workloads: Sequence[str] = (),
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Scenario:
    """The demand of a scenario or of a fragment.

    Args:
        path: YAML file with at least `workloads:`, or what was read of one.
        start: Day to begin on, instead of the file's horizon; a fragment without one begins on Monday, 1 March 2027.
        duration: How long, such as `4w`, instead of the file's horizon; a fragment without one lasts 730 hours.
        time_zone: Of the hours of the week, instead of the file's.
        workloads: Only these; all of them when empty.
        overrides: Names of blocks under the file's `overrides:` to apply.
        settings: Values by dotted key path.

    Raises:
        ScenarioError: Everything that is wrong.
    """
    document = read_merged(path, overrides=overrides) if isinstance(path, PathLike) else path
    _keep_only(document, workloads)
    for name, value in _STAND_IN.items():
        document.data.setdefault(name, value)
    written = document.data.setdefault("horizon", {})
    if isinstance(written, dict):
        document.data["horizon"] = _horizon(written, start, duration) | ({"time_zone": time_zone} if time_zone else {})
    apply_settings(document, settings or {})
    return Scenario.from_document(document)


def _horizon(written: dict[str, Any], start: str | None, duration: str | None) -> dict[str, Any]:
    """The horizon as written, or moved and stretched."""
    if start is None and duration is None and written.keys() & {"month", "start"}:
        return written
    first = written.get("start") or (f"{written['month']}-01" if "month" in written else _START)
    place = {key: value for key, value in written.items() if key in ("time_zone", "holidays")}
    return place | {"start": start or first, "duration": duration or written.get("duration") or _MONTH}


def fragment_text(heading: Sequence[str], workloads: Mapping[str, tuple[dict[str, Any], Sequence[str]]]) -> str:
    """A `workloads:` section as YAML.

    Args:
        heading: Lines of the comment at its top.
        workloads: By name, keys and values, and lines of the comment above them.
    """
    lines = [*(f"# {line}".rstrip() for line in heading), "workloads:"]
    for name, (workload, notes) in workloads.items():
        lines += [f"  # {note}" for note in notes]
        lines.append(f"  {name}:")
        for key, value in workload.items():
            lines += _entry(key, value, "    ")
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, indent: str) -> list[str]:  # noqa: ANN401 - a YAML value is anything
    """One key; long values over several lines."""
    if isinstance(value, dict) and len(json.dumps(value)) > _WIDE:
        return [
            f"{indent}{key}:",
            *(line for part, item in value.items() for line in _entry(part, item, indent + "  ")),
        ]
    if isinstance(value, list) and value and isinstance(value[0], list):
        return [f"{indent}{key}:", *(line for row in value for line in _wrapped("- ", row, indent + "  "))]
    if isinstance(value, list):
        return _wrapped(f"{key}: ", value, indent)
    return [f"{indent}{key}: {_flow(value)}"]


def _wrapped(start: str, values: list[Any], indent: str) -> list[str]:
    text = f"{start}[{', '.join(map(_flow, values))}]"
    return textwrap.wrap(text, _WIDE + 20, initial_indent=indent, subsequent_indent=indent + "  ")


def _flow(value: Any) -> str:  # noqa: ANN401 - a YAML value is anything
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)


def _keep_only(document: Document, names: Sequence[str]) -> None:
    known = document.data.get("workloads")
    if not names or not isinstance(known, dict):
        return
    unknown = [Fault("workload", 0, name, f"no such workload; {nearest(name, known)}") for name in names
               if name not in known]  # fmt: skip
    if unknown:
        raise ScenarioError(unknown)
    document.data["workloads"] = {name: load for name, load in known.items() if name in names}
