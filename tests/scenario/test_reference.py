from __future__ import annotations

import json
import re

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


def test_every_link_has_its_heading():
    page = scenario_reference()
    headings = {name.lower() for name in re.findall(r"^## (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\(#(\w+)\)", page)) <= headings
