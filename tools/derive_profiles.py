"""Derive the shipped performance profiles from NVIDIA's published kernel timings.

    pip install -e '.[profiles]'
    python tools/derive_profiles.py [--only ID] [--measurements CSV]

The timings are the tables inside the wheel `aiconfigurator-core` 0.12.0 (Apache-2.0): real vLLM kernels, timed on A100
with vLLM 0.14.0 and on L40S with vLLM 0.24.0. A step's time is taken apart into dense layers by token count, output
head by sequences, decode attention by sequences and context, and prefill attention by chunk and past. Dense layers
have cliffs where a kernel's tile is full, so they are knots, placed on both sides of each cliff; attention is smooth,
so it is a formula.

`--measurements` fits the per-step cost of the framework, which kernel tables leave out, on rows of real serving
measurements of quality A and A- and prints the error; without it the constants below are used as they stand.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from aiconfigurator_core.sdk.engine import EngineHandle
from scipy.optimize import isotonic_regression, nnls

HERE = Path(__file__).resolve().parents[1]
TARGET = HERE / "simulator" / "performance" / "data" / "profiles"
PACKAGE, VERSION, DERIVED = "aiconfigurator-core", "0.12.0", "2026-11-23"

ATTENTION, LOGITS = 3, 9
GEMMS = (2, 4, 6, 8)
ALL_REDUCES = (10, 11, 12)
OTHERS = (0, 1, 5, 7)

KNOTS = sorted(
    {1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 65, 80, 96, 112, 128, 129, 144, 160, 192, 193, 224, 256, 257, 320, 384, 385}
    | {448, 512, 513, 576, 640, 641, 704, 768, 769, 896, 897, 1024, 1025, 1152, 1153, 1280, 1281, 1408, 1536, 1537}
    | {1792, 1793, 2048, 2049, 2304, 2560, 3072, 3584, 4096, 4097, 5120, 6144, 7168, 8192, 16384}
)
SEQUENCES = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
CONTEXTS = [128, 256, 512, 1024, 2048, 4096, 8192]

#: What vLLM 0.15-0.33 adds to the kernels; fitted by `--measurements` (see `fit_overhead`).
OVERHEAD: dict[str, Any] = {
    "per_step_s": 8.75e-05,
    "per_sequence_s": 2.79e-05,
    "frontend_base_s": 0.006,
    "frontend_per_prompt_token_s": 0.0,
    "output_s": 0.0015,
    "label": "derived",
    "source": (
        "fitted on 19 serving measurements (inference-sim sim-to-real validation, vLLM 0.15.1, bf16: 8B on A100, L40S "
        "and H100, 70B on 4xH100): median error 2.6 % of the inter-token time; the front end's split is assumed"
    ),
}


@dataclass(frozen=True)
class Model:
    """Shape of a model, and its name in the package."""

    name: str
    source: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int

    def shape(self) -> dict[str, Any]:
        """As stored in a profile."""
        return {key: value for key, value in vars(self).items() if key != "source"}

    def gemm_parameters(self) -> float:
        """Parameters of the matrices that quantisation replaces."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return float(self.layers * (attention + 3 * self.hidden * self.intermediate))


LLAMA_70B = Model("llama-3.3-70b", "meta-llama/Meta-Llama-3.1-70B", 80, 8192, 64, 8, 128, 28672, 128256)
LLAMA_8B = Model("llama-3.1-8b", "meta-llama/Meta-Llama-3.1-8B", 32, 4096, 32, 8, 128, 14336, 128256)


@dataclass(frozen=True)
class Wanted:
    """One profile to derive."""

    model: Model
    gpu: str
    tensor_parallel: int
    quantisation: str
    variant: str | None = None

    @property
    def id(self) -> str:
        """Name of the profile."""
        tail = f"-{self.variant}" if self.variant else ""
        return f"{self.model.name}-{self.quantisation}-{self.gpu}-x{self.tensor_parallel}{tail}"


WANTED = [
    Wanted(LLAMA_8B, "a100-80gb", 1, "bf16"),
    Wanted(LLAMA_8B, "l40s", 1, "bf16"),
    Wanted(LLAMA_8B, "h100-80gb", 1, "bf16"),
    Wanted(LLAMA_8B, "h200", 1, "bf16"),
    Wanted(LLAMA_70B, "a100-80gb", 2, "w4a16"),
    Wanted(LLAMA_70B, "a100-80gb", 2, "bf16"),
    Wanted(LLAMA_70B, "a100-80gb", 4, "bf16"),
    Wanted(LLAMA_70B, "a100-80gb", 8, "bf16"),
    Wanted(LLAMA_70B, "l40s", 4, "bf16"),
    Wanted(LLAMA_70B, "l40s", 4, "fp8"),
    Wanted(LLAMA_70B, "l40s", 4, "fp8", "cross-socket"),
    Wanted(LLAMA_70B, "l40s", 4, "w4a16"),
    Wanted(LLAMA_70B, "h100-80gb", 2, "fp8"),
    Wanted(LLAMA_70B, "h100-80gb", 4, "bf16"),
    Wanted(LLAMA_70B, "h200", 2, "bf16"),
]
SYSTEMS = {
    "a100-80gb": ("a100_sxm", "0.14.0"),
    "l40s": ("l40s", "0.24.0"),
    "h100-80gb": ("h100_sxm", "0.24.0"),
    "h200": ("h200_sxm", "0.24.0"),
}


@cache
def engine(source: str, system: str, tensor_parallel: int, quantisation: str) -> EngineHandle:
    """The package's engine for tables that exist."""
    mode = {"bf16": "bfloat16", "fp8": "fp8"}[quantisation]
    return EngineHandle.compile(source, system, "vllm", tp_size=tensor_parallel, gemm_quant_mode=mode)


@cache
def marlin_curve(system: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and picoseconds per parameter of the int4 Marlin kernel, from the mixture-of-experts tables.

    A balanced mixture gives each expert tokens x top-k / experts rows, so one call times a matrix product of that
    many rows over all experts' weights. No table holds the dense kernel for vLLM on these GPUs.
    """
    root = Path(str(importlib.metadata.distribution("aiconfigurator-core").locate_file("aiconfigurator_core")))
    name, version = {"a100_sxm": ("sglang", "0.5.10"), "l40s": ("vllm", "0.24.0")}[system]
    table = pd.read_parquet(root / "systems" / "data" / system / "moe" / name / version / "moe_perf.parquet")
    rows = table[
        (table.moe_dtype == "int4_wo")
        & table.kernel_source.str.contains("marlin")
        & (table.distribution == "balanced")
        & (table.moe_ep_size == 1)
        & (table.moe_tp_size <= 2)
        & (table.num_experts.isin([8, 384]))
    ].copy()
    rows["m"] = rows.num_tokens * rows.topk / rows.num_experts
    weights = rows.num_experts * 3.0 * rows.hidden_size * rows.inter_size / rows.moe_tp_size
    rows["ps"] = rows.latency * 1e9 / weights
    curve = rows[rows.m >= 1].groupby("m").ps.median()
    smooth = isotonic_regression(curve.to_numpy()).x
    return curve.index.to_numpy(), np.asarray(smooth)


class Source:
    """Times of one configuration in seconds, as the tables (and the stated derivations) give them."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.system, self.version = SYSTEMS[wanted.gpu]
        self.notes: list[str] = []
        self.label = "derived"
        base = "bf16" if wanted.quantisation == "w4a16" else wanted.quantisation
        self.engine = engine(wanted.model.source, self.system, wanted.tensor_parallel, base)
        self.pair: EngineHandle | None = None
        if wanted.gpu == "l40s" and wanted.tensor_parallel == 4:
            if wanted.variant is None:
                self.pair = engine(wanted.model.source, self.system, 2, base)
                self.label = "estimated"
                self.notes.append(
                    "all-reduce scaled from two GPUs at equal bus bandwidth (x1.5): the table's four-GPU rows come from "
                    "a cross-socket host (3.8 GB/s against 18.8 GB/s) and a path vLLM does not take"
                )
            else:
                self.notes.append("all-reduce as collected on a cross-socket host without peer-to-peer access")
        if wanted.quantisation == "w4a16":
            self.label = "estimated"
            self.notes.append(
                "int4 matrix products from the Marlin mixture-of-experts tables; routing is included, so long prompts "
                "come out slow: other methods put W4A16 prefill at 1.06 to 1.7 times bf16"
            )

    def _sum(self, handle: EngineHandle, indices: tuple[int, ...], tokens: int) -> float:
        found = []
        for index in indices:
            try:
                found += handle.evaluate_context_ops([index], batch_size=1, s=tokens, prefix=0)
            except Exception:
                continue
        return sum(row[1] for row in found) / 1e3

    def dense_s(self, tokens: int) -> float:
        """Everything that depends on the tokens of the step alone."""
        seconds = self._sum(self.engine, OTHERS, tokens)
        if self.wanted.quantisation == "w4a16":
            rows, ps = marlin_curve(self.system)
            at = np.interp(tokens, rows, ps) if tokens <= rows[-1] else ps[-1] * tokens / rows[-1]
            seconds += float(at) * 1e-12 * self.wanted.model.gemm_parameters() / self.wanted.tensor_parallel
        else:
            seconds += self._sum(self.engine, GEMMS, tokens)
        if self.pair is not None:
            return seconds + 1.5 * self._sum(self.pair, ALL_REDUCES, tokens)
        return seconds + self._sum(self.engine, ALL_REDUCES, tokens)

    def lm_head_s(self, sequences: int) -> float:
        """Output head; it stays in 16 bits."""
        return float(self.engine.evaluate_generation_ops([LOGITS], batch_size=sequences, s=512)[0][1]) / 1e3

    def decode_attention_s(self, sequences: int, context: int) -> float:
        """Attention of one decode step with equal contexts."""
        return float(self.engine.evaluate_generation_ops([ATTENTION], batch_size=sequences, s=context)[0][1]) / 1e3

    def prefill_attention_s(self, tokens: int, past: int) -> float:
        """Attention of one prompt chunk."""
        return float(self.engine.evaluate_context_ops([ATTENTION], batch_size=1, s=tokens, prefix=past)[0][1]) / 1e3


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
    points = [(q, p) for q in (16, 64, 256, 512, 1024, 2048) for p in (0, 256, 1024, 4096, 8192)]
    times = np.array([source.prefill_attention_s(q, p) for q, p in points])
    weights = 1.0 / (times + np.array([source.dense_s(q) for q, _ in points]))
    rows = np.array([[1.0, q, q * (p + q / 2)] for q, p in points])
    scale = rows.max(axis=0)
    fit, _ = nnls(rows / scale * weights[:, None], times * weights)
    return tuple(float(value) for value in fit / scale)


def fit_error(source: Source, profile: dict[str, Any], steps: int = 300) -> dict[str, float]:
    """Error of the curves against the tables on random mixed steps, in per cent."""
    rng = np.random.default_rng(1)
    errors = []
    pre = profile["prefill_attention"]
    curve = {
        name: (np.array(profile[name]["x"]), np.array(profile[name]["y"]))
        for name in ("dense", "lm_head", "decode_attention", "decode_attention_per_kv_token")
    }
    for _ in range(steps):
        sequences = int(np.exp(rng.uniform(0, np.log(256))))
        context = int(np.clip(rng.lognormal(np.log(700), 0.8), 150, 4000))
        chunks = [(int(rng.integers(16, 680)), int(rng.integers(0, 4096))) for _ in range(rng.integers(0, 3))]
        tokens = sequences + sum(q for q, _ in chunks)
        true = source.dense_s(tokens) + source.lm_head_s(sequences + len(chunks))
        true += source.decode_attention_s(sequences, context)
        true += sum(source.prefill_attention_s(q, p) for q, p in chunks)
        ours = np.interp(tokens, *curve["dense"]) + np.interp(sequences + len(chunks), *curve["lm_head"])
        ours += np.interp(sequences, *curve["decode_attention"])
        ours += np.interp(sequences, *curve["decode_attention_per_kv_token"]) * sequences * context
        ours += sum(pre[0] + pre[1] * q + pre[2] * q * (p + q / 2) for q, p in chunks)
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
    """One profile, ready to be written."""
    source = Source(wanted)
    base, slope = fit_decode_attention(source)
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
            "licence": "Apache-2.0, NVIDIA Corporation & Affiliates",
            "tables": f"{source.system} vllm {source.version}",
            "derived_on": DERIVED,
            "command": f"python tools/derive_profiles.py --only {wanted.id}",
        },
        "notes": source.notes,
        "dense": curve(KNOTS, [source.dense_s(tokens) for tokens in KNOTS]),
        "lm_head": curve(SEQUENCES, [source.lm_head_s(sequences) for sequences in SEQUENCES]),
        "decode_attention": curve(SEQUENCES, base),
        "decode_attention_per_kv_token": curve(SEQUENCES, slope),
        "prefill_attention": [float(f"{value:.6g}") for value in fit_prefill_attention(source)],
        "overhead": OVERHEAD,
    }
    profile["fit_error"] = fit_error(source, profile)
    return profile


def write(profile: dict[str, Any]) -> None:
    """One line per key: short, and readable in a diff."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in profile.items()]
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / f"{profile['id']}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def fit_overhead(path: Path, profiles: dict[str, dict[str, Any]]) -> None:
    """Fit what a step costs beyond its kernels, on rows of quality A and A-; prints constants and error.

    The batch of a row follows from Little's law, b = rate x (end to end - TTFT). TTFT beyond a request's wait (half
    the step in flight, the step scheduled ahead, its own) is the front end's.
    """
    names = {("Llama-3.1-8B", 1): "llama-3.1-8b-bf16", ("Llama-3.1-70B", 4): "llama-3.3-70b-bf16"}
    rows, target, waits = [], [], []
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            known = [name for (model, tp), name in names.items() if model in row["model"] and row["tp"] == str(tp)]
            gpu = row["gpu"].lower().removesuffix("-sxm")
            profile = profiles.get(f"{known[0]}-{gpu}-x{row['tp']}") if known else None
            if profile is None or row["quality"] not in {"A", "A-"} or not row["itl_server_ms"] or not row["rate_rps"]:
                continue
            if not (row["e2e_mean_ms"] and row["ttft_mean_ms"] and row["quant"].startswith(("FP16", "BF16"))):
                continue
            ttft_s, e2e_s = float(row["ttft_mean_ms"]) / 1e3, float(row["e2e_mean_ms"]) / 1e3
            batch = float(row["rate_rps"]) * (e2e_s - ttft_s)
            prompt = re.findall(r"\d+", row["prompt_len_spec"])
            context = float(prompt[2] if len(prompt) > 2 else 575) + float(row["output_len_spec"] or 248) / 2
            kernel_s = decode_s(profile, batch, context)
            itl_s = float(row["itl_server_ms"]) / 1e3
            rows.append((row["id"], batch, kernel_s))
            target.append(itl_s)
            waits.append(ttft_s - 2.5 * itl_s)
    kernels = np.array([kernel for _, _, kernel in rows])
    batch = np.array([b for _, b, _ in rows])
    measured = np.array(target)
    design = np.column_stack([np.ones_like(batch), batch]) / measured[:, None]
    fit, _ = nnls(design, np.maximum(measured - kernels, 0.0) / measured)
    ours = kernels + fit[0] + fit[1] * batch
    for (name, b, kernel), itl_s, our in zip(rows, measured, ours, strict=True):
        print(
            f"{name:16s} b={b:6.1f} kernels {kernel * 1e3:6.2f} ms  ours {our * 1e3:6.2f}  measured {itl_s * 1e3:6.2f}"
        )
    error = 100 * np.abs(ours / measured - 1)
    print(f"per_step_s {fit[0]:.3g}  per_sequence_s {fit[1]:.3g}: median error {np.median(error):.1f} %")
    print(f"front end and output: median {np.median(waits) * 1e3:.1f} ms of TTFT beyond 2.5 steps")


def decode_s(profile: dict[str, Any], batch: float, context: float) -> float:
    """Seconds of a decode step by the curves, without overhead."""
    parts = [profile["dense"], profile["lm_head"], profile["decode_attention"]]
    fixed = sum(float(np.interp(batch, part["x"], part["y"])) for part in parts)
    slope = profile["decode_attention_per_kv_token"]
    return fixed + float(np.interp(batch, slope["x"], slope["y"])) * batch * context


def main() -> None:
    """Derive, write, and print a line per profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="id of one profile")
    parser.add_argument("--measurements", type=Path, help="serving measurements to fit the overhead on")
    arguments = parser.parse_args()
    found = importlib.metadata.version(PACKAGE)
    if found != VERSION:
        raise SystemExit(f"{PACKAGE} {VERSION} is needed, {found} is installed")
    profiles = {}
    for wanted in WANTED:
        if arguments.only in {None, wanted.id}:
            profiles[wanted.id] = profile = derive(wanted)
            write(profile)
            step_s = decode_s(profile, 64, 700)
            print(f"{wanted.id:45s} {profile['label']:9s} {step_s * 1e3:7.2f} ms at 64  {profile['fit_error']}")
    if arguments.measurements:
        fit_overhead(arguments.measurements, profiles)


if __name__ == "__main__":
    main()
