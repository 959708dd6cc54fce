"""GPUs whose kernels were not timed, by the data sheets of theirs and of those that were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Board:
    """A GPU on another board than the one that was timed.

    Attributes:
        reads: What reading memory takes over the timed board.
        arithmetic: What arithmetic takes over it.
        source: Where both come from.
    """

    reads: float
    arithmetic: float
    source: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a data sheet says.

    Attributes:
        bandwidth_gb_s: Of memory.
        tflops: Dense arithmetic in bf16, sums in 32 bits.
        source: Which sheet, and when it was read.
    """

    bandwidth_gb_s: int
    tflops: float
    source: str


_NVIDIA: Final = "NVIDIA data sheet, 2026-11"
SHEETS: Final = {
    "a100-80gb": Sheet(2039, 312, _NVIDIA),
    "a100-80gb-pcie": Sheet(1935, 312, _NVIDIA),
    "a100-40gb": Sheet(1555, 312, _NVIDIA),
    "h100-80gb": Sheet(3350, 989, _NVIDIA),
    "h100-pcie": Sheet(2000, 756, _NVIDIA),
    "h100-nvl": Sheet(3900, 835, _NVIDIA),
    "h200": Sheet(4800, 989, _NVIDIA),
    "h20": Sheet(4000, 148, _NVIDIA),
    "b200": Sheet(8000, 2250, _NVIDIA),
    "b300": Sheet(8000, 2250, _NVIDIA),
    "l4": Sheet(300, 121, _NVIDIA),
    "l40": Sheet(864, 181, _NVIDIA),
    "l40s": Sheet(864, 362, _NVIDIA),
    "a10g": Sheet(600, 70, "AWS EC2 G5 and NVIDIA A10 data sheets, 2026-11"),
    "rtx-3090": Sheet(936, 71, "NVIDIA Ampere GA102 white paper, 2026-11"),
    "rtx-4090": Sheet(1008, 165, "NVIDIA Ada white paper, 2026-11"),
    "rtx-5090": Sheet(1792, 210, "NVIDIA RTX Blackwell white paper, 2026-11"),
    "rtx-6000-ada": Sheet(960, 364, _NVIDIA),
    "rtx-pro-6000": Sheet(1597, 504, f"{_NVIDIA}, Server Edition"),
    "mi300x": Sheet(5300, 1307, "AMD data sheet, 2026-11"),
}


def _scaled(board: str, timed: str) -> Board:
    """A board by both data sheets; how well that tells is in `tests/performance/test_roofline.py`."""
    own, other = SHEETS[board], SHEETS[timed]
    return Board(
        reads=round(other.bandwidth_gb_s / own.bandwidth_gb_s, 3),
        arithmetic=round(other.tflops / own.tflops, 3),
        source=f"{own.bandwidth_gb_s:,} for {other.bandwidth_gb_s:,} GB/s, {own.tflops:g} for {other.tflops:g} TFLOPS "
        f"of {timed} ({own.source})",
    )


#: Boards told from another chip by both data sheets, and that chip.
SCALED: Final = {
    "l4": "l40s", "l40": "l40s", "rtx-4090": "l40s", "rtx-6000-ada": "l40s", "h20": "h100-80gb",
    "rtx-5090": "rtx-pro-6000", "a10g": "a100-80gb", "rtx-3090": "a100-80gb",
}  # fmt: skip
#: By what their step times may be off: RTX PRO 6000 told from L40S so, another generation, comes out 1.07 to 1.26 times
#: what it is; H200 told from H100 0.9 to 1.1 times.
SCALED_BAND: Final = (0.75, 1.3)
BOARDS: Final = {
    "a100-80gb-pcie": Board(
        reads=1.054,
        arithmetic=1.35,
        source="1,935 for 2,039 GB/s (NVIDIA A100 data sheet); 300 for 400 W: p99 of TTFT of Qwen3-32B in bf16, nine "
        "closed loops on one such board under vLLM 0.19.0, 1.3 to 1.4 times what the SXM board's take",
    ),
    "a100-40gb": Board(
        reads=1.311,
        arithmetic=1.0,
        source="1,555 for 2,039 GB/s, and the same arithmetic (NVIDIA A100 data sheet)",
    ),
    "h100-pcie": Board(
        reads=1.675,
        arithmetic=1.308,
        source="2,000 for 3,350 GB/s, 756 for 989 TFLOPS (NVIDIA H100 data sheet); 350 for 700 W may cost more",
    ),
    "h100-nvl": Board(
        reads=0.859,
        arithmetic=1.184,
        source="3,900 for 3,350 GB/s, 835 for 989 TFLOPS (NVIDIA H100 data sheet); 400 for 700 W may cost more",
    ),
    **{board: _scaled(board, timed) for board, timed in SCALED.items()},
}
