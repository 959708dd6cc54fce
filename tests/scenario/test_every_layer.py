"""Faults of form, of names, of GPUs and of who may see what come together; what was meant is asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cli.main import main
from simulator.errors import ScenarioError, close_names, nearest
from simulator.experiment.checks import load_checked
from tests.cli.command import run
from tests.scenario.valid import VALID

GPUS = ["a100-40gb", "a100-80gb", "h100-80gb", "h200", "b200", "l4", "l40s", "rtx-pro-6000"]

LAYERS = """\
name: layers
horizon: {month: 2026-04}
workloads:
  notes:
    volume: {requests_per_month: 1000}
    profile: buisness_hours
    prompt_tokens: {kind: lognormal, mean: many, sigma: 0.4}
    output_tokens: 200
    data_protection: {may_leave: false}
hosting_patterns:
  own:
    kind: self-hosted
    cluster: {model: Llama 3.1 8B, gpu: H100, replicaz: 3}
    costs: {compute: {kind: rental, gpu_hour: 2}}
  api:
    kind: metered_api
    api: {model: bedrock/llama-3.3-70b, ttft: soon, output_tokens_per_s: 80, placement: {region: us-east-1}}
  typo:
    kind: metered_api
    api: {model: azure/gpt5.1, ttft: 1s, output_tokens_per_s: 80, speed: 3}
compliance: {}
"""


def test_every_layer_of_a_file_is_told_of_at_once(file):
    with pytest.raises(ScenarioError) as error:
        load_checked(file(LAYERS))
    said = [str(fault).split(": ", 1)[1] for fault in error.value.faults]
    for start, phrase in (
        ("workloads.notes.profile", "did you mean 'business_hours'?"),
        ("workloads.notes.prompt_tokens.mean", "expected a valid number"),
        ("hosting_patterns.own", "did you mean 'self_hosted'?"),
        ("hosting_patterns.own.cluster.model", "did you mean 'llama-3.1-8b'?"),
        ("hosting_patterns.own.cluster.gpu", "did you mean 'h100-80gb', 'h100-nvl' or 'h100-pcie'?"),
        ("hosting_patterns.own.cluster.replicaz", "did you mean 'replicas'?"),
        ("hosting_patterns.own.costs.compute.gpu_hour", "needs its unit"),
        ("hosting_patterns.api.api.ttft.median", "expected a duration"),
        ("hosting_patterns.api.api", "notes may not use bedrock/llama-3.3-70b"),
        ("hosting_patterns.typo.api.model", "azure/gpt-5.1"),
        ("hosting_patterns.typo.api.speed", "unknown key"),
    ):
        assert any(one.startswith(start) and phrase in one for one in said), (start, said)


# One fault each of form and of names, in a file whose other parts are sound; each is told of once however many others
# there are, and nothing else is.
FORM = {
    "mean: 600": ("mean: many", "prompt_tokens.mean"),
    "tensor_parallel: 2": ("tensor_parallel: 3", "cluster.tensor_parallel"),
    "1.19 USD/h": ("1.19", "compute.gpu_hour"),
    "median: 50": ("median: fast", "output_tokens_per_s.median"),
    "ttft: 2s": ("ttft: 2", "objectives.ttft"),
}
NAMES = {
    "profile: clinical_documentation": ("profile: clinic", "notes.profile"),
    "gpu: a100-80gb": ("gpu: A100x", "cluster.gpu"),
    "model: llama-3.3-70b\n": ("model: llama-3.3-71b\n", "own.cluster.model"),
    "holidays: US": ("holidays: QQ", "horizon.holidays"),
    "model: bedrock/llama-3.3-70b": ("model: bedrock/llama-3.3-7b", "api.model"),
}


@settings(max_examples=30)
@given(st.sets(st.sampled_from(sorted(FORM))), st.sets(st.sampled_from(sorted(NAMES)), min_size=1))
def test_what_is_told_of_alone_is_told_of_together_and_nothing_more(tmp_path_factory, form, names):
    text, keys = VALID, set()
    for table, chosen in ((FORM, form), (NAMES, names)):
        for old in chosen:
            text = text.replace(old, table[old][0])
            keys.add(table[old][1])
    path = tmp_path_factory.mktemp("layers") / "s.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        load_checked(path)
    found = [fault.key for fault in error.value.faults]
    assert len(found) == len(keys)
    assert all(any(one.endswith(key) for one in found) for key in keys), (found, keys)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("H100", "h100-80gb"),
        ("h200 ", "h200"),
        ("A100 80GB", "a100-80gb"),
        ("NVIDIA L40S", "l40s"),
        ("a100_40gb", "a100-40gb"),
        ("H100-SXM5", "h100-80gb"),
        ("RTX PRO 6000 Blackwell", "rtx-pro-6000"),
        ("L40", "l40s"),
    ],
)
def test_a_gpu_by_its_name_in_the_shop_is_understood(given, meant):
    assert close_names(given, GPUS)[0] == meant


def test_what_is_near_to_nothing_is_not_guessed():
    assert nearest("tpu-v5e", GPUS).startswith("expected one of: a100-40gb, ")
    assert nearest("A100", GPUS) == "did you mean 'a100-40gb' or 'a100-80gb'?"
    assert nearest("cloud", ["metered_api", "self_hosted", "hybrid"]).startswith("expected one of")


SLIPS = [str.upper, str.title, lambda name: name.replace("-", "_"), lambda name: name.replace("-", " ")]


@given(st.sampled_from(GPUS), st.sampled_from(SLIPS))
def test_case_and_signs_count_for_nothing(name, change):
    assert close_names(change(name), GPUS)[0] == name


REFUSED = VALID.replace("  own:\n", "  own:\n    refused_on_purpose: true\n") + "constraints: {phi_may_leave: true}\n"
TOO_LARGE = REFUSED.replace("w4a16", "bf16\n      engine: {max_model_len: 131072}")


def test_what_is_refused_on_purpose_keeps_validate_green_until_it_is_refused_no_more(file, capsys):
    path = file(TOO_LARGE)
    code, out, _ = run(["validate", str(path)], capsys)
    assert code == 0
    assert "own is refused, as expected: " in out
    path.write_text(TOO_LARGE.replace("    refused_on_purpose: true\n", ""))
    assert run(["validate", str(path)], capsys)[0] == 2
    path.write_text(REFUSED)
    code, _, err = run(["validate", str(path)], capsys)
    assert code == 2
    assert "hosting_patterns.own.refused_on_purpose: it fits its GPUs" in err


def test_an_api_that_may_not_see_the_prompts_may_be_there_on_purpose(file, capsys):
    text = VALID.replace("  api:\n", "  api:\n    refused_on_purpose: true\n", 1)
    path = file(text + "constraints: {phi_may_leave: false}\n")
    code, out, _ = run(["validate", str(path)], capsys)
    assert (code, "api is refused, as expected: notes may not use" in out) == (0, True)
    # With a register, a cluster of one's own has to be in it as well.
    both = text.replace("  own:\n", "  own:\n    refused_on_purpose: true\n")
    path.write_text(both + "compliance: {}\nconstraints: {phi_may_leave: false}\n")
    assert run(["validate", str(path)], capsys)[0] == 0
    with pytest.raises(SystemExit) as stop:
        main(["validate", str(file(text, "allowed.yaml"))])
    assert stop.value.code == 2


def test_money_that_was_written_otherwise_is_told_how(file, capsys):
    rental, purchase = "{kind: rental, gpu_hour: 1.19 USD/h}", "{kind: purchase, gpus: $180k, amortisation: 48mo}"
    path = file(VALID.replace(rental, purchase))
    err = run(["validate", str(path)], capsys)[2]
    assert "'$180k': expected an amount such as '180000 USD'" in err
    assert "'48mo': expected a whole number without a unit, such as 48" in err


CHECKS = """\
name: checks
horizon: {month: 2026-04}
workloads:
  notes:
    volume: {requests_per_month: 1000}
    prompt_tokens: 500
    output_tokens: 50
    clients: {count: 3}
    follows: {workload: reports}
hosting_patterns:
  api:
    kind: metered_api
    api: {model: openai/gpt-4o, limits: {kind: continuous, refusals_count: true, request_window: 1s}}
  own:
    kind: self_hosted
    cluster:
      model: llama-3.1-8b
      gpu: l40s
      engine: {lora: {max_loras: 4, max_cpu_loras: 2, adapters: {a: 64, b: 32, c: 8}}}
    costs: {compute: {kind: purchase, gpu_each: 9000 USD, chassis: 1 USD, chassis_each: 2 USD}}
"""
#: Of each key a value that takes away its fault.
MENDED = {
    "workloads.notes.follows": None,
    "hosting_patterns.api.api.ttft": "1s",
    "hosting_patterns.api.api.output_tokens_per_s": 80,
    "hosting_patterns.api.api.limits.request_window": "10s",
    "hosting_patterns.api.api.limits.refusals_count": False,
    "hosting_patterns.own.cluster.engine.lora.max_cpu_loras": 4,
    "hosting_patterns.own.cluster.engine.lora.adapters.a": 16,
    "hosting_patterns.own.cluster.engine.lora.adapters.b": 16,
    "hosting_patterns.own.costs.compute.chassis": None,
}


def faulty_keys(path, settings):
    try:
        load_checked(path, settings=settings)
    except ScenarioError as error:
        return {fault.key for fault in error.faults}
    return set()


@given(mended=st.sets(st.sampled_from(sorted(MENDED))))
@settings(max_examples=15)
def test_all_checks_of_a_whole_part_are_told_of_at_once(tmp_path_factory, mended):
    path = tmp_path_factory.mktemp("checks") / "s.yaml"
    path.write_text(CHECKS)
    told = faulty_keys(path, {key: MENDED[key] for key in mended})
    expected = set(MENDED) - mended - {"workloads.notes.follows", "hosting_patterns.own.costs.compute.chassis"}
    if "workloads.notes.follows" not in mended:
        expected |= {"workloads.notes.volume", "workloads.notes.clients"}
    if "hosting_patterns.own.costs.compute.chassis" not in mended:
        expected |= {"hosting_patterns.own.costs.compute.chassis_each"}
    if {"hosting_patterns.api.api.limits.request_window", "hosting_patterns.api.api.limits.refusals_count"} - mended:
        # What is around a faulty part is looked at when the part is sound.
        expected -= {"hosting_patterns.api.api.ttft", "hosting_patterns.api.api.output_tokens_per_s"}
    assert told == expected
