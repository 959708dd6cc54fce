"""JSON is read by the fast parser wherever it agrees with Python's own, which is the yardstick."""

from __future__ import annotations

import json
import math
from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.trace.importers import read_json
from simulator.trace.importers.read import read_records
from simulator.trace.importers.records import NOT_JSON, look_up, look_up_all, parse_json
from simulator.trace.importers.tally import Tally

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(""))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner)),
    max_leaves=9,
)


def known(text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def same(one, other):
    """Equal in value and in kind; NaN is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_law_every_value_is_read_as_pythons_parser_reads_it(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert same(parse_json(text), known(text))


@given(st.text('{}[]",:0123456789.eE+-truefalsn \t\n\\u\x01', max_size=24))
@example("1e999")
@example("-Infinity")
@example('"\\ud800"')
@example('"\ud800"')
@example("123456789012345678901234567890")
@example('{"a": 1, "a": 2}')
@example("[" * 500 + "]" * 500)
@example("[1,]")
@example("\ufeff1")
@example("9" * 5000)
def test_law_no_json_is_no_json_to_both(text):
    found = parse_json(text)
    assert found is known(text) is NOT_JSON or same(found, known(text))


KEYS = st.sampled_from(["", "a", "b", "a.b", "b.c", "a.b.c"])
INNER = st.recursive(SCALARS, lambda below: st.dictionaries(KEYS, below, max_size=3), max_leaves=4)
RECORDS = st.lists(
    st.dictionaries(KEYS, st.one_of(INNER, st.builds(json.dumps, INNER), st.just([("b", 7)])), max_size=4)
)
NAMES = st.lists(st.sampled_from(["", "a", "b", "a.b", "c", "a.b.c", "a.b.b.c", "b.c.a"]), max_size=3)


@given(RECORDS, NAMES)
def test_law_many_are_looked_up_as_one_is(records, names):
    paths = [(name, tuple(name.split("."))) for name in names]
    alone = [look_up(record, paths) for record in records]
    assert all(map(same, look_up_all(records, paths), alone))
    here = set().union(*records)
    assert all(map(same, look_up_all(records, paths, here), alone))
    inside = {}
    for _ in range(2):  # what the first field leaves for the next
        assert all(map(same, look_up_all(records, paths, here, inside), alone))


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_how_many_are_kept_whole_changes_nothing(tmp_path, monkeypatch, batch):
    log = tmp_path / "log.jsonl"
    rows = [{"t": at, "n": {"in": at + 1}, "text": "x" * 30} for at in range(7)]
    log.write_text("".join(json.dumps(row) + "\n" for row in [*rows, 3, *rows]))
    monkeypatch.setattr(read_json, "_BATCH", batch)
    tally = Tally()
    parts = list(read_records(log, {"time": ("t",), "prompt": ("x", "n.in"), "no": ()}, (), tally))
    found = {name: list(chain.from_iterable(part.columns[name] for part in parts)) for name in ("time", "prompt", "no")}
    assert found == {"time": [*range(7)] * 2, "prompt": [*range(1, 8)] * 2, "no": [None] * 14}
    assert [line for part in parts for line in part.lines] == [*range(1, 8), *range(9, 16)]
    assert tally.rows == 15
    assert sum(tally.wrong.values()) == 1
