"""Every JSON document that other programs read says of which version it is, and of which question."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

from simulator.scenario.loading import load_scenario
from simulator.version import package_version
from tests.cli.command import run
from tests.experiment.small import small
from tests.parts import ROOT

ROLLOUT = {
    "months": 2, "users": 60, "adoption": {"kind": "table", "points": [{"month": 1, "share": 1.0}]},
    "phases": [{"pattern": "api"}, {"pattern": "rented", "from_month": 2}],
}  # fmt: skip
SIMULATE = ["--set", "hosting_patterns.bought=null", "--set", "experiment.replications=1", "--jobs", "1"]
WEEK = str(ROOT / "traces" / "clinic_week.csv")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "small.yaml").open("w") as stream:
        YAML().dump(small({"rollout": ROLLOUT}).resolved, stream)
    return "small.yaml"


@pytest.mark.parametrize("command", ["run", "rollout", "capacity", pytest.param("break-even", marks=pytest.mark.slow)])
def test_what_a_simulation_says_names_its_version_and_its_question(file, capsys, command):
    code, out, said = run([command, file, *SIMULATE, "--json"], capsys)
    assert code == 0, said
    plain = json.loads(out)
    assert (plain["schema_version"], plain["simulator_version"]) == (1, package_version())
    scenario = load_scenario(file, settings={"hosting_patterns.bought": None, "experiment.replications": 1})
    assert (plain["scenario"]["name"], plain["scenario"]["sha256"]) == ("small", scenario.sha256)


def test_a_plan_of_one_pattern_asks_no_rollout_that_names_others(file, capsys):
    code, out, said = run(["plan", file, "--pattern", "rented", "--gpu", "l40s", *SIMULATE, "--json"], capsys)
    assert code == 0, said
    assert json.loads(out)["schema_version"] == 1


@pytest.mark.parametrize(
    "command",
    [
        ["apis", "list"], ["validate", str(ROOT / "scenarios" / "ci_small.yaml")], ["trace", "validate", WEEK],
        ["trace", "inspect", WEEK],
    ],
)  # fmt: skip
def test_other_documents_have_a_version_too(capsys, command):
    code, out, said = run([*command, "--json"], capsys)
    assert code == 0, said
    assert json.loads(out)["schema_version"] == 1
