"""Replay published measurements through NVIDIA's AISimulate and through this, and print both errors.

    python -m venv .venv/aisimulate && .venv/aisimulate/bin/pip install --pre --only-binary :all: aisimulate
    python tools/beside_aisimulate.py measurements.csv .venv/aisimulate/bin/aisimulate --requests 1000

Both get the same requests at the same moments: `aisimulate predict` as a trace in Mooncake's format, in which a prompt
that comes again has the same block hashes. Batch limits, block size and memory are the server's; everything else is
its default, nothing is fitted. Taken are the open-load experiments in BF16 without a cap, of models whose shape fits a
plain `config.json`, and from these the stages on which neither the server nor our simulation queues.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from os import times
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.bench.measurements import read_measurements
from simulator.bench.serving import Served
from simulator.bench.validate import SEED, compare_all, engine_settings, open_load
from simulator.performance.architecture import known_model
from simulator.streams import stream

if TYPE_CHECKING:
    from simulator.bench.measurements import Experiment
    from simulator.performance.architecture import ModelShape
    from simulator.trace.request_table import RequestTable

GPUS = {"a100-80gb": "a100_sxm", "h100-80gb": "h100_sxm", "h200": "h200_sxm", "l40s": "l40s"}
#: What a layer of these is made of stands in the few numbers of `config`.
PLAIN = ("LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
METRICS = ("ttft_mean_s", "itl_mean_s", "e2e_mean_s", "e2e_p99_s")
BLOCK = 16


def mooncake(table: RequestTable) -> list[dict[str, Any]]:
    """Requests as lines of Mooncake's trace: milliseconds since the first, lengths, a hash for each block."""
    lines, fresh = [], 1 << 40
    for row in range(len(table)):
        prompt, prefix, hashes = int(table.prompt_tokens[row]), int(table.prefix_id[row]), []
        if prefix >= 0:
            # A full block is named by the shortest prefix that it lies in whole.
            outer = table.nesting.outer(prefix)
            for block in range(prompt // BLOCK):
                inside = (one for one, tokens in outer if (block + 1) * BLOCK <= tokens)
                hashes.append((next(inside, prefix) + 1) << 20 | block)
        own = -(-prompt // BLOCK) - len(hashes)
        hashes += range(fresh, fresh + own)
        fresh += own
        lines.append({
            "timestamp": 1e3 * float(table.arrival_s[row] - table.arrival_s[0]),
            "input_length": prompt,
            "output_length": int(table.output_tokens[row]),
            "hash_ids": hashes,
        })  # fmt: skip
    return lines


def config(shape: ModelShape) -> dict[str, Any]:
    """A `config.json` of a known model, as it is told of one that it does not ship."""
    # Mistral's layers are Llama's, by which it knows them.
    architecture = shape.architecture.replace("Mistral", "Llama")
    experts = {"num_local_experts": shape.experts, "num_experts_per_tok": shape.experts_per_token}
    return {
        "architectures": [architecture],
        "model_type": architecture.removesuffix("ForCausalLM").lower(),
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.context_tokens,
        "tie_word_embeddings": shape.tied_embeddings,
        "torch_dtype": "bfloat16",
    } | (experts if shape.experts > 1 else {})


def question(experiment: Experiment, experts: int, folder: Path) -> dict[str, Any]:
    """The configuration of `aisimulate predict`."""
    settings = engine_settings(experiment)
    blocks = settings.num_gpu_blocks
    capacity = {"type": "fixed", "blocks": blocks} if blocks else {"memory_fraction": settings.gpu_memory_utilisation}
    worker = {
        "context_length": settings.max_model_len,
        "parallelism": dict.fromkeys(
            ("tensor", "moe_tensor") if experts > 1 else ("tensor",), experiment.tensor_parallel
        ),
        "scheduler": {"max_batched_tokens": settings.max_num_batched_tokens, "max_sequences": settings.max_num_seqs},
        "kv_cache": {"block_size": BLOCK, "prefix_caching": settings.prefix_caching, "capacity": capacity},
    }
    engine = {"mode": "aggregated", "model": str(folder), "hardware": GPUS[experiment.gpu], "backend": "vllm"}
    source = {"type": "trace", "paths": [str(folder / "trace.jsonl")], "format": "mooncake", "block_size": BLOCK}
    load = {"type": "trace_timestamps"}
    return {"engine": engine | {"workers": {"aggregated": worker}}, "traffic": {"source": source, "load": load}}


def predicted(command: Path, experiment: Experiment, shape: ModelShape, table: RequestTable) -> Served | str:
    """What it says of each request, in the order of the table; or why it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in mooncake(table)))
        (place / "config.json").write_text(json.dumps(config(shape)))
        # JSON is YAML.
        (place / "question.yaml").write_text(json.dumps(question(experiment, shape.experts, place)))
        out = place / "out"
        words = ["predict", "-c", str(place / "question.yaml"), "--output-dir", str(out), "--capture-per-request"]
        done = subprocess.run([command, *words], capture_output=True, text=True, check=False)
        if not (out / "requests.jsonl").exists():
            said = done.stderr.strip()
            return next((line for line in said.splitlines() if "failed" in line), said[-200:])
        rows = [json.loads(line) for line in (out / "requests.jsonl").read_text().splitlines()]
    rows.sort(key=lambda row: row["arrival_time_ms"])
    if len(rows) != len(table):
        return f"answers {len(rows)} of {len(table)} requests"

    def seconds(name: str) -> Any:
        return np.array([row[name] for row in rows]) / 1e3

    arrival_s = seconds("arrival_time_ms")
    return Served(
        arrival_s=arrival_s,
        ttft_s=seconds("first_token_ms") - arrival_s,
        e2e_s=seconds("e2e_latency_ms"),
        output_tokens=table.output_tokens.astype(np.int64),
        preemptions=np.zeros(len(table), np.int64),
    )


def shortened(experiment: Experiment, requests: int) -> Experiment:
    """The same with at most so many requests a stage."""
    stages = tuple(
        replace(stage, duration_s=min(stage.duration_s, requests / stage.rate_per_s)) for stage in experiment.stages
    )
    return replace(experiment, stages=stages)


def main() -> None:
    """Print one line a stage, and the medians."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    asked.add_argument("measurements", type=Path)
    asked.add_argument("aisimulate", type=Path, help="the command, in an environment of its own")
    asked.add_argument("--requests", type=int, default=1_000_000, help="most of a stage")
    asked.add_argument("--model", default="", help="only models whose name holds this")
    asked.add_argument("--json", type=Path, help="write what was found there too")
    words = asked.parse_args()
    found: list[dict[str, Any]] = []
    theirs_s = ours_s = 0.0
    for whole in read_measurements(words.measurements, ("A", "A-")).experiments:
        shape = known_model(whole.model)
        if shape is None or shape.architecture not in PLAIN or whole.quantisation != "bf16" or whole.gpu not in GPUS:
            continue
        if words.model not in whole.model or whole.kind != "open" or any(stage.concurrency for stage in whole.stages):
            continue
        experiment = shortened(whole, words.requests)
        begin_s = process_time()
        ours, _ = compare_all([experiment], replications=1)
        # Three times: as it is, and at both ends of its band.
        ours_s += (process_time() - begin_s) / 3
        quiet = [row for row in ours if not row.saturated]
        if not quiet:
            continue
        table, rows = open_load(experiment, stream(SEED, 0, f"validate/{experiment.name}"))
        begin_s = times().children_user + times().children_system
        theirs = predicted(words.aisimulate, experiment, shape, table)
        theirs_s += times().children_user + times().children_system - begin_s
        if isinstance(theirs, str):
            print(f"{experiment.name}: {theirs}", file=sys.stderr)
            continue
        for row in quiet:
            metrics = theirs.of(rows[[one.stage.row for one in ours].index(row.stage.row)]).metrics()
            line: dict[str, Any] = {"stage": row.stage.row, "gpu": experiment.gpu, "model": experiment.model}
            for name in (name for name in METRICS if name in row.metrics()):
                line[name] = [row.error(name), metrics[name] / row.stage.measured[name] - 1.0]
            found.append(line)
            print(line, flush=True)
    print(f"\n{len(found)} stages; median error, this and AISimulate:")
    for name in METRICS:
        both = np.array([line[name] for line in found if name in line])
        if len(both):
            print(f"{name:12} {len(both):3} {np.median(abs(both[:, 0])):7.1%} {np.median(abs(both[:, 1])):7.1%}")
    print(f"processor time: this {ours_s:.1f} s, AISimulate {theirs_s:.1f} s")
    if words.json:
        words.json.write_text(json.dumps({"stages": found, "this_s": ours_s, "aisimulate_s": theirs_s}, indent=1))


if __name__ == "__main__":
    main()
