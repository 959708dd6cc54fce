"""Kernel timings of one configuration, read from the tables inside the wheel `aiconfigurator-core`."""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from aiconfigurator_core.sdk.engine import EngineHandle
from scipy.optimize import isotonic_regression

PACKAGE, VERSION = "aiconfigurator-core", "0.12.0"
#: Of aiconfigurator_core-0.12.0-cp311-abi3-manylinux_2_28_x86_64.whl.
WHEEL_SHA256 = "aadc4aad0a00bf8a61c477c62bef43de479849c3aa0b1c3078068e08309eccc4"

#: The package's operations of one step, by index; `Source` refuses to work with any other list.
OPERATIONS = (
    "embedding", "add_norm_1", "qkv_gemm", "attention", "proj_gemm", "add_norm_2", "gate_ffn1_gemm", "act_gate",
    "ffn2_gemm", "logits_gemm", "embedding_ar", "ar_1", "ar_2",
)  # fmt: skip
ATTENTION, LOGITS = OPERATIONS.index("attention"), OPERATIONS.index("logits_gemm")
GEMMS = tuple(i for i, name in enumerate(OPERATIONS) if name.endswith("_gemm") and i != LOGITS)
ALL_REDUCES = tuple(i for i, name in enumerate(OPERATIONS) if name.endswith(("_ar", "ar_1", "ar_2")))
OTHERS = tuple(i for i in range(len(OPERATIONS)) if i not in {ATTENTION, LOGITS, *GEMMS, *ALL_REDUCES})

#: GPU to the package's name for it, and the vLLM version of its tables.
SYSTEMS = {
    "a100-80gb": ("a100_sxm", "0.14.0"),
    "l40s": ("l40s", "0.24.0"),
    "h100-80gb": ("h100_sxm", "0.24.0"),
    "h200": ("h200_sxm", "0.24.0"),
}
#: The largest token budgets vLLM uses by itself; knots beyond serve nobody.
USEFUL_TOKENS = {"a100-80gb": 8192, "l40s": 8192, "h100-80gb": 16384, "h200": 16384}


@dataclass(frozen=True)
class Model:
    """Shape of a model.

    Attributes:
        source: Its name in the package, or the architecture to describe to the package when it has none.
    """

    name: str
    hf_names: tuple[str, ...]
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

    def config(self) -> dict[str, Any]:
        """A `config.json` for models the package does not bring."""
        return {
            "architectures": [self.source],
            "model_type": "qwen3" if self.source.startswith("Qwen3") else "llama",
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocab,
            "max_position_embeddings": 131072,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
        }


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


@cache
def engine(model: Model, system: str, tensor_parallel: int, quantisation: str) -> EngineHandle:
    """The package's engine for tables that exist.

    Raises:
        RuntimeError: It takes a step apart in another way than this script.
    """
    mode = {"bf16": "bfloat16", "fp8": "fp8"}[quantisation]
    with tempfile.TemporaryDirectory() as folder:
        source = model.source
        if "/" not in source:
            (Path(folder) / "config.json").write_text(json.dumps(model.config()), encoding="utf-8")
            source = folder
        handle = EngineHandle.compile(source, system, "vllm", tp_size=tensor_parallel, gemm_quant_mode=mode)
    for phase, evaluate in (
        ("context", handle.evaluate_context_ops),
        ("generation", handle.evaluate_generation_ops),
    ):
        found = tuple(evaluate([i], batch_size=1, s=64)[0][0] for i in range(len(OPERATIONS)))
        if found != tuple(f"{phase}_{name}" for name in OPERATIONS):
            raise RuntimeError(f"{model.name}: unknown operations {found}")
    return handle


@cache
def gemm_rows(system: str, version: str) -> tuple[int, ...]:
    """Row counts for which matrix products were timed; between them the package interpolates."""
    table = _tables(system, "gemm", "vllm", version, "gemm_perf.parquet")
    return tuple(sorted(int(m) for m in table.m.unique()))


def _tables(system: str, *path: str) -> pd.DataFrame:
    root = Path(str(importlib.metadata.distribution(PACKAGE).locate_file("aiconfigurator_core")))
    return pd.read_parquet(root.joinpath("systems", "data", system, *path))


@cache
def marlin_curve(system: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and picoseconds per parameter of the int4 Marlin kernel, from the mixture-of-experts tables.

    A balanced mixture gives each expert tokens x top-k / experts rows, so one call times a matrix product of that
    many rows over all experts' weights. No table holds the dense kernel for vLLM on these GPUs.
    """
    name, version = {"a100_sxm": ("sglang", "0.5.10"), "l40s": ("vllm", "0.24.0")}[system]
    table = _tables(system, "moe", name, version, "moe_perf.parquet")
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
    return curve.index.to_numpy(), np.asarray(isotonic_regression(curve.to_numpy()).x)


class Source:
    """Times of one configuration in seconds, as the tables (and the stated derivations) give them."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.system, self.version = SYSTEMS[wanted.gpu]
        self.notes: list[str] = []
        self.label = "derived"
        base = "bf16" if wanted.quantisation == "w4a16" else wanted.quantisation
        self.engine = engine(wanted.model, self.system, wanted.tensor_parallel, base)
        self.pair: EngineHandle | None = None
        if wanted.gpu == "l40s" and wanted.tensor_parallel == 4:
            self._choose_all_reduce(base)
        if wanted.quantisation == "w4a16":
            self.label = "estimated"
            self.notes.append(
                "int4 matrix products from the Marlin mixture-of-experts tables; routing is included, so long prompts "
                "come out slow: other methods put W4A16 prefill at 1.06 to 1.7 times bf16"
            )

    def _choose_all_reduce(self, base: str) -> None:
        if self.wanted.variant is None:
            self.pair = engine(self.wanted.model, self.system, 2, base)
            self.label = "estimated"
            self.notes.append(
                "all-reduce scaled from two GPUs at equal bus bandwidth (x1.5): the table's four-GPU rows come from a "
                "cross-socket host (3.8 GB/s against 18.8 GB/s) and a path vLLM does not take"
            )
        else:
            self.notes.append("all-reduce as collected on a cross-socket host without peer-to-peer access")

    @property
    def max_tokens(self) -> int:
        """Tokens of a step beyond which the times of matrix products are extrapolated."""
        if self.wanted.quantisation == "w4a16":
            return int(marlin_curve(self.system)[0][-1])
        return gemm_rows(self.system, self.version)[-1]

    def knots(self) -> list[int]:
        """Token counts between which the dense layers are straight: those of the tables, thinned below 16."""
        rows = set(gemm_rows(self.system, self.version))
        if self.wanted.quantisation == "w4a16":
            rows |= {int(m) for m in marlin_curve(self.system)[0]}
        few = {1, 2, 4, 8, 12}
        return sorted(m for m in rows if m in few or 16 <= m <= USEFUL_TOKENS[self.wanted.gpu])

    @staticmethod
    def _sum(handle: EngineHandle, indices: tuple[int, ...], tokens: int) -> float:
        rows = handle.evaluate_context_ops(list(indices), batch_size=1, s=tokens, prefix=0)
        return float(sum(row[1] for row in rows)) / 1e3

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
