"""Presets of APIs, and what applies to which deployment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from simulator.engine.api.metered_api import is_too_long
from simulator.engine.arrival import Arrival
from simulator.scenario.api_presets import api_presets
from simulator.scenario.apis import MeteredApi

LATENCIES = {"ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}


def api(**settings):
    return MeteredApi.model_validate({"model": "azure/gpt-4o", **settings})


@pytest.mark.parametrize("name", api_presets())
def test_every_preset_is_valid_and_every_setting_has_a_source(name):
    entry = api_presets()[name]
    rules_only = {} if "ttft" in entry["settings"] else LATENCIES
    api(preset=name, **rules_only)
    for key, settings in entry["settings"].items():
        leaves = [key] if not isinstance(settings, dict) else [f"{key}.{leaf}" for leaf in settings]
        sourced = entry["sources"]
        assert settings is None or key in sourced or all(leaf in sourced for leaf in leaves), key
    for origin in entry["sources"].values():
        assert origin["basis"] in {"measured", "documented", "derived", "assumed"}
        assert len(origin["source"]) > 10


RESERVED = {
    "input_tokens_per_minute": 100_000, "output_tokens_per_minute": 10_000, "spillover": "tokens",
    "input_price": "40 USD/month", "output_price": "200 USD/month",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["provisioned", "batch", "priority", "flex", "reserved"])
def test_every_preset_serves_every_deployment(kind):
    units = {"provisioned": {"units": 15}, "reserved": RESERVED}.get(kind, {})
    for name, entry in api_presets().items():
        latencies = {} if kind == "batch" or "ttft" in entry["settings"] else LATENCIES
        api(preset=name, deployment={"kind": kind, **units}, **latencies)


def test_what_the_scenario_says_replaces_the_preset_key_by_key():
    found = api(preset="azure/gpt-4o", ttft={"median": "2s"}, limits={"tokens_per_minute": 9})
    assert (found.ttft.median, found.ttft.sigma) == (2.0, 0.4)
    assert (found.limits.tokens_per_minute, found.limits.refusals_count) == (9, True)
    assert found.output_tokens_per_s.median == 115
    assert api(preset="bedrock/claude-4", **LATENCIES).limits.output_burndown == 5
    assert api(preset="azure/gpt-4o", prompt_cache=None).prompt_cache is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"preset": "azure/gpt-4"},
            "there is no preset 'azure/gpt-4'; expected such as azure/gpt-4-turbo, azure/gpt-4o",
        ),
        ({"preset": "bedrock"}, "is missing"),
        ({}, "is missing"),
        ({"ttft": {"median": "1s"}}, "is missing"),
        ({"deployment": {"kind": "batch"}, **LATENCIES}, "does not apply to a batch deployment"),
        ({"deployment": {"kind": "batch"}, "limits": {"tokens_per_day": 9}}, "do not apply to a batch deployment"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        api(**settings)


@pytest.mark.parametrize(
    ("preset", "prompt", "refused"),
    [
        ("azure/gpt-4o", 128_000 - 4096, False),
        ("azure/gpt-4o", 128_001 - 4096, True),
        ("azure/gpt-4.1", 900_000, False),
        ("azure/gpt-5.1", 272_000, False),
        ("azure/gpt-5.1", 272_001, True),
        ("azure/gpt-5.1", 400_000, True),
    ],
)
def test_a_preset_knows_what_its_model_takes(preset, prompt, refused):
    """Prompt and 4,096 tokens of answer together; a scenario may say otherwise."""
    api = MeteredApi.model_validate({"model": preset, "preset": preset})
    arrival = Arrival(0, 0, prompt, 4096, -1, 0, 3)
    assert is_too_long(api, arrival) is refused
    unlimited = {"context_tokens": 10_000_000, "longest_prompt_tokens": 10_000_000}
    free = MeteredApi.model_validate({"model": preset, "preset": preset, **unlimited})
    assert not is_too_long(free, arrival)
