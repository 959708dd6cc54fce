"""Why a figure moved, in one line."""

from __future__ import annotations

from decimal import Decimal

import pytest

from simulator.gate.attribution import Attribution
from simulator.gate.comparison import compare
from simulator.gate.inputs import InputChange
from simulator.gate.result_file import PatternFigures
from simulator.gate.words import _of_bill, cause_of_change, cause_of_choice, listed, objectives_of, unexplained
from tests.gate.kept import VARIANTS, edited, side


@pytest.mark.parametrize(("count", "said"), [(0, ""), (1, "k0 1 → 2"), (3, "k0 1 → 2, k1 1 → 2, k2 1 → 2")])
def test_three_changes_are_named(count, said):
    assert listed([InputChange((f"k{number}",), 1, 2, "policy") for number in range(count)]) == said


def test_of_more_than_three_the_rest_are_counted():
    changes = [InputChange((f"k{number}",), 1, 2, "policy") for number in range(5)]
    assert listed(changes) == "k0 1 → 2, k1 1 → 2, k2 1 → 2 and 2 more"


def test_a_single_figure_that_moved_by_itself_is_hinted_at():
    """All other figures are as they were."""

    def later(plain):
        plain["patterns"][0]["latency"]["ttft_s"]["p99"] *= 2.0
        values = plain["patterns"][0]["by_replication"]["all"]["ttft_p99_s"]
        values[:] = [value * 2.0 for value in values]

    found = compare(side(), edited(later))
    assert sum(change.moved for change in found.metrics) == 1
    hint = "nothing that was asked has changed: look at profiles, traces and the code"
    assert unexplained(found) == hint
    assert cause_of_change(found, found.metrics[0].pattern, "ttft_p99_s") == hint


def test_where_nothing_moved_there_is_nothing_to_hint_at():
    assert unexplained(compare(side(), side())) == ""


def test_a_price_explains_a_bill_and_no_wait():
    found = compare(side(), side(VARIANTS["price"] | VARIANTS["volume"]))
    key = "hosting_patterns.rented.costs.compute.gpu_hour 1 USD/h → 1.10 USD/h"
    assert f"price +73.00 USD ({key})" in cause_of_change(found, "rented", "monthly_cost_usd")
    said = cause_of_change(found, "rented", "ttft_p99_s")
    assert said == "volume: workloads.notes.volume.clinicians 60 → 80"


def test_another_model_may_move_what_a_price_does_not():
    key = "hosting_patterns.api.api.model"
    found = compare(side(), edited(_slower("api"), {key: "openai/gpt-4.1-mini"}))
    assert cause_of_change(found, "api", "e2e_p99_s").startswith(f"price: {key} ")
    found = compare(side(), edited(_slower("rented"), VARIANTS["price"]))
    said = cause_of_change(found, "rented", "e2e_p99_s")
    assert said == "only prices have changed, which move no request: look at profiles, traces and the code"


def _slower(name):
    """A hosting pattern whose p99 is twice what it was."""

    def change(plain):
        (one,) = (one for one in plain["patterns"] if one["name"] == name)
        one["latency"]["e2e_s"]["p99"] *= 2.0
        values = one["by_replication"]["all"]["e2e_p99_s"]
        values[:] = [value * 2.0 for value in values]

    return change


def test_the_causes_of_another_choice_are_those_of_the_patterns_by_name():
    found = compare(side(), side(VARIANTS["price"] | VARIANTS["routing"]))
    key = "hosting_patterns.rented.costs.compute.gpu_hour 1 USD/h → 1.10 USD/h"
    assert cause_of_choice(found, ["rented", "api"]) == f"price +73.00 USD ({key})"
    policy = "policy: hosting_patterns.hybrid.routing.max_in_flight 1 → 2"
    told = cause_of_choice(found, ["rented", "api", "hybrid"])
    assert told.startswith(f"rented: price +73.00 USD ({key}); hybrid: ")
    assert policy.removeprefix("policy: ") in told
    assert "nothing that was asked" not in told
    assert cause_of_choice(found, ["api"]) == unexplained(found)


def parts(together="0", **by):
    return Attribution({cause: Decimal(usd) for cause, usd in by.items()}, Decimal(together), ("policy", "capacity"))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        # The largest first, whichever way it went; what is a hundredth of it is a cause, what is less is none.
        (parts(price="1", volume="-100"), "volume -100 USD, price +1.00 USD"),
        (parts(price="0.99", volume="-100"), "volume -100 USD"),
        (parts("-200", price="100"), "policy and capacity -200 USD (k 1 → 2), price +100 USD"),
        # Nor is half a cent, unless it is all of it.
        (parts(price="0.005"), "price +0.01 USD"), (parts(price="0.0049"), ""), (parts(price="-0.0049"), ""),
        (parts(), ""),
    ],
)  # fmt: skip
def test_parts_of_a_bill_that_are_causes(found, said):
    assert _of_bill(found, [InputChange(("k",), 1, 2, "policy")]) == said


def _judged(answer, **limits):
    """Objectives of a workload, each limit with its seconds, share and answer."""
    found = [
        {"metric": name, "limit_s": limit_s, "share": share, "answer": one}
        for name, (limit_s, share, one) in limits.items()
    ]
    return {"objective": {"answer": answer, "target_share": 0.95, "limits": found}}


def test_of_objectives_that_are_not_met_the_limits_are_told():
    loads = {
        "notes": _judged("missed", ttft_s=(3.0, 0.82, "missed"), e2e_s=(45.0, 0.97, "met")),
        "letters": _judged("met", ttft_s=(3.0, 0.99, "met"), e2e_s=(45.0, 0.99, "met")),
        "codes": _judged("cannot_tell", ttft_s=(3.0, 0.97, "met"), e2e_s=(45.0, 0.949, "cannot_tell")),
        "old": {"objective": {"answer": "missed"}},
        "older": {"objective_met": False},
        "none": {},
    }
    part = {"name": "own", "kind": "self_hosted", "feasible": True, "workloads": loads}
    assert objectives_of(PatternFigures.model_validate(part)) == {
        "notes": "missed: 82.00 % of its requests within 3 s to the first token, 95 % wanted",
        "letters": "met",
        "codes": "cannot tell: 94.90 % of its requests within 45 s end to end, 95 % wanted",
        "old": "missed",
        "older": "missed",
    }
