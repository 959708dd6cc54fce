"""Every format: what stands in its log is what stands in the trace, and the trace is a trace."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma

import pytest

from simulator.trace.canonical import read_trace
from simulator.trace.importers import TITLES
from tests.cli.command import run
from tests.parts import TRACES
from tests.trace.importers.samples import SAMPLES, SINGLE, attempt


def convert(sample, source, target, capsys, *options):
    asked = ["trace", "convert", "--format", sample.name, str(source), str(target), *sample.options, *options]
    return run(asked, capsys)


def test_every_format_has_a_sample_and_a_place_in_the_help(capsys):
    assert {sample.name for sample in SAMPLES} == set(TITLES)
    _, out, _ = run(["trace", "convert", "--help"], capsys)
    assert all(f"{name}: " in out for name in TITLES)


@pytest.mark.parametrize("sample", SINGLE, ids=lambda sample: sample.name)
def test_what_stands_in_a_log_stands_in_the_trace(tmp_path, capsys, sample):
    source = tmp_path / "log"
    source.write_text(sample.text)
    code, out, err = convert(sample, source, tmp_path / "t.parquet", capsys, "--json")
    assert code == 0, err
    counts = json.loads(out)["rows"]
    assert counts["wrong"] == []
    assert sum(counts["left_out"].values()) == sample.left_out
    assert counts["rows"] == counts["imported"] + counts["duplicates"] + sample.left_out
    table = read_trace(tmp_path / "t.parquet")
    arrival_s, prompt, output = zip(*sample.rows, strict=True)
    assert table.arrival_s.tolist() == pytest.approx(arrival_s, abs=1e-9)
    assert table.prompt_tokens.tolist() == list(prompt)
    assert table.output_tokens.tolist() == list(output)


@pytest.mark.parametrize("sample", SINGLE, ids=lambda sample: sample.name)
def test_a_folder_of_gzipped_logs_holds_the_requests_of_all(tmp_path, capsys, sample):
    folder = tmp_path / "logs" / "deeper"
    folder.mkdir(parents=True)
    for name in ("a.json.gz", "b.json.gz"):
        (folder / name).write_bytes(gzip.compress(sample.text.encode()))
    (folder / ".hidden.json").write_text("{")
    (tmp_path / "logs" / ".trash").mkdir()
    (tmp_path / "logs" / ".trash" / "old.json").write_text("{")
    code, out, err = convert(sample, tmp_path / "logs", tmp_path / "t.csv", capsys, "--json")
    if sample.name not in ("nginx", "bedrock"):  # their names have no table's suffix
        (folder / "c.csv").write_text("")
    assert code == 0, err
    counts = json.loads(out)["rows"]
    # The same request twice is one where the log tells requests apart.
    assert counts["imported"] + counts["duplicates"] + 2 * sample.left_out == counts["rows"]
    assert counts["imported"] in (len(sample.rows), 2 * len(sample.rows))


@pytest.mark.parametrize("sample", SINGLE, ids=lambda sample: sample.name)
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_a_packed_log_that_breaks_off_is_said_to(tmp_path, sample, pack):
    whole = pack(sample.text.encode())
    for kept in (12, len(whole) // 2, len(whole) - 3):
        said, table = attempt(sample, whole[:kept], tmp_path)
        assert table is None
        assert "breaks off" in said


@pytest.mark.needs("public traces")
@pytest.mark.parametrize(
    ("file", "rows"), [("mooncake_conversation_first800.jsonl", 800), ("mooncake_conversation_nohash.csv", 12_031)]
)
def test_mooncakes_traces_are_complete(tmp_path, capsys, file, rows):
    source = TRACES / file
    asked = ["trace", "convert", "--format", "mooncake", str(source), str(tmp_path / "t.parquet"), "--json"]
    code, out, _ = run(asked, capsys)
    counts = json.loads(out)["rows"]
    assert code == 0
    assert counts["rows"] == rows == counts["imported"] + sum(counts["left_out"].values())
    assert counts["left_out"] == {}
    table = read_trace(tmp_path / "t.parquet")
    assert len(set((table.arrival_s * 1000).round().tolist())) < rows / 8  # the grid of 3 s


def test_labels_come_from_the_map_alone(tmp_path, capsys):
    source = tmp_path / "log"
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    source.write_text(head + "1,GPT-4,5,5,10,API log\n2,ChatGPT,5,5,10,API log\n3,Other,5,5,10,API log\n")
    options = ["--label-by", "model", "--label", "GPT-4=letters", "--label", "ChatGPT=notes", "--workload", "rest"]
    asked = ["trace", "convert", "--format", "burstgpt", str(source), str(tmp_path / "t.csv"), *options]
    assert run([*asked, "--smallest", "1"], capsys)[0] == 0
    table = read_trace(tmp_path / "t.csv")
    assert [table.workloads[index] for index in table.workload] == ["letters", "notes", "rest"]


def test_one_of_several_tags_names_a_workload(tmp_path, capsys):
    source = tmp_path / "log.csv"
    head = "startTime,prompt_tokens,completion_tokens,request_id,request_tags\n"
    tags = ['"[""x"", ""icu""]"', "[]", "icu", '"[""x"']
    source.write_text(head + "".join(f"2024-05-14T00:00:0{n}Z,5,5,{n},{tag}\n" for n, tag in enumerate(tags)))
    options = ["--label-by", "tag", "--label", "icu=icu_notes", "--smallest", "1"]
    asked = ["trace", "convert", "--format", "litellm", str(source), str(tmp_path / "t.csv"), *options]
    assert run(asked, capsys)[0] == 0
    table = read_trace(tmp_path / "t.csv")
    assert [table.workloads[n] for n in table.workload] == ["icu_notes", "requests", "icu_notes", "requests"]


def test_a_workload_of_few_is_not_named(tmp_path, capsys):
    source = tmp_path / "log"
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    rows = [f"{n},{model},5,5,10,API log\n" for model, count in (("a", 4), ("b", 5), ("c", 1)) for n in range(count)]
    source.write_text(head + "".join(rows))
    options = [part for model in "ab" for part in ("--label", f"{model}=ward_{model}")]
    asked = ["trace", "convert", "--format", "burstgpt", str(source), str(tmp_path / "t.csv"), *options, "--json"]
    code, out, _ = run([*asked, "--label-by", "model"], capsys)
    found = json.loads(out)
    assert code == 0
    assert found["rows"]["unnamed"] == 4
    assert "workloads of fewer than 5 requests are not named" in found["header"]["deidentified"]
    table = read_trace(tmp_path / "t.csv")
    names = [table.workloads[index] for index in table.workload]
    assert {name: names.count(name) for name in set(names)} == {"requests": 5, "ward_b": 5}
    assert "ward_a" not in (tmp_path / "t.csv").read_text()


def test_sessions_become_small_numbers_whose_requests_extend_one_another(tmp_path, capsys):
    source = tmp_path / "log"
    head = "Timestamp,Session ID,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    source.write_text(head + "1,secret-b,m,10,5,15,x\n2,secret-a,m,20,5,25,x\n3,secret-b,m,30,5,35,x\n4,,m,7,5,12,x\n")
    asked = ["trace", "convert", "--format", "burstgpt", str(source), str(tmp_path / "t.csv"), "--sessions"]
    assert run(asked, capsys)[0] == 0
    table = read_trace(tmp_path / "t.csv")
    assert table.prefix_id.tolist() == [0, 1, 0, -1]
    assert table.prefix_tokens.tolist() == [15, 25, 35, 0]


def test_seconds_of_ones_own_have_no_place_in_the_week(tmp_path, capsys):
    source = tmp_path / "log.csv"
    source.write_text("arrival_s,prompt_tokens,output_tokens\n5.5,10,20\n7,11,21\n")
    options = ["--column", "arrival_s=arrival_s"]
    asked = ["trace", "convert", "--format", "csv", str(source), str(tmp_path / "t.csv"), *options, "--json"]
    code, out, _ = run(asked, capsys)
    assert code == 0
    assert json.loads(out)["header"]["week_offset_s"] is None
    assert read_trace(tmp_path / "t.csv").arrival_s.tolist() == [5.5, 7.0]
    code, _, err = run([*asked, "--column", "user=x"], capsys)
    assert code == 2
    assert "--column user: expected one of time, prompt_tokens" in err


def test_one_document_of_many_records_is_read_as_it_comes(tmp_path, capsys):
    # A long value first, then many short ones: read in one piece they would be copied once for each.
    records = [{"id": str(n), "type": "GENERATION", "start_time": 1_715_644_801 + n, "usage_details": {"input": 9,
                "output": 1}, "input": "x" * (3_000_000 if n == 0 else 10)} for n in range(5_000)]  # fmt: skip
    source = tmp_path / "log.json"
    asked = ["trace", "convert", "--format", "langfuse", str(source), str(tmp_path / "t.csv"), "--json"]
    for text in (json.dumps(records, indent=1), json.dumps({"data": records, "meta": {}})):
        source.write_text(text)
        code, out, err = run(asked, capsys)
        assert code == 0, err
        assert json.loads(out)["rows"]["imported"] == 5_000
    source.write_text(json.dumps(records, indent=1)[:-2])
    code, _, err = run(asked, capsys)
    assert code == 2
    # Ten lines each from the second line on.
    assert "breaks off or is broken" in err
    assert f"{source}:{1 + 5_000 * 10}" in err
