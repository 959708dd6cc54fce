"""Who may be paid for GPUs: what is bought stays bought, and nobody's machine sees what it may not."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from simulator.cost.overrides import scenario_book
from simulator.cost.prices import load_price_book
from simulator.scenario.loading import load_scenario
from simulator.study.candidates import Space
from simulator.study.capacity import capacity_advice
from simulator.study.mixes import _divisions
from simulator.study.offers import terms_of
from simulator.study.plan import plan
from tests.cli.command import run as command

SITE = """
name: site
horizon: {start: 2026-12-09, duration: 6h}
workloads:
  notes:
    volume: {requests_per_month: 40_000}
    prompt_tokens: {kind: constant, tokens: 800}
    output_tokens: {kind: constant, tokens: 150}
    objectives: {end_to_end: 60s}
hosting_patterns:
  bought:
    kind: self_hosted
    cluster: &own {model: llama-3.1-8b, gpu: l40s}
    costs:
      compute: {kind: purchase, gpus: 9000 USD, chassis: 12000 USD, amortisation: 48}
      power: {gpu_idle_w: 40, gpu_busy_w: 300, pue: 1, price: 0.10 USD/kWh}
  rented: {kind: self_hosted, cluster: *own, costs: {compute: {kind: rental, gpu_hour: 5 USD/h}}}
experiment: {replications: 1}
"""
SPACE = Space(gpus=("l40s",), tensor_parallel=(1,), quantisations=("bf16",), most_replicas=3)
#: An offer of somebody who signs, of somebody who does not, and of a broker; all far cheaper than what is bought.
CHEAP = {"instance_hour": "0.01 USD/h", "source": "a test", "kind": "on_demand", "baa_coverage": "unconfirmed"}
SIGNED = CHEAP | {"baa_coverage": "covered", "baa_source": "a test", "region": "us-east-1"}


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    return path


def scenario(path, **settings):
    return load_scenario(path, settings={key.replace("__", "."): value for key, value in settings.items()})


def only(**entry):
    """One offer of an L40S, as given, and no other, whatever the book has."""
    gone = {"gpu": "none", "source": "a test"}
    others = [key for key, offer in load_price_book("2026-11").gpu_offers.items() if offer.gpu == "l40s"]
    return {"prices__overrides": dict.fromkeys(others, gone) | {"aws/g6e.xlarge": entry}}


def choice(path, name="bought", **settings):
    return plan(scenario(path, **settings), [name], SPACE, replications=1)


def test_a_purchase_stays_beside_rentals_and_costs_what_capacity_says(site):
    given = {"constraints__survives": ["replica"], "prices__month": "730h"}
    found = choice(site, **given, **only(**CHEAP | {"baa_coverage": "not_covered"}))
    assert found.best.label == "2 x (1 x l40s, bf16), bought"
    # 21,000 USD a replica over 48 months.
    assert found.best.result.cost_lines_usd["purchase"] == pytest.approx(2 * 21_000 / 48, abs=0.01)
    (advice,) = capacity_advice(scenario(site, **given), patterns=["bought"])
    assert advice.options[1].monthly_cost_usd == pytest.approx(found.best.cost_usd, abs=0.01)


def test_rent_has_its_electricity_in_it(site):
    found = choice(site, **only(**SIGNED))
    assert (found.best.basis, found.best.offer) == ("on demand", "aws/g6e.xlarge")
    assert found.best.cost_usd == pytest.approx(7.30, abs=0.01)


def test_the_scenarios_own_rent_is_kept_too(site):
    found = choice(site, "rented", **only(**CHEAP | {"baa_coverage": "not_covered"}))
    assert found.best.label == "1 x (1 x l40s, bf16), as the scenario rents"
    assert found.best.cost_usd == pytest.approx(3650.0)
    assert (
        simulator.run(scenario(site), patterns=["rented"]).pattern("rented").monthly_cost_usd.mean
        == found.best.cost_usd
    )


@pytest.mark.parametrize(
    ("entry", "settings", "taken"),
    [
        (SIGNED, {}, True),
        (CHEAP, {}, False),
        (CHEAP | {"baa_coverage": "not_covered"}, {}, False),
        (SIGNED | {"hosted_by": "third_parties"}, {}, False),
        (SIGNED | {"basis": "marketplace"}, {}, False),
        (SIGNED, {"constraints__phi_may_leave": False}, False),
        (CHEAP | {"hosted_by": "third_parties"}, {"workloads__notes__phi": False}, True),
        (SIGNED | {"kind": "spot"}, {}, False),
        (SIGNED | {"kind": "reserved"}, {}, True),
    ],
)
def test_an_offer_is_taken_only_where_its_seller_may_see_the_prompts(site, entry, settings, taken):
    asked = scenario(site, **settings, **only(**entry))
    found, refused = terms_of(
        asked, asked.hosting_patterns["bought"], "l40s", SPACE.leases, scenario_book(asked.prices)
    )
    assert [terms.basis for terms in found if terms.basis != "bought"] == (
        [] if not taken else ["reserved"] if entry["kind"] == "reserved" else ["on demand, marketplace"]
        if entry.get("hosted_by") else ["on demand"]
    )  # fmt: skip
    assert ("aws/g6e.xlarge" in refused) is not taken
    # What is bought is there in any case.
    assert "bought" in {terms.basis for terms in found}


REGISTER = """
id: house
date: 2026-11-01
extends: reference
models:
  self_hosted/llama-3.1-8b: {approved_on: 2026-10-01, approved_by: board}
"""


@pytest.mark.parametrize(
    ("agreements", "residency", "rented"),
    [({"aws": "2026-01-15"}, None, True), ({}, None, False), ({"aws": "2026-01-15"}, ["eu"], False),
     ({"aws": "2026-01-15"}, ["us"], True), ({"aws": "2027-01-15"}, None, False)],
)  # fmt: skip
def test_agreements_and_regions_of_sellers_count(site, agreements, residency, rented):
    (site.parent / "house.yaml").write_text(REGISTER)
    settings = {
        "compliance": {"registry": str(site.parent / "house.yaml"), "agreements": agreements},
        "hosting_patterns__bought__cluster__placement": {"premises": "on_site"},
        "hosting_patterns__rented": None,
    }
    if residency:
        settings["workloads__notes__data_protection"] = {"residency": residency}
    found = choice(site, **settings, **only(**SIGNED))
    assert found.best.basis == ("on demand" if rented else "bought")
    if rented:
        (hosted,) = found.best.pattern.hosted.values()
        place = hosted.cluster.placement
        assert (place.premises, place.provider, place.region) == ("cloud", "aws", "us-east-1")


def test_where_nothing_could_be_tried_that_is_what_is_said(site, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["plan", str(site), "--pattern", "rented", "--gpu", "h100-80gb", "--jobs", "1"]
    words += ["--set", "constraints.phi_may_leave=false"]
    code, out, _ = command(words, capsys)
    assert code == 1
    assert "nothing could be tried" in out
    assert "meets every objective" not in out
    assert "neither bought nor rented" in " ".join(out.split())


TWO = """
name: two
horizon: {start: 2026-12-09, duration: 1h}
workloads:
  notes:
    volume: {requests_per_month: 200_000}
    prompt_tokens: {kind: constant, tokens: 800}
    output_tokens: {kind: constant, tokens: 150}
    objectives: {ttft: 500ms, end_to_end: 60s}
  letters:
    volume: {requests_per_month: 30_000_000}
    prompt_tokens: {kind: constant, tokens: 700}
    output_tokens: {kind: constant, tokens: 200}
    objectives: {end_to_end: 24h}
hosting_patterns:
  own:
    kind: self_hosted
    cluster: {model: llama-3.1-8b, gpu: l40s}
    costs: {compute: {kind: rental, gpu_hour: 20 USD/h}}
  api:
    kind: metered_api
    api:
      model: bedrock/llama-3.3-70b
      prices: {prompt: 0.01 USD/1M tokens, output: 0.01 USD/1M tokens}
      ttft: {median: 900ms}
      output_tokens_per_s: {median: 50}
experiment: {replications: 1}
"""


@pytest.mark.slow
def test_workloads_go_where_they_are_served_cheapest(tmp_path):
    """The API is too slow for notes and nearly free for letters; letters alone fill a cluster twice over."""
    path = tmp_path / "two.yaml"
    path.write_text(TWO)
    asked = load_scenario(path)
    space = Space(gpus=("l40s",), tensor_parallel=(1,), quantisations=("bf16",), most_replicas=4)
    found = plan(asked, ["own", "api"], space, replications=3)
    assert "letters to bedrock/llama-3.3-70b" in found.best.label
    alone = plan(asked, ["own", "api"], Space(**{**_fields(space), "mixes": False}), replications=3)
    assert alone.best is None or found.best.cost_usd < alone.best.cost_usd
    work = found.best.result.usage.work
    assert {name: sorted(load for load, done in loads.items() if done.requests) for name, loads in work.items()} == {
        "cluster": ["notes"], "bedrock/llama-3.3-70b": ["letters"],
    }  # fmt: skip
    # Never sent where its objective was missed alone.
    assert not any("notes" in one.label.partition(";")[2] for one in found.simulated)


def _fields(space):
    return {name: getattr(space, name) for name in Space.__slots__}


@given(st.integers(2, 7))
def test_law_divisions_leave_something_on_either_side(count):
    loads = [f"load_{number}" for number in range(count)]
    found = list(_divisions(loads))
    assert len(set(found)) == len(found)
    assert all(0 < len(away) < count for away in found)
    assert len(found) == (2**count - 2 if count <= 4 else 2 * count)
    assert max(Counter(load for away in found for load in away).values()) == min(
        Counter(load for away in found for load in away).values()
    )


def test_the_document_says_how_each_is_paid(site, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [
        "plan",
        str(site),
        "--pattern",
        "bought",
        "--tensor-parallel",
        "1",
        "--quantisation",
        "bf16",
        "--jobs",
        "1",
    ]
    settings = ["--set", "constraints.phi_may_leave=false"]
    code, out, _ = command([*words, *settings, "--json"], capsys)
    document = json.loads(out)
    assert code == 0
    assert {row["basis"] for row in document["simulated"]} == {"bought"}
    assert all("may not leave" in reason for key, reason in document["not_simulated"].items() if key.startswith("aws/"))
