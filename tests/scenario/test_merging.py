"""How documents are laid over each other: which value wins, and where it says it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import ScenarioError, nearest
from simulator.scenario.loading import load_scenario
from simulator.scenario.merging import apply_overrides, apply_settings, merge
from simulator.scenario.yaml_source import Document
from tests.scenario.valid import VALID

names = st.sampled_from("abc")
trees = st.recursive(
    st.none() | st.integers(0, 3), lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6
)
documents = st.dictionaries(names, trees, max_size=3)


def laid(below, above):
    """What merging means, in a few lines: null takes away, mappings mix, everything else replaces."""
    found = dict(below)
    for name, value in above.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict) and isinstance(below.get(name), dict):
            found[name] = laid(below[name], value)
        else:
            found[name] = value
    return found


def origins(data, file, key=()):
    """Every key of a document, written on a line of its own."""
    found = {key: (file, len(key))}
    for name, value in data.items() if isinstance(data, dict) else ():
        found |= origins(value, file, (*key, name))
    return found


@given(documents, documents)
def test_law_the_upper_document_wins_and_every_value_knows_its_own(below, above):
    base, over = (Document(data, origins(data, file)) for data, file in ((below, "base"), (above, "over")))
    wanted = laid(below, above)
    merge(base, over)
    assert base.data == wanted

    def look(data, key):
        for name, value in data.items():
            place, written = (*key, name), above
            for part in (*key, name):
                written = written.get(part) if isinstance(written, dict) else None
            # A section that both have keeps the place where it began; nothing within a new one is nobody's.
            if not isinstance(value, dict | None):
                assert base.origins[place] == ("base" if written is None else "over", len(place))
            elif value is not None:
                look(value, place)

    look(base.data, ())
    # And nothing remembers where it was written that is there no more.
    assert set(base.origins) == set(origins(base.data, ""))


def test_another_kind_replaces_and_the_same_one_mixes():
    def merged(kind):
        base = Document({"a": {"kind": "x", "one": 1}})
        merge(base, Document({"a": {"kind": kind, "two": 2}}))
        return base.data["a"]

    assert merged("x") == {"kind": "x", "one": 1, "two": 2}
    assert merged("y") == {"kind": "y", "two": 2}


def test_a_fault_within_a_block_or_a_base_is_told_at_its_line(file):
    blocks = "overrides:\n  more:\n    experiment:\n      seed: 1\n      replications: many\n  other: {}\n"
    path = file(VALID + blocks)
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "many" in text)
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path, overrides=["other", "more"])
    assert [(fault.file, fault.line, fault.key) for fault in refused.value.faults] == [
        (str(path), line, "experiment.replications")
    ]
    assert load_scenario(path).experiment.replications == 2


def test_blocks_come_in_the_order_in_which_they_are_named_and_may_agree():
    def applied(*chosen):
        blocks = {"a": {"x": 1, "y": {"z": 1}}, "b": {"x": 1, "y": {"w": 2}}, "c": {"y": {"z": 3}}, "d": 5}
        document = Document({"x": 0, "overrides": blocks})
        apply_overrides(document, chosen)
        return document

    assert applied("a", "b").data == {"x": 1, "y": {"z": 1, "w": 2}}
    assert (applied("a", "b").faults, applied().data, applied().overrides) == ([], {"x": 0}, ("a", "b", "c", "d"))
    (fault,) = applied("a", "b", "c").faults
    assert (fault.key, fault.message) == ("y.z", "'a' and 'c' both set it, to 1 and 3")
    nothing = Document(
        {"overrides": {"a": {"x": {}}, "b": {"x": 1}}}, {("overrides", "a", "x"): ("file", 3), (): ("file", 0)}
    )
    apply_overrides(nothing, ["a", "b"])
    assert [fault.message for fault in nothing.faults] == ["'a' and 'b' both set it, to {} and 1"]
    assert set(nothing.origins) == {()}
    assert "expected keys and values" in applied("d").faults[0].message
    assert "no such override; expected one of: a, b, c, d" in applied("long").faults[0].message
    wrong = Document({"overrides": [1]})
    apply_overrides(wrong, ["a"])
    assert "expected named blocks" in wrong.faults[0].message


def test_a_chain_of_files_is_read_from_its_end_and_a_loop_is_said(file):
    file(VALID, "first.yaml")
    file("extends: first.yaml\nname: second\nexperiment: {seed: 5}\n", "second.yaml")
    third = load_scenario(file("extends: second.yaml\nname: third\nexperiment: {replications: 7}\n"))
    assert (third.name, third.experiment.seed, third.experiment.replications) == ("third", 5, 7)
    file("extends: scenario.yaml\n", "second.yaml")
    with pytest.raises(ScenarioError, match="'scenario.yaml' extends this file in turn"):
        load_scenario(file("extends: second.yaml\nname: a\n"))


def test_a_loop_of_three_files_and_a_file_that_extends_itself_are_said_once(file):
    file("extends: c.yaml\n", "b.yaml")
    file("extends: a.yaml\n", "c.yaml")
    for path, closes in (
        (file("extends: b.yaml\n", "a.yaml"), "c.yaml"),
        (file("extends: d.yaml\n", "d.yaml"), "d.yaml"),
    ):
        with pytest.raises(ScenarioError) as refused:
            load_scenario(path)
        (fault,) = refused.value.faults
        assert (fault.file, fault.line, fault.key) == (str(path.parent / closes), 1, "extends")
        assert "extends this file in turn" in fault.message


def test_what_is_missing_or_written_twice_is_a_fault_of_the_file_that_was_asked_for(file):
    file(VALID.replace("horizon: {month: 2026-04, time_zone: America/Chicago, holidays: US}\n", ""), "base.yaml")
    path = file("extends: base.yaml\nname: a\nexperiment:\n  seed: 1\n  seed: 2\n")
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path)
    assert {(fault.file, fault.key) for fault in refused.value.faults} == {
        (str(path), "horizon"), (str(path), "experiment.seed"),
    }  # fmt: skip


def settings(data, **given):
    document = Document(data)
    apply_settings(document, {path.replace("__", "."): value for path, value in given.items()})
    return document


def test_a_setting_reaches_into_mappings_and_lists():
    data = {"list": [{"a": 1}, {"a": 2}], "workloads": {"notes": {"x": 1}}}
    found = settings(data, list__1__a=5, new__deep__key=3, workloads__notes__x=None)
    assert found.data == {"list": [{"a": 1}, {"a": 5}], "workloads": {"notes": {}}, "new": {"deep": {"key": 3}}}
    assert found.origins["list", 1, "a"] == ("settings list.1.a", 0)
    assert ("workloads", "notes", "x") not in found.origins
    # What stood below a key that is set is nowhere any more.
    section = Document({"a": {"b": 1}}, {(): ("f", 0), ("a",): ("f", 1), ("a", "b"): ("f", 2)})
    apply_settings(section, {"a": 5})
    assert set(section.origins) == {(), ("a",)}
    # A null within a list is a value: its neighbours keep their numbers.
    assert settings({"list": [1, 2]}, list__0=None).data == {"list": [None, 2]}


def test_a_new_workload_comes_whole_and_a_slip_in_its_name_is_none():
    assert settings({"workloads": {"notes": {}}}, workloads__letters={"x": 1}).data["workloads"]["letters"] == {"x": 1}
    for slip in ({"workloads__nots__x": 1}, {"workloads__nots": None}):
        (fault,) = settings({"workloads": {"notes": {}}}, **slip).faults
        assert fault.message == "there is no workload 'nots'; did you mean 'notes'?"
    # Deeper names, and those of other mappings, are the schema's to judge.
    assert settings({"workloads": {"notes": {}}, "other": {}}, workloads__notes__y=1, other__z=2).faults == []


@pytest.mark.parametrize("part", ["2", "-1", "01", "a", ""])
def test_entries_of_a_list_are_numbered_from_nothing(part):
    (fault,) = settings({"list": [1, 2]}, **{f"list__{part}": 5}).faults
    assert "expected a number from 0 to 1 at this place" in fault.message


def test_the_nearest_name_or_all_of_them():
    assert nearest("nots", ["letters", "notes"]) == "did you mean 'notes'?"
    assert nearest("x", ["letters", "notes"]) == "expected one of: letters, notes"
    assert nearest("x", []) == "expected one of: none"
