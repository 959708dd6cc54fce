from __future__ import annotations

import json
import re

import jsonschema
import pytest

from simulator.scenario.json_schema import scenario_schema
from simulator.scenario.reference import scenario_reference
from tests.parts import ROOT


def test_the_page_is_current():
    page = (ROOT / "docs" / "scenario-reference.md").read_text(encoding="utf-8")
    assert page == scenario_reference(), "run: simulator schema --markdown > docs/scenario-reference.md"


def test_every_key_of_every_part_is_explained():
    page = scenario_reference()
    parts = json.loads(scenario_schema())["$defs"]
    keys = {key for name, part in parts.items() if name != "PartialScenario" for key in part.get("properties", {})}
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", page, re.MULTILINE))
    assert keys - {"kind"} == set(rows)
    assert [key for key, meaning in rows.items() if not meaning.strip()] == []


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("Reasoning", "share", 0),
        ("Reasoning", "share", 1.01),
        ("ExponentialAdoption", "monthly_growth", 11),
        ("ExponentialAdoption", "first", 0),
        ("PriorityAware", "share_of_high", 0),
    ],
)
def test_an_editor_refuses_what_the_simulator_refuses(part, key, value):
    """What a number may be is said under names that JSON Schema knows."""
    known = json.loads(scenario_schema())["$defs"][part]["properties"][key]
    jsonschema.validate(0.5, known)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, known)


def test_every_link_has_its_heading():
    page = scenario_reference()
    headings = {name.lower() for name in re.findall(r"^## (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\(#(\w+)\)", page)) <= headings


def test_what_all_routing_has_stands_once_and_nothing_is_lost():
    page = scenario_reference()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    keys = {name: set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) for name, text in sections.items()}
    parts = json.loads(scenario_schema())["$defs"]
    kinds = [name for name, text in sections.items() if "(#routing)" in text and "keys of [all" in text]
    assert {"Overflow", "Rules", "CustomRouting"} <= set(kinds)
    for name in kinds:
        assert keys[name] | keys["Routing"] == set(parts[name]["properties"]) - {"kind"}
        assert not keys[name] & keys["Routing"]
    assert page.count("| `breaker` |") == 1
