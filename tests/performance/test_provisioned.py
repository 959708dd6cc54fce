"""Units needed, as the provider's published example has them, and the sizes that are sold."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ProvisionedModelNotFound
from simulator.performance.provisioned import (
    Steps,
    provisioned_model,
    provisioned_models,
    provisioned_source,
    throughput,
    unit_faults,
    units_needed,
)
from simulator.scenario.apis import Provisioned


@pytest.mark.parametrize(
    ("cached", "normalised", "raw", "sold"), [("0", 360_000, 105.88, 150), ("0.5", 260_000, 76.47, 100)]
)
def test_the_providers_worked_example(cached, normalised, raw, sold):
    """gpt-5.2, 1,000 requests a minute of 200 and 20 tokens, regional (Microsoft Learn, 2026-05-21)."""
    model = provisioned_model("gpt-5.2")
    needed = units_needed(
        model, prompt_tokens_per_minute=200_000, output_tokens_per_minute=20_000, cached_share=Fraction(cached)
    )
    assert needed * model.tokens_per_unit == normalised
    assert round(float(needed), 2) == raw
    assert model.steps["regional"].at_least(needed) == sold


@given(units=st.fractions(0, 5_000), minimum=st.integers(1, 800), increment=st.integers(1, 600))
def test_a_deployment_is_the_smallest_that_is_sold_and_suffices(units, minimum, increment):
    size = Steps(minimum=minimum, increment=increment).at_least(units)
    assert size >= max(units, minimum)
    assert (size - minimum) % increment == 0
    assert size == minimum or size - increment < units


@given(prompt=st.integers(0, 10**7), output=st.integers(0, 10**6), cached=st.fractions(0, 1))
def test_units_are_linear_and_a_cache_saves_its_share_of_the_prompt(prompt, output, cached):
    model = provisioned_model("gpt-4.1")

    def needed(prompt, output, cached=Fraction(0)):
        return units_needed(
            model, prompt_tokens_per_minute=prompt, output_tokens_per_minute=output, cached_share=cached
        )

    assert needed(prompt, output) == needed(prompt, 0) + needed(0, output)
    assert needed(prompt, output, cached) == needed(prompt, output) - cached * needed(prompt, 0)


def test_a_model_is_known_by_its_name_and_by_its_keys_in_the_price_book():
    same = {provisioned_model(key).tokens_per_unit for key in ("gpt-4.1", "azure/gpt-4.1", "azure/gpt-4.1-data-zone")}
    assert same == {3_000}
    with pytest.raises(ProvisionedModelNotFound, match="there are: gpt-4.1"):
        provisioned_model("azure/gpt-4.11")


def test_every_model_is_sourced_and_sold_somewhere():
    assert "2026" in provisioned_source()
    assert all(model.steps for model in provisioned_models().values())


def provisioned(**changes):
    return Provisioned.model_validate({"kind": "provisioned", "units": 50, **changes})


@pytest.mark.parametrize(
    ("changes", "model", "key", "message"),
    [
        ({"units": 50}, "azure/gpt-4.1", None, ""),
        ({"units": 52}, "azure/gpt-4.1", "units", "52 is not sold (at least 15, in steps of 5); expected such as 50"),
        ({"units": 3}, "azure/gpt-4.1", "units", "expected such as 15"),
        ({"units": 75, "scope": "regional"}, "azure/gpt-4.1", "units", "expected such as 50 or 100"),
        ({"units": 100, "scope": "regional"}, "azure/llama-3.3-70b", "scope", "expected one of: global, data_zone"),
        ({}, "bedrock/claude-sonnet-4.5", "kind", "or give tokens_per_unit and output_ratio"),
        ({"tokens_per_unit": 1_000}, "bedrock/claude-sonnet-4.5", "kind", "no provisioned units are known"),
        ({"tokens_per_unit": 1_000, "output_ratio": 5}, "bedrock/claude-sonnet-4.5", None, ""),
    ],
)  # fmt: skip
def test_units_that_cannot_be_bought_are_refused(changes, model, key, message):
    found = unit_faults(provisioned(**changes), model)
    assert [fault[0] for fault in found] == ([key] if key else [])
    assert all(message in fault[1] for fault in found)


def test_a_scenario_may_know_better_than_the_table():
    assert throughput(provisioned(), "azure/gpt-4.1") == (150_000, 4)
    assert throughput(provisioned(tokens_per_unit=1_000, output_ratio=5.5), "mine/own") == (50_000, 5.5)
    assert throughput(provisioned(tokens_per_unit=1_000), "azure/gpt-4.1") == (50_000, 4)
