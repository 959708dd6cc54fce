"""The register of models: what ships, what a site lays over it, and what it refuses to read."""

from __future__ import annotations

from datetime import date

import pytest

from simulator.compliance.registry import load_registry, registry_ids
from simulator.cost.prices import load_price_book, price_book_ids
from simulator.errors import ScenarioError
from simulator.performance.profile import available_profiles, read_profile

REFERENCE = load_registry("reference")

SITE = """\
id: st_elsewhere
date: 2026-11-01
extends: reference
models:
  azure/gpt-4.1: {approved_on: 2026-10-01, approved_by: the board}
  azure/gpt-5: null
regions:
  eastus: {hipaa_eligible: false}
"""


def written(tmp_path, text):
    path = tmp_path / "registry.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_ships_approves_nothing_and_says_who_asserts_it():
    assert registry_ids() == ["reference"]
    for key, model in REFERENCE.models.items():
        assert model.approved_on is None, key
        assert model.asserted_by, key
        assert (model.retires_on is None) == (model.retirement_source == ""), key


def test_every_priced_api_is_registered_and_retires_when_the_price_book_says():
    for key, price in load_price_book(price_book_ids()[-1]).api_prices.items():
        model = REFERENCE.models[key]
        assert (model.deployment, model.retires_on) == (price.deployment, price.retires_on), key
        assert (model.processed_in == "anywhere") == (price.deployment in ("global", "direct")), key


def test_every_model_with_a_profile_is_registered_under_its_name():
    for model in {read_profile(name).model for name in available_profiles()}:
        assert REFERENCE.models[f"self_hosted/{model.name}"].licence


def test_a_site_lays_its_own_over_it(tmp_path):
    site = load_registry(written(tmp_path, SITE))
    assert site.id == "st_elsewhere"
    assert site.models["azure/gpt-4.1"].approved_on == date(2026, 10, 1)
    assert site.models["azure/gpt-4.1"].asserted_by == REFERENCE.models["azure/gpt-4.1"].asserted_by
    assert "azure/gpt-5" not in site.models
    assert site.regions["eastus"].hipaa_eligible is False
    assert site.sha256 != REFERENCE.sha256


def test_a_changed_file_is_read_again(tmp_path):
    path = written(tmp_path, SITE)
    first = load_registry(path)
    path.write_text(SITE.replace("the board", "the other board"), encoding="utf-8")
    assert load_registry(path).sha256 != first.sha256


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("extends: reference", "extends: refrence", 3, "there is no shipped register 'refrence'"),
        ("approved_on: 2026-10-01", "approved_on: soon", 5, "valid date"),
        ("approved_by", "aproved_by", 5, "unknown key; did you mean 'approved_by'?"),
        ("azure/gpt-4.1:", "azure/gpt-9:", 5, "is missing"),
        ("date: 2026-11-01\n", "", 1, "is missing"),
        ("date: 2026-11-01", "date: 2026-11-01\ndate: 2026-11-02", 3, "duplicate key"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, old, new, line, says):
    path = written(tmp_path, SITE.replace(old, new))
    with pytest.raises(ScenarioError) as stop:
        load_registry(path)
    assert any(fault.file == str(path) and fault.line == line and says in fault.message for fault in stop.value.faults)


def test_a_registry_that_is_not_there_is_a_fault_of_the_scenario(site):
    from simulator.experiment.checks import load_checked

    with pytest.raises(ScenarioError, match=r"elsewhere\.yaml: cannot be read"):
        load_checked(site(("registry.yaml", "elsewhere.yaml")))
