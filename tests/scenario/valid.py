"""A small valid scenario that tests break."""

VALID = """\
name: small
horizon: {month: 2026-04, time_zone: America/Chicago, holidays: US}
workloads:
  notes:
    volume: {clinicians: 10, notes_per_day: 15}
    profile: clinical_documentation
    days: [mon, tue, wed, thu, fri]
    prompt_tokens: {kind: lognormal, mean: 600, sigma: 0.45}
    output_tokens: {kind: constant, tokens: 200}
    objectives: {ttft: 2s, end_to_end: 60s}
hosting_patterns:
  api:
    kind: metered_api
    api: {model: bedrock/llama-3.3-70b, ttft: {median: 700ms}, output_tokens_per_s: {median: 50}}
  own:
    kind: self_hosted
    cluster:
      model: llama-3.3-70b
      gpu: a100-80gb
      tensor_parallel: 2
      quantisation: w4a16
    costs:
      compute: {kind: rental, gpu_hour: 1.19 USD/h}
experiment:
  replications: 2
"""
