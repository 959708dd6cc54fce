"""Derive the shipped performance profiles from NVIDIA's published kernel timings.

    pip install -e '.[profiles]'
    python tools/derive_profiles.py [--only ID] [--measurements CSV]

The timings are the tables inside the wheel `aiconfigurator-core` 0.12.0 (Apache-2.0): real vLLM kernels, timed on A100
with vLLM 0.14.0 and on L40S, H100 and H200 with vLLM 0.24.0. A step's time is taken apart into dense layers by token
count, output head by sequences, decode attention by sequences and context, and prefill attention by chunk and past.
Dense layers have cliffs where a kernel's tile is full, so they are knots, at the rows of the tables, which lie on both
sides of each cliff; attention is smooth, so it is a formula.

`--measurements` also fits what kernel tables leave out, on real serving measurements (see `overhead.py`), and keeps the
result in `tools/overhead.json`, from which later runs take it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
from kernel_tables import PACKAGE, VERSION, WHEEL_SHA256, Model, Source, Wanted
from scipy.optimize import isotonic_regression, nnls

TOOLS = Path(__file__).resolve().parent
TARGET = TOOLS.parent / "simulator" / "performance" / "data" / "profiles"
OVERHEAD = TOOLS / "overhead.json"
DERIVED = "2026-11-23"

SEQUENCES = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
CONTEXTS = [128, 256, 512, 1024, 2048, 4096, 8192]
CHUNKS = (16, 64, 256, 512, 1024, 2048)
PASTS = (0, 256, 1024, 4096, 8192)

LLAMA_3_70B = Model(
    "llama-3.3-70b", ("meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"),
    "meta-llama/Meta-Llama-3.1-70B", 80, 8192, 64, 8, 128, 28672, 128256,
)  # fmt: skip
LLAMA_3_8B = Model(
    "llama-3.1-8b", ("meta-llama/Llama-3.1-8B-Instruct",),
    "meta-llama/Meta-Llama-3.1-8B", 32, 4096, 32, 8, 128, 14336, 128256,
)  # fmt: skip
QWEN_3_14B = Model("qwen3-14b", ("Qwen/Qwen3-14B",), "Qwen3ForCausalLM", 40, 5120, 40, 8, 128, 17408, 151936)
QWEN_25_7B = Model("qwen2.5-7b", ("Qwen/Qwen2.5-7B-Instruct",), "LlamaForCausalLM", 28, 3584, 28, 4, 128, 18944, 152064)
# The package refuses Mistral's own architecture; Llama's has the same operations.
NEMO_12B = Model(
    "mistral-nemo-12b", ("mistralai/Mistral-Nemo-Instruct-2407",),
    "LlamaForCausalLM", 40, 5120, 32, 8, 128, 14336, 131072,
)  # fmt: skip
CODELLAMA_34B = Model(
    "codellama-34b", ("codellama/CodeLlama-34b-Instruct-hf",), "LlamaForCausalLM", 48, 8192, 64, 8, 128, 22016, 32000
)
LLAMA_2_70B = Model(
    "llama-2-70b", ("meta-llama/Llama-2-70b-hf",), "LlamaForCausalLM", 80, 8192, 64, 8, 128, 28672, 32000
)

WANTED = [
    Wanted(LLAMA_3_8B, "a100-80gb", 1, "bf16"),
    Wanted(LLAMA_3_8B, "l40s", 1, "bf16"),
    Wanted(LLAMA_3_8B, "h100-80gb", 1, "bf16"),
    Wanted(LLAMA_3_8B, "h100-80gb", 2, "bf16"),
    Wanted(LLAMA_3_8B, "h200", 1, "bf16"),
    Wanted(QWEN_3_14B, "a100-80gb", 1, "bf16"),
    Wanted(QWEN_3_14B, "l40s", 1, "bf16"),
    Wanted(QWEN_3_14B, "h100-80gb", 1, "bf16"),
    Wanted(LLAMA_3_70B, "a100-80gb", 2, "w4a16"),
    Wanted(LLAMA_3_70B, "a100-80gb", 2, "bf16"),
    Wanted(LLAMA_3_70B, "a100-80gb", 4, "bf16"),
    Wanted(LLAMA_3_70B, "a100-80gb", 8, "bf16"),
    Wanted(LLAMA_3_70B, "l40s", 4, "bf16"),
    Wanted(LLAMA_3_70B, "l40s", 4, "fp8"),
    Wanted(LLAMA_3_70B, "l40s", 4, "fp8", "cross-socket"),
    Wanted(LLAMA_3_70B, "l40s", 4, "w4a16"),
    Wanted(LLAMA_3_70B, "l40s", 4, "w4a16", "cross-socket"),
    Wanted(LLAMA_3_70B, "h100-80gb", 2, "fp8"),
    Wanted(LLAMA_3_70B, "h100-80gb", 4, "bf16"),
    Wanted(LLAMA_3_70B, "h200", 2, "bf16"),
    # Models of published serving measurements, to be compared with. Llama-2-7B is not among them: the tables put decode
    # attention without grouped heads so high that kernels alone last 14 % longer than served steps.
    Wanted(QWEN_25_7B, "h100-80gb", 1, "bf16"),
    Wanted(NEMO_12B, "h100-80gb", 1, "bf16"),
    Wanted(CODELLAMA_34B, "h100-80gb", 2, "bf16"),
    Wanted(LLAMA_2_70B, "h100-80gb", 4, "bf16"),
]


def fit_decode_attention(source: Source) -> tuple[list[float], list[float]]:
    """Intercept and slope per token of context, by sequences; raw rows are noisy, so they are made monotone first."""
    base, slope = [], []
    for sequences in SEQUENCES:
        times = isotonic_regression([source.decode_attention_s(sequences, context) for context in CONTEXTS]).x
        context = np.array(CONTEXTS) * sequences
        weights = 1.0 / np.maximum(times, 1e-9)
        fit, _ = nnls(np.column_stack([np.ones_like(times), context]) * weights[:, None], times * weights)
        base.append(float(fit[0]))
        slope.append(float(fit[1]))
    return list(isotonic_regression(base).x), slope


def fit_prefill_attention(source: Source) -> tuple[float, ...]:
    """`a + b q + c q (p + q/2)`, least squares weighted by the step it is part of."""
    points = [(q, p) for q in CHUNKS for p in PASTS]
    times = np.array([source.prefill_attention_s(q, p) for q, p in points])
    weights = 1.0 / (times + np.array([source.dense_s(q) for q, _ in points]))
    rows = np.array([[1.0, q, q * (p + q / 2)] for q, p in points])
    scale = rows.max(axis=0)
    fit, _ = nnls(rows / scale * weights[:, None], times * weights)
    return tuple(float(value) for value in fit / scale)


def fit_error(source: Source, profile: dict[str, Any], steps: int = 500) -> dict[str, float]:
    """Error of the curves against the tables on random steps of decodes and up to three chunks, in per cent."""
    rng = np.random.default_rng(1)
    errors = []
    fixed, per_token, per_pair = profile["prefill_attention"]

    def at(name: str, x: int) -> float:
        return float(np.interp(x, profile[name]["x"], profile[name]["y"]))

    for _ in range(steps):
        sequences = int(np.exp(rng.uniform(0, np.log(257))))
        context = int(np.clip(rng.lognormal(np.log(700), 0.8), 150, 4000))
        chunks = [(int(rng.integers(16, 2049)), int(rng.integers(0, 4097))) for _ in range(rng.integers(0, 4))]
        tokens, rows = sequences + sum(q for q, _ in chunks), sequences + len(chunks)
        true = source.dense_s(tokens) + source.lm_head_s(rows) + source.decode_attention_s(sequences, context)
        true += sum(source.prefill_attention_s(q, p) for q, p in chunks)
        ours = at("dense", tokens) + at("lm_head", rows) + at("decode_attention", sequences)
        ours += at("decode_attention_per_kv_token", sequences) * sequences * context
        ours += sum(fixed + per_token * q + per_pair * q * (p + q / 2) for q, p in chunks)
        errors.append(100 * abs(ours / true - 1))
    return {
        "steps": steps,
        "mean_percent": round(float(np.mean(errors)), 2),
        "p95_percent": round(float(np.quantile(errors, 0.95)), 2),
        "max_percent": round(float(np.max(errors)), 2),
    }


def weights_gib(wanted: Wanted) -> float:
    """Weights on one GPU: 16-bit embeddings and head, quantised matrices with one 16-bit scale per 128 weights."""
    bytes_each = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "w4a16": 0.5 + 2 / 128}[wanted.quantisation]
    model = wanted.model
    total = model.gemm_parameters() * bytes_each + 2 * model.vocab * model.hidden * 2.0
    return total / wanted.tensor_parallel / 1024**3


def curve(x: list[int], y: list[float]) -> dict[str, Any]:
    """Knots with six significant digits."""
    return {"x": x, "y": [float(f"{value:.6g}") for value in y]}


def derive(wanted: Wanted) -> dict[str, Any]:
    """One profile, but for the overhead."""
    source = Source(wanted)
    base, slope = fit_decode_attention(source)
    knots = source.knots()
    profile: dict[str, Any] = {
        "schema_version": 1,
        "id": wanted.id,
        "model": wanted.model.shape(),
        "gpu": wanted.gpu,
        "tensor_parallel": wanted.tensor_parallel,
        "quantisation": wanted.quantisation,
        "variant": wanted.variant,
        "weights_gib_per_gpu": round(weights_gib(wanted), 3),
        "label": source.label,
        "provenance": {
            "package": f"{PACKAGE} {VERSION}",
            "wheel_sha256": WHEEL_SHA256,
            "licence": "Apache-2.0, NVIDIA Corporation & Affiliates",
            "tables": f"{source.system} vllm {source.version}",
            "derived_on": DERIVED,
            "command": f"python tools/derive_profiles.py --only {wanted.id}",
        },
        "notes": source.notes,
        "measured": {
            "tokens": min(source.max_tokens, knots[-1]),
            "sequences": SEQUENCES[-1],
            "context_tokens": CONTEXTS[-1],
        },
        "dense": curve(knots, [source.dense_s(tokens) for tokens in knots]),
        "lm_head": curve(SEQUENCES, [source.lm_head_s(sequences) for sequences in SEQUENCES]),
        "decode_attention": curve(SEQUENCES, base),
        "decode_attention_per_kv_token": curve(SEQUENCES, slope),
        "prefill_attention": [float(f"{value:.6g}") for value in fit_prefill_attention(source)],
    }
    profile["fit_error"] = fit_error(source, profile)
    return profile


def write(profile: dict[str, Any]) -> None:
    """One line per key: short, and readable in a diff."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in profile.items()]
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / f"{profile['id']}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Derive, write, and print a line per profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="id of one profile")
    parser.add_argument("--measurements", type=Path, help="serving measurements to fit the overhead on")
    arguments = parser.parse_args()
    found = importlib.metadata.version(PACKAGE)
    if found != VERSION:
        raise SystemExit(f"{PACKAGE} {VERSION} is needed, {found} is installed")
    if arguments.only not in {None, *(wanted.id for wanted in WANTED)}:
        raise SystemExit(f"no profile {arguments.only}; there are: {', '.join(wanted.id for wanted in WANTED)}")
    profiles = [derive(wanted) for wanted in WANTED if arguments.only in {None, wanted.id}]
    if arguments.measurements:
        from overhead import fit  # needs this package installed, deriving does not

        OVERHEAD.write_text(json.dumps(fit(arguments.measurements, profiles), indent=2) + "\n", encoding="utf-8")
    overhead = json.loads(OVERHEAD.read_text("utf-8"))
    for profile in profiles:
        write(profile | {"overhead": overhead[profile["gpu"]]})
        print(f"{profile['id']:45s} {profile['label']:9s} {profile['fit_error']}")


if __name__ == "__main__":
    main()
