"""`trace detect` names the format of every sample, and says nothing of what stands in it."""

from __future__ import annotations

import gzip
import json

import pytest

from simulator.trace.importers import TITLES
from simulator.trace.importers.detect import SIGNS
from tests.cli.command import run
from tests.trace.importers.samples import CANARY, SAMPLES, lines, otlp, span

#: Of these nothing tells the one from the other, or the user names all fields.
_ALIKE = {"azure-llm-2023": "azure-llm-2024"}
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
    expected = _ALIKE.get(sample.name, sample.name)
    assert expected in formats
    # What is taken first is this, or one that reads it as well.
    assert formats[0] == expected or {formats[0], expected} <= {"vllm-otel", "otel-genai"}


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
