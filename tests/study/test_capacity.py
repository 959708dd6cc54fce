"""Advice about the size of a cluster: what fails over, what rules of thumb say, and the neighbours."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from simulator.decision.thresholds import contradictions, judged, thresholds
from simulator.errors import ScenarioError
from simulator.study.capacity import capacity_advice
from tests.cli.command import run
from tests.experiment.small import small

BUSY = {
    "horizon.duration": "6h", "workloads.notes.volume": {"clinicians": 3000, "notes_per_day": 15},
    "workloads.letters.volume.requests_per_month": 3000,
    "hosting_patterns.hybrid.routing": {"max_in_flight": 3},
}  # fmt: skip


def held(share, usd):
    return {rule.id for rule in judged({"failover_share": share, "overflow_usd_per_month": usd}) if rule.holds}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    scenario = small(BUSY)
    store = tmp_path_factory.mktemp("store")
    advice = capacity_advice(scenario, replications=2, store=store)
    return scenario, store, {one.name: one for one in advice}


def test_what_fails_over_is_what_the_requests_say(found):
    scenario, _, advice = found
    results = simulator.run(scenario, patterns=["hybrid"], replications=1, band=False, outlook=False)
    first = capacity_advice(scenario, patterns=["hybrid"], replications=1)[0].failover
    requests = results.tables.requests("hybrid")
    moved = requests[requests["failed_over"] != "none"]
    assert len(moved) > 20
    assert first.share.requests == pytest.approx(len(moved) / len(requests))
    done, moved_done = (rows[rows["outcome"] == "completed"] for rows in (requests, moved))
    tokens = [rows["prompt_tokens"].sum() + rows["output_tokens"].sum() for rows in (moved_done, done)]
    assert first.share.tokens == pytest.approx(tokens[0] / tokens[1])
    reasons = advice["hybrid"].failover.by_reason.values()
    assert sum(share.requests for share in reasons) == pytest.approx(advice["hybrid"].failover.share.requests)
    assert sum(share.tokens for share in reasons) == pytest.approx(advice["hybrid"].failover.share.tokens)


def test_the_overflow_costs_what_the_bill_says_of_the_api(found):
    _, _, advice = found
    option = advice["hybrid"].options[0]
    rent_usd = 730.0
    assert advice["hybrid"].failover.api_usd_per_month == pytest.approx(option.monthly_cost_usd - rent_usd, abs=0.02)


def test_neighbours_are_the_patterns_with_other_replicas(found):
    scenario, store, advice = found
    two = scenario.with_overrides({"hosting_patterns.hybrid.cluster.replicas": 2})
    alone = simulator.run(two, patterns=["hybrid"], replications=2, band=False, outlook=False).patterns[0]
    (option,) = [one for one in advice["hybrid"].options if one.replicas == {"cluster": 2}]
    assert option.monthly_cost_usd == alone.monthly_cost_usd.mean
    assert option.e2e_p99_s == alone.latency["e2e_s"].p99
    assert option.failover_share < advice["hybrid"].options[0].failover_share
    # And with two there is one less as well.
    labels = [one.label for one in capacity_advice(two, patterns=["hybrid"], replications=2, store=store)[0].options]
    assert labels == ["as it is", "cluster: 1 replica", "cluster: 3 replicas"]


def test_bought_hardware_costs_in_proportion(found):
    _, _, advice = found
    as_it_is, more = advice["bought"].options
    assert as_it_is.replicas == {"cluster": 1}
    # 7,300 USD over ten months, and the power of an idle replica at least.
    assert more.more_usd > 730.0
    assert advice["bought"].failover is None
    assert advice["bought"].rules == []


def test_the_cheapest_that_meets_every_objective_is_recommended(found):
    for one in found[2].values():
        fit = [option for option in one.options if option.falls_short is None]
        assert one.recommended == min(fit, key=lambda option: option.monthly_cost_usd).label
    assert set(found[2]) == {"rented", "bought", "hybrid"}


def test_a_cluster_that_is_too_small_needs_another_and_one_too_large_one_less():
    slow = {
        "horizon.duration": "6h",
        "workloads.notes.volume": {"clinicians": 1500, "notes_per_day": 15},
        "workloads.letters.volume.requests_per_month": 3000,
        "hosting_patterns.rented.cluster.engine": {"max_num_seqs": 1},
        "workloads.notes.objectives": {"end_to_end": "8s", "share": 0.99},
    }
    # One at a time: who draws the busy one of two waits for it, though the other idles.
    (drawn,) = capacity_advice(small(slow), patterns=["rented"], replications=1)
    assert drawn.recommended is None
    slow["hosting_patterns.rented.cluster.balancing"] = {"kind": "least_requests"}
    (tight,) = capacity_advice(small(slow), patterns=["rented"], replications=1)
    assert tight.options[0].falls_short is not None
    assert tight.recommended == "cluster: 2 replicas"
    assert "since" in tight.text
    (ample,) = capacity_advice(
        small(
            {
                "horizon.duration": "6h",
                "hosting_patterns.rented.cluster.replicas": 3,
                "workloads.letters.volume.requests_per_month": 3000,
            }
        ),
        patterns=["rented"],
        replications=1,
    )
    assert ample.recommended == "cluster: 2 replicas"
    assert ample.options[1].more_usd == pytest.approx(-730.0)


@pytest.mark.parametrize(
    ("share", "usd", "ids"),
    [
        (0.12, 500.0, {"over_10_percent", "over_5_percent", "below_1000_usd"}),
        (0.07, 2000.0, {"over_5_percent"}),
        (0.03, 2000.0, set()),
        (0.019, 154.0, {"below_2_percent", "below_1000_usd"}),
        (0.10, 5000.0, {"over_5_percent"}),
        (0.02, 1000.0, set()),
        (0.65, 5001.0, {"over_10_percent", "over_5_percent", "over_5000_usd"}),
    ],
)
def test_the_rules_as_written(share, usd, ids):
    """At 512 M tokens a month and 15 USD a million, 10 % of overflow is 768 USD and 2 % is 154 USD."""
    assert held(share, usd) == ids


def test_the_source_contradicts_itself_as_was_found():
    def said(share, usd):
        return contradictions(judged({"failover_share": share, "overflow_usd_per_month": usd}))

    # Undersized by the share and right by the dollars; oversized and right; two limits for the same advice.
    assert any("says add" in text and "says keep" in text for text in said(0.11, 768.0))
    assert any("says remove" in text and "says keep" in text for text in said(0.019, 154.0))
    assert any("the same advice with two limits" in text for text in said(0.07, 2000.0))
    assert said(0.03, 2000.0) == []


@given(st.floats(0, 1), st.floats(0, 1e6))
def test_law_a_contradiction_names_a_rule_that_holds(share, usd):
    rules = judged({"failover_share": share, "overflow_usd_per_month": usd})
    says = {rule.says for rule in rules if rule.holds}
    found = contradictions(rules)
    assert (len(says) > 1) == any(" says " in text for text in found)
    assert not (found and not says)


def test_every_rule_has_one_bound_and_a_place():
    assert len({rule.id for rule in thresholds().rules}) == len(thresholds().rules) == 5
    assert all(rule.where and (rule.above is None) != (rule.below is None) for rule in thresholds().rules)


def test_the_command(tmp_path, capsys):
    path = "scenarios/ci_small.yaml"
    common = [
        path,
        "--pattern",
        "hybrid",
        "--replications",
        "1",
        "--set",
        "horizon.duration=1d",
        "--store",
        str(tmp_path),
    ]
    code, out, _ = run(["capacity", *common, "--json", "--jobs", "1"], capsys)
    assert code == 0
    (one,) = json.loads(out)["patterns"]
    assert one["name"] == "hybrid"
    assert {"share", "by_reason", "api_usd_per_month"} == set(one["failover"])
    assert [rule["id"] for rule in one["rules"]] == [rule.id for rule in thresholds().rules]
    code, again, _ = run(["capacity", *common, "--json", "--jobs", "2"], capsys)
    assert again == out
    code, shown, _ = run(["capacity", *common, "--jobs", "1"], capsys)
    assert "Rules of thumb" in shown
    code, _, err = run(["capacity", path, "--pattern", "hybird"], capsys)
    assert code == 2
    assert "expected one of api, self_hosted, hybrid" in err


def test_a_pattern_that_may_not_be_used_gets_no_advice():
    barred = small({"horizon.duration": "1h", "constraints.phi_may_leave": False})
    assert capacity_advice(barred, patterns=["api"]) == []
    with pytest.raises(ScenarioError):
        capacity_advice(barred.with_overrides({"workloads.notes.profile": "nobody"}))
