"""What names a pattern or a workload means the same where others stand for it, or are gone."""

from __future__ import annotations

import pytest

from simulator.compliance.check import assess
from simulator.experiment.checks import check_patterns
from simulator.scenario.narrowing import divided, with_patterns, with_workload
from simulator.study.candidates import Space
from simulator.study.capacity import capacity_advice
from simulator.study.plan import plan
from tests.experiment.small import small

#: It keeps for 90 days what may be kept for 30, so that whoever it belongs to is refused.
GATE = {"kind": "gateway", "provider": "cloudco", "region": "us-east-1", "keeps_days": 90}
#: Nothing but hops of the data flow objects to anything.
OPEN = {
    "hosting_patterns.hybrid": None,
    "hosting_patterns.bought": None,
    "workloads.notes.phi": False,
    "hosting_patterns.api.api.placement": {"provider": "cloudco", "region": "us-east-1"},
    "experiment.replications": 1,
}
SPACE = Space(gpus=("l40s",), tensor_parallel=(1,), quantisations=("bf16",), most_replicas=1)


def asked(load="notes", **hop):
    protected = {f"workloads.{load}.data_protection": {"kept_at_most_days": 30}}
    return small(OPEN | protected | {"compliance": {"data_flow": {"gate": GATE | hop}}})


def planned(scenario, *names):
    found = plan(scenario, names, SPACE, replications=1)
    return {one.label for one in found.simulated}, found.refused


@pytest.mark.parametrize("names", [["api"], ["rented"], ["api", "rented"], None])
def test_a_plan_of_one_pattern_heeds_the_hops_that_belong_to_it_alone(names):
    """One that belongs to another pattern is no reason to refuse the scenario."""
    simulated, refused = planned(asked(**({} if names is None else {"patterns": names})), "rented")
    own = "(1 x l40s, bf16), as the scenario rents"
    barred = names is None or "rented" in names
    assert (f"1 x {own}" in simulated) is not barred
    assert ("gate (gateway): it keeps content of notes" in refused.get(own, "")) is barred


@pytest.mark.parametrize(("load", "away"), [("letters", "notes"), ("notes", "letters")])
def test_a_mix_goes_by_the_hops_of_both_and_each_sees_its_own_workloads(load, away):
    """The API's gateway keeps too long what only one of the workloads brings: the mix that sends it there is out."""
    _, refused = planned(asked(load, patterns=["api"]), "api", "rented")
    for one in ("notes", "letters"):
        reason = refused.get(f"(1 x l40s, bf16), as the scenario rents; {one} to bedrock/llama-3.3-70b", "")
        assert ("gate (gateway)" in reason) is (one == load), reason
    assert away != load


def test_a_hop_that_names_a_pattern_and_a_workload_is_met_where_both_are():
    scenario = asked(patterns=["api"], workloads=["notes"])
    mixed = divided(scenario, {"rented": ["notes"], "api": ["letters"]})
    mix = with_patterns(mixed, {"mix": scenario.hosting_patterns["rented"]}, {"mix": ["rented", "api"]})
    assert mix.compliance.data_flow["gate"].workloads == []
    assert mix.compliance.data_flow["gate"].patterns == ["mix"]
    assert not check_patterns(mix, ["mix"])


def test_advice_on_capacity_heeds_the_hops_of_the_pattern_that_is_made_larger():
    """The gateway of the API is no fault of a scenario narrowed to its clusters."""
    assert [one.name for one in capacity_advice(asked(patterns=["api"]), replications=1)] == ["rented"]


@pytest.mark.parametrize("names", [["api"], ["rented"]])
def test_what_takes_health_information_out_does_so_for_its_own_patterns(names):
    out = {"kind": "de_identification", "on_site": True, "patterns": names}
    scenario = small(OPEN | {"workloads.notes.phi": "de_identified", "compliance": {"data_flow": {"out": out}}})
    refused = {one.name for one in assess(scenario).patterns if any("no hop" in text for text in one.reasons)}
    assert refused == {"api", "rented"} - set(names)
    for name in ("api", "rented"):
        alone = with_patterns(scenario, {name: scenario.hosting_patterns[name]})
        assert any("no hop" in text for text in assess(alone).patterns[0].reasons) is (name in refused)


def test_one_workload_alone_takes_its_routes_and_hops_along():
    rules = {
        "kind": "rules",
        "rules": [
            {"name": "notes", "when": {"workloads": ["notes"]}, "send_to": ["cluster"]},
            {"name": "letters", "when": {"workloads": ["letters"]}, "send_to": ["bedrock/llama-3.3-70b"]},
            {"name": "rest", "send_to": ["bedrock/llama-3.3-70b"]},
        ],
    }
    settings = {"hosting_patterns.hybrid.routing": rules, "workloads.notes.phi": False}
    hops = {"gate": GATE | {"workloads": ["letters"]}, "all": GATE | {"kind": "cdn"}}
    scenario = small(settings | {"compliance": {"data_flow": hops}})
    alone = with_workload(scenario, "notes")
    assert [rule.name for rule in alone.hosting_patterns["hybrid"].routing.rules] == ["notes"]
    assert {name: hop.workloads for name, hop in alone.compliance.data_flow.items()} == {"gate": [], "all": None}
    assert not check_patterns(alone, ["rented", "hybrid"]).keys() - {"hybrid"}
