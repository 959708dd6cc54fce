"""GPU types, and what vLLM makes of their size by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU type.

    Attributes:
        memory_gib: Memory as CUDA reports it, which is what vLLM divides.
        tdp_w: Board power limit.
        source: Where both come from, and when it was looked up.
    """

    memory_gib: float
    tdp_w: float
    source: str


_SEEN: Final = "memory as PyTorch reports it in public logs"
_PART: Final = "assumed 0.99 of what nvidia-smi reports:"
_SHEET: Final = "NVIDIA data sheet, 2026-11"
GPUS: Final[dict[str, Gpu]] = {
    "a100-80gb": Gpu(79.25, 400.0, f"{_SEEN} (79.1 to 79.3); {_SHEET}, A100 SXM"),
    "l40s": Gpu(44.4, 350.0, f"{_SEEN} (44.34 to 44.67; 44.99 in nvidia-smi); {_SHEET}"),
    "h100-80gb": Gpu(79.18, 700.0, f"{_SEEN} (79.1 to 79.3; 79.65 in nvidia-smi); {_SHEET}, H100 SXM"),
    "a100-80gb-pcie": Gpu(79.25, 300.0, f"{_SEEN} (as the SXM board); {_SHEET}, A100 PCIe 80GB"),
    "h200": Gpu(139.8, 700.0, f"{_SEEN} (139.72 to 139.81); {_SHEET}, H200 SXM"),
    "a100-40gb": Gpu(39.4, 400.0, f"{_SEEN} (39.39 to 39.59); {_SHEET}, A100 SXM 40GB"),
    "h100-pcie": Gpu(79.1, 350.0, f"{_SEEN} (79.1 to 79.2); {_SHEET}, H100 PCIe"),
    "h100-nvl": Gpu(93.1, 400.0, f"{_SEEN} (93.0 to 93.1); {_SHEET}, H100 NVL"),
    "l4": Gpu(22.0, 72.0, f"{_SEEN} (22.0 to 22.5); {_SHEET}"),
    "t4": Gpu(14.6, 70.0, f"{_SEEN} (14.56 to 14.75); {_SHEET}"),
    "rtx-3070": Gpu(7.7, 220.0, f"{_SEEN} (7.66 to 7.79); {_SHEET}"),
    "rtx-3090": Gpu(23.7, 350.0, f"{_SEEN} (23.57 to 23.70); {_SHEET}"),
    "rtx-4090": Gpu(23.6, 450.0, f"{_SEEN} (23.5 to 23.65); {_SHEET}"),
    "rtx-5090": Gpu(31.4, 575.0, f"{_SEEN} (31.36 to 31.8); {_SHEET}"),
    "rtx-pro-6000": Gpu(94.97, 600.0, f"{_SEEN}; {_SHEET}, RTX PRO 6000 Blackwell"),
    "rtx-5080": Gpu(15.7, 360.0, f"{_SEEN} (15.47, and 15.92 under WSL); {_SHEET}"),
    "rtx-6000-ada": Gpu(47.4, 300.0, f"{_PART} 49,140 MiB; {_SHEET}, RTX 6000 Ada Generation"),
    "l40": Gpu(44.4, 300.0, f"as L40S, of the same memory; {_SHEET}"),
    "a10g": Gpu(22.1, 300.0, f"{_SEEN} (22.0 to 22.2); {_SHEET}, A10G"),
    "h20": Gpu(95.1, 400.0, f"{_PART} 97,871 MiB; {_SHEET}, H20"),
    "b300": Gpu(267.0, 1400.0, f"{_PART} 275,040 MiB; {_SHEET}, HGX B300"),
    "mi300x": Gpu(191.7, 750.0, f"{_SEEN}, by HIP; AMD data sheet, 2026-11, MI300X"),
    "a10": Gpu(22.2, 150.0, f"{_PART} 23,028 MiB; {_SHEET}, A10"),
    "a40": Gpu(44.4, 300.0, f"{_PART} 46,068 MiB; {_SHEET}, A40"),
    "l20": Gpu(44.4, 275.0, f"{_PART} 46,068 MiB; {_SHEET}, L20"),
    "v100-32gb": Gpu(31.7, 300.0, f"{_PART} 32,768 MiB; {_SHEET}, V100 SXM2"),
    "rtx-a6000": Gpu(47.5, 300.0, f"{_PART} 49,140 MiB; {_SHEET}, RTX A6000"),
    "rtx-a5000": Gpu(23.7, 230.0, f"{_PART} 24,564 MiB; {_SHEET}, RTX A5000"),
    "rtx-3060": Gpu(11.9, 170.0, f"{_PART} 12,288 MiB; {_SHEET}"),
    "rtx-4080": Gpu(15.8, 320.0, f"{_PART} 16,376 MiB; {_SHEET}"),
    "rtx-5060-ti": Gpu(15.8, 180.0, f"{_PART} 16,311 MiB; {_SHEET}, 16 GB"),
    "rtx-5070-ti": Gpu(15.8, 300.0, f"{_PART} 16,303 MiB; {_SHEET}"),
    "b200": Gpu(178.4, 1000.0, f"{_SEEN} (178 to 179); {_SHEET}"),
}

Version = tuple[int, int]
#: The version whose rules hold where a scenario names none.
NEWEST: Final[Version] = (0, 33)
#: From these sizes on vLLM takes larger batches; cards of the second only since 0.28.
_LARGE_GIB, _HUGE_GIB = 70.0, 160.0


def batch_defaults(gpu: str, version: Version = NEWEST) -> tuple[int, int]:
    """Most sequences and tokens of a step that vLLM's server takes by itself on a GPU.

    vLLM 0.8.5 to 0.33, `engine/arg_utils.py`, `get_batch_defaults` (server, not offline). Until 0.8 every A100 of 80 GB
    counted as large as well. A GPU that is not known counts as small, as it does there.
    """
    memory_gib = GPUS[gpu].memory_gib if gpu in GPUS else 0.0
    if memory_gib >= _HUGE_GIB and version >= (0, 28):
        return 1024, 16_384
    if memory_gib >= _LARGE_GIB and version >= (0, 8) and ("a100" not in gpu or version < (0, 9)):
        return 1024, 8192
    return 256, 2048
