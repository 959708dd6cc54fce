from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from simulator.errors import ScenarioError
from simulator.scenario.json_schema import scenario_schema
from simulator.scenario.loading import load_scenario, validate_document
from simulator.scenario.templates import read_template, template_names
from simulator.scenario.yaml_source import Document
from tests.scenario.valid import VALID

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path):
    def write(text, name="scenario.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_precedence_set_over_override_over_file_over_extends_over_default(file):
    file(VALID + "  seed: 1\n  warm_up: 1h\n", "base.yaml")
    path = file(
        "extends: base.yaml\nname: child\nexperiment: {seed: 2, replications: 3}\n"
        "overrides: {more: {experiment: {replications: 4, seed: 5}}}\n"
    )
    assert load_scenario(path).experiment.model_dump() == {"seed": 2, "replications": 3, "warm_up": 3600.0}
    assert load_scenario(path, overrides=["more"]).experiment.replications == 4
    settings = {"experiment.seed": 9}
    assert load_scenario(path, overrides=["more"], settings=settings).experiment.seed == 9
    assert load_scenario(path).name == "child"


def test_null_removes_and_another_kind_replaces(file):
    file(VALID, "base.yaml")
    path = file(
        "extends: base.yaml\nname: child\nhosting_patterns: {api: null}\n"
        "workloads: {notes: {prompt_tokens: {kind: constant, tokens: 5}}}\n"
    )
    scenario = load_scenario(path)
    assert list(scenario.hosting_patterns) == ["own"]
    assert scenario.workloads["notes"].prompt_tokens.tokens == 5


def test_a_fault_in_a_base_is_reported_there(file):
    base = file(VALID.replace("mean: 600", "mean: x"), "base.yaml")
    path = file("extends: base.yaml\nname: child\n")
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert str(error.value).startswith(f"{base}:8: workloads.notes.prompt_tokens.mean")


def test_two_overrides_that_disagree(file):
    text = VALID + "overrides: {a: {experiment: {seed: 1}}, b: {experiment: {seed: 2}}}\n"
    with pytest.raises(ScenarioError, match=r"experiment\.seed: 'a' and 'b' both set it, to 1 and 2"):
        load_scenario(file(text), overrides=["a", "b"])
    with pytest.raises(ScenarioError, match="no such override; did you mean 'a'"):
        load_scenario(file(text), overrides=["aa"])


@pytest.mark.parametrize(
    ("path", "value", "phrase"),
    [
        ("experiment.sed", 1, "--set experiment.sed: experiment.sed: unknown key; did you mean 'seed'?"),
        ("experiment.replications.deeper", 1, "leads nowhere"),
        ("workloads.notes.days.9", "mon", "a number from 0 to 4"),
        ("workloads.notes.objectives.ttft", 2, "a duration needs a unit"),
    ],
)
def test_settings_that_fail(path, value, phrase, file):
    with pytest.raises(ScenarioError) as error:
        load_scenario(file(VALID), settings={path: value})
    assert phrase in str(error.value)


def test_with_overrides_makes_another_scenario(file):
    scenario = load_scenario(file(VALID))
    other = scenario.with_overrides({"experiment.seed": 7, "workloads.notes.days.0": "sat"})
    assert (scenario.experiment.seed, other.experiment.seed) == (20261123, 7)
    assert other.workloads["notes"].days[0] == "sat"
    assert scenario.sha256 != other.sha256
    assert scenario.sha256 == load_scenario(file(VALID, "copy.yaml")).sha256


def test_the_resolved_document_is_the_scenario(file):
    scenario = load_scenario(file(VALID), settings={"experiment.seed": 3})
    again = validate_document(Document(json.loads(json.dumps(scenario.resolved))))
    assert again.model_dump() == scenario.model_dump()
    assert again.sha256 == scenario.sha256


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_scenarios_load(path):
    assert load_scenario(path).name == path.stem


@pytest.mark.parametrize("name", template_names())
def test_templates_load(name, file):
    load_scenario(file(read_template(name)))


def test_the_committed_schema_is_current():
    assert (ROOT / "scenario.schema.json").read_text(encoding="utf-8") == scenario_schema()


def test_yaml_1_2_values(file):
    text = VALID.replace("name: small", 'name: small\ndescription: "18:30 on NO 0123"').replace(
        "mean: 600", "mean: 1e3"
    )
    scenario = load_scenario(file(text))
    assert scenario.workloads["notes"].prompt_tokens.mean == 1000.0


@given(st.integers(0, 2**63 - 1), st.integers(1, 1000))
def test_numbers_survive(seed, replications):
    scenario = simulator.load_scenario(ROOT / "scenarios" / "ci_small.yaml")
    other = scenario.with_overrides({"experiment.seed": seed, "experiment.replications": replications})
    assert (other.experiment.seed, other.experiment.replications) == (seed, replications)
