from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import simulator
from simulator.errors import ScenarioError
from simulator.scenario.json_schema import scenario_schema
from simulator.scenario.loading import load_scenario
from simulator.scenario.patterns import EngineSettings
from simulator.scenario.schema import Scenario
from simulator.scenario.templates import read_template, template_names
from simulator.scenario.yaml_source import Document, read_document
from tests.parts import ROOT
from tests.scenario.valid import VALID


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


def test_what_no_file_says_is_missing_in_the_one_that_was_asked_for(file):
    file(VALID.replace("name: small\n", ""), "base.yaml")
    path = file("# a comment\nextends: base.yaml\n")
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert str(error.value) == f"{path}:2: name: is missing"


def test_what_cannot_be_read_is_not_also_empty(file):
    with pytest.raises(ScenarioError) as error:
        load_scenario(file(VALID.replace("replications: 2", f"replications: {'9' * 5000}")))
    assert [fault.message for fault in error.value.faults] == [f"'{'9' * 40}' is not a number"]


def test_two_overrides_that_disagree(file):
    text = VALID + "overrides: {a: {experiment: {seed: 1}}, b: {experiment: {seed: 2}}}\n"
    with pytest.raises(ScenarioError, match=r"^overrides: experiment\.seed: 'a' and 'b' both set it, to 1 and 2"):
        load_scenario(file(text), overrides=["a", "b"])
    with pytest.raises(ScenarioError, match="no such override; did you mean 'a'"):
        load_scenario(file(text), overrides=["aa"])


@pytest.mark.parametrize(
    ("path", "value", "phrase"),
    [
        ("experiment.sed", 1, "settings experiment.sed: experiment.sed: unknown key; did you mean 'seed'?"),
        ("experiment.replications.deeper", 1, "leads nowhere"),
        ("experiment..seed", 1, "leads nowhere"),
        ("workloads.nots.priority", 1, "there is no workload 'nots'; did you mean 'notes'?"),
        ("hosting_patterns.onw.cluster.replicas", 2, "there is no hosting pattern 'onw'; did you mean 'own'?"),
        ("workloads.notes.days.9", "mon", "a number from 0 to 4"),
        ("workloads.notes.objectives.ttft", 2, "a duration needs a unit"),
    ],
)
def test_settings_that_fail(path, value, phrase, file):
    with pytest.raises(ScenarioError) as error:
        load_scenario(file(VALID), settings={path: value})
    assert phrase in str(error.value)


def test_several_settings_fail_together_with_the_file(file):
    path = file(VALID.replace("mean: 600", "mean: x"))
    with pytest.raises(ScenarioError) as error:
        load_scenario(path, settings={"experiment.sed": 1, "workloads.nots.priority": 1}, overrides=["none"])
    assert [fault.key for fault in error.value.faults] == [
        "none",
        "workloads.nots.priority",
        "experiment.sed",
        "workloads.notes.prompt_tokens.mean",
    ]


def test_with_overrides_makes_another_scenario(file):
    scenario = load_scenario(file(VALID))
    other = scenario.with_overrides({"experiment.seed": 7, "workloads.notes.days.0": "sat"})
    assert (scenario.experiment.seed, other.experiment.seed) == (20261123, 7)
    assert other.workloads["notes"].days[0] == "sat"
    assert scenario.sha256 != other.sha256
    assert scenario.sha256 == load_scenario(file(VALID, "copy.yaml")).sha256


def test_the_resolved_document_is_the_scenario(file):
    scenario = load_scenario(file(VALID), settings={"experiment.seed": 3})
    again = Scenario.from_document(Document(json.loads(json.dumps(scenario.resolved))))
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


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_accepts_what_the_loader_accepts(path):
    schema = jsonschema.Draft7Validator(json.loads(scenario_schema()))
    schema.check_schema(schema.schema)
    assert [error.message for error in schema.iter_errors(read_document(path).data)] == []


def test_the_schema_refuses_a_slip(file):
    schema = jsonschema.Draft7Validator(json.loads(scenario_schema()))
    slips = [("objectives:", "objectivs:"), ("clinicians: 10", "clinicians: ten"), ("name: small\n", "")]
    for right, wrong in [*slips, ("name: small", "nmae: x\nextends: base.yaml")]:
        assert not schema.is_valid(read_document(file(VALID.replace(right, wrong))).data), wrong


def test_the_schema_writes_quantities_with_their_units():
    retries = json.loads(scenario_schema())["$defs"]["Retries"]["properties"]
    assert retries["first_delay"]["default"] == "0.5s"
    assert json.loads(scenario_schema())["$defs"]["Purchase"]["properties"]["infrastructure"]["default"] == "0 USD"


def test_every_value_remembers_where_it_was_written(file):
    base = file(VALID, "base.yaml")
    path = file("extends: base.yaml\nname: child\noverrides:\n  more:\n    experiment:\n      seed: 5\n")
    scenario = load_scenario(path, overrides=["more"], settings={"horizon.month": "2026-05"})
    assert scenario.origin("name") == (str(path), 2)
    assert scenario.origin("experiment", "seed") == (str(path), 6)
    assert scenario.origin("workloads", "notes", "days", 2) == (str(base), 7)
    assert scenario.origin("horizon", "month") == ("settings horizon.month", 0)
    assert scenario.override_names == ("more",)


def test_the_resolved_scenario_can_be_written_and_read_again(file, tmp_path):
    scenario = load_scenario(file(VALID.replace("month: 2026-04", "start: 2026-04-01, duration: 1w")))
    with (tmp_path / "resolved.yaml").open("w") as written:
        YAML().dump(scenario.resolved, written)
    assert load_scenario(tmp_path / "resolved.yaml").sha256 == scenario.sha256


def test_aliases_and_merges_are_read_as_written_out(file):
    text = VALID.replace("prompt_tokens: {", "prompt_tokens: &tokens {").replace(
        "output_tokens: {kind: constant, tokens: 200}", "output_tokens: {<<: *tokens, mean: 200}"
    )
    lengths = load_scenario(file(text)).workloads["notes"].output_tokens
    assert lengths.model_dump(include={"kind", "mean", "sigma"}) == {"kind": "lognormal", "mean": 200, "sigma": 0.45}


def test_yaml_1_2_values(file):
    text = VALID.replace("name: small", 'name: small\ndescription: "18:30 on NO 0123"').replace(
        "mean: 600", "mean: 1e3"
    )
    scenario = load_scenario(file(text))
    assert scenario.workloads["notes"].prompt_tokens.mean == 1000.0


@settings(max_examples=25)
@given(st.integers(0, 2**63 - 1), st.integers(1, 1000))
def test_numbers_survive(seed, replications):
    scenario = simulator.load_scenario(ROOT / "scenarios" / "ci_small.yaml")
    other = scenario.with_overrides({"experiment.seed": seed, "experiment.replications": replications})
    assert (other.experiment.seed, other.experiment.replications) == (seed, replications)


def test_whole_prompts_need_a_budget_for_the_longest():
    with pytest.raises(ValueError, match="chunked_prefill"):
        EngineSettings(chunked_prefill=False, max_model_len=8192, max_num_batched_tokens=2048)
    EngineSettings(chunked_prefill=False, max_model_len=2048, max_num_batched_tokens=2048)


def test_files_are_named_relative_to_the_scenario_that_names_them(tmp_path, monkeypatch):
    """A profile of one of several clusters too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    cluster = "{model: llama-3.1-8b, gpu: l40s, profile: mine.json}"
    costs = "costs: {compute: {kind: rental, gpu_hour: 1.86 USD/h}}"
    text = (
        "name: two\nhorizon: {month: 2026-04}\n"
        "workloads: {notes: {volume: {requests_per_month: 10}, prompt_tokens: {kind: constant, tokens: 5}, "
        "output_tokens: {kind: constant, tokens: 5}}}\n"
        f"hosting_patterns:\n  one: {{kind: self_hosted, cluster: {cluster}, {costs}}}\n"
        f"  several: {{kind: self_hosted, clusters: {{a: {{cluster: {cluster}, {costs}}}}}}}\n"
    )
    (tmp_path / "here" / "two.yaml").write_text(text, encoding="utf-8")
    patterns = load_scenario("here/two.yaml").hosting_patterns
    for pattern in patterns.values():
        assert [one.cluster.profile for one in pattern.hosted.values()] == [str(Path("here", "mine.json"))]
