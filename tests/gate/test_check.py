"""The gate passes what did not change, fails what did with its cause, and says when it cannot tell."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from simulator.analysis.output_analysis import Estimate
from simulator.errors import ScenarioError
from simulator.gate.check import _place, _worse, check
from simulator.gate.comparison import compare
from simulator.gate.metrics import METRICS
from simulator.gate.policy import Policy, Rule, policy_schema, read_policy
from tests.gate.kept import VARIANTS, side
from tests.parts import ROOT

CAUSES = {
    "price": ("rented", "price +73.00 USD (hosting_patterns.rented.costs.compute.gpu_hour 1 USD/h → 1.10 USD/h)"),
    "volume": ("api", "volume: workloads.notes.volume.clinicians 60 → 80"),
    "replica": ("rented", "capacity +730 USD (hosting_patterns.rented.cluster.replicas 1 → 2)"),
    "routing": ("hybrid", "policy: hosting_patterns.hybrid.routing.max_in_flight 1 → 2"),
}


def judged(new, policy=None, base=None):
    return check(compare(base or side(), new), policy or read_policy(None))


def rule(**settings):
    return Policy(rules=[Rule.model_validate(settings)])


def test_the_same_again_passes():
    found = judged(side())
    assert (found.outcome, found.exit_code) == ("passed", 0)
    assert all(finding.outcome == "passed" and not finding.cause for finding in found.findings)


@pytest.mark.parametrize("name", VARIANTS)
def test_one_change_fails_and_its_cause_is_named_in_one_line(name):
    found = judged(side(VARIANTS[name]))
    assert found.exit_code == 1
    pattern, cause = CAUSES[name]
    failed = [finding for finding in found.having("failed") if finding.pattern == pattern]
    assert cause in {finding.cause for finding in failed}
    assert all("\n" not in str(finding) for finding in found.findings)


def test_a_change_of_one_pattern_fails_no_other():
    for name in ("price", "replica", "routing"):
        failed = {finding.pattern for finding in judged(side(VARIANTS[name])).having("failed")}
        assert failed == {CAUSES[name][0]}


@pytest.mark.parametrize(("base", "new"), [(None, 1), (1, None), (1, 1), (2, 2)])
def test_too_few_replications_are_inconclusive(base, new):
    found = judged(side(None, new), base=side(None, base))
    assert (found.outcome, found.exit_code) == ("inconclusive", 3)
    assert any("the policy wants 3" in finding.message for finding in found.having("inconclusive"))


def test_a_policy_may_do_with_one_replication():
    policy = read_policy(None).model_copy(update={"replications_at_least": 1})
    assert judged(side(None, 1), policy, side(None, 1)).exit_code == 0


def test_another_seed_is_no_regression_by_itself():
    """Whatever moved by chance is within its interval, or the gate says that it cannot tell."""
    found = judged(side({"experiment.seed": 8}))
    assert not found.having("failed")


def test_both_tolerances_must_be_exceeded():
    new = side(VARIANTS["price"])
    metric = {"metric": "monthly_cost_usd", "patterns": ["rented"]}
    assert judged(new, rule(**metric, relative=0.09, absolute=72)).exit_code == 1
    assert judged(new, rule(**metric, relative=0.11, absolute=72)).exit_code == 0
    assert judged(new, rule(**metric, relative=0.09, absolute=74)).exit_code == 0
    assert judged(new, rule(**metric, relative="10 %")).exit_code == 0


def test_limits_hold_whatever_the_baseline():
    same = side()
    assert judged(same, rule(metric="monthly_cost_usd", patterns=["rented"], at_most=730)).exit_code == 0
    assert judged(same, rule(metric="monthly_cost_usd", patterns=["rented"], at_most=729.99)).exit_code == 1
    assert judged(same, rule(metric="goodput", workloads=["notes"], patterns=["rented"], at_least=0)).exit_code == 0
    assert judged(same, rule(metric="busy_fraction", patterns=["rented"], at_least=0.99)).exit_code == 1


def test_a_limit_within_the_interval_cannot_be_told():
    p99 = next(one for one in compare(side(), side()).metrics if (one.pattern, one.metric) == ("api", "e2e_p99_s"))
    assert judged(side(), rule(metric="e2e_p99_s", patterns=["api"], at_most=p99.new)).exit_code == 3
    assert judged(side(), rule(metric="e2e_p99_s", patterns=["api"], at_most=p99.new_interval.high)).exit_code == 0
    assert judged(side(), rule(metric="e2e_p99_s", patterns=["api"], at_most=0.9 * p99.new_interval.low)).exit_code == 1


def test_a_warning_fails_nothing():
    policy = rule(metric="monthly_cost_usd", absolute=0, severity="warn")
    found = judged(side(VARIANTS["price"]), policy)
    assert (found.outcome, found.exit_code) == ("warned", 0)


def test_a_pattern_that_is_gone_fails_once(monkeypatch):
    new = side()
    result = new.result.model_copy(update={"patterns": [one for one in new.result.patterns if one.name != "rented"]})
    found = judged(type(new)(new.path, result))
    assert [finding.rule for finding in found.having("failed")] == ["missing_pattern"]
    lenient = read_policy(None).model_copy(update={"missing_pattern": "ignore"})
    assert judged(type(new)(new.path, result), lenient).exit_code == 0


def test_another_recommendation_fails():
    new = side()
    decision = new.result.decision.model_copy(update={"recommended": "rented"})
    found = judged(type(new)(new.path, new.result.model_copy(update={"decision": decision})))
    assert [finding.message for finding in found.having("failed")] == ["recommends rented; before: recommends api"]


def test_names_that_neither_result_has_are_refused():
    with pytest.raises(ScenarioError, match=r"rules\.0\.patterns: neither result has 'rentd'; did you mean 'rented'\?"):
        judged(side(), rule(metric="monthly_cost_usd", patterns=["rentd"], absolute=0))


@pytest.mark.parametrize(
    ("change", "direction", "expected"),
    [
        ((1.0, 0.5, 1.5), "lower", (0.5, 1.5)),
        ((1.0, 0.5, 1.5), "higher", (-1.5, -0.5)),
        ((1.0, 0.5, 1.5), "same", (0.5, 1.5)),
        ((-1.0, -1.5, -0.5), "same", (0.5, 1.5)),
        ((0.1, -0.4, 0.6), "same", (0.0, 0.6)),
        ((2.0, None, None), "lower", (2.0, 2.0)),
    ],
)
def test_how_much_worse(change, direction, expected):
    assert _worse(Estimate(*change), direction) == expected


def test_within_across_and_beyond_what_is_allowed():
    assert _place((0.0, 1.0), 1.0, unknown=False) == "passed"
    assert _place((0.5, 1.5), 1.0, unknown=False) == "inconclusive"
    assert _place((1.1, 1.5), 1.0, unknown=False) == "failed"
    assert _place((0.0, 0.0), 1.0, unknown=True) == "inconclusive"


def test_the_shipped_policy_is_sound():
    assert {one.metric for one in read_policy(None).rules} <= set(METRICS)


def test_the_published_schema_of_policies_is_current_and_takes_the_shipped_one():
    schema = json.loads(policy_schema())
    assert (ROOT / "policy.schema.json").read_text(encoding="utf-8") == policy_schema()
    shipped = YAML(typ="safe").load(ROOT / "simulator" / "gate" / "data" / "default_policy.yaml")
    jsonschema.validate(shipped, schema)
    shipped["rules"][0]["metric"] = "monthly_cost"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(shipped, schema)


@given(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 5), st.floats(0, 10))
def test_law_what_is_worse_never_fares_better(low, width, allowed, more):
    order = ["passed", "inconclusive", "failed"]
    before = _place((low, low + width), allowed, unknown=False)
    after = _place((low + more, low + width + more), allowed, unknown=False)
    assert order.index(after) >= order.index(before)
    lenient = _place((low, low + width), allowed + more, unknown=False)
    assert order.index(lenient) <= order.index(before)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules:\n  - {metric: monthly_cost, absolute: 1}", ":2: rules.0.metric: .*did you mean 'monthly_cost_usd'?"),
        ("rules:\n  - {metric: goodput}", ":2: rules.0: .*give a tolerance"),
        ("rules: []", ":1: rules: "),
        (
            "rules:\n  - {metric: goodput, absolute: 0, relativ: 1}",
            "rules.0.relativ: unknown key; did you mean 'relative'",
        ),
        ("rules:\n  - {metric: busy_fraction, absolute: 0, workloads: [notes]}", "rules.0.workloads: .*as a whole"),
        ("rules:\n  - {metric: goodput, at_most: 1, at_least: 2}", "may not be less than at_least"),
        ("replications_at_least: 0\nrules:\n  - {metric: goodput, absolute: -1}", ":1: replications_at_least"),
        ("rules: [", "is not valid YAML"),
    ],
)
def test_a_broken_policy_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=message):
        read_policy(path)
