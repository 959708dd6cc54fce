"""JSON Schema of scenario files, for editors."""

from __future__ import annotations

import json
import re
from typing import Any

from simulator.scenario.schema import Scenario
from simulator.scenario.short_forms import SHORT_FORMS

_LOADER_KEYS = {
    "extends": {"type": "string", "description": "Scenario file this one changes."},
    "overrides": {
        "type": "object",
        "description": "Named partial scenarios, applied with --override NAME.",
        "additionalProperties": {"$ref": "#/$defs/PartialScenario"},
    },
}
#: Bounds as pydantic has them, and as JSON Schema does.
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def scenario_schema() -> str:
    """The schema as text, ending in a line feed.

    A file that extends another may leave out anything and remove keys with null, so only the names of its sections
    are checked. `extends` and `overrides` are the loader's own keys. Editors know draft 7, with `$defs` besides.
    """
    whole = Scenario.model_json_schema(mode="validation")
    kinds = whole.pop("$defs")
    whole["properties"] |= _LOADER_KEYS
    sections = {name: {"description": entry.get("description", "")} for name, entry in whole["properties"].items()}
    partial = {"type": "object", "additionalProperties": False, "properties": sections | _LOADER_KEYS}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Scenario",
        "type": "object",
        "if": {"required": ["extends"]},
        "then": {"$ref": "#/$defs/PartialScenario"},
        "else": {"$ref": "#/$defs/Scenario"},
        "$defs": {**kinds, "PartialScenario": partial, "Scenario": whole},
    }
    _as_written(schema)
    for _, example, places in SHORT_FORMS:
        for place in places:
            _allow(schema, place.split("."), example)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _allow(schema: dict[str, Any], path: list[str], example: str | int) -> None:
    """Let a text or a number stand where a path leads, besides what may stand there."""
    *parents, last = path
    holders = [schema["$defs"]["Scenario"]]
    for step in parents:
        holders = [below for holder in holders for below in _below(schema, holder, step)]
    short = {"type": "string" if isinstance(example, str) else "number", "examples": [example]}
    for holder in holders:
        known = holder.get("items") if last == "[]" else holder.get("properties", {}).get(last)
        if known is None or short in known.get("anyOf", ()):
            continue
        kept = {key: known.pop(key) for key in ("description", "default", "title") if key in known}
        several = known.pop("anyOf", None) or [dict(known)]
        known.clear()
        known |= {"anyOf": [short, *several], **kept}


def _below(schema: dict[str, Any], holder: dict[str, Any], step: str) -> list[dict[str, Any]]:
    """What stands below a key, in each of its forms; a star is any name or place."""
    if step == "*":
        found = [*holder.get("patternProperties", {}).values(), holder.get("additionalProperties"), holder.get("items")]
    else:
        found = [holder.get("properties", {}).get(step)]
    return [form for one in found if isinstance(one, dict) for form in _forms(schema, one)]


def _forms(schema: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in part:
        return _forms(schema, schema["$defs"][part["$ref"].rpartition("/")[2]])
    several = part.get("anyOf") or part.get("oneOf")
    return [form for one in several for form in _forms(schema, one)] if several else [part]


def _as_written(schema: Any) -> None:  # noqa: ANN401 - JSON is anything
    """Give defaults their units, as a file would, and bounds their names; drop OpenAPI's `discriminator`."""
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _as_written(part)
    if isinstance(schema, dict):
        schema.pop("discriminator", None)
        _name_bounds(schema)
        if schema.get("type") == "string" and "examples" in schema and "default" in schema:
            schema["default"] = _quantity(schema["default"], schema["examples"][0])


def _name_bounds(schema: dict[str, Any]) -> None:
    """Pydantic leaves bounds of what may also be text under names of its own; where it is text only, drop them."""
    found = {name: schema.pop(own) for own, name in _BOUNDS.items() if isinstance(schema.get(own), (int, float))}
    if not {"number", "integer"}.intersection(schema.get("type", ())):
        return
    schema |= found
    for strict, other in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if strict in found and schema.get(other) == found[strict]:
            del schema[other]


def _quantity(default: float | str, example: str) -> str:
    """Seconds, or an amount in the unit of the example."""
    return f"{default:g}s" if isinstance(default, float) else re.sub(r"^[\d.]+", str(default), example)
