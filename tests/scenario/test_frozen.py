"""A scenario is what its hash was made of: nothing in it can be changed, at any depth."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import simulator
from simulator.scenario.frozen import FrozenDict, FrozenList, frozen

PLAIN = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)),
)


@given(PLAIN)
def test_law_what_is_frozen_equals_what_it_was_and_so_do_its_copies(value):
    found = frozen(value)
    assert found == value
    assert json.dumps(found) == json.dumps(value)
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found)), frozen(found)):
        assert again == value
        assert type(again) is type(found)


def changes(held):
    if isinstance(held, dict):
        yield from (lambda: held.pop("a", None), held.clear, held.popitem, lambda: held.update(a=1))
        yield from (lambda: held.setdefault("a", 1), lambda: held.__setitem__("a", 1), lambda: held.__delitem__("a"))
        yield lambda: held.__ior__({"a": 1})
    else:
        yield from (lambda: held.append(1), held.clear, lambda: held.extend([1]), lambda: held.insert(0, 1), held.pop)
        yield from (lambda: held.remove(1), held.reverse, held.sort, lambda: held.__setitem__(0, 1))
        yield from (lambda: held.__delitem__(0), lambda: held.__iadd__([1]), lambda: held.__imul__(2))


@pytest.mark.parametrize("held", [FrozenDict(a=1, b=2), FrozenList([1, 2])], ids=["dict", "list"])
def test_nothing_can_be_put_in_or_taken_out(held):
    before = copy.deepcopy(held)
    names = {name for name in dir(type(held).__mro__[1]) if not hasattr(tuple, name) and not hasattr(frozenset, name)}
    unsafe = {"append", "extend", "insert", "pop", "popitem", "remove", "reverse", "sort", "setdefault", "update"}
    assert names & unsafe <= set(vars(type(held)))
    for change in changes(held):
        with pytest.raises(TypeError, match="with_overrides"):
            change()
    assert held == before


def containers(value):
    """Every map and list in a configuration."""
    if isinstance(value, BaseModel):
        value = list(value.__dict__.values())
    elif isinstance(value, (dict, list)):
        yield value
        value = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from containers(one)


@pytest.mark.parametrize("name", ["ci_small", "health_system", "resilience/bad_week", "compliance/who_may_see_what"])
def test_no_map_or_list_of_a_scenario_is_open(name):
    scenario = simulator.load_scenario(f"scenarios/{name}.yaml")
    found = list(containers(scenario))
    assert len(found) >= 3
    assert {type(one) for one in found} <= {FrozenDict, FrozenList}
    with pytest.raises(TypeError, match="with_overrides"):
        scenario.hosting_patterns.pop(next(iter(scenario.hosting_patterns)))
    assert pickle.loads(pickle.dumps(scenario)) == scenario == copy.deepcopy(scenario)
    with_seed = scenario.with_overrides({"experiment.seed": 8})
    assert with_seed.hosting_patterns == scenario.hosting_patterns
