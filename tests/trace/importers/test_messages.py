"""What is said of a log that cannot be read: the real reason, the place, and nothing that stands in it."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pyarrow as pa
import pytest

from simulator.trace.canonical import read_trace
from tests.cli.command import run
from tests.trace.importers.samples import CANARY, T0, langfuse, lines, otlp, span

COLUMNS = ["--column", "time=t", "--column", "prompt_tokens=p", "--column", "output_tokens=o"]
LOG = f"t,p,o,who\n{T0},100,10,{CANARY}\n{T0 + 5},200,20,{CANARY}\n".encode()


def zipped(*files):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return sink.getvalue()


def lz4(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as file:
        file.write(data)
    return sink.getvalue().to_pybytes()


def zst(data):
    return pa.compress(data, codec="zstd", asbytes=True)


PACKED = {
    "gz": gzip.compress(LOG), "bz2": bz2.compress(LOG), "xz": lzma.compress(LOG), "zst": zst(LOG), "lz4": lz4(LOG),
    "frames.zst": zst(LOG[:30]) + zst(LOG[30:]), "streams.bz2": bz2.compress(LOG[:30]) + bz2.compress(LOG[30:]),
    "zip": zipped(("log.csv", LOG), ("__MACOSX/._log.csv", b"x")),
    "utf-16-le": LOG.decode().encode("utf-16-le"), "utf-16-be": LOG.decode().encode("utf-16-be"),
}  # fmt: skip


def convert(folder, capsys, data, *options, name="csv"):
    source, target = folder / "log", folder / "t.csv"
    source.write_bytes(data)
    code, out, err = run(["trace", "convert", "--format", name, str(source), str(target), *options], capsys)
    assert CANARY not in out + err
    return code, err, target


@pytest.mark.parametrize("kind", PACKED)
def test_logs_are_unpacked_whatever_they_are_called(tmp_path, capsys, kind):
    code, err, target = convert(tmp_path, capsys, PACKED[kind], *COLUMNS)
    assert code == 0, err
    assert read_trace(target).prompt_tokens.tolist() == [100, 200]


@pytest.mark.parametrize("kind", [kind for kind in PACKED if not kind.startswith("utf")])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_what_breaks_off_is_said_to(tmp_path, capsys, kind, share):
    code, err, target = convert(tmp_path, capsys, PACKED[kind][: int(share * len(PACKED[kind]))], *COLUMNS)
    assert code == 2
    assert "breaks off or is corrupt" in err or "no text" in err or "no column" in err
    assert not target.exists()


def test_packed_files_of_a_folder(tmp_path, capsys):
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in ("a.csv.zst", "b.csv.bz2", "c.csv.xz"):
        (folder / name).write_bytes(PACKED[name[6:]])
    asked = ["trace", "convert", "--format", "csv", str(folder), str(tmp_path / "t.csv"), *COLUMNS]
    assert run(asked, capsys)[0] == 0
    assert len(read_trace(tmp_path / "t.csv")) == 6


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (zipped(("a.csv", LOG), ("b.csv", LOG)), "a zip of 2 files"),
        (zipped(("xl/workbook.xml", b""), ("xl/s.xml", b"")), "an Excel workbook"),
        (b"\x00\x01\x02binary" + LOG, "no text: binary, or packed"),
        (b"\xff\x06\x00\x00sNaPpY" + bytes(range(200)), "no text: binary, or packed"),
    ],
)
def test_what_is_no_text_is_said_to_be_none(tmp_path, capsys, data, said):
    code, err, _ = convert(tmp_path, capsys, data, *COLUMNS)
    assert code == 2
    assert said in err


@pytest.mark.parametrize("indent", [None, 1])
def test_records_in_one_line_are_told_by_number(tmp_path, capsys, indent):
    records = [{"t": T0, "p": 5 if n not in (3, 7) else CANARY, "o": 5} for n in range(9)]
    code, err, _ = convert(tmp_path, capsys, json.dumps(records, indent=indent).encode(), *COLUMNS)
    assert code == 2
    if indent is None:
        assert ":1 (record 4): prompt_tokens: not a whole number" in err
        assert "records 4, 8" in err
    else:
        assert "(2 rows: lines 17, 37)" in err  # five lines each, from the second on


def test_records_inside_records_are_told_by_number(tmp_path, capsys):
    data = [[langfuse(n, 5, 5) for n in range(3)], [langfuse(9, 5, 5, usage_details={"input": 5, "output": CANARY})]]
    text = "".join(json.dumps({"data": part}) + "\n" for part in data)
    code, err, _ = convert(tmp_path, capsys, text.encode(), name="langfuse")
    assert code == 2
    assert ":2 (record 4): output_tokens: not a whole number" in err


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("json", lines({"t": T0, "o": 5}), "prompt_tokens: nothing stands at p in any of 1 records"),
        ("json", lines({"when": T0, "p": 4, "o": 5}), "time: nothing stands at t in any of 1 records"),
        ("json", lines({"a": {"b": CANARY}}), "output_tokens: nothing stands at o in any of 1 records"),
        ("litellm", lines({"usage": {"input": 4}}), "prompt_tokens: nothing stands at prompt_tokens"),
        ("vllm-otel", lines({"spans": {"unknown": [CANARY]}}), "prompt_tokens: nothing stands at"),
        ("otel-genai", otlp(span(1, gen_ai__input=CANARY)), "prompt_tokens: nothing stands at"),
        ("bedrock", lines({"logs": [CANARY]}), "time: nothing stands at"),
    ],
)
def test_a_layout_that_is_not_known_is_said_to_be(tmp_path, capsys, name, text, said):
    code, err, _ = convert(tmp_path, capsys, text.encode(), *(COLUMNS if name == "json" else []), name=name)
    assert code == 2
    assert said in err


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1677-01-01", CANARY])
@pytest.mark.parametrize("form", [None, "%d.%m.%Y"])
def test_no_moment_of_a_row_is_repeated(tmp_path, capsys, value, form):
    data = f"t,p,o\n{T0},1,1\n{value},1,1\n".encode()
    options = [] if form is None else ["--time-format", form]
    code, err, _ = convert(tmp_path, capsys, data, *COLUMNS, *options)
    assert code == 2
    assert ":3: time: " in err
    assert value not in err
    assert ("neither as --time-format says" in err) == (form is not None)
    assert convert(tmp_path, capsys, data, *COLUMNS, *options, "--tolerate", "0.5")[0] == 0


@pytest.mark.parametrize("gone", ["", "-", "null", "None", "\\N", "N/A"])
def test_a_call_without_counts_was_none(tmp_path, capsys, gone):
    code, err, target = convert(tmp_path, capsys, LOG + f"{T0},{gone},{gone},x\n{T0},7,{gone},x\n".encode(), *COLUMNS)
    assert code == 0
    assert "left out 1: no token counts" in err
    assert "left out 1: no output" in err
    assert len(read_trace(target)) == 2
    code, err, _ = convert(tmp_path, capsys, LOG + f"{T0},{gone},7,x\n".encode(), *COLUMNS)
    assert code == 2
    assert ":4: prompt_tokens: nothing there, though there is an output" in err


def test_a_moment_of_400_digits_is_no_sample(tmp_path, capsys):
    text = f'vllm:request_prompt_tokens_bucket{{le="+Inf"}} 5.0 {"9" * 400}\n'
    code, err, _ = convert(tmp_path, capsys, text.encode(), name="vllm-metrics")
    assert code == 2
    assert "no histogram of the lengths" in err
