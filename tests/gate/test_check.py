"""The gate passes what did not change, fails what did with its cause, and says when it cannot tell."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import simulator
from simulator.analysis.output_analysis import Estimate
from simulator.errors import ScenarioError
from simulator.gate.check import _place, _worse, judge
from simulator.gate.comparison import compare
from simulator.gate.metrics import METRICS
from simulator.gate.policy import Policy, Rule, policy_schema, read_policy
from simulator.gate.result_file import Open, read_result
from tests.experiment.small import small
from tests.gate.kept import VARIANTS, edited, folder, side
from tests.parts import ROOT

CAUSES = {
    "price": ("rented", "price +73.00 USD (hosting_patterns.rented.costs.compute.gpu_hour 1 USD/h → 1.10 USD/h)"),
    "volume": ("api", "volume: workloads.notes.volume.clinicians 60 → 80"),
    "replica": ("rented", "capacity +730 USD (hosting_patterns.rented.cluster.replicas 1 → 2)"),
    "routing": ("hybrid", "policy: hosting_patterns.hybrid.routing.max_in_flight 1 → 2"),
}


def judged(new, policy=None, base=None):
    return judge(compare(base or side(), new), policy or read_policy(None))


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


def undecided(*candidates):
    """A result that cannot tell which of these."""
    new = side()
    found = new.result.decision.model_copy(update={"recommended": None, "undecided": Open(candidates=list(candidates))})
    return type(new)(new.path, new.result.model_copy(update={"decision": found}))


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (["api", "rented", "hybrid"], ["api", "hybrid"], "passed"),
        (["api", "hybrid"], ["api", "rented", "hybrid"], "passed"),
        (["api", "hybrid"], ["rented", "hybrid"], "passed"),
        (["api"], ["rented", "hybrid"], "failed"),
    ],
)
def test_what_could_not_be_told_before_may_stay_so(before, after, outcome):
    (found,) = [
        one for one in judged(undecided(*after), base=undecided(*before)).findings if one.rule == "recommendation"
    ]
    assert found.outcome == outcome
    assert found.message.endswith(f"cannot tell which of {', '.join(before)}")


def test_a_choice_that_cannot_be_told_any_more_is_inconclusive():
    (found,) = [one for one in judged(undecided("api", "hybrid")).findings if one.rule == "recommendation"]
    assert found.outcome == "inconclusive"


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


SEEDS = [1, 12, 123, 1234]


@pytest.mark.parametrize("seed", SEEDS)
def test_another_seed_alone_is_no_change(seed):
    found = judged(side({"experiment.seed": seed}))
    assert found.outcome in ("passed", "warned"), [str(one) for one in found.having("failed", "inconclusive")]
    told = [one.text for one in found.findings if "only the random numbers differ" in one.text]
    assert told
    notes = compare(side(), side({"experiment.seed": seed})).notes
    assert "experiment.seed=7 pairs the replications, or make a new baseline" in notes[0]


def lean(seed):
    """What the gate judges, without the outlook, which is most of the work."""
    results = simulator.run(small({"experiment.seed": seed}), folder=folder(), tables=False, band=False, outlook=False)
    path = folder() / f"{seed}.lean"
    path.write_bytes(results.to_json())
    return read_result(path)


@pytest.mark.slow
def test_of_forty_seeds_none_fails_and_at_most_two_cannot_be_told():
    outcomes = [judged(lean(seed), base=lean(7)).outcome for seed in range(100, 140)]
    assert "failed" not in outcomes
    assert outcomes.count("inconclusive") <= 2


@pytest.mark.parametrize("counts", [(3, 5), (5, 3), (4, 3)])
def test_of_other_numbers_of_replications_those_that_both_have_are_paired(counts):
    base, new = (side(None, count) for count in counts)
    found = judged(new, base=base)
    assert found.outcome in ("passed", "warned")
    comparison = compare(base, new)
    assert comparison.paired
    moved = [one.change for one in comparison.metrics if one.metric == "e2e_p99_s" and one.change]
    assert moved
    assert all((one.mean, one.low, one.high) == (0.0, 0.0, 0.0) for one in moved)
    assert "changes are those of the first 3, which drew the same random numbers" in comparison.notes[0]


@pytest.mark.parametrize("count", [3, 5])
def test_a_change_is_found_whatever_the_number_of_replications(count):
    failed = judged(side(VARIANTS["volume"], count)).having("failed")
    assert {"requests_arrived", "monthly_cost_usd"} <= {one.rule for one in failed}


def slowed(workload, factor):
    """All replications of a workload, and what is said of them, by as much."""

    def change(plain):
        for one in plain["patterns"]:
            values = one["by_replication"][workload]["e2e_p99_s"]
            one["by_replication"][workload]["e2e_p99_s"] = [factor * value for value in values]
            latency = one["workloads"][workload]["latency"]["e2e_s"]
            latency["p99"] *= factor

    return change


@pytest.mark.parametrize("seed", [None, 3, 4, 5])
@pytest.mark.parametrize("workload", ["notes", "letters"])
def test_the_p99_of_one_workload_fails_the_default_policy(seed, workload):
    settings = seed and {"experiment.seed": seed}
    failed = judged(edited(slowed(workload, 1.1), settings), base=side(settings)).having("failed")
    assert {(one.rule, one.workload) for one in failed} == {("e2e_p99_s", workload)}
    assert len(failed) == 4
    assert not judged(edited(slowed(workload, 1.02), settings), base=side(settings)).having("failed")


def test_a_rule_that_names_workloads_is_about_no_other():
    policy = rule(metric="e2e_p99_s", workloads=["letters"], relative=0.05)
    assert judged(edited(slowed("notes", 1.5)), policy).outcome == "passed"
    assert judged(edited(slowed("letters", 1.5)), policy).outcome == "failed"


def test_without_replications_one_by_one_a_p99_says_nothing():
    def plain(document):
        for one in document["patterns"]:
            one["by_replication"] = {}

    def slower(document):
        plain(document)
        for one in document["patterns"]:
            one["latency"]["e2e_s"]["p99"] *= 1.06

    policy = rule(metric="e2e_p99_s", relative=0.05)
    assert judged(edited(slower), policy, edited(plain)).outcome == "inconclusive"
    assert judged(edited(plain), policy, edited(plain)).outcome == "passed"


def test_a_promise_of_less_is_a_warning():
    settings = {"workloads.notes.objectives.ttft": "60s", "workloads.notes.objectives.share": 0.9}
    warned = judged(side(settings)).having("warned")
    assert [(one.rule, one.workload) for one in warned] == [("objectives", "notes")]
    assert warned[0].message == "promised less: ttft 5.00 s → 60.0 s, share 95.0 % → 90.0 %"
    assert not judged(side(), base=side(settings)).having("warned")


@pytest.mark.parametrize(
    ("limit", "less", "more"),
    [("ttft", "6s", "4s"), ("end_to_end", "61s", "59s"), ("share", 0.94, 0.96), ("availability", 0.98, 0.995)],
)
def test_each_promise_has_a_direction(limit, less, more):
    base = {"workloads.notes.objectives.availability": 0.99}
    for value, outcomes in ((less, ["objectives"]), (more, [])):
        new = side(base | {f"workloads.notes.objectives.{limit}": value})
        warned = [one.rule for one in judged(new, base=side(base)).having("warned") if one.rule == "objectives"]
        assert warned == outcomes


def test_a_renamed_pattern_is_recognised():
    def renamed(plain):
        one = next(one for one in plain["patterns"] if one["name"] == "hybrid")
        one["name"] = "mixed"
        asked = plain["inputs"]["scenario"]["hosting_patterns"]
        asked["mixed"] = asked.pop("hybrid")

    missing = compare(side(), edited(renamed)).missing
    assert missing == {"hybrid": "it is no longer in the result; 'mixed' is what it was: renamed?"}


def test_a_pattern_that_a_result_has_and_its_question_has_not_is_just_gone():
    def misnamed(plain):
        next(one for one in plain["patterns"] if one["name"] == "hybrid")["name"] = "\0"

    assert compare(edited(misnamed), side()).missing == {"\0": "it is no longer in the result"}
    assert compare(side(), edited(misnamed)).missing == {"hybrid": "it is no longer in the result"}
