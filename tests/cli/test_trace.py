"""`simulator trace validate` and `head`."""

from __future__ import annotations

import json

from simulator.trace.canonical import read_trace
from simulator.trace.header import read_header
from tests.cli.command import run
from tests.parts import ROOT

WEEK = ROOT / "traces" / "clinic_week.csv"
HEAD = "arrival_s,workload,prompt_tokens,output_tokens\n"


def test_valid_traces_are_said_to_be(tmp_path, capsys):
    bare = tmp_path / "t.csv"
    bare.write_text(HEAD + "0.5,notes,10,5\n")
    code, out, err = run(["trace", "validate", str(WEEK), str(bare)], capsys)
    assert (code, err) == (0, "")
    rows = read_header(WEEK).rows
    assert f"{WEEK}: ok ({rows:,} requests, 2 workloads, 604,800 s)" in out
    assert f"{bare}: ok (1 request, 1 workload, no header beside it)" in out
    found = json.loads(run(["trace", "validate", str(bare), "--json"], capsys)[1])
    assert found == {
        "schema_version": 1, "ok": True,
        "traces": [{"file": str(bare), "ok": True, "rows": 1, "workloads": ["notes"], "faults": []}],
    }  # fmt: skip


def test_faults_are_told_of_all_traces(tmp_path, capsys):
    wrong, absent = tmp_path / "t.csv", tmp_path / "none.csv"
    wrong.write_text(HEAD + "1,notes,10,5\n0.5,Notes,0,5\n")
    code, out, err = run(["trace", "validate", str(wrong), str(absent), str(WEEK)], capsys)
    assert code == 2
    assert f"{WEEK}: ok" in out
    assert f"{wrong}: row 2, column prompt_tokens: expected a whole number" in err
    assert f"{wrong}: row 2, column workload" in err
    assert f"{absent}: no such file" in err
    code, out, err = run(["trace", "validate", str(wrong), "--json"], capsys)
    assert (code, err) == (2, "")
    assert len(json.loads(out)["traces"][0]["faults"]) == 2


def test_a_fault_beyond_the_first_chunk_is_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("simulator.trace.canonical.CHUNK_ROWS", 3)
    path = tmp_path / "t.csv"
    rows = [f"{n},notes,10,5\n" for n in range(10)]
    path.write_text(HEAD + "".join(rows))
    assert run(["trace", "validate", str(path)], capsys)[0] == 0
    # Order is checked across chunks, and rows are numbered through.
    path.write_text(HEAD + "".join(rows[:3] + rows[4:] + rows[3:4]))
    code, _, err = run(["trace", "validate", str(path)], capsys)
    assert code == 2
    assert "row 10, column arrival_s: arrivals must ascend" in err


def test_head_shows_header_and_requests(capsys):
    code, out, _ = run(["trace", "head", str(WEEK), "-n", "2"], capsys)
    lines = out.splitlines()
    assert code == 0
    assert "licence: Apache-2.0" in lines
    assert lines[-3].split()[:2] == ["arrival_s", "workload"]
    found = json.loads(run(["trace", "head", str(WEEK), "-n", "2", "--json"], capsys)[1])
    assert found["header"]["rows"] == len(read_trace(WEEK))
    assert len(found["requests"]) == 2
    assert set(found["requests"][0]) >= {"arrival_s", "workload", "prompt_tokens", "output_tokens"}
