"""Pictures of what a verdict hangs on, from documents of a few lines."""

from __future__ import annotations

import pytest

from simulator.plots import cost, decision, limits

COLOURS = {"one": "#111111", "two": "#222222", "three": "#333333"}


def curve(**lines):
    series = [
        {"pattern": name, "tokens_per_month": [0, 1_000_000, 4_000_000], "monthly_cost_usd": usd}
        for name, usd in lines.items()
    ]
    return {"decision": {"cost_curve": {"today_tokens_per_month": 1e6, "series": series}, "break_even": []}}


@pytest.mark.parametrize("near", [1.0, 1.01])
def test_patterns_that_cost_the_same_are_both_seen(near):
    """The line above is dashed, so that the one below shows between the dashes; a line of its own is solid."""
    drawn = cost.by_volume(curve(one=[100, 100, 100], two=[100 * near] * 3, three=[0, 50, 200]), COLOURS)
    dashes = {line.name: line.line.dash for line in drawn.data}
    assert (dashes["one"], dashes["three"]) == ("solid", "solid")
    assert dashes["two"] != "solid"


def test_a_budget_is_a_line_across():
    drawn = cost.by_volume(curve(one=[1, 2, 3]) | {"budget_usd_per_month": 2.5}, COLOURS)
    (line,) = (one for one in drawn.data if one.name == "budget")
    assert (list(line.x), list(line.y)) == ([0.0, 4.0], [2.5, 2.5])


def bar(factor, unit, low, high, margins, choices=("one", "one")):
    return {
        "factor": factor, "unit": unit, "low": low, "high": high, "text": "",
        "margin_low_usd": margins[0], "margin_high_usd": margins[1],
        "recommended_low": choices[0], "recommended_high": choices[1],
    }  # fmt: skip


def test_bars_say_what_is_assumed_and_crosses_what_is_chosen_there():
    bars = [
        bar("staff", "times what the scenario says", 0.96, 1.71, (90.0, 170.0)),
        bar("notes.ttft", "s", 1.0, 4.0, (None, 100.0), ("two", "one")),
        bar("volume", "tokens a month", 5e6, 2e9, (100.0, -40.0), ("one", None)),
    ]
    drawn = decision.tornado({"decision": {"tornado": {"recommended": "one", "margin_usd": 100.0, "bars": bars}}})
    texts = {one.name: list(one.text) for one in drawn.data}
    assert texts["at the low end"] == ["× 0.96", "", "5M tokens"]
    assert texts["at the high end"] == ["× 1.71", "4 s", "2,000M tokens"]
    assert texts["another choice at the low end"] == ["1 s: two"]
    assert texts["another choice at the high end"] == ["2,000M tokens: nothing"]
    crosses = {one.name: list(one.x) for one in drawn.data if "another" in one.name}
    assert crosses == {"another choice at the low end": [0.0], "another choice at the high end": [-40.0]}


def test_where_no_assumption_moves_a_dollar_there_is_no_picture():
    bars = [bar("staff", "times what the scenario says", 0.96, 1.71, (0.4, -0.4))]
    assert decision.tornado({"decision": {"tornado": {"recommended": "one", "margin_usd": 0.0, "bars": bars}}}) is None


def test_a_promised_time_is_drawn_as_a_share_and_one_never_reached_is_crossed():
    def load(reached_s):
        return {"notes": {"objective": {"limits": [{"metric": "ttft_s", "limit_s": 2.0, "reached_s": reached_s}]}}}

    document = {"patterns": [{"name": "one", "workloads": load(1.5)}, {"name": "two", "workloads": load(None)}]}
    first, second = limits.taken(document, {"one": ["one", "three"], "two": ["two"]}, COLOURS).data
    assert (list(first.x), first.name) == ([0.75], "one, three")
    assert second.x[0] > 1.0
    assert list(second.marker.symbol) == ["x"]
    assert (
        limits.taken(
            {"patterns": [{"name": "one", "workloads": {"notes": {"objective": None}}}]}, {"one": ["one"]}, COLOURS
        )
        is None
    )
