"""The verdict never contradicts what is printed with it, whatever the figures are."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from simulator.report.console import render
from simulator.results import run
from tests.decision.test_verdict import result, verdict
from tests.experiment.small import small

shares = st.floats(0.90, 1.0) | st.sampled_from([0.95, 1.0, 0.949, 0.951])
patterns = st.lists(
    st.tuples(
        st.sampled_from(["api", "rented", "bought", "hybrid"]),
        st.floats(0.01, 1e5),
        shares,
        st.sampled_from([32, 200, 5000, 10**6]),
        st.sampled_from(["stable", "stable", "backlogged", "overloaded"]),
        st.floats(0.0, 0.2),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row[0],
)


@given(rows=patterns)
def test_a_choice_meets_everything_and_nothing_that_may_be_chosen_costs_less(rows):
    given_ = [
        result(name, usd, met=share, judged=judged, saturation=queue, half=spread * usd)
        for name, usd, share, judged, queue, spread in rows
    ]
    found = verdict(*given_)
    by_name = {one.name: one for one in given_}
    out = {reason.split(" is out: ")[0] for reason in found.reasons[1:] if " is out: " in reason}
    assert (found.recommended is not None) is (found.verdict == "chosen")
    assert (found.undecided is not None) is (found.verdict == "cannot_tell")
    assert ("cannot tell" in found.reasons[0]) is (found.verdict == "cannot_tell")
    kept = [one for one in given_ if one.name not in out]
    assert all(one.saturation != "overloaded" and one.answer != "missed" for one in kept)
    assert bool(kept) is (found.verdict != "none")
    if found.recommended:
        best = by_name[found.recommended]
        assert (best.answer, best.name in out) == ("met", False)
        assert best.cost_usd == min(one.cost_usd for one in kept)
        assert found.runner_up is None or found.runner_up_costs_usd_more >= 0.0
    for name in found.undecided.candidates if found.undecided else ():
        assert name not in out


@given(share=shares, judged=st.sampled_from([16, 100, 1000, 54321]))
def test_a_limit_is_reached_exactly_where_its_share_is_what_is_wanted(share, judged):
    (limit,) = result("api", 1.0, met=share, judged=judged).workloads["notes"].objective.limits
    assert limit.reached_s is not None
    assert (limit.reached_s <= limit.limit_s) is (limit.share >= 0.95)
    assert limit.ci99[0] <= limit.ci95[0] <= limit.share <= limit.ci95[1] <= limit.ci99[1]


@pytest.mark.parametrize("limit", ["5s", "1.6s", "1.35s", "1s"])
def test_the_text_of_a_run_agrees_with_its_verdict(limit):
    results = run(small({"workloads.notes.objectives.ttft": limit}))
    screen = io.StringIO()
    Console(file=screen, width=200).print(render(results))
    text = screen.getvalue()
    chosen = results.decision.recommended
    promised = text[text.index("What was promised") : text.index("±:")]
    row = next((line for line in promised.splitlines() if chosen and f"▸ {chosen}" in line), "")
    assert not set("✗?") & set(row)
    assert (chosen is None) is ("Verdict: cannot tell" in text or "Verdict: no hosting pattern" in text)
    for one in results.patterns:
        if f"{one.name} is out: " in text:
            assert one.name != chosen
        assert (one.answer == "missed") is ("✗" in "".join(_cells(promised, one.name)))


def _cells(promised, name):
    return [line for line in promised.splitlines() if line.strip("▸ ").startswith(f"{name} ")]
