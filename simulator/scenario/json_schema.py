"""JSON Schema of scenario files, for editors."""

from __future__ import annotations

import json
import re
from typing import Any

from simulator.scenario.schema import Scenario

_LOADER_KEYS = {
    "extends": {"type": "string", "description": "Scenario file this one changes."},
    "overrides": {
        "type": "object",
        "description": "Named partial scenarios, applied with --override NAME.",
        "additionalProperties": {"$ref": "#/$defs/PartialScenario"},
    },
}


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
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _as_written(schema: Any) -> None:  # noqa: ANN401 - JSON is anything
    """Give defaults their units, as a file would, and drop OpenAPI's `discriminator`."""
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _as_written(part)
    if isinstance(schema, dict):
        schema.pop("discriminator", None)
        if schema.get("type") == "string" and "examples" in schema and "default" in schema:
            schema["default"] = _quantity(schema["default"], schema["examples"][0])


def _quantity(default: float | str, example: str) -> str:
    """Seconds, or an amount in the unit of the example."""
    return f"{default:g}s" if isinstance(default, float) else re.sub(r"^[\d.]+", str(default), example)
