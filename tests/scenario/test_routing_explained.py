"""What a routing says of itself before anything runs."""

from __future__ import annotations

from simulator.scenario.routing_explained import explain_routing
from tests.experiment.small import small

API = "bedrock/llama-3.3-70b"


def explained(routing):
    return explain_routing(
        small({"hosting_patterns.hybrid.routing": routing}).hosting_patterns["hybrid"], ["notes", "letters"]
    )


def test_rules_that_disagree_are_told_with_the_first_such_request_and_the_one_that_decides():
    rules = [
        {"name": "long", "when": {"prompt_tokens": {"at_least": 2000}, "workloads": ["letters"]}, "send_to": [API]},
        {"name": "all", "send_to": ["cluster"]},
    ]
    found = explained({"kind": "rules", "rules": rules})
    case = "letters, priority 1, prompt of 2,000 tokens, max_tokens 1"
    assert found.overlaps == (f"{case}: 'long' decides, 'all' would send it elsewhere",)
    assert (found.kind, found.differences) == ("rules", ())
    assert [route.workload for route in found.routes] == ["notes", "letters"]
    same = [rules[0] | {"send_to": ["cluster"]}, rules[1]]
    assert explained({"kind": "rules", "rules": same}).overlaps == ()


def test_other_kinds_have_an_order_and_nothing_to_disagree_about():
    found = explained({"kind": "overflow", "backends": {"letters": [API, "cluster"]}, "max_in_flight": 1})
    assert {route.workload: route.backends for route in found.routes} == {
        "notes": ("cluster", API), "letters": (API, "cluster"),
    }  # fmt: skip
    assert (found.kind, found.overlaps, found.differences) == ("overflow", (), ())
    assert {route.rule for route in found.routes} == {""}
    assert found.policy
    assert "\n" not in found.policy
