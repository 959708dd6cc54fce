"""Speed and memory of importing a CSV of 10 million rows, in order and shuffled, and lines of JSON as they are."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests.trace.importers.sample import T0
from tests.trace.importers.samples import genai, langfuse, litellm, otlp, span

#: The command as a user runs it, and what it took.
CHILD = """
import json, resource, sys, time
from simulator.cli.main import main
start = time.perf_counter()
try:
    main(["trace", "convert", *sys.argv[1:], "--json"])
except SystemExit as stop:
    code = stop.code
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"code": code, "wall_s": time.perf_counter() - start, "cpu_s": used.ru_utime + used.ru_stime,
                  "rss_bytes": used.ru_maxrss * 1024}), file=sys.stderr)
"""


def write_log(path, rows, shuffled):
    rng = np.random.default_rng(1)
    step = rows // 20
    starts = np.arange(0, rows, step)
    with path.open("w") as file:
        file.write("TIMESTAMP,ContextTokens,GeneratedTokens\n")
        for start in rng.permutation(starts) if shuffled else starts:
            at_us = 1_715_644_800_000_000 + (start + np.arange(step)) * 60_000
            frame = pd.DataFrame({"t": pd.to_datetime(at_us, unit="us").strftime("%Y-%m-%d %H:%M:%S.%f+00:00")})
            frame["p"], frame["o"] = rng.integers(1, 8000, step), rng.integers(1, 800, step)
            (frame.sample(frac=1, random_state=1) if shuffled else frame).to_csv(file, header=False, index=False)


def measure(log, rows, *asked):
    """Convert it, print how fast that was, and hold its memory."""
    child = [sys.executable, "-c", CHILD, str(log), str(log.with_suffix(".parquet")), *asked]
    done = subprocess.run(child, capture_output=True, text=True, check=True)
    found = json.loads(done.stderr.splitlines()[-1])
    assert found["code"] == 0
    assert json.loads(done.stdout)["rows"]["imported"] == rows
    speed = f"{rows / found['wall_s']:,.0f} rows/s, {rows / found['cpu_s']:,.0f} for each second of processor"
    print(f"\n{rows:,} rows, {log.stat().st_size / 1e6:,.0f} MB: {found['wall_s']:.0f} s, {speed}")
    print(f"{found['rss_bytes'] / 1e6:,.0f} MB of memory at most")
    assert found["rss_bytes"] < 1e9


@pytest.mark.benchmark
@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled"])
def test_ten_million_rows(tmp_path, shuffled, sized):
    rows, log = sized(10_000_000), tmp_path / "log.csv"
    write_log(log, rows, shuffled)
    measure(log, rows, "--format", "azure-llm-2024")


@pytest.mark.benchmark
def test_two_million_lines_of_json(tmp_path, sized):
    rows, log = sized(2_000_000), tmp_path / "log.jsonl"
    rng = np.random.default_rng(1)
    prompt, output = rng.integers(1, 8000, rows).tolist(), rng.integers(1, 800, rows).tolist()
    with log.open("w") as file:
        for at, (sent, made) in enumerate(zip(prompt, output, strict=True)):
            line = {"ts": 1_764_000_000 + at * 60, "id": f"call-{at:x}", "model": "llama", "prompt": "x" * 40}
            file.write(json.dumps(line | {"usage": {"in": sent, "out": made}}) + "\n")
    columns = ("time=ts", "prompt_tokens=usage.in", "output_tokens=usage.out")
    measure(log, rows, "--format", "json", *(word for one in columns for word in ("--column", one)))


#: What stands beside the counts in most logs, and is skipped: a question and an answer of some 600 characters.
TEXT = "Discharged on day four in good condition; follow-up in two weeks. " * 5
VLLM = {"gen_ai__request__id": "cmpl-1", "gen_ai__response__model": "llama", "gen_ai__request__max_tokens": 900}


def answer(at, prompt, output):
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": 0}}
    choices = [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}]
    return {"id": f"c-{at:x}", "created": T0 + at, "model": "gpt-4o", "choices": choices, "usage": usage}


def line_of(kind, at, prompt, output):
    """A line as long as such logs have them, of one request."""
    if kind == "litellm":
        about = {"usage_object": answer(at, prompt, output)["usage"], "model_map_information": {"key": TEXT[:200]}}
        more = {"request_id": f"c-{at:x}", "startTime": T0 + at, "metadata": about, "response": {"content": TEXT}}
        return json.dumps(litellm(0, prompt, output, **more))
    if kind == "openai":
        return json.dumps(answer(at, prompt, output))
    if kind == "langfuse":
        return json.dumps(
            langfuse(0, prompt, output, id=f"c-{at:x}", start_time=T0 + at) | {"input": TEXT, "output": TEXT}
        )
    of_vllm = span(at, gen_ai__usage__prompt_tokens=prompt, gen_ai__usage__completion_tokens=output, **VLLM)
    text = otlp(of_vllm if kind == "vllm-otel" else genai(at, prompt, output)).strip()
    return text.replace("resourceSpans", "batches") if kind == "tempo" else text


@pytest.mark.benchmark
@pytest.mark.parametrize("kind", ["litellm", "openai", "langfuse", "otel-genai", "tempo", "vllm-otel"])
def test_a_million_lines_as_they_are(tmp_path, sized, kind):
    rows, log = sized(1_000_000), tmp_path / "log.jsonl"
    rng = np.random.default_rng(1)
    counts = zip(rng.integers(1, 8000, rows).tolist(), rng.integers(1, 800, rows).tolist(), strict=True)
    with log.open("w") as file:
        file.writelines(line_of(kind, at, sent, made) + "\n" for at, (sent, made) in enumerate(counts))
    measure(log, rows, "--format", {"tempo": "otel-genai"}.get(kind, kind))
