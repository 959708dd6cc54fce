"""Results of load generators: what an engine of exactly this profile shows them has no error."""

from __future__ import annotations

import json

import numpy as np
import pytest

from simulator.bench.client_log import read_client_log, simulated, tool_of
from simulator.bench.request_log import document
from simulator.bench.serving import request_table, serve
from simulator.cli.main import main
from simulator.engine.vllm.plan import plan_of
from simulator.errors import TraceError
from simulator.performance.profile import read_profile
from simulator.scenario.patterns import EngineSettings

PROFILE = read_profile("llama-3.1-8b-bf16-h100-80gb-x1")
SETTINGS = EngineSettings(max_num_seqs=8, num_gpu_blocks=4000)
SECRET = "Mrs Miller"
T0 = 1_764_000_000.0
SIZE = 60


@pytest.fixture(scope="module")
def seen():
    """Counts, starts and latencies of requests sent to such a server."""
    rng = np.random.default_rng(3)
    table = request_table(
        np.cumsum(rng.exponential(0.1, SIZE)), rng.integers(50, 1500, SIZE), rng.integers(2, 90, SIZE)
    )
    served = serve(SETTINGS, plan_of(PROFILE, SETTINGS), table)
    columns = table.prompt_tokens, table.output_tokens, table.arrival_s, served.ttft_s, served.e2e_s
    return [tuple(column[row].item() for column in columns) for row in rng.permutation(SIZE)]


def vllm_bench(seen):
    """A failed one among them, as it is written: no output, no times."""
    gaps = [[(e2e - ttft) / (output - 1)] * (output - 1) for _, output, _, ttft, e2e in seen]
    return json.dumps(
        {
            "date": "20261101-120000", "model_id": SECRET, "request_rate": "inf", "max_concurrency": 8,
            "input_lens": [one[0] for one in seen] + [9], "output_lens": [one[1] for one in seen] + [0],
            "start_times": [77.25 + one[2] for one in seen] + [99.0], "ttfts": [one[3] for one in seen] + [0.0],
            "itls": [*gaps, []], "generated_texts": [SECRET] * (SIZE + 1), "errors": [""] * SIZE + [SECRET],
        }
    )  # fmt: skip


def guidellm(seen):
    done = [
        {
            "request_id": f"{SECRET}{row}", "request_start_time": T0 + at, "prompt_tokens": prompt,
            "output_tokens": output, "time_to_first_token_ms": 1000 * ttft, "request_latency": e2e, "output": SECRET,
        }
        for row, (prompt, output, at, ttft, e2e) in enumerate(seen)
    ]  # fmt: skip
    errored = [{"request_start_time": T0, "error": SECRET}]
    requests = {"successful": done, "errored": errored, "incomplete": []}
    return json.dumps({"benchmarks": [{"config": {"strategy": {"type_": "concurrent"}}, "requests": requests}]})


def aiperf(seen):
    rows = [
        {
            "metadata": {"request_start_ns": round((T0 + at) * 1e9), "benchmark_phase": "profiling", "worker": SECRET},
            "metrics": {
                "input_sequence_length": {"value": prompt}, "output_sequence_length": {"value": output},
                "time_to_first_token": {"value": 1000 * ttft, "unit": "ms"},
                "request_latency": {"value": 1000 * e2e, "unit": "ms"},
            },
            "error": None,
        }
        for prompt, output, at, ttft, e2e in seen
    ]  # fmt: skip
    failed = {"metadata": {"request_start_ns": int(T0 * 1e9)}, "metrics": {}, "error": {"message": SECRET}}
    return "".join(json.dumps(row) + "\n" for row in [*rows, failed])


TOOLS = {"vllm-bench": vllm_bench, "guidellm": guidellm, "aiperf": aiperf}


@pytest.fixture(params=TOOLS)
def result(request, seen, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(TOOLS[request.param](seen))
    return path, request.param


def test_the_profile_a_result_was_made_with_has_no_error(result):
    path, tool = result
    assert tool_of(path) == tool
    log = read_client_log(path, tool)
    assert len(log.prompt_tokens) == SIZE
    assert list(log.left_out.values()) == [1]
    found = document(log.served, simulated(log, PROFILE, SETTINGS), PROFILE.id)
    for metric in found["metrics"].values():
        assert metric["request_median_absolute_error_percent"] == pytest.approx(0.0, abs=0.02)
        assert metric["p99"]["error_percent"] == pytest.approx(0.0, abs=0.05)


def test_a_client_waits_for_the_front_end_too(result):
    log = read_client_log(*result)
    slow = PROFILE.overhead.model_copy(update={"frontend_base_s": PROFILE.overhead.frontend_base_s + 0.5})
    ours = simulated(log, PROFILE.model_copy(update={"overhead": slow}), SETTINGS)
    assert np.median(ours.ttft_s - log.served.ttft_s) == pytest.approx(0.5, rel=0.2)


def test_the_command_says_who_saw_it_and_what_is_missing_and_nothing_of_anybody(result, capsys):
    path, tool = result
    words = ["bench", "validate", "--requests", str(path), "--profile", PROFILE.id, "--engine", "max_num_seqs=8"]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--engine", "num_gpu_blocks=4000", "--json"])
    said = capsys.readouterr()
    assert stop.value.code == 0
    found = json.loads(said.out)
    assert (found["seen_by"], found["requests"], list(found["left_out"].values())) == (tool, SIZE, [1])
    assert "load generator" in said.err
    assert SECRET not in said.out + said.err


def without(text, name):
    return text.replace(f'"{name}"', '"gone"')


@pytest.mark.parametrize(
    ("tool", "name", "told"),
    [
        ("vllm-bench", "itls", "e2e: no latency there"),
        ("vllm-bench", "ttfts", "ttft: no latency there"),
        ("vllm-bench", "start_times", "nobody knows when it was sent"),
        ("guidellm", "time_to_first_token_ms", "ttft: no latency there"),
        ("guidellm", "request_latency", "e2e: no latency there"),
        ("aiperf", "request_latency", "e2e: no latency there"),
        ("aiperf", "request_start_ns", "nobody knows when it was sent"),
    ],
)
def test_what_a_result_lacks_is_said(seen, tmp_path, tool, name, told):
    path = tmp_path / "result.json"
    path.write_text(without(TOOLS[tool](seen), name))
    with pytest.raises(TraceError, match=told) as fault:
        read_client_log(path, tool)
    assert SECRET not in str(fault.value)


def test_a_request_that_ends_before_its_first_token_is_refused(seen, tmp_path):
    path = tmp_path / "result.json"
    prompt, output, at, ttft, _ = seen[0]
    path.write_text(aiperf([(prompt, output, at, ttft, ttft / 2)]))
    with pytest.raises(TraceError, match="end to end: less than to the first token"):
        read_client_log(path, "aiperf")


def test_only_failures_are_no_log(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(aiperf([]))
    with pytest.raises(TraceError, match="holds no request that was answered"):
        read_client_log(path, "aiperf")


@pytest.mark.parametrize("text", ["", "{}", '{"input_toks": 5}', "not a log"])
def test_another_file_is_of_none_of_them(tmp_path, text):
    path = tmp_path / "log"
    path.write_text(text)
    assert tool_of(path) is None
