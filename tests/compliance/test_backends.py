"""Which backend each workload may use, and which it may be sent to."""

from __future__ import annotations

import pytest

from simulator.compliance.backends import allowed_backends, reachable
from simulator.compliance.check import assess, refusals
from simulator.scenario.loading import load_scenario
from tests.compliance.site import REGISTRY
from tests.experiment.small import small

API = "bedrock/llama-3.3-70b"
SECOND = {"model": "azure/gpt-4.1", "ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}


def two_apis(routing, **settings):
    """A cluster and two APIs; of the notes' health information `constraints.phi_may_leave` decides."""
    first = small().resolved["hosting_patterns"]["hybrid"]["api"]
    apis = {"hosting_patterns.hybrid.api": None, "hosting_patterns.hybrid.apis": {"first": first, "second": SECOND}}
    return small(apis | {"hosting_patterns.hybrid.routing": routing, "workloads.notes.phi": True} | settings)


@pytest.mark.parametrize(
    ("routing", "notes", "letters"),
    [
        ({"kind": "overflow", "max_in_flight": 1}, ["cluster", "first", "second"], ["cluster", "first", "second"]),
        ({"backends": {"notes": ["second", "cluster"]}}, ["cluster", "second"], ["cluster", "first", "second"]),
        ({"backends": {"notes": ["cluster"], "letters": ["first"]}}, ["cluster"], ["first"]),
        (
            {"backends": {"notes": ["second"], "letters": ["first"]}, "when_full": "degrade", "degrade_to": "cluster"},
            ["cluster", "second"], ["cluster", "first"],
        ),
    ],
)  # fmt: skip
def test_what_can_be_reached_is_what_is_listed_and_where_work_is_degraded_to(routing, notes, letters):
    pattern = two_apis({"kind": "overflow", "max_in_flight": 1} | routing).hosting_patterns["hybrid"]
    assert [reachable(pattern, load) for load in ("notes", "letters")] == [notes, letters]


@pytest.mark.parametrize(("phi", "leaves", "held"), [(True, False, True), (True, True, False), (False, False, False)])
def test_without_a_section_only_health_information_that_may_not_leave_is_held_back(phi, leaves, held):
    scenario = two_apis(
        {"kind": "overflow", "max_in_flight": 1}, **{"constraints.phi_may_leave": leaves, "workloads.notes.phi": phi}
    )
    pattern = scenario.hosting_patterns["hybrid"]
    found = allowed_backends(scenario, pattern)
    assert list(found["notes"]) == ["cluster", "first", "second"]
    assert [reason is not None for reason in found["notes"].values()] == [False, held, held]
    assert set(found["letters"].values()) == {None}
    # The cluster is left to it, so the pattern may be used; an API alone may not.
    assert refusals(scenario, "hybrid") == []
    alone = refusals(scenario, "api")
    assert bool(alone) is held
    assert all(key[:2] == ("hosting_patterns", "api") for key, _ in alone)
    said = {one.name: one.allowed for one in assess(scenario).patterns}
    assert said == {"api": False if held else None, "rented": None, "bought": None, "hybrid": None}
    assert assess(scenario).allowed is not held


def test_a_workload_that_reaches_nothing_it_may_use_rules_a_pattern_out():
    routing = {"kind": "overflow", "max_in_flight": 1, "backends": {"notes": ["first", "second"]}}
    scenario = two_apis(routing, **{"constraints.phi_may_leave": False})
    found = refusals(scenario, "hybrid")
    assert [key for key, _ in found] == [("hosting_patterns", "hybrid", "apis", name) for name in ("first", "second")]
    assert all(text.startswith("notes may not use ") for _, text in found)
    # Both workloads, where both are health information: said once for both.
    both = two_apis(
        {"kind": "overflow", "max_in_flight": 1, "backends": {"notes": ["first"], "letters": ["first"]}},
        **{"constraints.phi_may_leave": False, "workloads.letters.phi": True},
    )
    ((_, text),) = refusals(both, "hybrid")
    assert text.startswith("notes, letters may not use first: protected health information may not leave the site")


def test_only_the_patterns_that_are_asked_about_are_assessed():
    assert [one.name for one in assess(small(), ["hybrid", "api"]).patterns] == ["api", "hybrid"]
    bare = assess(small())
    assert (bare.assessed, bare.registry, bare.controls) == (False, None, {})
    assert bare.words() == "not assessed: the scenario has no section 'compliance'"


@pytest.mark.parametrize(("retires_on", "allowed"), [("2027-01-01", True), ("2026-12-31", False)])
def test_the_last_simulated_day_is_the_last_on_which_a_model_must_be_there(site, retires_on, allowed):
    """December ends with its 31st, not with the midnight after it."""
    path, model = site(), "azure/gpt-4.1-data-zone: {"
    ends = f"{model}retires_on: {retires_on}, retirement_source: the board, "
    assert model in REGISTRY
    (path.parent / "registry.yaml").write_text(REGISTRY.replace(model, ends), encoding="utf-8")
    said = {one.name: one.allowed for one in assess(load_scenario(path)).patterns}
    assert said["api"] is allowed
