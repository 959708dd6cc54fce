"""Memory of a GPU that vLLM counts and PyTorch does not hand out: NCCL's buffers, and the CUDA context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.units import GIB

if TYPE_CHECKING:
    from simulator.scenario.patterns import EngineSettings

#: Outside PyTorch, by GPUs of a replica, in GiB. Measured for one and two H100 with NVLink (llm-d-benchmark,
#: empirical-vllm-memory-results, vLLM 0.11: 0.13 to 0.14, and 0.55); for four and eight assumed from public start-ups
#: (1.0 to 1.5).
NON_TORCH_GIB: Final = {1: 0.13, 2: 0.55, 4: 1.0, 8: 1.5}
#: Until this version the CUDA context was counted as well; 0.9.1 takes the difference to a start at which it stood
#: (`v1/worker/gpu_worker.py` in the wheels of 0.9.0 and 0.9.1).
_CONTEXT_COUNTED: Final = (0, 9, 0)
#: Bytes of a context for each thread that may be resident: the stack that the driver sets aside (1 KiB unless it is
#: told otherwise, `cudaLimitStackSize` of CUDA's programming guide), and what grows with it. Fitted on four public
#: start-ups (T4 0.1 GiB, RTX 3090 0.3, H100 0.9 and 1.1).
_BYTES_PER_THREAD: Final = 3.5 * 1024
#: Multiprocessors and threads that may be resident on each, by chip (NVIDIA's architecture white papers; CUDA's
#: programming guide, compute capabilities).
_RESIDENT: Final[dict[str, tuple[int, int]]] = {
    "t4": (40, 1024), "v100-32gb": (80, 2048), "a100-80gb": (108, 2048), "a100-80gb-pcie": (108, 2048),
    "a100-40gb": (108, 2048), "h100-80gb": (132, 2048), "h100-nvl": (132, 2048), "h100-pcie": (114, 2048),
    "h200": (132, 2048), "h20": (78, 2048), "l4": (58, 1536), "l20": (92, 1536), "l40": (142, 1536),
    "l40s": (142, 1536), "a10": (72, 1536), "a10g": (80, 1536), "a40": (84, 1536), "rtx-3060": (28, 1536),
    "rtx-3070": (46, 1536), "rtx-3090": (82, 1536), "rtx-4080": (76, 1536), "rtx-4090": (128, 1536),
    "rtx-6000-ada": (142, 1536), "rtx-a5000": (64, 1536), "rtx-a6000": (84, 1536),
}  # fmt: skip
#: Of a chip that is not among them; assumed.
_OTHER_CONTEXT_GIB: Final = 0.5


def outside_torch_gib(gpu: str, tensor_parallel: int, engine: EngineSettings) -> float:
    """What vLLM finds outside PyTorch on each GPU, in GiB.

    Args:
        gpu: GPU type.
        tensor_parallel: GPUs among which a model is split.
        engine: vLLM's settings; its version counts.
    """
    found = NON_TORCH_GIB[max(n for n in NON_TORCH_GIB if n <= tensor_parallel)]
    return found + (context_gib(gpu) if _patch(engine) <= _CONTEXT_COUNTED else 0.0)


def context_gib(gpu: str) -> float:
    """A CUDA context on a GPU, in GiB."""
    if gpu not in _RESIDENT:
        return _OTHER_CONTEXT_GIB
    multiprocessors, threads = _RESIDENT[gpu]
    return multiprocessors * threads * _BYTES_PER_THREAD / GIB


def _patch(engine: EngineSettings) -> tuple[int, ...]:
    """The whole version; of one that names two numbers the first of these."""
    if engine.vllm_version is None:
        return engine.version
    numbers = [int(number) for number in engine.vllm_version.split(".")]
    return tuple([*numbers, 0][:3])
