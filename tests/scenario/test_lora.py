"""LoRA adapters in a scenario: what is wrong is said where it stands."""

from __future__ import annotations

import pytest

from simulator.errors import ScenarioError
from simulator.experiment.checks import load_checked

SCENARIO = """
name: adapters
horizon: {start: 2026-03-02, duration: 1d, time_zone: UTC}
workloads:
  reports:
    adapter: radiology
    volume: {requests_per_month: 3000}
    prompt_tokens: {kind: constant, tokens: 800}
    output_tokens: {kind: constant, tokens: 100}
hosting_patterns:
  own:
    kind: self_hosted
    cluster: {gpu: h100-80gb, engine: {ENGINE}, model: MODEL}
    costs: {compute: {kind: rental, offer: lambda/h100-80gb-x1}}
"""


def load(tmp_path, engine, model="llama-3.1-8b"):
    path = tmp_path / "adapters.yaml"
    path.write_text(SCENARIO.replace("ENGINE", engine).replace("MODEL", model), encoding="utf-8")
    return load_checked(path)


@pytest.mark.parametrize(
    ("engine", "model", "said"),
    [
        ("", "llama-3.1-8b", "reports needs adapter 'radiology'"),
        ("lora: {max_loras: 0}", "llama-3.1-8b", "greater than 0"),
        ("lora: {max_lora_rank: 48}", "llama-3.1-8b", "1, 8, 16, 32, 64, 128, 256, 320"),
        ("lora: {max_loras: 4, max_cpu_loras: 3}", "llama-3.1-8b", "3 is less than max_loras 4"),
        ("lora: {adapters: {radiology: 32}}", "llama-3.1-8b", "rank 32 is above max_lora_rank 16"),
        ("lora: {adapters: {cardiology: 8}}", "llama-3.1-8b", "no adapter 'radiology', which reports needs"),
        ("lora: {}, vllm_version: 0.7.2", "llama-3.1-8b", "from vLLM 0.8 on"),
        ("lora: {}", "gpt-oss-20b, quantisation: mxfp4", "dense text models"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, engine, model, said):
    with pytest.raises(ScenarioError, match=said):
        load(tmp_path, engine, model)


def test_what_is_right_is_taken(tmp_path):
    scenario = load(tmp_path, "lora: {max_loras: 2, max_cpu_loras: 6, adapters: {radiology: 16, cardiology: 8}}")
    lora = scenario.hosting_patterns["own"].cluster.engine.lora
    assert (lora.max_loras, lora.host_loras) == (2, 6)
    assert scenario.workloads["reports"].adapter == "radiology"
