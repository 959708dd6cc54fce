"""Images in a scenario: each backend counts and bills them by its own rule; what is wrong is said where it stands."""

from __future__ import annotations

import pytest

from simulator.errors import ScenarioError
from simulator.experiment.checks import load_checked
from simulator.experiment.image_backends import loads_of
from simulator.experiment.model_length import with_model_lengths
from simulator.experiment.replications import replicate
from simulator.study.candidates import Family, _cluster
from simulator.study.image_sources import image_notes

SCENARIO = """
name: chest_x_rays
horizon: {start: 2026-03-02, duration: 1d, time_zone: UTC}
constraints: {phi_may_leave: true}
workloads:
  x_rays:
    volume: {scans_per_month: 60000}
    prompt_tokens: {kind: constant, tokens: 700}
    output_tokens: {kind: constant, tokens: 20}
    images: {IMAGES}
    EXTRA
  notes:
    volume: {requests_per_month: 900}
    prompt_tokens: {kind: constant, tokens: 300}
    output_tokens: {kind: constant, tokens: 10}
hosting_patterns:
  both:
    kind: hybrid
    cluster: {gpu: h100-80gb, quantisation: fp8, MODEL}
    costs: {compute: {kind: rental, offer: lambda/h100-80gb-x1}}
    api: {API, ttft: {median: 700ms, sigma: 0.4}, output_tokens_per_s: {median: 80, sigma: 0.1}}
    routing: {kind: overflow, max_in_flight: 1}
"""
IMAGES, MODEL, API = "per_request: 2, width_px: 2048, height_px: 2500", "model: medgemma-27b", "model: azure/gpt-4o"


def load(tmp_path, images=IMAGES, model=MODEL, api=API, extra=""):
    path = tmp_path / "images.yaml"
    text = SCENARIO.replace("IMAGES", images).replace("MODEL", model).replace("API", api).replace("EXTRA", extra)
    path.write_text(text, encoding="utf-8")
    return load_checked(path)


def test_each_backend_counts_and_bills_them_by_its_own_rule(tmp_path):
    """Two views of 2,048 x 2,500 px: 2 x 260 tokens on the cluster (256 and four marks), 2 x (85 + 4 x 170) at the API,
    whose picture of 768 x 937 px has four tiles."""
    scenario = with_model_lengths(load(tmp_path))
    (run,) = replicate(scenario, ["both"], replications=1)["both"]
    both = run.backends["cluster"], run.backends["azure/gpt-4o"]
    own, api = (one.work["x_rays"] for one in both)
    assert own.requests > 50
    assert api.requests > 0
    assert own.prompt_tokens == own.requests * (700 + 2 * 260)
    assert api.prompt_tokens == api.requests * (700 + 2 * 765)
    assert all(one.work["notes"].prompt_tokens == 300 * one.work["notes"].requests for one in both)
    assert both[1].charged["x_rays"].prompt_tokens == api.prompt_tokens
    assert run.total.prompt_tokens == sum(work.prompt_tokens for one in both for work in one.work.values())


def test_what_they_are_is_listed_with_its_source(tmp_path):
    listed = list(image_notes(load(tmp_path)))
    said = {(place.rpartition(".")[2], label) for place, _, label, _ in listed}
    assert said == {("cluster", "published"), ("cluster", "derived"), ("cluster", "estimated"), ("api", "published")}
    assert any("520 prompt tokens" in what for _, what, *_ in listed)
    assert any("1,530 prompt tokens" in what for _, what, *_ in listed)
    assert all(source for *_, source in listed)


def test_what_is_stated_goes_before_the_rule(tmp_path):
    stated = "model: openai/gpt-6-sol, image_tokens: 900"
    scenario = load(tmp_path, f"{IMAGES}, preprocessing: 50ms", f"{MODEL}, image_tokens: 64", stated)
    loads = loads_of(scenario, scenario.hosting_patterns["both"])
    assert loads.tokens.tolist() == [[128, 0], [1800, 0], [0, 0]]
    assert loads.front_s[0].tolist() == [0.1, 0.0]
    # It is the scenario's word then, and nobody else's.
    sources = {source for _, _, label, source in image_notes(scenario) if label == "stated"}
    assert sources == {"image_tokens", "preprocessing"}
    slower = load(tmp_path, model=f"{MODEL}, step_time_factor: 1.5")
    usual = load(tmp_path)
    encoders_s = [loads_of(one, one.hosting_patterns["both"]).encoder_s[0, 0] for one in (usual, slower)]
    assert encoders_s[1] > 1.2 * encoders_s[0] > 0


def test_the_model_length_holds_them(tmp_path):
    """700 tokens of text fit 2,048; with six pictures of some 6,500 tokens each it takes 65,536."""
    few, many = "width_px: 200, height_px: 200", "per_request: 6, width_px: 2048, height_px: 2500"
    model = "model: mistral-small-3.2-24b"
    lengths = [
        with_model_lengths(load(tmp_path, images, model)).hosting_patterns["both"].cluster.engine.max_model_len
        for images in (few, many)
    ]
    # 6 x 2,585 tokens and the text are 16,210 with their answer: twice that of four.
    assert lengths[0] < 16_384 <= lengths[1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "model: llama-3.1-8b"}, "x_rays has images: llama-3.1-8b takes no images"),
        ({"api": "model: bedrock/llama-3.3-70b"}, "bedrock/llama-3.3-70b takes no images"),
        ({"api": "model: openai/gpt-6-sol"}, "how many tokens openai/gpt-6-sol counts .* give image_tokens"),
        ({"images": "per_request: 2, width_px: 2048"}, "height_px"),
        ({"images": "width_px: 0, height_px: 100"}, "greater than 0"),
        ({"images": "width_px: 100, height_px: 100, per_request: 1.5"}, "per_request"),
        ({"model": f"{MODEL}, engine: {{mm_processor_kwargs: {{max_pixels: 9000}}}}"}, "max_pixels do not apply"),
        ({"model": f"{MODEL}, engine: {{mm_processor_kwargs: {{max_soft_tokens: 100}}}}"}, "70, 140, 280, 560"),
        ({"extra": "turns: {mean: 3, think: {median: 30s, sigma: 0.5}}"}, "images in conversations"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, changed, said):
    with pytest.raises(ScenarioError, match=said):
        load(tmp_path, **changed)


def test_a_plan_refuses_what_takes_no_images(tmp_path):
    """Of a hybrid pattern, models behind the cluster whose rule is not known, or that read text alone."""
    scenario = load(tmp_path)
    loads = {"x_rays": scenario.workloads["x_rays"]}
    pattern = scenario.hosting_patterns["both"]
    stated = pattern.api.model_copy(update={"image_tokens": 900})
    hybrid = pattern.model_copy(update={"api": stated})
    models = ("azure/gpt-4o", "openai/gpt-6-sol", "bedrock/llama-3.3-70b")
    families = [Family("h100-80gb", 1, "fp8", 1, model) for model in models]
    found = [_cluster(hybrid, family, loads) for family in families]
    assert found[0] == pattern.cluster.model_copy(update={"engine": found[0].engine})
    assert "give image_tokens" in found[1]
    assert "takes no images" in found[2]
