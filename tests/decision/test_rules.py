"""Rules of thumb as data: the source document's tables, executed as it wrote them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.cost.prices import load_price_book
from simulator.decision.rules import advice, contradictions
from simulator.errors import ScenarioError
from simulator.results import run
from simulator.scenario.document_routers import WorkloadFacts, decide
from simulator.scenario.rules import Range, RuleTable, shipped_tables
from tests.experiment.small import small

TABLES = shipped_tables()
SITE = {name: table for name, table in TABLES.items() if table.scope == "site" and "tokens" in str(table.rules)}
BOOK = load_price_book("2026-11")
tokens = st.floats(0.0, 5e9)


def answers(name, **known):
    return [answer for rule in TABLES[name].matching(known, None) for answer in rule.answers]


@pytest.mark.parametrize(
    ("volume", "variation", "ttft_s", "answer"),
    [
        (432e6, 0.12, 1.5, "metered_api"),  # its worked example, of which it says self-hosted
        (5e9, 0.30, 1.5, "metered_api"),
        (500_000_001, 0.45, 1.5, "metered_api"),
        (300e6, 0.35, 1.5, "metered_api"),
        (300e6, 0.45, 1.5, "hybrid"),
        (99.9e6, 0.1, 0.1, "metered_api"),
        (300e6, 0.1, 0.4, "self_hosted"),
        (600e6, 0.1, 1.5, "self_hosted"),
    ],
)
def test_the_routing_function_as_executed(volume, variation, ttft_s, answer):
    assert answers("routing_function", tokens_per_month=volume, variation=variation, ttft_limit_s=ttft_s) == [answer]


@pytest.mark.parametrize(
    ("volume", "tier", "hour"),
    [
        (30.26e6, ["metered_api"], ["metered_api"]),
        (100e6, ["hybrid", "metered_api"], ["hybrid"]),
        (512e6, ["hybrid"], ["self_hosted"]),
        (2e9, ["self_hosted"], ["self_hosted"]),
    ],
)
def test_two_maps_of_the_same_volumes(volume, tier, hour):
    assert answers("tiers", tokens_per_month=volume) == tier
    assert answers("hour_by_hour", tokens_per_month=volume) == hour


def found(site):
    return {(tuple(one.tables), one.at_least, one.below): one for one in contradictions(TABLES, site)}


def test_the_documents_contradictions_are_found():
    known = found({"tokens_per_month": 512e6})
    gap, overlap = known[("patterns",), 100e6, 200e6], known[("patterns",), 500e6, 1e9]
    assert "says nothing" in gap.text
    assert "self hosted and hybrid" in overlap.text
    assert (gap.here, overlap.here) == (False, True)
    assert known[("tiers", "hour_by_hour"), 500e6, 2e9].here
    assert known[("hour_by_hour", "break_even_band"), 100e6, 320e6].text.endswith("hybrid against metered api")
    assert (("payback", "payback_in_the_text"), 6.0, 12.0) in known


@given(tokens)
def test_law_two_tables_contradict_each_other_where_they_share_no_answer(volume):
    known = contradictions(TABLES, {"tokens_per_month": volume})
    said = {tuple(one.tables) for one in known if one.here and len(one.tables) == 2}
    names = list(SITE)
    expected = set()
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            ours, theirs = (set(answers(name, tokens_per_month=volume)) for name in (one, other))
            if ours and theirs and not ours & theirs:
                expected.add((one, other))
    assert said == expected


@given(tokens)
def test_law_a_table_with_a_gap_or_two_answers_says_so(volume):
    here = {one.tables[0] for one in contradictions(TABLES, {"tokens_per_month": volume}) if one.here}
    for name in SITE:
        rules = TABLES[name].matching({"tokens_per_month": volume})
        if not rules or len({tuple(rule.answers) for rule in rules}) > 1:
            assert name in here


def test_minimums_are_about_their_workloads_alone():
    known = {"prior_auth_appeals": {"tokens_per_month": 600e6}, "other": {"tokens_per_month": 600e6}}
    (one,) = [row for row in advice(TABLES, {}, known, "hybrid") if row.table == "workload_minimums"]
    assert (one.applies_to, one.answers, one.agrees) == ("prior_auth_appeals", ["self_hosted"], False)


def test_what_nobody_knows_is_not_asked():
    assert advice(TABLES, {}, {}, "hybrid") == []
    rows = advice(TABLES, {"tokens_per_month": 150e6}, {}, "hybrid")
    assert {row.table for row in rows} == {"tiers", "hour_by_hour", "break_even_band", "patterns"}
    # A gap is an answer too: the table was asked and says nothing.
    assert next(row for row in rows if row.table == "patterns").agrees is None


def test_neighbouring_ranges_of_which_the_same_is_said_are_one():
    """The second table cuts the axis at 50M and says the same on both sides, so there is one range below 100M."""

    def table(*rules):
        told = [{"when": {"tokens_per_month": limits}, "answers": [answer], "text": "t"} for limits, answer in rules]
        return RuleTable.model_validate({"title": "t", "source": "s", "rules": told})

    one = table(({"below": 1e8}, "metered_api"), ({"at_least": 1e8}, "self_hosted"))
    two = table(*((limits, "self_hosted") for limits in ({"below": 5e7}, {"at_least": 5e7})))
    (found,) = contradictions({"one": one, "two": two}, {"tokens_per_month": 6e7})
    assert (found.tables, found.at_least, found.below, found.here) == (["one", "two"], None, 1e8, True)
    assert found.text == "one and two, below 100 M tokens a month: metered api against self hosted"
    # Where it says something else on each side there are two.
    other = table(({"below": 5e7}, "self_hosted"), ({"at_least": 5e7}, "hybrid"))
    ranges = [(one.at_least, one.below) for one in contradictions({"one": one, "other": other}, {})]
    assert ranges == [(None, 5e7), (5e7, 1e8), (1e8, None)]


def test_every_table_names_its_source():
    assert all("article" in table.source for table in TABLES.values())
    assert all(rule.text for table in TABLES.values() for rule in table.rules)


def test_rules_of_ones_own_stand_beside_the_shipped_ones():
    own = {
        "title": "the board's rule",
        "source": "minutes",
        "rules": [{"when": {"tokens_per_month": {"below": 1e9}}, "answers": ["hybrid"], "text": "hybrid at first"}],
    }
    answered = run(small({"rules": {"board": own}}), replications=1, band=False, outlook=False, tables=False)
    (row,) = [row for row in answered.decision.rule_tables if row.table == "board"]
    assert (row.rules, row.answers) == (["hybrid at first"], ["hybrid"])
    assert row.agrees is (answered.pattern(answered.decision.recommended).kind == "hybrid")
    assert {"tiers", "routing_function"} <= {row.table for row in answered.decision.rule_tables}
    assert answered.document()["decision"]["rule_contradictions"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"when": {"beds": {"below": 1}}, "answers": ["hybrid"]}, "tokens_per_month"),
        ({"when": {"variation": {"at_least": 2, "below": 1}}, "answers": ["hybrid"]}, "at_least must be less"),
        ({"answers": []}, "at least 1"),
        ({"answers": ["cloud"]}, "metered_api"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule, message):
    with pytest.raises(ScenarioError, match=message):
        small({"rules": {"mine": {"title": "a", "source": "b", "rules": [rule]}}})


def test_a_range_says_whether_its_ends_belong_to_it():
    assert [Range(at_least=1, below=2).holds(value) for value in (0.9, 1, 2)] == [False, True, False]
    assert [Range(above=1, at_most=2).holds(value) for value in (1, 1.1, 2, 2.1)] == [False, True, True, False]
    with pytest.raises(ValueError, match="give at_least or above, not both"):
        Range(at_least=1, above=1)
    with pytest.raises(ValueError, match="must be less than"):
        Range(above=2, at_most=2)


def test_the_routing_function_advises_as_it_routes():
    """It is one table: 500M belongs to neither side, as the article writes it."""
    table = shipped_tables()["routing_function"]
    for volume, variation, kind in ((5e8, 0.2, "metered_api"), (5.1e8, 0.2, "self_hosted"), (3e8, 0.4, "metered_api")):
        known = {"tokens_per_month": volume, "variation": variation, "ttft_limit_s": 2.0}
        (said,) = advice({"routing_function": table}, {}, {"notes": known}, kind)
        facts = WorkloadFacts.model_validate({"tokens_per_month": volume, "variation": variation, "latency": "2s"})
        assert said.answers == [kind]
        assert decide(facts, table)[0] == ("api" if kind == "metered_api" else kind)


@pytest.mark.parametrize(
    ("second", "text", "ends"),
    [
        ({"at_least": 0.3}, "says nothing", (0.2, 0.3)),
        ({"at_least": 0.1}, "says both metered api and self hosted", (0.1, 0.2)),
    ],
)
def test_a_gap_or_an_overlap_is_found_however_narrow(second, text, ends):
    """A tenth of a variation, in which alone a value shows it."""
    rules = [
        {"when": {"variation": limits}, "answers": [answer], "text": "t"}
        for limits, answer in (({"below": 0.2}, "metered_api"), (second, "self_hosted"))
    ]
    narrow = RuleTable.model_validate({"title": "t", "source": "s", "rules": rules})
    (found,) = contradictions({"narrow": narrow}, {"variation": 0.15})
    assert text in found.text
    assert (found.at_least, found.below, found.here) == (*ends, ends[0] == 0.1)


def test_a_range_may_be_one_value_and_none_that_is_empty():
    """Two numbers as a file has them, which are one number and no one object."""
    assert Range(at_least=float("0.25"), at_most=float("0.250")).ends == (0.25, 0.25)
    for empty in (
        {"at_least": 0.25, "below": 0.25},
        {"above": 0.25, "at_most": 0.25},
        {"at_least": 0.3, "at_most": 0.2},
    ):
        with pytest.raises(ValidationError, match="must be less than"):
            Range(**empty)
