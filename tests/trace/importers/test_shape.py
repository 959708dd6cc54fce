"""Skipping what nobody asks for changes nothing: the parser of whole values is the yardstick, whatever the layout."""

from __future__ import annotations

import json
import random
from importlib import import_module

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator.trace.importers import TITLES, read_json
from simulator.trace.importers.context import Context
from simulator.trace.importers.read import read_records
from simulator.trace.importers.records import NOT_JSON, look_up, parse_json
from simulator.trace.importers.shape import Shape, a_list, parser, paths, under
from simulator.trace.importers.table import Table
from simulator.trace.importers.tally import Tally
from tests.trace.importers.samples import CANARY, SAMPLES
from tests.trace.importers.test_records import VALUES, same

TABLES = [
    pytest.param(table, sample.text, id=f"{sample.name}-{number}")
    for sample in SAMPLES
    if sample.text[:1] in "{["
    for number, table in enumerate(vars(import_module(f"simulator.trace.importers.{TITLES[sample.name][1]}")).values())
    if isinstance(table, Table)
]
ODD = [None, 0, -1, 2.5, 1e400, True, "", "x", "null", '{"a": 1}', [], {}, [[]], [{}], {"x": 1}, "\ud800", 10**30]


def spots(value, found):
    """Every place in a value at which another may stand: its holder and where in it."""
    for at, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found.append((value, at))
        spots(inner, found)
    return found


def bent(value, draw):
    """A value of which some part is another, in another place, wrapped, doubled, text, or gone."""
    holder = [value]
    for _ in range(draw.randint(1, 3)):
        at, place = draw.choice(spots(holder, []))
        old = at[place]
        other, there = draw.choice(spots(holder, []))
        moved = json.loads(json.dumps(other[there]))
        at[place] = draw.choice([draw.choice(ODD), [old], {str(place): old}, [old, old], json.dumps(old), moved])
        if isinstance(at, dict) and draw.random() < 0.3:
            at[draw.choice(["data", "value", "items", "spans", "message", "a.b", "usage", "tags"])] = at.pop(place)
    return holder[0]


def columns(records, table):
    """What the table makes of records; of objects that it looks at in part, what it takes out of them."""
    if table.parts:
        table.prepare(records, Context())
    return {name: column for name, column in records.columns.items() if name not in table.parts}


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 30), marks=pytest.mark.slow)], ids=["few", "many"])
@pytest.mark.parametrize(("table", "text"), TABLES)
def test_law_records_are_those_of_the_whole_values(tmp_path, monkeypatch, table, text, seeds):
    log = tmp_path / "log"
    whole = parse_json(text)
    values = [json.loads(line) for line in text.splitlines()] if whole is NOT_JSON else [whole]
    for seed in seeds:
        draw = random.Random(seed)
        bends = [bent(json.loads(json.dumps(value)), draw) if draw.random() < 0.8 else value for value in values]
        log.write_text("".join(json.dumps(value) + "\n" for value in bends))
        found = []
        for pick in (parser, lambda _: parse_json):
            monkeypatch.setattr(read_json, "parser", pick)
            tally = Tally()
            read = read_records(log, table.fields, (), tally, table.unpack, table.unpacked, table.looked_at())
            found.append([tally.as_dict(), *([part.lines, part.numbers, columns(part, table)] for part in read)])
        assert same(found[0], found[1]), seed


NAMES = st.lists(st.sampled_from(["a", "b", "a.b", "a.b.c", "b.c", "a.a.a.a.a.a.b"]), min_size=1, max_size=4)
KEYS = st.sampled_from(["a", "b", "c", "a.b", "b.c", "data", "x"])
NESTED = st.recursive(
    VALUES,
    lambda inner: st.one_of(st.dictionaries(KEYS, inner, max_size=4), st.lists(inner, max_size=2)),
    max_leaves=12,
)


@settings(max_examples=40)
@given(st.dictionaries(KEYS, NESTED, max_size=4), NAMES)
@example({"a": {"b.c": 1}}, ["a.b.c"])
@example({"a": '{"b": {"c": 2}}'}, ["a.b.c"])
def test_law_whatever_is_looked_up_is_found(record, names):
    seen = parser(under(paths(names), ["data"]))(json.dumps(record))
    steps = [(name, tuple(name.split("."))) for name in names]
    assert same(look_up(seen, steps), look_up(json.loads(json.dumps(record)), steps))
    if isinstance(record.get("data"), list):
        assert len(seen["data"]) == len(record["data"])


@given(st.text('{}[]",:0123456789.eE+-truefalsn ab\t\\u\x01', max_size=24))
@example('{"b": 01, "a": 1}')
@example('{"b": "\x01", "a": 1}')
@example('{"b": "\\ud800", "a": NaN}')
@example('{"a": 1, "a": 2, "b": {"c": 1,}}')
@example('{"\\u0061": 1e999, "b": [1 2]}')
@example('{"b": ' + "[" * 3000 + "]" * 3000 + "}")
def test_law_no_json_is_no_json_however_little_is_looked_at(text):
    whole, seen = parse_json(text), parser(paths(["a"]))(text)
    if isinstance(whole, dict):
        assert same(seen.get("a"), whole.get("a"))
    else:
        assert whole is seen or same(whole, seen)


def test_a_prompt_becomes_no_object():
    call = {"messages": [{"content": CANARY}], "usage": {"in": 3, "text": CANARY}, "note": CANARY}
    seen = parser(under(paths(["usage.in"]), ["data"]))
    assert seen(json.dumps(call)) == {"usage": {"in": 3}}
    assert seen(json.dumps({"data": [call, 7], "next": CANARY})) == {"data": [{"usage": {"in": 3}}, 7]}
    assert seen(json.dumps([call])) == [{"usage": {"in": 3}}]
    for table, text in [one.values for one in TABLES if one.id == "litellm-0"]:
        assert CANARY in text
        assert "notes" not in str(parser(table.looked_at())(text.splitlines()[0]))


def test_shapes_add_up():
    assert paths(["a", "a.b"]) == paths(["a"]).also(paths(["a.b"])) == paths(["a.b", "a"])
    assert paths(["a.b"]).also(Shape()) == Shape()
    assert a_list(paths(["a"])).also(a_list(paths(["b"]))).entries == paths(["a", "b"])
