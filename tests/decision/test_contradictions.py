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
    _sure(results, text)
    for one in results.patterns:
        if f"{one.name} is out: " in text:
            assert one.name != chosen
        assert (one.answer == "missed") is ("✗" in "".join(_cells(promised, one.name)))


def _cells(promised, name):
    return [line for line in promised.splitlines() if line.strip("▸ ").startswith(f"{name} ")]


def _sure(results, text):
    """How sure it is said to be, and at which speed of APIs another would be the choice, beside the verdict."""
    decision = results.decision
    sure, bars = decision.confidence, {bar.factor: bar for bar in decision.tornado.bars} if decision.tornado else {}
    assert (sure is None) is (decision.tornado is None) is (decision.verdict == "none")
    if sure is None:
        return
    leading = decision.tornado.recommended
    assert decision.recommended in (None, leading)
    assert sure.text.startswith(f"{leading} ")
    assert ("would be, as measured," in sure.text) is (decision.recommended is None)
    assert leading not in sure.others
    assert set(sure.others) <= {"none", *(one.name for one in results.patterns if one.feasible)}
    if sure.draws:
        assert sure.share_won + sum(sure.others.values()) == pytest.approx(1.0)
        assert ("100 %" in sure.text) is (sure.share_won == 1.0) is (not sure.others)
        assert (" no pattern does (" in sure.text) is ("none" in sure.others)
    bar = bars["api_time"]
    assert ("APIs that take" in text) is bar.flips
    if bar.flips:
        # Where prices alone may turn it the other way too, the speed at least does.
        assert sure.others
        assert f"APIs that take {bar.flips_at:.2f} times as long to answer: {leading} " not in text
    if leading in ("rented", "bought"):
        assert bar.recommended_high in ("rented", "bought")


def test_what_is_drawn_is_what_the_tornado_moves():
    results = run(small({"experiment.replications": 2, "workloads.notes.objectives.ttft": "1.6s"}), tables=False)
    moved = {bar.factor: (bar.low, bar.high) for bar in results.decision.tornado.bars}
    today = results.decision.cost_curve.today_tokens_per_month
    for one in results.decision.confidence.drawn:
        scale = today if one.id == "volume" else 1.0
        assert moved[one.id] == pytest.approx((one.low * scale, one.high * scale), rel=1e-4)
        assert one.source
