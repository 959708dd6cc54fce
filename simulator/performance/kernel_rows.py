"""Rows of the kernel tables inside the wheel `aiconfigurator-core`, read as they are."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from simulator.errors import ProfileError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from simulator.performance.architecture import ModelShape

PACKAGE: Final = "aiconfigurator-core"
#: Tables with the int4 Marlin kernel inside a mixture of experts, and the numbers of experts to take.
_MARLIN_TABLES: Final = {
    "a100_sxm": ("sglang", "0.5.10", (8, 384)),
    "l40s": ("vllm", "0.24.0", (8, 384)),
    "h100_sxm": ("sglang", "0.5.10", (8, 384)),
    "h200_sxm": ("vllm", "0.19.0", (8, 384)),
}


def table_of(system: str, *path: str) -> pd.DataFrame:
    """A table of one system, by its path below the system's data."""
    import pandas as pd

    root = Path(str(importlib.metadata.distribution(PACKAGE).locate_file("aiconfigurator_core")))
    return pd.read_parquet(root.joinpath("systems", "data", system, *path))


@cache
def gemm_rows(system: str, version: str) -> tuple[int, ...]:
    """Row counts for which matrix products were timed; between them the package interpolates."""
    table = table_of(system, "gemm", "vllm", version, "gemm_perf.parquet")
    return tuple(sorted(int(m) for m in table.m.unique()))


@cache
def marlin(system: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and picoseconds per parameter of the int4 Marlin kernel, from the mixture-of-experts tables.

    A balanced mixture gives each expert tokens x top-k / experts rows, so one call times a matrix product of that
    many rows over all experts' weights. No table holds the dense kernel for vLLM on these GPUs.
    """
    import numpy as np
    from scipy.optimize import isotonic_regression

    name, version, experts = _MARLIN_TABLES[system]
    table = table_of(system, "moe", name, version, "moe_perf.parquet")
    rows = table[
        (table.moe_dtype == "int4_wo")
        & table.kernel_source.str.contains("marlin")
        & (table.distribution == "balanced")
        & (table.moe_ep_size == 1)
        & (table.moe_tp_size <= 2)
        & (table.num_experts.isin(experts))
    ].copy()
    rows["m"] = rows.num_tokens * rows.topk / rows.num_experts
    weights = rows.num_experts * 3.0 * rows.hidden_size * rows.inter_size / rows.moe_tp_size
    rows["ps"] = rows.latency * 1e9 / weights
    curve = rows[rows.m >= 1].groupby("m").ps.median()
    return curve.index.to_numpy(), np.asarray(isotonic_regression(curve.to_numpy()).x)


@cache
def experts(system: str, version: str, model: ModelShape, tensor_parallel: int) -> NDArray[np.float64]:
    """Tokens and seconds of one layer's experts, from rows in which their load is even, or next to it.

    With even load few tokens reach as many experts as they can; with random choice they meet, so fewer are read. The
    expected number of experts read, E (1 - (1 - k/E)^m) for m tokens that take k of E, corrects for that.
    """
    import numpy as np

    table = table_of(system, "moe", "vllm", version, "moe_perf.parquet")
    shape = {
        "moe_dtype": "bfloat16", "num_experts": model.experts, "topk": model.experts_per_token, "moe_ep_size": 1,
        "hidden_size": model.hidden, "inter_size": model.intermediate, "moe_tp_size": tensor_parallel,
    }  # fmt: skip
    for key, value in shape.items():
        table = table[table[key] == value]
    loads = [name for name in ("balanced", "power_law_1.01") if (table.distribution == name).any()]
    if not loads:
        raise ProfileError(f"{model.name}: no timings of such a mixture of experts on {system} x{tensor_parallel}")
    rows = table[table.distribution == loads[0]].groupby("num_tokens").latency.median()
    tokens, seconds = rows.index.to_numpy(np.float64), rows.to_numpy(np.float64) / 1e3
    if loads[0] == "balanced":
        share = model.experts_per_token / model.experts
        reached = np.minimum(1.0, share * tokens)
        seconds = seconds * (1.0 - (1.0 - share) ** tokens) / reached
    return np.array([tokens, seconds])
