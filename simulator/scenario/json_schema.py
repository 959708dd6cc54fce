"""JSON Schema of scenario files, for editors."""

from __future__ import annotations

import json

from simulator.scenario.schema import Scenario


def scenario_schema() -> str:
    """The schema as text, ending in a line feed; `extends` and `overrides` are the loader's own keys."""
    schema = Scenario.model_json_schema(mode="validation")
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    schema["properties"]["extends"] = {"type": "string", "description": "Scenario file this one changes."}
    schema["properties"]["overrides"] = {
        "type": "object",
        "description": "Named partial scenarios, applied with --override NAME.",
        "additionalProperties": {"type": "object"},
    }
    # What a file leaves out may come from the file it extends.
    schema.pop("required", None)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
