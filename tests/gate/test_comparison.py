"""What differs between two results, and when they may not be compared."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.analysis.output_analysis import Estimate, difference, paired_difference
from simulator.errors import RunStoreError, ScenarioError
from simulator.gate.check import judge
from simulator.gate.comparison import MetricChange, compare
from simulator.gate.inputs import cause_of
from simulator.gate.metrics import shown
from simulator.gate.policy import read_policy
from simulator.gate.published import gate_document, gate_schema
from simulator.gate.result_file import read_result
from tests.gate.kept import VARIANTS, edited, kept, side
from tests.parts import ROOT

values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


def test_nothing_differs_from_itself():
    found = compare(side(), side())
    assert found.paired
    assert [found.changes, found.costs, found.missing, found.added, found.notes] == [[], [], {}, [], []]
    assert not any(change.moved for change in found.metrics)


@pytest.mark.parametrize("name", VARIANTS)
def test_what_was_asked_differently_is_listed_with_its_kind(name):
    (change,) = compare(side(), side(VARIANTS[name])).changes
    kinds = {"price": "price", "volume": "volume", "replica": "capacity", "routing": "policy"}
    assert change.cause == kinds[name]
    assert ".".join(change.key) in VARIANTS[name]


def test_a_default_spelt_out_and_another_unit_are_no_change():
    spelt = {
        "hosting_patterns.rented.cluster.replicas": 1,
        "workloads.notes.objectives.end_to_end": "1min",
        "hosting_patterns.hybrid.routing.on_error": "fail_over",
    }
    assert not compare(side(), side(spelt)).changes


def test_a_price_that_changed_in_the_book_is_found(tmp_path):
    plain = json.loads(kept().read_text())
    entry = plain["inputs"]["prices"]["api_prices"]["bedrock/llama-3.3-70b"]
    entry |= {"prompt": "0.36 USD/1M tokens", "note": "halved", "row": "another"}
    old = tmp_path / "old.json"
    old.write_text(json.dumps(plain))
    found = compare(read_result(old), side())
    assert {(change.cause, change.key[-1]) for change in found.changes} == {
        ("price", "prompt"),
        ("words", "note"),
        ("words", "row"),
    }
    # The rented cluster has no such price.
    assert not found.changes_of("rented")
    assert len(found.changes_of("api")) == 1
    # Of what it no longer asks the price counts too: it is part of what it cost before.
    left = compare(read_result(old), side({"hosting_patterns.api.api.model": "azure/gpt-4.1"}))
    assert {change.key[-1] for change in left.changes_of("api")} == {"model", "prompt"}


def test_other_questions_are_refused_unless_told(tmp_path):
    plain = json.loads(kept().read_text())
    plain["scenario"]["name"], plain["month_hours"], plain["currency"] = "other", 720.0, "EUR"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(RunStoreError) as refused:
        compare(side(), read_result(path))
    assert len(str(refused.value).splitlines()) == 3
    assert "`allow_different` scenario" in str(refused.value)
    assert compare(side(), read_result(path), allow_different=["scenario", "month", "currency"]).metrics
    with pytest.raises(ScenarioError, match="did you mean 'horizon'"):
        compare(side(), side(), allow_different=["horizn"])


def test_a_result_without_inputs_is_compared_without_causes(tmp_path):
    plain = json.loads(kept(VARIANTS["price"]).read_text())
    del plain["inputs"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(plain))
    found = compare(side(), read_result(path))
    assert "does not carry its inputs" in found.notes[0]
    assert found.costs[0].attribution is None
    assert judge(found, read_policy(None)).exit_code == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1: is not valid JSON"),
        ("[1]", "is no result"),
        ('{"a": 1}', "is no result"),
        ('{\n "patterns": [],\n "seed": "x"}', ":3: seed: "),
    ],
)
def test_what_is_no_result_is_refused(tmp_path, content, message):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(RunStoreError, match=message):
        read_result(path)
    with pytest.raises(RunStoreError, match="cannot be read"):
        read_result(tmp_path / "none.json")


def test_every_fault_of_a_result_is_told_with_its_line(tmp_path):
    plain = json.loads(kept().read_text())
    del plain["currency"]
    plain["patterns"][1]["feasible"] = "perhaps"
    path = tmp_path / "result.json"
    path.write_text(json.dumps(plain, indent=2))
    with pytest.raises(RunStoreError) as refused:
        read_result(path)
    assert "currency: is missing" in str(refused.value)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "perhaps" in text)
    assert f"result.json:{line}: patterns.1.feasible: 'perhaps'" in str(refused.value)


def test_the_document_is_valid_and_the_same_again():
    comparison = compare(side(), side(VARIANTS["volume"]))
    judged = judge(comparison, read_policy(None))
    schema = json.loads(gate_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    for document in (gate_document(comparison), gate_document(comparison, judged)):
        jsonschema.validate(json.loads(document), schema)
    assert gate_document(comparison, judged) == gate_document(compare(side(), side(VARIANTS["volume"])), judged)


def test_the_published_schema_is_current():
    assert (ROOT / "comparison.schema.json").read_text(encoding="utf-8") == gate_schema()


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        ("hosting_patterns.a.clusters.b.costs.compute.gpu_hour", "price"),
        ("hosting_patterns.a.clusters.b.cluster.replicas", "capacity"),
        ("hosting_patterns.a.apis.b.limits.tokens_per_minute", "capacity"),
        ("hosting_patterns.a.apis.b.retries.at_most", "policy"),
        ("hosting_patterns.a.apis.b.deployment.unit_hour", "price"),
        ("hosting_patterns.a.apis.b.deployment.units", "capacity"),
        ("hosting_patterns.a.apis.b.deployment.input_price", "price"),
        ("hosting_patterns.a.apis.b.deployment.output_price", "price"),
        ("hosting_patterns.a.apis.b.deployment.input_tokens_per_minute", "capacity"),
        ("hosting_patterns.a.apis.b.model", "price"),
        ("hosting_patterns.a.apis.b.prices.prompt", "price"),
        ("hosting_patterns.a.apis.b.costs.storage", "price"),
        ("hosting_patterns.a.api.deployment.unit_hour", "price"),
        ("hosting_patterns.a.api.deployment.units", "capacity"),
        ("hosting_patterns.a.api.model", "price"),
        ("hosting_patterns.a.api.prices.prompt", "price"),
        ("hosting_patterns.a.api.costs.storage", "price"),
        ("hosting_patterns.a.api.retries.at_most", "policy"),
        ("hosting_patterns.a.cluster.request_timeout", "policy"),
        ("hosting_patterns.a.clusters.b.cluster.request_timeout", "policy"),
        ("hosting_patterns.a.cluster.model", "capacity"),
        ("hosting_patterns.a.faults", "capacity"),
        ("hosting_patterns.a.description", "words"),
        ("hosting_patterns.a", "policy"),
        ("workloads.a.phi", "policy"),
        ("workloads.a.priority", "policy"),
        ("workloads.a", "volume"),
        ("horizon.start", "volume"),
        ("price_book.api_prices.a.prompt", "price"),
        ("simulator_version", "simulation"),
        ("hosting_patterns.a.kind", "policy"),
        ("constraints.phi_may_leave", "policy"),
        ("workloads.a.objectives.ttft", "policy"),
        ("workloads.a.prompt_tokens.mean", "volume"),
        ("prices.book", "price"),
        ("experiment.seed", "simulation"),
        ("description", "words"),
    ],
)
def test_kinds_of_change(key, cause):
    assert cause_of(tuple(key.split("."))) == cause


@given(values, st.floats(-1e3, 1e3))
def test_law_a_shift_is_certain_when_paired(values, shift):
    found = paired_difference(values, [value + shift for value in values])
    assert found.mean == pytest.approx(shift, abs=1e-6)
    assert found.half_width == pytest.approx(0.0, abs=1e-6)


@given(values, values)
@example([0.0, 0.0], [0.0, 5e-111])
def test_law_a_difference_has_an_opposite(base, new):
    one, other = difference(base, new), difference(new, base)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low), rel=1e-9, abs=1e-9)
    assert one.low <= one.mean <= one.high


def test_welchs_interval_of_a_textbook():
    """Equal spreads and sizes: 2 (n - 1) degrees of freedom, sqrt(2 s^2 / n)."""
    found = difference([1.0, 2.0, 3.0], [11.0, 12.0, 13.0])
    assert found.half_width == pytest.approx(2.776445 * (2 / 3) ** 0.5, rel=1e-6)


def test_a_relative_change_has_the_sign_of_the_change():
    def moved(base, new):
        return MetricChange("a", "all", "x", base, new, Estimate(new - base, None, None), None)

    assert [moved(-2.0, -1.0).relative, moved(2.0, 1.0).relative, moved(0.0, 1.0).relative] == [0.5, -0.5, None]


def change_of(base, new, metric="monthly_cost_usd", pattern="rented"):
    (found,) = [
        one for one in compare(base, new).metrics if (one.pattern, one.workload, one.metric) == (pattern, "all", metric)
    ]
    return found


def test_without_every_replication_there_is_a_change_and_no_interval():
    """A replication in which nothing is known takes its neighbours with it: the others are not the same demand."""

    def known(plain, keep):
        figures = next(one for one in plain["patterns"] if one["name"] == "rented")
        values = figures["by_replication"]["all"]["monthly_cost_usd"]
        figures["by_replication"]["all"]["monthly_cost_usd"] = keep(values)

    whole, price = side(), VARIANTS["price"]
    assert change_of(whole, side(price)).change.low is not None
    for keep in (lambda values: [None, *values[1:]], lambda values: [values[0], None, None]):
        part = edited(lambda plain, keep=keep: known(plain, keep), price)
        for base, new, sign in ((whole, part, 1), (part, whole, -1)):
            found = change_of(base, new)
            assert (found.change.low, found.change.high) == (None, None)
            assert found.change.mean == pytest.approx(sign * 73.0)


def test_what_was_not_feasible_before_is_not_missed():
    def barred(plain):
        figures = next(one for one in plain["patterns"] if one["name"] == "rented")
        figures |= {"feasible": False, "infeasible_reasons": ["it may not"]}

    without = edited(barred)
    assert compare(side(), without).missing == {"rented": "it may not"}
    assert compare(without, without).missing == compare(without, side()).missing == {}


def test_the_interval_of_a_figure_is_that_of_the_new_side():
    found = change_of(side(), side(VARIANTS["price"]))
    assert (found.base, found.new) == pytest.approx((730.0, 803.0))
    assert found.new_interval.mean == pytest.approx(803.0)


def test_a_bill_whose_lines_moved_and_whose_total_did_not_is_shown():
    def moved(plain):
        figures = next(one for one in plain["patterns"] if one["name"] == "bought")
        (first, usd), (second, more), *_ = figures["cost_lines_usd"].items()
        figures["cost_lines_usd"] |= {first: usd + 1.0, second: more - 1.0}

    (cost,) = compare(side(), edited(moved)).costs
    assert (cost.pattern, cost.base_usd) == ("bought", cost.new_usd)
    assert sorted(round(new - base, 6) for base, new in cost.lines.values()) == [-1.0, 1.0]


@pytest.mark.parametrize("what", ["scenario", "prices"])
def test_a_result_of_which_either_input_cannot_be_read_says_so(what):
    def strange(plain):
        plain["inputs"][what] |= {"dragons": 3} if what == "scenario" else {"api_prices": {"a": {"prompt": "beans"}}}

    found = compare(edited(strange), side())
    assert len([note for note in found.notes if "does not carry its inputs" in note]) == 1


def test_a_share_before_and_its_change_are_the_share_now():
    """Counts are means rounded to whole requests; what one of four replications lost is a quarter of one."""

    def lost(plain):
        one = next(row for row in plain["patterns"] if row["name"] == "api")
        for part, key in ((one, "all"), (one["workloads"]["notes"], "notes")):
            count = part["requests"]["arrived"]
            part["requests"]["completed"] = count - 1
            part["requests"]["unfinished"] += 1
            one["by_replication"][key]["unserved_share"] = [0.0, 0.0, 0.75 / count]

    found = changed(lost, "unserved_share")
    for place in (("api", "all"), ("api", "notes")):
        one = found[place]
        assert 0.0 == one.base < one.new
        assert one.base + one.change.mean == pytest.approx(one.new, rel=1e-9)


def changed(edit, metric):
    """Changes of a figure of a result and the same one edited, by pattern and workload."""
    return {(one.pattern, one.workload): one for one in compare(side(), edited(edit)).metrics if one.metric == metric}


def test_what_arrived_before_and_its_change_are_what_arrived_now():
    def more(plain):
        for row in plain["patterns"]:
            if row["name"] == "api":
                row["by_replication"]["all"]["requests_arrived"][2] += 1.0

    one = changed(more, "requests_arrived")["api", "all"]
    assert one.new == pytest.approx(one.base + 1.0 / 3.0)
    assert one.change.mean == pytest.approx(1.0 / 3.0)
    assert (shown(100.0 + 1.0 / 3.0, "count"), shown(1.0 / 3.0, "count", signed=True)) == ("100.3", "+0.3")


def test_what_differs_in_a_section_that_was_left_out_is_named():
    dearer = {"bedrock/llama-3.3-70b": {"output": "9 USD/1M tokens"}}
    for first, second in ((side(), side({"prices": {"overrides": dearer}})), (side({"prices": {"vat": 0.1}}), side())):
        told = [str(change) for change in compare(first, second).changes]
        assert told
        assert not [text for text in told if "(present) → (present)" in text]
    assert "prices.vat 0.1 → 0.0" in told
