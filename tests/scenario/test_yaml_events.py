"""The fast reader of YAML beside the slow one: the same data, lines and faults, whatever the text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator.errors import ScenarioError
from simulator.scenario import yaml_source
from simulator.scenario.yaml_events import EventNode, Unsure
from simulator.scenario.yaml_source import read_document
from tests.parts import ROOT

FILES = sorted((ROOT / "scenarios").rglob("*.yaml"))
TOKENS = [
    "a", "b: ", "- ", "{", "}", "[", "]", ", ", ",", ":", ": ", "'", '"', "#", " #", "\n", "\n  ", "\n    ",
    "&x ", "*x", "<<: ", "<<: *x", "|", ">", "|-", ">+", "|2", "1", "0o7", "017", "yes", "~", "null", "?",
    " ? ", "!", "!!str ", "%", "@", "`", "\\n", "\\/", "é", "😀", "=", "0x1f", "1_000", "1e3", ".5", "1.",
    ".inf", "2026-01-01", "12:30", " ", "c: d", "k: {a: 1, b: [2, 3]}\n", "k: v\n", "\"q\": ", "---", "\t",
    "\u2028", "\x85", "\ufeff", "a:b", "http://x", "\u00a0",
]  # fmt: skip


def read(text, *, slowly):
    """What is read of a text, and whether it was read fast."""

    def unsure(*_):
        raise Unsure

    with pytest.MonkeyPatch.context() as patch:
        if slowly:
            patch.setattr(yaml_source, "compose", unsure)
        try:
            yaml, node = yaml_source._compose(text, "file")
            if node is None:
                return "nothing", False
            reader = yaml_source._Reader("file", yaml)
            data = reader.read(node, ())
        except ScenarioError as error:
            return str(error), False
    return (repr(data), reader.origins, reader.faults), isinstance(node, EventNode)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(Path(path).relative_to(ROOT)))
def test_shipped_scenarios_are_read_fast_and_alike(path):
    text = path.read_text("utf-8")
    found, fast = read(text, slowly=False)
    assert fast
    assert found == read(text, slowly=True)[0]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
@example("|#a")
@example("&xa:b")
@example("a: &x [*x]")
@example("a: &x {<<: *x}")
@example("a: 1\na: 2")
@example("a: yes\nb: 0o17\nc: 017\nd: 1_000\ne: 12:30:00\nf: 1e3\ng: ~\nh: =\ni: 2026-04-06")
@example("a: \"\\/\\u00e9\\x41\"\nb: 'it''s'\nc: |\n  two\n  lines\nd: >-\n  one\n  line\n")
@example("a: 1\n--- \nb: 2")
@example("a: !!int 1")
@example("? a\n: b")
@example("a: \u2028b\x85c: d")
def test_law_both_readers_say_the_same(text):
    assert read(text, slowly=False)[0] == read(text, slowly=True)[0]


def test_without_libyaml_all_is_read_slowly(monkeypatch):
    import yaml

    text = "a: {b: [1, yes]}"
    assert read(text, slowly=False)[1]
    monkeypatch.delattr(yaml, "CSafeLoader")
    found, fast = read(text, slowly=False)
    assert not fast
    assert found[0] == "{'a': {'b': [1, 'yes']}}"


def test_a_megabyte_takes_few_steps(tmp_path, monkeypatch):
    """Every node is made once, and no line is looked at by the slow parser."""
    monkeypatch.setattr("ruamel.yaml.YAML.compose", None)
    lines = [f"w{at}: {{volume: {{requests_per_month: {at}}}, tokens: [1, 2.5, true, ~, text]}}" for at in range(6000)]
    place = tmp_path / "large.yaml"
    place.write_text("\n".join(lines))
    document = read_document(place)
    assert document.data["w5999"] == {"volume": {"requests_per_month": 5999}, "tokens": [1, 2.5, True, None, "text"]}
    assert document.origins["w5999", "tokens", 4] == (str(place), 6000)


@pytest.mark.parametrize("by_pipe", [False, True])
def test_a_file_of_the_greatest_size_is_read_to_its_last_byte_and_none_beyond(tmp_path, monkeypatch, by_pipe):
    """What a pipe holds, no directory says: one byte more than is allowed is asked for, and refused if it comes."""
    monkeypatch.setattr(yaml_source, "LARGEST_BYTES", 40)

    def read(text):
        path = tmp_path / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        if not by_pipe:
            return read_document(path).data
        reads, writes = os.pipe()
        os.write(writes, text.encode())
        os.close(writes)
        try:
            return read_document(Path(f"/dev/fd/{reads}")).data
        finally:
            os.close(reads)

    whole = f"name: {'x' * 34}"
    assert len(whole) == 40
    assert read(whole) == {"name": "x" * 34}
    with pytest.raises(ScenarioError, match="may not exceed"):
        read(f"{whole}y")


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: [1, 2\nc: 3\n", 3), ("a: }\n", 1), ("a: 1\nb: c: d\n", 2)])
def test_what_is_no_yaml_is_told_with_its_line(tmp_path, text, line):
    path = tmp_path / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match="is not valid YAML") as error:
        read_document(path)
    assert [fault.line for fault in error.value.faults] == [line]
