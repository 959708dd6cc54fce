"""Azure's public traces: complete, in order, and the same from either kind of file."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re

import numpy as np
import pytest

from simulator.trace.canonical import read_trace
from simulator.trace.header import read_header
from tests.cli.command import run
from tests.parts import TRACES

HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
# The two forms of 2024, and the one of 2023; the zone of the last is UTC.
SOME = (
    "2024-05-14 00:00:01+00:00,100,5\n2024-05-14 00:00:02.250000+00:00,200,6\n"
    "2024-05-14 02:00:03+02:00,300,7\n2024-05-14 00:00:04.5000001,400,8\n"
)
# Rows that do not compress away, so that a cut near the end falls near the last of them.
MANY = "".join(f"2024-05-14 00:00:01.{n * 7_919 % 999_983:06},{n % 4_093 + 1},{n % 509 + 1}\n" for n in range(36_000))


def convert(source, target, capsys, *options, name="azure-llm-2024"):
    return run(["trace", "convert", "--format", name, str(source), str(target), *options], capsys)


@pytest.mark.needs("public traces")
@pytest.mark.parametrize(("part", "rows"), [("conv", 19_366), ("code", 8_819)])
def test_the_traces_of_2023_are_complete(tmp_path, capsys, part, rows):
    source = TRACES / f"AzureLLMInferenceTrace_{part}.csv"
    tables = []
    for suffix in (".csv", ".parquet"):
        code, out, _ = convert(source, tmp_path / f"t{suffix}", capsys, "--json", name="azure-llm-2023")
        counts = json.loads(out)["rows"]
        assert code == 0
        assert counts["imported"] == counts["rows"] == rows
        tables.append(read_trace(tmp_path / f"t{suffix}"))
    for field in dataclasses.fields(tables[0])[1:]:
        np.testing.assert_array_equal(getattr(tables[0], field.name), getattr(tables[1], field.name))
    # Independent of the importer: the same sums straight from the file, and the second at which it ends.
    lines = [line.split(",") for line in source.read_text().splitlines()[1:]]
    assert tables[0].prompt_tokens.sum() == sum(int(line[1]) for line in lines)
    assert tables[0].output_tokens.sum() == sum(int(line[2]) for line in lines)
    first, last = (float(lines[n][0][14:16]) * 60 + float(lines[n][0][17:]) for n in (0, -1))
    assert tables[0].arrival_s[-1] == pytest.approx((last - first) % 3600, abs=1e-6)
    header = read_header(tmp_path / "t.csv")
    assert header.licence == "CC-BY-4.0"
    assert header.start_date is None
    # 2023-11-16 was a Thursday.
    assert header.week_offset_s == pytest.approx(3 * 86_400 + 18 * 3600 + first, abs=1e-3)


def test_moments_with_and_without_zone_and_fraction(tmp_path, capsys):
    source = tmp_path / "log.csv"
    source.write_text(HEAD + SOME)
    code, _, err = convert(source, tmp_path / "t.csv", capsys, "--keep-dates")
    assert (code, err) == (0, "")
    table = read_trace(tmp_path / "t.csv")
    assert table.arrival_s.tolist() == [0.0, 1.25, 2.0, 3.5000001]
    assert read_header(tmp_path / "t.csv").start_date == "2024-05-14"
    # The same hours on another clock: of the moment that names no zone, and of the week.
    convert(source, tmp_path / "t.csv", capsys, "--zone", "America/New_York")
    assert read_trace(tmp_path / "t.csv").arrival_s.tolist() == [0.0, 1.25, 2.0, 4 * 3600 + 3.5000001]
    assert read_header(tmp_path / "t.csv").week_offset_s == 20 * 3600 + 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_line_ends_delimiters_and_gzip(tmp_path, capsys, encoding, ends, delimiter, packed):
    source = tmp_path / "log"
    data = (HEAD + SOME).replace(",", delimiter).replace("\n", ends).encode(encoding)
    source.write_bytes(gzip.compress(data) if packed else data)
    code, out, _ = convert(source, tmp_path / "t.csv", capsys)
    assert code == 0
    assert "4 requests of 4 rows" in out


def test_wrong_rows_are_named_by_line_and_reason_and_nothing_is_written(tmp_path, capsys):
    source = tmp_path / "log.csv"
    wrong = [
        "yesterday,1,1", "2024-05-14,,1", "2024-05-14,-3,1", "2024-05-14,1.5,1", "2024-05-14,99999999,1",
        "2024-05-14,1,nan", "1024-05-14,1,1", "2024-05-14,1", "2024-05-14,1,1,1", "2024-13-14,1,1", "2024-05-14,0,1",
    ]  # fmt: skip
    source.write_text(HEAD + SOME + "\n".join(wrong) + "\n")
    code, out, err = convert(source, tmp_path / "t.csv", capsys)
    assert (code, out) == (2, "")
    for line, reason in [
        (6, "time"), (7, "prompt_tokens: nothing there"), (8, "prompt_tokens: not a whole"), (11, "output_tokens"),
            (13, "more or fewer values"),
        (16, "prompt_tokens: 0"),
    ]:  # fmt: skip
        assert f"{source}:{line}: {reason}" in err
    assert "(3 rows: lines 6, 12, 15)" in err
    assert "11 of 15 rows are wrong" in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.csv"]
    code, out, err = convert(source, tmp_path / "t.csv", capsys, "--tolerate", "0.8")
    assert code == 0
    assert "4 requests of 15 rows" in out
    assert err.count("tolerated: ") == 6


def test_disorder_is_sorted_and_a_failed_call_is_left_out(tmp_path, capsys):
    source = tmp_path / "log.csv"
    rows = SOME.splitlines(keepends=True)
    source.write_text(HEAD + "".join(reversed(rows)) + "2024-05-14 00:00:01,7,0\n")
    code, _, err = convert(source, tmp_path / "t.csv", capsys)
    assert code == 0
    assert "left out 1: no output" in err
    assert "sorted: 3 rows" in err
    assert read_trace(tmp_path / "t.csv").prompt_tokens.tolist() == [100, 200, 300, 400]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (gzip.compress((HEAD + MANY).encode())[:-3000], r"log:3[45]\d\d\d: the file breaks off"),
        (gzip.compress((HEAD + SOME).encode())[:-4], "log:6: the file breaks off"),
        ((HEAD + SOME + '2024-05-14,1,"3\n2024-05-14,1,1\n').encode(), "log:6: a quoted value begins"),
        (b"\x1f\x8b", "log: line 1: the compressed data"),
        (b"", "log:1: no column TIMESTAMP"),
        (b"PAR1 and then nothing", "log: row 1: not readable as Parquet"),
        (b'{"TIMESTAMP": "2024-05-14", "Con', "log:1: the JSON that begins here"),
    ],
)
def test_a_truncated_or_corrupt_file_says_where_and_imports_nothing(tmp_path, capsys, data, place):
    source = tmp_path / "log"
    source.write_bytes(data)
    (tmp_path / "t.csv").write_text("as it was")
    code, out, err = convert(source, tmp_path / "t.csv", capsys, "--tolerate", "1")
    assert (code, out) == (2, "")
    assert re.search(place, err)
    assert (tmp_path / "t.csv").read_text() == "as it was"
    assert {entry.name for entry in tmp_path.iterdir()} == {"log", "t.csv"}


@pytest.mark.parametrize(("stop", "ends"), [(KeyboardInterrupt, (130,)), (MemoryError, (2,))])
def test_an_import_that_is_stopped_leaves_nothing(tmp_path, capsys, monkeypatch, stop, ends):
    source = tmp_path / "log.csv"
    source.write_text(HEAD + SOME)
    for name in ("RUN_ROWS", "PIECE_ROWS"):
        monkeypatch.setattr(f"simulator.trace.importers.spill.{name}", 1)

    def stopped(*_):
        raise stop

    for place in ("spill._read_piece", "tally.Tally.judge"):
        with monkeypatch.context() as patch:
            patch.setattr(f"simulator.trace.importers.{place}", stopped)
            code, _, said = convert(source, tmp_path / "t.parquet", capsys)
        assert code in ends, said
        assert [entry.name for entry in tmp_path.iterdir()] == ["log.csv"]


def test_quiet_says_only_the_result(tmp_path, capsys):
    source = tmp_path / "log.csv"
    source.write_text(HEAD + SOME + "2024-05-14 00:00:01,7,0\n")
    code, out, err = convert(source, tmp_path / "t.csv", capsys, "--quiet")
    assert (code, err) == (0, "")
    assert "4 requests of 5 rows" in out


def test_usage_is_checked(tmp_path, capsys):
    source = tmp_path / "log.csv"
    source.write_text(HEAD + SOME)
    for options, message in [
        (("--zone", "Mars/Olympus"), "expected an IANA name"),
        (("--workload", "Notes"), "a workload's name has"),
        (("--workload", "mrn12345"), "a workload's name has"),
        (("--label", "a=b"), "go together"),
        (("--label-by", "model", "--label", "a=b"), "--label-by: expected"),
        (("--label-by", "model", "--label", "ab"), "expected KEY=VALUE"),
    ]:
        code, _, err = convert(source, tmp_path / "t.csv", capsys, *options)
        assert code == 2
        assert message in " ".join(err.split())
    for target, message in [(source, "is read by this command"), (tmp_path / "t.txt", ".csv or a .parquet"),
                            (tmp_path / "no" / "t.csv", "there is no folder")]:  # fmt: skip
        code, _, err = convert(source, target, capsys)
        assert code == 2
        assert message in err
    code, _, err = convert(source, tmp_path / "t.csv", capsys, name="azure")
    assert code == 2
    assert "expected one of azure-llm-2023" in err
    code, _, err = convert(tmp_path / "none.csv", tmp_path / "t.csv", capsys)
    assert "no such file or folder" in err
