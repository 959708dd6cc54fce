"""The shipped example is refused where its comments say it is."""

from __future__ import annotations

import json

import simulator
from simulator.compliance.registry import load_registry
from simulator.experiment.checks import load_checked
from tests.cli.command import run
from tests.parts import ROOT

FOLDER = ROOT / "scenarios/compliance"
SCENARIO = FOLDER / "who_may_see_what.yaml"


def test_the_registry_is_one():
    registry = load_registry(FOLDER / "st_elsewhere_registry.yaml")
    assert registry.models["azure/gpt-4.1-data-zone"].approved_by == "information security board"
    assert "azure/gpt-5" not in registry.models


def test_one_api_is_refused_and_the_others_are_compared(capsys):
    code, out, _ = run(["compliance", str(SCENARIO), "--json"], capsys)
    found = json.loads(out)
    assert code == 1
    assert {row["name"]: row["allowed"] for row in found["patterns"]} == {
        "global_api": False, "data_zone_api": True, "own": True,
    }  # fmt: skip
    (reason,) = found["patterns"][0]["reasons"]
    assert reason.startswith("notes may not use azure/gpt-4.1: its requests must stay in us")
    results = simulator.run(load_checked(SCENARIO, must_fit=False), band=False, outlook=False)
    assert [one.feasible for one in results.patterns] == [False, True, True]
    assert results.decision.recommended == "data_zone_api"


def test_voice_stops_everything(capsys):
    code, _, err = run(["run", str(SCENARIO), "--override", "voice", "--quiet"], capsys)
    assert code == 2
    assert "the agreement does not cover realtime audio" in err
    assert "it takes no realtime audio" in err
