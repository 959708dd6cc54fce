"""Whether a model fits its GPUs, and how many KV blocks it leaves: vLLM's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.errors import InfeasibleCluster
from simulator.units import GIB

if TYPE_CHECKING:
    from simulator.performance.profile import PerformanceProfile
    from simulator.scenario.patterns import EngineSettings


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
GPUS: Final[dict[str, Gpu]] = {
    "a100-80gb": Gpu(79.25, 400.0, f"{_SEEN} (79.1 to 79.3); NVIDIA A100 SXM data sheet, 2026-11"),
    "l40s": Gpu(44.4, 350.0, f"{_SEEN} (44.34 to 44.67; 44.99 in nvidia-smi); NVIDIA L40S data sheet, 2026-11"),
    "h100-80gb": Gpu(79.2, 700.0, f"{_SEEN} (79.1 to 79.3; 79.65 in nvidia-smi); NVIDIA H100 SXM data sheet, 2026-11"),
    "a100-80gb-pcie": Gpu(79.25, 300.0, f"{_SEEN} (as the SXM board); NVIDIA A100 PCIe 80GB data sheet, 2026-11"),
    "h200": Gpu(139.8, 700.0, f"{_SEEN} (139.72 to 139.81); NVIDIA H200 data sheet, 2026-11"),
}

#: What vLLM needs besides weights and KV blocks: activations of a profiling run, CUDA graphs, NCCL, the context.
#: Chosen so that block counts match those real vLLM reported on H100 (inference-sim golden files, see the tests).
RESERVE_GIB: Final = 2.0

#: The same as aiconfigurator-core 0.12.0 estimates it: 3.5 for the framework, 0.2 for activations, 0.4 for NCCL.
CONSERVATIVE_RESERVE_GIB: Final = 4.1

#: Below this share of the memory KV blocks hold so few sequences that nobody would run the cluster.
LEAST_KV_SHARE: Final = 0.10


@dataclass(frozen=True, slots=True)
class KvCapacity:
    """Memory of one GPU of a replica, and the KV blocks it leaves.

    Attributes:
        gpu: GPU type.
        memory_gib: Memory of one GPU.
        utilisation: Share vLLM may use.
        weights_gib: Weights on one GPU.
        reserve_gib: Everything else that is not KV.
        kv_bytes_per_token: Bytes of one token on one GPU.
        block_size: Tokens per block.
        num_gpu_blocks: KV blocks, the null block included; 0 when the weights do not fit.
    """

    gpu: str
    memory_gib: float
    utilisation: float
    weights_gib: float
    reserve_gib: float
    kv_bytes_per_token: int
    block_size: int
    num_gpu_blocks: int

    @property
    def kv_gib(self) -> float:
        """Memory left for KV blocks on one GPU; negative when the weights do not fit."""
        return self.memory_gib * self.utilisation - self.weights_gib - self.reserve_gib

    @property
    def tokens(self) -> int:
        """Tokens of context that fit at once."""
        return max(0, self.num_gpu_blocks - 1) * self.block_size

    def explain(self) -> str:
        """The arithmetic in one line."""
        if not self.memory_gib:
            return f"{self.gpu}: {self.tokens:,} tokens ({self.num_gpu_blocks:,} blocks of {self.block_size}) as stated"
        return (
            f"{self.gpu}: {self.memory_gib:.1f} GiB x {self.utilisation:.2f} - {self.weights_gib:.1f} GiB weights "
            f"- {self.reserve_gib:.1f} GiB activations, graphs and NCCL = {self.kv_gib:.1f} GiB for KV per GPU; "
            f"/ {self.kv_bytes_per_token / 1024:.0f} KiB per token = {self.tokens:,} tokens "
            f"({self.num_gpu_blocks:,} blocks of {self.block_size})"
        )


def kv_blocks(kv_gib: float, kv_bytes_per_token: int, block_size: int) -> int:
    """Whole KV blocks in this much memory of each GPU; 0 when it is negative."""
    return max(0, int(kv_gib * GIB / (kv_bytes_per_token * block_size)))


def kv_capacity(profile: PerformanceProfile, engine: EngineSettings, *, reserve_gib: float = RESERVE_GIB) -> KvCapacity:
    """KV blocks of one replica (vLLM 0.33, `v1/worker/gpu_worker.py`, `determine_available_memory`).

    Args:
        profile: Model, GPU and weights.
        engine: vLLM's settings.
        reserve_gib: Memory of each GPU that is neither weights nor KV.

    Raises:
        InfeasibleCluster: The longest request does not fit, so vLLM would not start; or next to nothing is left for
            KV blocks and `num_gpu_blocks` does not insist. The message shows the arithmetic.
    """
    gpu = GPUS.get(profile.gpu)
    if gpu is None:
        if engine.num_gpu_blocks is None:
            raise InfeasibleCluster(
                f"{profile.id}: the memory of {profile.gpu} is unknown; state engine.num_gpu_blocks"
            )
        gpu = Gpu(0.0, 0.0, "unknown")
    per_token = profile.model.kv_bytes_per_token(profile.tensor_parallel)
    free_gib = gpu.memory_gib * engine.gpu_memory_utilisation - profile.weights_gib_per_gpu - reserve_gib
    blocks = engine.num_gpu_blocks
    if blocks is None:
        blocks = kv_blocks(free_gib, per_token, engine.block_size)
    capacity = KvCapacity(
        gpu=profile.gpu,
        memory_gib=gpu.memory_gib,
        utilisation=engine.gpu_memory_utilisation,
        weights_gib=profile.weights_gib_per_gpu,
        reserve_gib=reserve_gib,
        kv_bytes_per_token=per_token,
        block_size=engine.block_size,
        num_gpu_blocks=blocks,
    )
    remedy = "Use more or larger GPUs, smaller weights or a shorter max_model_len"
    if engine.num_gpu_blocks is None and capacity.kv_gib < LEAST_KV_SHARE * gpu.memory_gib:
        raise InfeasibleCluster(
            f"{profile.id} leaves next to no room for KV blocks: less than {LEAST_KV_SHARE:.0%} of the memory. "
            f"{capacity.explain()}, {capacity.tokens / engine.max_model_len:.1f} requests of max_model_len. {remedy}"
        )
    if capacity.tokens < engine.max_model_len:
        raise InfeasibleCluster(
            f"{profile.id} does not fit: one request of max_model_len {engine.max_model_len:,} tokens needs more KV "
            f"than there is. {capacity.explain()}. {remedy}"
        )
    return capacity
