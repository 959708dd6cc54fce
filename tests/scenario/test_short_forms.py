"""A short form is the long one: the same hash, the same schema, and `--set` and `extends` see no difference."""

from __future__ import annotations

import json
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import BaseModel

from simulator.errors import ScenarioError
from simulator.scenario.apis import LognormalDelay, LognormalSpeed
from simulator.scenario.json_schema import scenario_schema
from simulator.scenario.loading import load_scenario
from simulator.scenario.schema import Scenario
from simulator.scenario.short_forms import SHORT_FORMS, written_out
from simulator.scenario.workloads import Constant, SharedPrefix

LONG = """\
name: forms
horizon: {month: 2027-04}
workloads:
  notes:
    volume: {requests_per_month: 1000}
    arrivals: {kind: poisson}
    prompt_tokens: {kind: constant, tokens: 8000}
    output_tokens: {kind: constant, tokens: 200}
    shared_prefix: [{tokens: 3000}, {tokens: 500}]
hosting_patterns:
  api:
    kind: metered_api
    api: {model: bedrock/llama-3.3-70b, ttft: {median: 900ms}, output_tokens_per_s: {median: 80}}
    routing: {kind: least_loaded}
  files:
    kind: metered_api
    api: {model: bedrock/llama-3.3-70b, deployment: {kind: batch, turnaround: {median: 6h}}}
  both:
    kind: hybrid
    apis:
      a: {model: bedrock/llama-3.3-70b, deployment: {kind: flex}, ttft: 1s, output_tokens_per_s: {median: 9.5}}
    clusters:
      own:
        cluster: {model: llama-3.1-8b, gpu: l40s, start_up: {median: 2min}, balancing: {kind: vllm}}
        costs: {compute: {kind: rental, gpu_hour: 1 USD/h}}
"""
PAIRS = [
    ("horizon: {month: 2027-04}", "horizon: 2027-04"),
    ("arrivals: {kind: poisson}", "arrivals: poisson"),
    ("{kind: constant, tokens: 8000}", "8000"),
    ("{kind: constant, tokens: 200}", "200"),
    ("[{tokens: 3000}, {tokens: 500}]", "[3000, 500]"),
    ("{median: 900ms}", "900ms"),
    ("{median: 80}", "80"),
    ("routing: {kind: least_loaded}", "routing: least_loaded"),
    ("turnaround: {median: 6h}", "turnaround: 6h"),
    ("deployment: {kind: flex}", "deployment: flex"),
    ("{median: 9.5}", "9.5"),
    ("start_up: {median: 2min}", "start_up: 2min"),
    ("balancing: {kind: vllm}", "balancing: vllm"),
]


@settings(max_examples=20)
@given(st.sets(st.sampled_from(PAIRS)))
def test_however_it_is_written_it_is_the_same_scenario(tmp_path_factory, pairs):
    text = LONG
    for long, short in pairs:
        assert long in text
        text = text.replace(long, short)
    path = tmp_path_factory.mktemp("forms") / "forms.yaml"
    path.write_text(text)
    (path.parent / "long.yaml").write_text(LONG)
    assert load_scenario(path).sha256 == load_scenario(path.parent / "long.yaml").sha256


def test_an_editor_takes_every_short_form():
    import ruamel.yaml

    text = LONG
    for long, short in PAIRS:
        text = text.replace(long, short)
    schema = Draft7Validator(json.loads(scenario_schema()))
    for written in (text, LONG):
        data = ruamel.yaml.YAML(typ="safe", pure=True).load(written)
        assert [error.message for error in schema.iter_errors(data)] == []


def test_a_key_below_a_short_form_can_be_set_and_a_preset_keeps_its_spread(file):
    path = file(LONG.replace("{median: 900ms}", "900ms"))
    api = load_scenario(path, settings={"hosting_patterns.api.api.ttft.sigma": 0.3}).hosting_patterns["api"].api
    assert (api.ttft.median, api.ttft.sigma) == (0.9, 0.3)
    below = file("extends: scenario.yaml\nhosting_patterns: {api: {api: {ttft: {sigma: 0.2}}}}", "below.yaml")
    assert load_scenario(below).hosting_patterns["api"].api.ttft.median == 0.9
    over = file("extends: below.yaml\nhosting_patterns: {api: {api: {ttft: 2s}}}", "over.yaml")
    spread = load_scenario(over).hosting_patterns["api"].api.ttft
    assert (spread.median, spread.sigma) == (2.0, 0.2)
    set_short = load_scenario(path, settings={"workloads.notes.prompt_tokens": 50})
    assert set_short.workloads["notes"].prompt_tokens == Constant(kind="constant", tokens=50)
    blocks = file(LONG + "overrides: {long: {workloads: {notes: {prompt_tokens: 90}}}}\n", "blocks.yaml")
    assert load_scenario(blocks, overrides=["long"]).workloads["notes"].prompt_tokens.tokens == 90


@pytest.mark.parametrize(
    ("long", "short", "said"),
    [
        ("{kind: constant, tokens: 8000}", "0", "workloads.notes.prompt_tokens.tokens: 0: expected greater than 0"),
        ("{kind: constant, tokens: 8000}", "8k", "'8k': expected a whole number without a unit, such as 8000"),
        ("{kind: constant, tokens: 8000}", "true", "expected keys and values"),
        ("{median: 900ms}", "0.9", "a duration needs a unit"),
        ("{median: 900ms}", "fast", "'fast': expected a duration"),
        ("routing: {kind: least_loaded}", "routing: least-loaded", "did you mean 'least_loaded'?"),
        ("deployment: {kind: flex}", "deployment: flexible", "did you mean 'flex'?"),
    ],
)
def test_a_wrong_short_form_is_told_of_as_what_it_stands_for(file, long, short, said):
    path = file(LONG.replace(long, short))
    line = LONG[: LONG.index(long)].count("\n") + 1
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert any(said in str(fault) and fault.line == line for fault in error.value.faults), str(error.value)


def _kinds(annotation):
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return [kind for one in get_args(annotation) for kind in _kinds(one)]
    if get_origin(annotation) in (list, dict):
        return [kind for one in get_args(annotation) for kind in _kinds(one)]
    return [annotation]


def _fields(model, seen):
    for name, field in model.model_fields.items():
        for kind in _kinds(field.annotation):
            yield name, kind
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
                seen.add(kind)
                yield from _fields(kind, seen)


def test_nothing_that_has_a_median_or_a_length_was_forgotten():
    short = {LognormalDelay, LognormalSpeed, Constant, SharedPrefix}
    # Of a fault's duration the form tells what it is the duration of.
    named = {place.removesuffix(".[]").rpartition(".")[2] for _, _, places in SHORT_FORMS for place in places}
    missing = {name for name, kind in _fields(Scenario, set()) if kind in short} - named - {"duration"}
    assert missing == set()


KEYS = st.sampled_from(["workloads", "horizon", "a", "prompt_tokens", "shared_prefix", "overrides"])
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
FILES = st.recursive(
    PLAIN, max_leaves=12, extend=lambda x: st.lists(x, max_size=3) | st.dictionaries(KEYS, x, max_size=4)
)


@settings(max_examples=30)
@given(FILES)
def test_writing_out_twice_changes_nothing_more(data):
    written_out(data)
    before = json.dumps(data)
    written_out(data)
    assert json.dumps(data) == before
