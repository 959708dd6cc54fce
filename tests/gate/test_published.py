"""What `compare --json` and `check --json` say, figure by figure, beside the two results themselves."""

from __future__ import annotations

import json

import pytest
from scipy import stats

from simulator.gate.check import judge
from simulator.gate.comparison import compare
from simulator.gate.policy import read_policy
from simulator.gate.published import gate_document
from tests.gate.kept import VARIANTS, edited, kept, side

TWO_LINES = {"hosting_patterns.rented.costs.monitoring": "300 USD/month"}


def published(base, new, policy=None):
    comparison = compare(base, new)
    return json.loads(gate_document(comparison, judge(comparison, read_policy(None)) if policy else None))


def test_a_bill_that_moved_is_shown_with_the_lines_that_did():
    """Ten cents more an hour over 730 hours are 73 USD, on the line of the rent and on no other."""
    (cost,) = published(side(TWO_LINES), side({**TWO_LINES, **VARIANTS["price"]}))["costs"]
    assert cost["pattern"] == "rented"
    # 730 USD of rent and 300 USD of monitoring.
    assert (cost["base_usd"], cost["new_usd"], cost["change_usd"]) == pytest.approx((1030.0, 1103.0, 73.0))
    (line,) = cost["lines"]
    assert (line["base_usd"], line["new_usd"]) == pytest.approx((730.0, 803.0))
    assert {cause: usd for cause, usd in cost["by_usd"].items() if round(usd, 6)} == pytest.approx({"price": 73.0})
    assert (cost["together"], cost["together_usd"]) == ([], 0.0)


def test_a_line_that_is_new_or_gone_stands_beside_nothing():
    without = side({"hosting_patterns.bought.costs.power": None})
    (gone,), (come,) = (published(*pair)["costs"] for pair in ((side(), without), (without, side())))
    (line,), (again,) = gone["lines"], come["lines"]
    assert line["base_usd"] == again["new_usd"] > 10.0
    assert line["new_usd"] == again["base_usd"] == 0.0
    # Lines are in whole cents.
    assert gone["change_usd"] == -come["change_usd"] == pytest.approx(-line["base_usd"], abs=0.01)


def test_causes_that_no_bill_can_part_stand_together_with_their_sum():
    """Two machines instead of one, and another routing: 730 USD are the machine, what is left belongs to both."""
    settings = {"hosting_patterns.hybrid.cluster.replicas": 2, **VARIANTS["routing"]}
    (cost,) = published(side(), side(settings))["costs"]
    assert cost["by_usd"]["capacity"] == pytest.approx(730.0)
    assert cost["together"] == ["capacity", "policy"]
    assert cost["together_usd"] < 0.0
    assert sum(cost["by_usd"].values()) + cost["together_usd"] == pytest.approx(cost["change_usd"])


def test_without_inputs_nothing_is_known_of_causes():
    (cost,) = published(side(), edited(lambda plain: plain.pop("inputs"), VARIANTS["price"]))["costs"]
    assert cost["by_usd"] is None
    assert (cost["together"], cost["together_usd"]) == ([], 0.0)
    assert cost["change_usd"] == pytest.approx(73.0)


def test_every_figure_is_that_of_its_side_and_its_interval_that_of_the_paired_test():
    """`scipy.stats.ttest_rel` over the replications of both sides."""
    base, new = side(), side(VARIANTS["volume"])
    plain = [json.loads(kept(settings).read_text()) for settings in (None, VARIANTS["volume"])]
    by_name = [{pattern["name"]: pattern for pattern in one["patterns"]} for one in plain]
    looked_at = 0
    for figure in published(base, new)["metrics"]:
        before, after = (one[figure["pattern"]]["by_replication"] for one in by_name)
        key = figure["workload"], figure["metric"]
        if key[1] not in before.get(key[0], {}):
            continue
        pair = [one[key[0]][key[1]] for one in (before, after)]
        if None in pair[0] + pair[1]:
            continue
        means = [sum(values) / 3 for values in pair]
        # Counts are whole, and shares are of all replications together.
        near = {"count": {"abs": 1.0}, "share": {"abs": 0.02}}.get(figure["unit"], {"rel": 1e-6})
        assert (figure["base"], figure["new"]) == pytest.approx(means, **near), key
        assert figure["change"] == pytest.approx(means[1] - means[0], rel=1e-6, abs=1e-9)
        if figure["base"]:
            assert figure["relative"] == pytest.approx(figure["change"] / figure["base"], rel=1e-5, abs=1e-9)
        differences = [later - earlier for earlier, later in zip(*pair, strict=True)]
        if len(set(differences)) > 1:
            low, high = stats.ttest_rel(pair[1], pair[0]).confidence_interval(0.95)
            assert figure["change_ci95"] == pytest.approx([low, high], rel=1e-5, abs=1e-8), key
            looked_at += 1
    assert looked_at > 20


def test_sides_and_findings_are_told_as_they_are():
    base, new = side(), side(VARIANTS["replica"])
    found = published(base, new, policy=True)
    for told, one in ((found["base"], base), (found["new"], new)):
        assert told["path"] == one.path
        assert told["scenario_sha256"] == one.result.scenario.sha256
        assert (told["seed"], told["replications"], told["recommended"]) == (7, 3, one.result.decision.recommended)
    assert found["base"]["scenario_sha256"] != found["new"]["scenario_sha256"]
    (change,) = found["changes"]
    assert change == {
        "key": "hosting_patterns.rented.cluster.replicas", "base": 1, "new": 2, "cause": "capacity",
    }  # fmt: skip
    judged = found["check"]
    assert (judged["outcome"], judged["exit_code"]) == ("failed", 1)
    failed = {(one["pattern"], one["rule"]) for one in judged["findings"] if one["outcome"] == "failed"}
    assert ("rented", "monthly_cost_usd") in failed
    assert published(base, new)["check"] is None
