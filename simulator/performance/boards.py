"""GPUs on other boards than the ones whose kernels were timed."""

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
}
