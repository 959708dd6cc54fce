import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from simulator.scenario.rollout import Adoption
from simulator.study.adoption import adoption_curve

ADOPTION = TypeAdapter(Adoption)
ceilings, midpoints, rates = st.floats(0.1, 2.0), st.floats(3.0, 24.0), st.floats(0.1, 1.5)
months = st.lists(st.integers(1, 36), min_size=3, max_size=12, unique=True).map(sorted)


def curve(count=36, **what):
    return adoption_curve(ADOPTION.validate_python(what), count)


def points(of, at):
    return [{"month": month, "share": of.shares[month - 1]} for month in at]


@given(ceilings, midpoints, rates)
def test_a_logistic_reaches_half_its_ceiling_at_its_midpoint(ceiling, midpoint, rate):
    found = curve(kind="logistic", ceiling=ceiling, midpoint=float(round(midpoint)), rate=rate)
    assert found.shares[round(midpoint) - 1] == pytest.approx(ceiling / 2)
    assert found.shares == sorted(found.shares)
    assert max(found.shares) <= ceiling


@given(ceilings, st.floats(1.0, 100.0))
def test_a_saturating_curve_follows_its_formula(ceiling, time_constant):
    found = curve(kind="saturating", ceiling=ceiling, time_constant=time_constant)
    assert found.shares[6] == pytest.approx(ceiling * (1.0 - math.exp(-7 / time_constant)))
    assert found.shares == sorted(found.shares)


def test_a_table_is_straight_between_its_points_and_flat_after():
    found = curve(12, kind="table", points=[{"month": 2, "share": 0.2}, {"month": 6, "share": 1.0}])
    assert found.shares == pytest.approx([0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])


@settings(max_examples=40)  # the first fit loads scipy
@given(st.floats(0.1, 1.0), st.floats(2.0, 30.0), months)
@example(0.2578125, 2.0, [2, 3, 4, 12, 16, 17, 18, 19])  # from a single start it ends on a flat part
def test_a_fit_finds_the_curve_the_points_came_from(ceiling, time_constant, at):
    truth = curve(kind="saturating", ceiling=ceiling, time_constant=time_constant)
    found = curve(kind="fitted", curve="saturating", observed=points(truth, at))
    assert [found.shares[month - 1] for month in at] == pytest.approx(
        [truth.shares[month - 1] for month in at], abs=1e-4
    )
    assert found.residual < 1e-4


@settings(max_examples=25)
@given(st.floats(0.2, 1.0), st.floats(4.0, 15.0), st.floats(0.2, 1.0))
def test_a_logistic_fit_with_a_known_ceiling_finds_its_parameters(ceiling, midpoint, rate):
    truth = curve(kind="logistic", ceiling=ceiling, midpoint=midpoint, rate=rate)
    observed = points(truth, range(1, 25))
    found = curve(kind="fitted", curve="logistic", observed=observed, ceiling=ceiling)
    assert found.parameters == pytest.approx({"ceiling": ceiling, "midpoint": midpoint, "rate": rate}, rel=1e-3)


def test_what_the_source_document_saw():
    """8 % after three months and 23 % after twelve: two points, two parameters."""
    observed = [{"month": 3, "share": "8 %"}, {"month": 12, "share": "23 %"}]
    found = curve(kind="fitted", curve="saturating", observed=observed)
    assert (found.shares[2], found.shares[11]) == pytest.approx((0.08, 0.23), abs=1e-9)
    # Law: the curve through both is unique, (1 - x^4) / (1 - x) = 23 / 8 with x = exp(-3 / time constant).
    x = math.exp(-3 / found.parameters["time_constant"])
    assert (1 - x**4) / (1 - x) == pytest.approx(23 / 8, rel=1e-6)
    assert found.parameters["ceiling"] == pytest.approx(0.08 / (1 - x), rel=1e-6)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"kind": "fitted", "curve": "logistic", "observed": [{"month": 1, "share": 0.1}]}, "at least 3 points"),
        ({"kind": "fitted", "curve": "saturating", "observed": [{"month": 1, "share": 0.1}]}, "at least 2 points"),
        (
            {"kind": "table", "points": [{"month": 2, "share": 0.1}, {"month": 1, "share": 0.2}]},
            "each month once, in order",
        ),
    ],
)
def test_what_cannot_be_a_curve_is_refused(what, message):
    with pytest.raises(ValueError, match=message):
        ADOPTION.validate_python(what)
