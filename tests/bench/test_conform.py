from __future__ import annotations

import gzip
import json

import pytest

from simulator.bench.conform import conform
from simulator.bench.recording import read_recording
from simulator.cli.main import main
from simulator.errors import TraceError
from tests.parts import ROOT

RECORDED = sorted((ROOT / "tests" / "conformance" / "recorded").glob("*.json.gz"))


def command(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


def test_the_command_counts_cases_and_steps(capsys):
    code, out, _ = command(["bench", "conform", str(RECORDED[0]), str(RECORDED[1]), "--json"], capsys)
    assert code == 0
    found = json.loads(out)
    assert (found["cases"], found["differing_steps"], found["differing_requests"]) == (2, 0, 0)
    assert found["steps"] == sum(len(read_recording(path).steps) for path in RECORDED[:2])


@pytest.mark.parametrize("change", ["tokens", "time", "blocks", "missing step"])
def test_a_tampered_recording_is_noticed(change, tmp_path, capsys):
    content = json.loads(gzip.decompress(RECORDED[0].read_bytes()))
    step = content["steps"][3]
    if change == "tokens":
        step["items"][0][1] += 1
    elif change == "time":
        step["end"] += 1e-6
    elif change == "blocks":
        step["used_blocks"] += 1
    else:
        content["steps"].pop()
    path = tmp_path / "tampered.json"
    path.write_text(json.dumps(content))
    found = conform(read_recording(path))
    assert found.differing_steps
    assert command(["bench", "conform", str(path)], capsys)[0] == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\x1f\x8bnonsense", b'{"vllm_version": 5}', b"\xff\xfe"])
def test_what_is_no_recording_is_refused(content, tmp_path, capsys):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=r"broken\.json"):
        read_recording(path)
    code, out, err = command(["bench", "conform", str(path), str(tmp_path / "missing.json")], capsys)
    assert (code, out) == (2, "")
    assert "missing.json" in err
    assert "Traceback" not in err
