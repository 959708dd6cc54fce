"""`trace detect` names the format of every sample, and says nothing of what stands in it."""

from __future__ import annotations

import gzip
import json

import pytest

from simulator.trace.importers import TITLES
from simulator.trace.importers.detect import SIGNS
from tests.cli.command import run
from tests.trace.importers.samples import CANARY, SAMPLES, lines, otlp, span

#: Of these nothing tells the one from the other.
_ALIKE = ({"azure-llm-2023", "azure-llm-2024"}, {"vllm-otel", "otel-genai"})
#: The user names all fields.
_NAMED = ("csv", "json")


@pytest.mark.parametrize("sample", [one for one in SAMPLES if one.name not in _NAMED], ids=lambda sample: sample.name)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_is_known_by_its_fields(tmp_path, capsys, sample, packed):
    data = sample.text.encode()
    (tmp_path / "log").write_bytes(gzip.compress(data) if packed else data)
    code, out, err = run(["trace", "detect", str(tmp_path / "log"), "--json"], capsys)
    assert CANARY not in out + err
    formats = [one["name"] for one in json.loads(out)["logs"][0]["formats"]]
    assert code == 0
    assert sample.name in formats
    # What is taken first is this, or one that reads it as well.
    assert formats[0] == sample.name or {formats[0], sample.name} in _ALIKE


def test_signs_are_of_formats():
    assert set(SIGNS) <= set(TITLES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lines({"uncached_input_tokens": 5, "starting_at": "2026-01-01T00:00:00Z"}), "counts tokens, not requests"),
        ("a;b\n1;2\n", "csv and json take any"),
        (
            lines({"prompt_tokens": 5, "request_created_at": "x", "who": CANARY}),
            "nearest is helicone, but there is no ",
        ),
        ("", "no format that is known"),
        ('"a\rb,c', "no format that is known"),
        ("a\rb,c", "no format that is known"),
        (CANARY, "no format that is known"),
    ],
)
def test_what_is_not_known_is_said_to_be(tmp_path, capsys, text, said):
    (tmp_path / "log").write_text(text)
    code, out, err = run(["trace", "detect", str(tmp_path / "log")], capsys)
    assert (code, out) == (2, "")
    assert said in err
    assert CANARY not in err


def test_several_are_told_one_by_one(tmp_path, capsys):
    (tmp_path / "a").write_text(otlp(span(1, gen_ai__usage__input_tokens=4)))
    (tmp_path / "b").write_text("x\n")
    code, out, err = run(["trace", "detect", str(tmp_path / "a"), str(tmp_path / "b")], capsys)
    assert code == 2
    assert "otel-genai, for it has gen_ai.usage.input_tokens, spanId" in out
    assert f"{tmp_path / 'b'}: no format" in err


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_what_nobody_names_is_read_as_what_it_is(tmp_path, capsys, sample):
    (tmp_path / "log").write_text(sample.text)
    asked = ["trace", "convert", str(tmp_path / "log"), "--json", *sample.options]
    named = run([*asked, str(tmp_path / "named.csv"), "--format", sample.name], capsys)
    code, out, err = run([*asked, str(tmp_path / "known.csv")], capsys)
    if sample.name.startswith("azure-llm"):
        assert (code, out) == (2, "")
        assert "may be azure-llm-2023 or azure-llm-2024; say with --format which it is" in err
        return
    assert (named[0], code) == (0, 0), err
    assert (tmp_path / "known.csv").read_bytes() == (tmp_path / "named.csv").read_bytes()
    found = json.loads(out)
    assert ("read_as" in found) == ("--column" not in sample.options)


def test_a_folder_is_read_where_one_stands(tmp_path, capsys, monkeypatch):
    (tmp_path / "logs" / "may").mkdir(parents=True)
    record = {"time": "2026-05-01T10:00:00Z", "prompt_tokens": 5, "output_tokens": 3}
    (tmp_path / "logs" / "may" / "1.jsonl").write_text(lines(record))
    (tmp_path / "logs" / "2.jsonl").write_text(lines(record, record))
    (tmp_path / "logs" / "README").write_text("what these are")
    monkeypatch.chdir(tmp_path)
    for source in ("logs", "./logs", "logs/may/..", "../" + tmp_path.name + "/logs", str(tmp_path / "logs")):
        code, out, err = run(["trace", "convert", source, "t.csv", "--smallest", "1"], capsys)
        assert (code, out) == (0, "t.csv: 3 requests of 3 rows, 1 s\n"), err
        assert "read as csv, for it has a time in column 1" in err


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "logs: no file in it\n"),
        ({"a": "x"}, "no format that is known"),
        ({"a": otlp(span(1, gen_ai__usage__input_tokens=4)), "b": "time,prompt_tokens,output_tokens\n"}, "b is csv"),
        ({"a": "Zeit;Eingabe-Token;Ausgabe-Token\n"}, "say with --format that it is csv, and with --column where"),
    ],
)
def test_what_does_not_say_what_it_is_asks(tmp_path, capsys, files, said):
    (tmp_path / "logs").mkdir()
    for name, text in files.items():
        (tmp_path / "logs" / name).write_text(text)
    code, out, err = run(["trace", "convert", str(tmp_path / "logs"), str(tmp_path / "t.csv")], capsys)
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "t.csv").exists()
