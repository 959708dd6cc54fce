"""A site's routing rules: the first match decides, and a table with a gap or a dead rule is found out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from simulator.scenario.rule_table import Case, RoutingRule, gaps, matches, overlaps, unreachable

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
