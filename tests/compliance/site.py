"""A hospital that has done everything right, for tests to spoil."""

import pytest

REGISTRY = """\
id: st_elsewhere
date: 2026-11-01
extends: reference
models:
  azure/gpt-4.1-data-zone: {approved_on: 2026-10-01, approved_by: information security board}
  azure/gpt-4-0613: {approved_on: 2024-03-01, approved_by: information security board}
  azure/gpt-4o-realtime-preview: {approved_on: 2026-10-01, approved_by: nobody should have}
  azure/gpt-4.1: {approved_on: 2026-10-01, approved_by: information security board}
  azure/gpt-4.1-mini: {approved_on: 2026-12-15, approved_by: information security board}
  together/llama-3.3-70b: {approved_on: 2026-10-01, approved_by: a board in a hurry, retires_on: null}
  bedrock/llama-3.3-70b: {approved_on: 2026-10-01, regions: [us-east-1, us-west-2]}
  self_hosted/llama-3.3-70b: {approved_on: 2026-10-01, approved_by: information security board}
"""

SCENARIO = """\
name: hospital
horizon: {month: 2026-12, time_zone: America/Chicago}
workloads:
  notes:
    volume: {clinicians: 10, notes_per_day: 15}
    prompt_tokens: {kind: constant, tokens: 600}
    output_tokens: {kind: constant, tokens: 200}
    phi: true
    data_protection: {residency: [us]}
  letters:
    volume: {requests_per_month: 600}
    prompt_tokens: {kind: constant, tokens: 500}
    output_tokens: {kind: constant, tokens: 100}
    phi: false
hosting_patterns:
  api:
    kind: metered_api
    api: &api
      model: azure/gpt-4.1-data-zone
      placement: {region: eastus, api_version: 2024-10-21}
      ttft: {median: 700ms}
      output_tokens_per_s: {median: 50}
  own: &own
    kind: self_hosted
    cluster:
      model: llama-3.3-70b
      gpu: a100-80gb
      tensor_parallel: 2
      quantisation: w4a16
      placement: {premises: on_site}
    costs:
      compute: {kind: rental, gpu_hour: 1.19 USD/h}
  hybrid:
    <<: *own
    kind: hybrid
    api: *api
compliance:
  registry: registry.yaml
  agreements: {azure: 2026-01-15, aws: 2026-01-15, cloudflare: 2025-06-01}
  data_flow:
    edge: {kind: cdn, provider: cloudflare, region: us, keeps_days: 0}
    gateway: {kind: gateway, on_site: true}
    archive: {kind: storage, on_site: true}
    traces: {kind: logs, provider: datadog, content: false}
"""


@pytest.fixture
def site(tmp_path):
    """Writes the scenario with pieces replaced, and returns its path."""
    (tmp_path / "registry.yaml").write_text(REGISTRY, encoding="utf-8")

    def write(*changes):
        text = SCENARIO
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "hospital.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
