"""Rules of thumb about a cluster's size: where each holds, and exactly which of them contradict each other."""

from __future__ import annotations

import pytest

from simulator.decision.thresholds import Threshold, contradictions, judged, thresholds


def rule(**bounds):
    return Threshold(id="a", measure="failover_share", says="add", text="", where="", **bounds)


def test_a_bound_itself_is_not_beyond_it():
    above, below = rule(above=0.1), rule(below=0.1)
    assert [above.holds(share) for share in (0.09, 0.1, 0.11)] == [False, False, True]
    assert [below.holds(share) for share in (0.09, 0.1, 0.11)] == [True, False, False]
    # Nothing is beyond nothing, on either side of it.
    assert (rule(above=0.0).holds(0.0), rule(above=0.0).holds(-1.0), rule(below=0.0).holds(-1.0)) == (
        False,
        False,
        True,
    )


@pytest.mark.parametrize("bounds", [{}, {"above": 0.1, "below": 0.2}])
def test_a_rule_has_one_bound(bounds):
    with pytest.raises(ValueError, match="give either above or below"):
        rule(**bounds)


def said(share, usd):
    """Pairs of rules that are said to contradict each other, by id: those that hold, and one that does not."""
    texts = {one.text: one.id for one in thresholds().rules}
    found = contradictions(judged({"failover_share": share, "overflow_usd_per_month": usd}))
    pairs = {"held": set(), "twice": set()}
    for text in found:
        names = tuple(sorted((name for rule, name in texts.items() if f"'{rule}'" in text)))
        pairs["held" if " says " in text else "twice"].add(names)
    return pairs["held"], pairs["twice"]


@pytest.mark.parametrize(
    ("share", "usd", "held", "twice"),
    [
        (0.03, 2000, set(), set()),
        # The same advice of the same measure with two limits, and of another measure with none.
        (0.07, 2000, set(), {("over_10_percent", "over_5_percent")}),
        (0.07, 6000, set(), {("over_10_percent", "over_5_percent")}),
        (0.11, 6000, set(), set()),
        (0.11, 900, {("below_1000_usd", "over_10_percent"), ("below_1000_usd", "over_5_percent")}, set()),
        (0.01, 900, {("below_1000_usd", "below_2_percent")}, set()),
        (0.01, 6000, {("below_2_percent", "over_5000_usd")}, set()),
        (0.03, 6000, set(), set()),
    ],
)
def test_which_rules_contradict_each_other(share, usd, held, twice):
    assert said(share, usd) == (held, twice)


def test_a_rule_is_held_against_its_own_measure():
    found = {one.id: (one.value, one.holds) for one in judged({"failover_share": 0.07, "overflow_usd_per_month": 900})}
    assert found == {
        "over_10_percent": (0.07, False), "over_5_percent": (0.07, True), "below_2_percent": (0.07, False),
        "over_5000_usd": (900, False), "below_1000_usd": (900, True),
    }  # fmt: skip
