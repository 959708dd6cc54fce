"""The scenario reference as Markdown, written from the JSON Schema: every key, its form, its default, what it means."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from simulator.scenario.json_schema import scenario_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Any part of a scenario, in a file that changes another.
_PARTIAL: Final = "PartialScenario"
#: What all kinds of routing have.
_ROUTING: Final = "Routing"
_HEAD: Final = """# Scenario reference

Written by `simulator schema --markdown` from the same models that read a scenario; a test checks that it is current.

Durations, rates and money are text with their unit (`28d`, `2.38 USD/h`, `10 USD/1M tokens`) and refused without.
Unknown keys are errors. `kind` says which of several forms a part has. Where a part may also be a text or a number,
that stands for the part in its plainest form: `8000` for `{kind: constant, tokens: 8000}`, `900ms` for
`{median: 900ms}`, `least_loaded` for `{kind: least_loaded}`.
"""


def scenario_reference() -> str:
    """The page: the scenario's own keys first, then each part in the order in which it is first needed."""
    schema = json.loads(scenario_schema())
    parts: dict[str, Any] = schema["$defs"]
    common, alike = _of_all_routing(parts)
    parts[_ROUTING] = {"properties": common, "description": "Keys of every kind of routing, besides its own."}
    order = list(dict.fromkeys(_reached("Scenario", parts)))
    order.insert(min(order.index(name) for name in alike), _ROUTING)
    for name in alike:
        parts[name] = _without(parts[name], common)
    return "\n".join([_HEAD, *(_section(name, parts[name]) for name in order)])


def _of_all_routing(parts: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Keys that every kind of routing has, the same in all, and the names of the kinds."""
    every = [entry for part in parts.values() for key, entry in part.get("properties", {}).items() if key == "routing"]
    names = [name for name in dict.fromkeys(_parts_of(every)) if "kind" in parts[name].get("properties", {})]
    first, *others = (parts[name]["properties"] for name in names)
    return {key: e for key, e in first.items() if key != "kind" and all(one.get(key) == e for one in others)}, names


def _without(part: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """A kind of routing without the keys of all."""
    own = {key: entry for key, entry in part["properties"].items() if key not in common}
    said = f"{part.get('description', '')} And the keys of [all routing](#{_ROUTING.lower()})."
    return {**part, "properties": own, "description": said}


def _parts_of(entry: object) -> list[str]:
    """Names of the parts that it refers to."""
    return re.findall(r"#/\$defs/(\w+)", json.dumps(entry))


def _reached(name: str, parts: Mapping[str, Any]) -> Iterator[str]:
    """A part and those it needs, breadth first."""
    waiting, seen = [name], {name}
    while waiting:
        at = waiting.pop(0)
        yield at
        for other in _parts_of(parts[at]):
            if other not in seen and other != _PARTIAL:
                seen.add(other)
                waiting.append(other)


def _section(name: str, part: Mapping[str, Any]) -> str:
    kind = part.get("properties", {}).get("kind", {}).get("const")
    chosen = f" Chosen by `kind: {kind}`." if kind else ""
    lines = [f"## {name}", "", _text(part.get("description", "")) + chosen, ""]
    rows = [(key, entry) for key, entry in part.get("properties", {}).items() if key != "kind"]
    if rows:
        lines += ["| key | form | default | meaning |", "|---|---|---|---|"]
    required = set(part.get("required", ()))
    lines += [
        f"| `{key}` | {_form(entry)} | {_default(key, entry, required)} | {_text(entry.get('description', ''))} |"
        for key, entry in rows
    ]
    return "\n".join([*lines, ""])


def _text(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")


def _default(key: str, entry: Mapping[str, Any], required: set[str]) -> str:
    if key in required:
        return "required"
    value = entry.get("default")
    if value is None or value in ("", {}, []) or isinstance(value, (dict, list)):
        return ""
    return f"`{_written(value)}`"


def _written(value: Any) -> str:  # noqa: ANN401 - JSON is anything
    """As YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _form(entry: Mapping[str, Any]) -> str:
    """How a value is written, with links to the parts it is made of."""
    if "$ref" in entry:
        name = entry["$ref"].rpartition("/")[2]
        if name == _PARTIAL:
            return "any keys of a scenario"
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in entry:
            forms = [_form(one) for one in entry[several] if one.get("type") != "null"]
            return ", or ".join(dict.fromkeys(forms))
    if "enum" in entry:
        return ", ".join(f"`{_written(value)}`" for value in entry["enum"])
    if "const" in entry:
        return f"`{_written(entry['const'])}`"
    kind = entry.get("type", "")
    if kind == "array":
        return f"list of {_form(entry.get('items', {}))}"
    if kind == "object":
        inner = [*entry.get("patternProperties", {}).values(), entry.get("additionalProperties")]
        named = next((one for one in inner if isinstance(one, dict)), {})
        return f"names, each with {_form(named)}" if named else "keys and values"
    return _bounded(kind, entry)


def _bounded(kind: str | list[str], entry: Mapping[str, Any]) -> str:
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = " and ".join(f"{sign} {entry[key]:g}" for key, sign in signs.items() if key in entry)
    example = f", such as `{entry['examples'][0]}`" if entry.get("examples") else ""
    kinds = [kind] if isinstance(kind, str) else kind
    form = " or ".join(names.get(one, "anything") for one in kinds)
    return f"{form}{' ' + limits if limits else ''}{example}"
