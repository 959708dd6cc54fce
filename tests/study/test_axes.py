"""What a sweep varies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.study.axes import Axis, grid, parse_axes, sample


def test_lists_and_spaced_values_make_a_grid():
    axes = parse_axes(["a.b=1,2", "c=x, y", "d=0:1:3"])
    points = grid(axes)
    assert len(points) == 12
    assert points[0] == {"a.b": 1, "c": "x", "d": 0.0}
    assert points[1] == {"a.b": 1, "c": "x", "d": 0.5}
    assert points[-1] == {"a.b": 2, "c": "y", "d": 1.0}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("n=1:8:8", (1, 2, 3, 4, 5, 6, 7, 8)),
        ("n=1:2:3", (1.0, 1.5, 2.0)),
        ("t=30s,60s", ("30s", "60s")),
        ("x=true,false,null", (True, False, None)),
        ("x=[1, 2],[3]", ([1, 2], [3])),
        ("x=-1:1:3", (-1, 0, 1)),
    ],
)
def test_values_are_yaml(text, values):
    assert parse_axes([text])[0].values == values


def test_every_slip_is_reported():
    with pytest.raises(ScenarioError) as refused:
        parse_axes(["a", "b=", "c=2:1", "d=1:2:1", "e=1,1", "f=1", "f=2", "=3"])
    assert len(refused.value.faults) == 7


def test_a_grid_needs_values_and_has_limits():
    with pytest.raises(ScenarioError, match="interval"):
        grid(parse_axes(["a=0:1"]))
    with pytest.raises(ScenarioError, match="too many"):
        grid(parse_axes(["a=1:1000:1000", "b=1:1000:1000"]))


@given(st.integers(1, 60), st.sampled_from(["latin", "sobol"]), st.integers(0, 99))
def test_drawn_points_stay_within_and_fill_the_space(count, method, seed):
    axes = [Axis("a", (), 0.5, 2.0), Axis("b", (), 1, 4, whole=True), Axis("c", ("x", "y"))]
    points = sample(axes, count, method, seed)
    assert points == sample(axes, count, method, seed)
    assert len(points) == count
    assert all(0.5 <= point["a"] <= 2.0 and point["b"] in {1, 2, 3, 4} and point["c"] in {"x", "y"} for point in points)
    if method == "latin":
        # One in each of as many equal slices.
        slices = np.floor((np.array([point["a"] for point in points]) - 0.5 + 1e-6) / 1.5 * count)
        assert len({min(int(place), count - 1) for place in slices}) >= count - 1
