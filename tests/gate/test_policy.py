"""What a policy may say, and what each rule of it is about."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from simulator.gate.metrics import METRICS
from simulator.gate.policy import Policy, Rule


def rule(metric="monthly_cost_usd", **settings):
    return Rule.model_validate({"metric": metric} | settings)


@pytest.mark.parametrize(
    ("given", "compares"),
    [({"relative": 0}, True), ({"absolute": 0}, True), ({"at_most": 5}, False), ({"at_least": 5}, False),
     ({"at_most": 5, "relative": "2 %"}, True)],
)  # fmt: skip
def test_one_of_four_is_enough_and_a_tolerance_needs_a_baseline(given, compares):
    assert rule(**given).compares is compares


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give a tolerance"),
        ({"direction": "lower", "severity": "warn"}, "give a tolerance"),
        ({"at_most": 1, "at_least": 2}, "may not be less than at_least"),
        ({"relative": "1 %", "workloads": ["notes"]}, "is of a hosting pattern as a whole"),
        ({"absolute": -1}, "greater than or equal to 0"),
        ({"metric": "monthly_cost", "absolute": 1}, "did you mean 'monthly_cost_usd'"),
    ],
)
def test_what_makes_no_rule_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        rule(**given)


@pytest.mark.parametrize("name", METRICS)
def test_workloads_are_for_the_figures_that_they_have(name):
    try:
        said = rule(name, absolute=0, workloads=["notes"]).workloads
    except ValidationError:
        said = None
    assert (said == ["notes"]) is METRICS[name].of_workloads


def test_limits_may_be_the_same_and_negative():
    assert rule(at_most=-2, at_least=-2).at_most == -2


def test_unless_said_a_policy_fails_and_wants_three_replications():
    plain = Policy(rules=[rule(absolute=0)])
    assert (plain.replications_at_least, plain.recommendation, plain.missing_pattern) == (3, "fail", "fail")
    assert (plain.rules[0].severity, plain.rules[0].direction, plain.rules[0].patterns) == ("fail", None, None)
    with pytest.raises(ValidationError, match="at least 1 item"):
        Policy(rules=[])
