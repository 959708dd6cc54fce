"""Logs of real servers, a line a request: read whole or refused, and held against the simulation of the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from simulator.bench.request_log import document, read_requests, simulated
from simulator.bench.serving import request_table, serve
from simulator.cli.main import main
from simulator.engine.vllm.plan import plan_of
from simulator.errors import TraceError
from simulator.performance.profile import read_profile
from simulator.scenario.patterns import EngineSettings

PROFILE = read_profile("llama-3.1-8b-bf16-h100-80gb-x1")
SETTINGS = EngineSettings(max_num_seqs=8, num_gpu_blocks=4000)
BARE = PROFILE.model_copy(
    update={"overhead": PROFILE.overhead.model_copy(update={"frontend_base_s": 0.0, "output_s": 0.0})}
)


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def log(tmp_path):
    """What an engine with exactly this profile would have logged, on a clock that began long ago."""
    rng = np.random.default_rng(1)
    arrival_s = np.cumsum(rng.exponential(0.1, 80))
    table = request_table(arrival_s, rng.integers(50, 1500, 80), rng.integers(1, 120, 80))
    served = serve(SETTINGS, plan_of(BARE, SETTINGS), table)
    queued_s = 4e5 + table.arrival_s
    rows = [
        {
            "request_id": f"bench-{row}", "input_toks": int(table.prompt_tokens[row]),
            "output_toks": int(table.output_tokens[row]), "arrival_time": 1.7e9 + float(table.arrival_s[row]),
            "queued_ts": float(queued_s[row]), "scheduled_ts": float(queued_s[row]),
            "first_token_ts": float(queued_s[row] + served.ttft_s[row]),
            "last_token_ts": float(queued_s[row] + served.e2e_s[row]),
        }
        for row in rng.permutation(80)
    ]  # fmt: skip
    return lines(tmp_path / "requests.jsonl", rows)


def test_the_profile_a_log_was_made_with_has_no_error_whatever_its_front_end(log):
    theirs, prompts = read_requests(log)
    found = document(theirs, simulated(theirs, prompts, PROFILE, SETTINGS), PROFILE.id)
    for metric in found["metrics"].values():
        assert metric["request_median_absolute_error_percent"] == pytest.approx(0.0, abs=0.01)
        assert metric["p99"]["error_percent"] == pytest.approx(0.0, abs=0.01)


def test_a_slower_profile_is_off_by_as_much(log):
    theirs, prompts = read_requests(log)
    found = document(theirs, simulated(theirs, prompts, PROFILE.scaled(1.1), SETTINGS), PROFILE.id)["metrics"]
    assert found["tpot"]["mean"]["error_percent"] == pytest.approx(10.0, abs=2.0)
    assert found["tpot"]["request_median_absolute_error_percent"] == pytest.approx(10.0, abs=2.0)
    # What waits for others waits longer than that.
    assert found["ttft"]["p99"]["error_percent"] > 10.0


def test_the_command(log, capsys):
    words = ["--requests", str(log), "--profile", PROFILE.id, "--engine", "max_num_seqs=8"]
    with pytest.raises(SystemExit) as ended:
        main(["bench", "validate", *words, "--json"])
    assert ended.value.code in (0, None)
    found = json.loads(capsys.readouterr().out)
    assert found["requests"] == 80
    assert set(found["metrics"]) == {"ttft", "tpot", "e2e"}
    with pytest.raises(SystemExit) as ended:
        main(["bench", "validate", *words])
    assert ended.value.code in (0, None)
    assert "time per output token, p99" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["bench", "validate", *words, "--replay", str(log)])
    assert ended.value.code == 2


GOOD = {"input_toks": 3, "output_toks": 2, "queued_ts": 1.0, "first_token_ts": 2.0, "last_token_ts": 3.0}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (GOOD | {"prompt": "a secret of Jane"}, "a field that is not allowed"),
        (GOOD | {"Jane Doe": 1}, "a field that is not allowed"),
        (GOOD | {"output_toks": 0}, "output_toks"),
        (GOOD | {"input_toks": "Jane"}, "input_toks"),
        (GOOD | {"first_token_ts": 0.5}, "must not go back"),
        ({name: value for name, value in GOOD.items() if name != "queued_ts"}, "queued_ts"),
        ([1, 2], ""),
    ],
)
def test_every_faulty_line_is_named_and_nothing_of_it_is_told(tmp_path, row, said):
    path = lines(tmp_path / "r.jsonl", [GOOD, row, GOOD, row])
    with pytest.raises(TraceError) as refused:
        read_requests(path)
    told = str(refused.value)
    assert "line 2: " in told
    assert "line 4: " in told
    assert said in told
    assert "Jane" not in told


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{", b"\xff\xfe", b"nonsense\n" * 50])
def test_what_is_no_log_is_refused(tmp_path, content):
    (tmp_path / "r.jsonl").write_bytes(content)
    with pytest.raises(TraceError, match=r"r\.jsonl: (line 1|holds no request)"):
        read_requests(tmp_path / "r.jsonl")
