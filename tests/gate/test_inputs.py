"""What was asked differently: each key once, and by its kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.gate.inputs import InputChange, _differences, _resolved, input_changes
from tests.gate.kept import VARIANTS, edited, side

names = st.sampled_from("abc")
trees = st.recursive(st.integers(0, 2), lambda inner: st.dictionaries(names, inner, max_size=3))
asked = st.dictionaries(names, trees, max_size=3)


def leaves(value, key=()):
    """Every leaf of nested keys; an empty section is one."""
    if isinstance(value, dict) and value:
        return {at: leaf for name, inner in value.items() for at, leaf in leaves(inner, (*key, name)).items()}
    return {key: value}


@given(asked, asked)
def test_law_what_differs_is_a_leaf_or_a_section_that_only_one_side_has(base, new):
    found = list(_differences(base, new))
    keys = [key for key, _, _ in found]
    assert len(set(keys)) == len(keys)
    assert (base == new) or found
    assert not any(one != other and one[: len(other)] == other for one in keys for other in keys)
    before, after = leaves(base), leaves(new)
    for key in before.keys() & after.keys():
        assert (before[key] != after[key]) == (key in keys)


def test_of_lists_of_as_many_sections_the_key_that_differs_is_named():
    roles = [{"role": "a", "salary": 1}, {"role": "b", "salary": 2}]
    dearer = [roles[0], {"role": "b", "salary": 3}]
    assert list(_differences({"staff": roles}, {"staff": dearer})) == [(("staff", "1", "salary"), 2, 3)]
    # Another number of them is another list.
    assert list(_differences({"staff": roles}, {"staff": roles[:1]})) == [(("staff",), roles, roles[:1])]
    assert list(_differences({"days": ["mon"]}, {"days": ["tue"]})) == [(("days",), ["mon"], ["tue"])]


def test_a_salary_is_told_by_its_place_as_it_was_written():
    key = "hosting_patterns.rented.costs.staff"
    sides = [side({key: [{"role": "engineer", "salary": f"{usd} USD/year", "share": "10 %"}]}) for usd in (1000, 1200)]
    (change,) = input_changes(*sides)
    assert str(change) == f"{key}.0.salary 1000 USD/year → 1200 USD/year"
    assert change.cause == "price"


def test_how_often_it_was_simulated_is_one_change():
    """Both by the number that was run and in the scenario: said once, as it was run."""
    twice = side({"experiment.replications": 2})
    (change,) = input_changes(side(), twice)
    assert change == InputChange(("replications",), 3, 2, "simulation")


def test_several_changes_come_in_the_order_of_the_scenario_each_with_its_kind():
    changes = input_changes(side(), side(VARIANTS["volume"] | VARIANTS["price"] | VARIANTS["routing"]))
    assert [(change.key[-1], change.cause) for change in changes] == [
        ("clinicians", "volume"), ("gpu_hour", "price"), ("max_in_flight", "policy"),
    ]  # fmt: skip
    assert [change.concerns("rented") for change in changes] == [True, True, False]


def test_another_version_and_another_price_are_told():
    def older(plain):
        plain["simulator_version"] = "0.0.9"
        plain["inputs"]["prices"]["api_prices"]["bedrock/llama-3.3-70b"]["output"] = "1 USD/1M tokens"

    version, price = input_changes(edited(older), side())
    assert (version.key, version.base, version.cause) == (("simulator_version",), "0.0.9", "simulation")
    assert price.key == ("price_book", "api_prices", "bedrock/llama-3.3-70b", "output")
    assert (price.base, price.cause) == ("1 USD/1M tokens", "price")


@pytest.mark.parametrize(
    ("base", "new", "said"),
    [
        (None, 3, "a.b (absent) → 3"),
        ({"x": 1}, None, "a.b (present) → (absent)"),
        ("x" * 60, "y" * 61, f"a.b {'x' * 60} → {'y' * 57}..."),
    ],
)
def test_a_change_in_words(base, new, said):
    assert str(InputChange(("a", "b"), base, new, "policy")) == said


def test_what_the_scenario_keeps_under_another_name_is_told_as_it_was_written():
    pairs = [(("nowhere", "to", "be", "found"), 1, 2), (("experiment", "seed"), 7, 7)]
    assert list(_resolved(pairs, side(), side())) == pairs[:1]
