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
    "rtx_pro_6000_server": ("vllm", "0.24.0", (8, 384)),
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


#: Tables of vLLM's all-reduce: over NVLink, over PCIe of the fourth generation between two L40S, of the fifth among RTX
#: PRO 6000, and among four and eight L40S of two sockets.
_ALL_REDUCE_TABLES: Final = {
    "a100_sxm": "0.14.0", "h100_sxm": "0.24.0", "h200_sxm": "0.24.0", "l40s": "0.22.0", "rtx_pro_6000_server": "0.24.0",
}  # fmt: skip


@cache
def all_reduce(system: str, gpus: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sizes in elements of 16 bits, and seconds, of vLLM's all-reduce inside CUDA graphs."""
    table = table_of(system, "comm", "vllm", _ALL_REDUCE_TABLES[system], "custom_allreduce_perf.parquet")
    rows = table[(table.backend == "vllm_graph") & (table.num_gpus == gpus)].groupby("message_size").latency.mean()
    return rows.index.to_numpy(float), rows.to_numpy(float) / 1e3


@cache
def nccl_all_reduce(gpus: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same by NCCL among L40S of two sockets, at the sizes of vLLM's tables, in proportion beyond its own."""
    import numpy as np

    table = table_of("l40s", "comm", "nccl", "2.27.3", "nccl_perf.parquet")
    rows = table[(table.op_name == "all_reduce") & (table.nccl_dtype == "half") & (table.num_gpus == gpus)]
    timed = rows.groupby("message_size").latency.mean() / 1e3
    sizes, longest = all_reduce("l40s", 2)[0], float(timed.index[-1])
    return sizes, np.interp(sizes, timed.index, timed) * np.maximum(1.0, sizes / longest)


def link_all_reduce(link: str, gpus: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same over a link: a system's own, `pcie_4`, `pcie_5` or `no_p2p`.

    Among four and eight GPUs on PCIe 4 it takes as many times as long as between two as it does, size by size, on
    PCIe 5: the L40S rows for more than two come from a host of two sockets without peer-to-peer access. There vLLM
    leaves it to NCCL, whose rows from that host are `no_p2p`. Between two, data that goes through host memory crosses
    PCIe twice: twice the time of L40S.
    """
    if link == "no_p2p":
        sizes, seconds = link_all_reduce("pcie_4", gpus)
        # Short ones are a matter of latency, which the ratio above overstates.
        return sizes, 2.0 * seconds if gpus == 2 else seconds.clip(min=nccl_all_reduce(gpus)[1])
    if link == "pcie_4":
        sizes, seconds = all_reduce("l40s", 2)
        return (sizes, seconds) if gpus == 2 else (sizes, seconds * pcie_ratio(gpus)[1])
    return all_reduce("rtx_pro_6000_server" if link == "pcie_5" else link, gpus)


def pcie_ratio(gpus: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sizes, and how many times as long as between two an all-reduce takes among more, on RTX PRO 6000 (PCIe 5)."""
    sizes, seconds = all_reduce("rtx_pro_6000_server", 2)
    return sizes, all_reduce("rtx_pro_6000_server", gpus)[1] / seconds


@cache
def experts(
    system: str, version: str, model: ModelShape, tensor_parallel: int, dtype: str = "bfloat16"
) -> NDArray[np.float64]:
    """Tokens and seconds of one layer's experts, from rows in which their load is even, or next to it.

    With even load few tokens reach as many experts as they can; with random choice they meet, so fewer are read. The
    expected number of experts read, E (1 - (1 - k/E)^m) for m tokens that take k of E, corrects for that.
    """
    import numpy as np

    table = table_of(system, "moe", "vllm", version, "moe_perf.parquet")
    shape = {
        "moe_dtype": dtype, "num_experts": model.experts, "topk": model.experts_per_token, "moe_ep_size": 1,
        "hidden_size": model.hidden, "inter_size": model.intermediate, "moe_tp_size": tensor_parallel,
    }  # fmt: skip
    for key, value in shape.items():
        table = table[table[key] == value]
    loads = [name for name in ("balanced", "power_law_1.01") if (table.distribution == name).any()]
    if not loads:
        raise ProfileError(f"{model.name}: no timings of such experts ({dtype}) on {system} x{tensor_parallel}")
    rows = table[table.distribution == loads[0]].groupby("num_tokens").latency.median()
    tokens, seconds = rows.index.to_numpy(np.float64), rows.to_numpy(np.float64) / 1e3
    if loads[0] == "balanced":
        share = model.experts_per_token / model.experts
        reached = np.minimum(1.0, share * tokens)
        seconds = seconds * (1.0 - (1.0 - share) ** tokens) / reached
    return np.array([tokens, seconds])
