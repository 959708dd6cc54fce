"""A site's routing rules: the first match decides, and a table with a gap or a dead rule is found out."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from simulator.scenario.rule_table import Case, RoutingRule, TokenRange, gaps, matches, overlaps, unreachable

WORKLOADS = ["notes", "letters"]
TABLE = TypeAdapter(list[RoutingRule])


def rules(*conditions, send_to="own"):
    return TABLE.validate_python(
        [{"name": f"r{number}", "when": when, "send_to": [send_to]} for number, when in enumerate(conditions)]
    )


ranges = st.builds(lambda low, width: {"at_least": low, "below": low + width}, st.integers(0, 40), st.integers(1, 40))
conditions = st.fixed_dictionaries(
    {},
    optional={
        "workloads": st.lists(st.sampled_from(WORKLOADS), min_size=1, max_size=2),
        "priorities": st.lists(st.integers(1, 3), min_size=1, max_size=3),
        "prompt_tokens": ranges,
        "max_tokens": ranges,
        "while_room": st.booleans(),
    },
)
requests = st.builds(Case, st.sampled_from(WORKLOADS), st.integers(1, 3), st.integers(1, 90), st.integers(1, 90))


@given(st.lists(conditions, min_size=1, max_size=6), requests)
def test_a_table_without_gaps_has_a_rule_for_every_request(conditions, request):
    table = rules(*conditions)
    found = matches(table, request)
    if not gaps(table, WORKLOADS):
        assert found
        assert not found[-1].when.while_room
    assert not {rule.name for rule in found} & {rule.name for rule in unreachable(table, WORKLOADS)}


def test_a_gap_names_a_request_that_falls_into_it():
    table = rules({"prompt_tokens": {"below": 2000}}, {"workloads": ["notes"]})
    assert str(gaps(table, WORKLOADS)[0]) == "letters, priority 1, prompt of 2,000 tokens, max_tokens 1"
    assert not gaps(rules({"prompt_tokens": {"below": 2000}}, {}), WORKLOADS)
    assert gaps(rules({"while_room": True}), WORKLOADS)


def test_a_rule_behind_one_for_all_is_unreachable_unless_that_wants_room():
    assert [rule.name for rule in unreachable(rules({}, {"priorities": [1]}), WORKLOADS)] == ["r1"]
    assert not unreachable(rules({"while_room": True}, {"priorities": [1]}, {}), WORKLOADS)


def test_overlaps_are_those_that_matter():
    first, second = rules({"workloads": ["notes"]}), rules({"priorities": [1]}, send_to="api")
    table = [*first, second[0].model_copy(update={"name": "urgent"})]
    assert list(overlaps(table, WORKLOADS)) == [("r0", "urgent")]
    assert overlaps(table, WORKLOADS)["r0", "urgent"].workload == "notes"
    assert not overlaps(rules({"workloads": ["notes"]}, {}), WORKLOADS)


def test_a_range_has_its_first_count_and_not_the_one_that_is_too_high():
    found = TokenRange(at_least=5, below=7)
    assert [found.holds(tokens) for tokens in (4, 5, 6, 7)] == [False, True, True, False]
    assert [TokenRange(at_least=5).holds(tokens) for tokens in (4, 5, 10**9)] == [False, True, True]
    with pytest.raises(ValueError, match="no count is at least 5 and below 5"):
        TokenRange(at_least=5, below=5)


def test_of_requests_on_which_two_rules_disagree_the_first_is_told():
    first, second = rules({"priorities": [2, 3], "max_tokens": {"at_least": 5}}), rules({}, send_to="api")
    table = [*first, second[0].model_copy(update={"name": "rest"})]
    assert overlaps(table, WORKLOADS) == {("r0", "rest"): Case("notes", 2, 1, 5)}


def wanted(rule, request):
    """Whether a request meets a rule, part by part, from what was written."""
    when = rule.model_dump(exclude_unset=True).get("when", {})
    spans = [(when.get(key, {}), getattr(request, key)) for key in ("prompt_tokens", "max_tokens")]
    return (
        request.workload in when.get("workloads", WORKLOADS)
        and request.priority in when.get("priorities", [1, 2, 3])
        and all(span.get("at_least", 0) <= count < span.get("below", 10**9) for span, count in spans)
    )


@given(st.lists(conditions, min_size=1, max_size=4), st.lists(st.sampled_from(["own", "api"]), min_size=4, max_size=4))
def test_law_gaps_dead_rules_and_overlaps_are_those_of_every_request_there_is(drawn, targets):
    """Against all requests whose counts stand at some edge, or just below it."""
    table = [one.model_copy(update={"send_to": [target]}) for one, target in zip(rules(*drawn), targets, strict=False)]
    edges = {
        key: {1}
        | {edge + by for one in drawn for edge in one.get(key, {}).values() for by in (-1, 0) if edge + by >= 1}
        for key in ("prompt_tokens", "max_tokens")
    }
    requests = [Case(*case) for case in product(WORKLOADS, (1, 2, 3), edges["prompt_tokens"], edges["max_tokens"])]
    decided, reached, disagree = set(), set(), set()
    for request in requests:
        holding = [rule for rule in table if wanted(rule, request)]
        sure = next((at for at, rule in enumerate(holding) if not rule.when.while_room), None)
        up_to = holding if sure is None else holding[: sure + 1]
        assert matches(table, request) == up_to
        reached |= {rule.name for rule in up_to}
        if sure is not None:
            decided.add(request)
        disagree |= {(holding[0].name, other.name) for other in holding[1:] if other.send_to != holding[0].send_to}
    found = gaps(table, WORKLOADS)
    assert not decided & set(found)
    assert bool(found) is (len(decided) < len(requests))
    assert {rule.name for rule in unreachable(table, WORKLOADS)} == {rule.name for rule in table} - reached
    assert set(overlaps(table, WORKLOADS)) == disagree
    for (first, later), request in overlaps(table, WORKLOADS).items():
        names = [rule.name for rule in table if wanted(rule, request)]
        assert names[0] == first
        assert later in names
