"""Whether a model fits its GPUs, and how many KV blocks it leaves: what vLLM finds when it profiles itself.

At start-up vLLM runs the largest step its settings allow and samples for as many sequences as they allow. From its
share of the memory it takes the weights, the peak of that run, what lies outside PyTorch (NCCL above all), and, since
0.20, its estimate of the CUDA graphs; KV blocks get the rest (`v1/worker/gpu_worker.py`, `determine_available_memory`).
What is counted for the peak is derived from vLLM's source; `simulator bench memory` holds the sum against real
start-ups. Where layers keep different things, `kv_groups` says what a request holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final, Protocol

from simulator.errors import InfeasibleCluster
from simulator.performance.cuda_graphs import capture_sizes
from simulator.performance.kv_groups import KvPlan, kv_plan
from simulator.performance.lora import slot_bytes
from simulator.performance.outside_torch import outside_torch_gib
from simulator.scenario.gpus import GPUS
from simulator.units import GIB

if TYPE_CHECKING:
    from simulator.performance.architecture import ModelShape
    from simulator.scenario.gpus import Version
    from simulator.scenario.patterns import EngineSettings

#: Bytes for each sequence and vocabulary entry at the peak of sampling, derived from vLLM's and PyTorch's source:
#: logits in 16 bits (2) and 32 (4); then a sort for top-k and top-p, with its values (4), indices (8), theirs before
#: (8) and the radix sort's second copy of both (12). Six models on an H100 under vLLM 0.11 show 38.4 to 39.6, hidden
#: states included (llm-d-benchmark).
SORTED_BYTES: Final = 38.0
#: Without a sort (Triton since 0.17, FlashInfer where installed and since 0.21): the logits, and two arrays of 32 bits.
UNSORTED_BYTES: Final = 14.0
#: As before, and the penalties' counts of the second model runner, which stay: 4 and an eighth.
COUNTED_BYTES: Final = 18.125

#: cuBLAS's workspace on Hopper; 8 MiB before.
WORKSPACE_GIB: Final = 1 / 32

#: CUDA graphs in GiB, as vLLM estimates them: the first, and each further one by layer. Estimated from four public logs
#: of vLLM 0.19 to 0.27 (0.26 GiB for 5 graphs, 0.35 for 9, 0.36 for 16, 0.53 for 86 of 28 layers).
FIRST_GRAPH_GIB: Final = 0.25
GRAPH_LAYER_GIB: Final = 0.12 / 1024

#: Fewer requests of the longest length than this at once deserve a word.
FEW_REQUESTS: Final = 10


class Served(Protocol):
    """A model on a group of GPUs: a performance profile, or what a start-up says of itself."""

    @property
    def id(self) -> str:
        """Name, for messages."""

    @property
    def model(self) -> ModelShape:
        """Its shape."""

    @property
    def gpu(self) -> str:
        """GPU type."""

    @property
    def tensor_parallel(self) -> int:
        """GPUs among which it is split."""

    @property
    def weights_gib_per_gpu(self) -> float:
        """Memory of the weights on each GPU."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Memory of one GPU that is neither weights nor KV, in GiB.

    Attributes:
        peak_gib: Peak of the profiling run: sampling, or a forward pass.
        non_torch_gib: NCCL and others outside PyTorch.
        graphs_gib: CUDA graphs, where they are part of the budget.
        drafter_gib: What drafts for speculative decoding.
        adapters_gib: Slots of LoRA adapters.
    """

    peak_gib: float
    non_torch_gib: float
    graphs_gib: float
    drafter_gib: float = 0.0
    adapters_gib: float = 0.0

    @property
    def gib(self) -> float:
        """All of it."""
        stands = self.graphs_gib + self.drafter_gib + self.adapters_gib
        return self.peak_gib + self.non_torch_gib + stands


@dataclass(frozen=True, slots=True)
class KvCapacity:
    """Memory of one GPU of a replica, and the KV blocks it leaves.

    Attributes:
        gpu: GPU type.
        memory_gib: Memory of one GPU.
        utilisation: Share vLLM may use.
        weights_gib: Weights on one GPU.
        reserve: Everything else that is not KV.
        kv_bytes_per_token: Bytes of one token on one GPU, while no window has closed behind it.
        block_size: Tokens per block.
        num_gpu_blocks: KV blocks for the scheduler, the null block included; 0 when the weights do not fit. Where
            layers keep different things and it does not count by group, as many as hold in any case: see
            `_uniform_blocks`.
        max_model_len: Longest request.
        plan: How the memory is cut.
        by_group: Whether the scheduler counts the blocks of each group of layers, which keep different things.
        pool_blocks: Blocks of the pool, as vLLM counts them.
        max_num_seqs: Most sequences.
        version: Of vLLM.
        stated: Whether the blocks or their memory were stated, so that nothing was left to profiling.
    """

    gpu: str
    memory_gib: float
    utilisation: float
    weights_gib: float
    reserve: Reserve
    kv_bytes_per_token: int
    block_size: int
    num_gpu_blocks: int
    max_model_len: int
    plan: KvPlan
    by_group: bool
    pool_blocks: int
    max_num_seqs: int
    version: Version
    stated: bool

    @property
    def kv_gib(self) -> float:
        """Memory that profiling leaves for KV blocks on one GPU; negative when the weights do not fit."""
        return self.memory_gib * self.utilisation - self.weights_gib - self.reserve.gib

    @property
    def tokens(self) -> int:
        """Tokens of context that fit at once; counted by group, in requests of the greatest length."""
        if self.by_group:
            return int(self.requests * self.max_model_len)
        return max(0, self.num_gpu_blocks - 1) * self.block_size

    @property
    def requests(self) -> float:
        """Requests of `max_model_len` that fit at once, as vLLM prints it."""
        if self.plan.uniform:
            return self.tokens / self.max_model_len
        return max(0, self.pool_blocks - 1) / self.plan.request_blocks(self.max_model_len)

    @property
    def logged_tokens(self) -> int:
        """What vLLM prints as the size of the KV cache."""
        if self.plan.uniform:
            return self.tokens
        return self.plan.logged_tokens(max(0, self.pool_blocks - 1), self.max_model_len, self.version)

    def explain(self) -> str:
        """The arithmetic in one line."""
        if self.stated and self.plan.uniform:
            return f"{self.gpu}: {self.tokens:,} tokens ({self.num_gpu_blocks:,} blocks of {self.block_size}) as stated"
        graphs = f", {self.reserve.graphs_gib:.1f} CUDA graphs" if self.reserve.graphs_gib else ""
        graphs += f", {self.reserve.drafter_gib:.1f} drafter" if self.reserve.drafter_gib else ""
        graphs += f", {self.reserve.adapters_gib:.1f} LoRA adapters" if self.reserve.adapters_gib else ""
        left = (
            f"{self.gpu}: {self.memory_gib:.1f} GiB x {self.utilisation:.2f} - {self.weights_gib:.1f} GiB weights "
            f"- {self.reserve.gib:.1f} GiB ({self.reserve.peak_gib:.1f} peak of a profiling run, "
            f"{self.reserve.non_torch_gib:.1f} outside PyTorch{graphs}) = {self.kv_gib:.1f} GiB for KV per GPU; "
        )
        if not self.plan.uniform:
            return (
                f"{left}{self.pool_blocks:,} blocks shared by {len(self.plan.groups)} groups of layers, "
                f"{self.requests:.1f} requests of {self.max_model_len:,} tokens"
            ) + ("" if self.by_group else f"; {self.tokens:,} tokens in any case")
        return (
            f"{left}/ {self.kv_bytes_per_token / 1024:.0f} KiB per token = {self.tokens:,} tokens "
            f"({self.num_gpu_blocks:,} blocks of {self.block_size})"
        )


def sampling_bytes(version: Version, *, flashinfer: bool = False) -> float:
    """Bytes for each sequence and vocabulary entry at the peak of sampling.

    Read in the wheels of vLLM 0.8.5 to 0.33 (`v1/sample`, `v1/worker/gpu/sample`, `v1/worker/gpu_model_runner.py`).

    Args:
        version: Of vLLM.
        flashinfer: Whether FlashInfer is installed, which until 0.11 decided; later versions choose by themselves.
    """
    if version >= (0, 30):
        return COUNTED_BYTES
    if version >= (0, 17) or (flashinfer and (0, 8) <= version <= (0, 11)):
        return UNSORTED_BYTES
    return SORTED_BYTES


def reserve(
    model: ModelShape,
    tensor_parallel: int,
    engine: EngineSettings,
    *,
    gpu: str = "",
    v0: bool | None = None,
    flashinfer: bool = False,
) -> Reserve:
    """What vLLM needs of each GPU besides weights and KV blocks.

    A forward pass keeps for each token the two halves of the gate, their product, and three hidden states; after it
    the last hidden states are still there while as many sequences are sampled as there may be, each with a hidden state
    and a stand-in for it. V1 before 0.8 made logits for every token and sampled none; gathered from
    several GPUs they exist twice, beside a GPU's own part.

    Args:
        model: Its shape.
        tensor_parallel: GPUs among which it is split; each samples from the whole vocabulary.
        engine: vLLM's settings.
        gpu: GPU type, on which a context's size depends where that is counted.
        v0: Whether the V0 engine runs; by its version when absent.
        flashinfer: See `sampling_bytes`.
    """
    version, tokens = engine.version, engine.max_num_batched_tokens
    v0 = engine.is_v0 if v0 is None else v0
    seqs = min(engine.max_num_seqs, tokens)
    width = 3 * max(model.intermediate * model.experts_per_token, model.dense_intermediate) / tensor_parallel
    forward = 2 * tokens * (width + (2 + model.experts_per_token) * model.hidden)
    hidden = 2 * model.hidden * (tokens + 2 * seqs)
    encoding = 0.0
    if (encoder := model.encoder) is not None:
        # Images for as many tokens as a step has; of each patch a hidden state beside its norm and the two halves of a
        # network. What comes out stays while the text model runs.
        encoding = 4 * tokens * encoder.patches_per_token * (encoder.hidden + encoder.intermediate / tensor_parallel)
        hidden += 2 * model.hidden * tokens
        forward += 2 * model.hidden * tokens
    if version < (0, 8) and not v0:
        copies = 1.0 if tensor_parallel == 1 else 2.0 + 1.0 / tensor_parallel
        sampling = 2 * tokens * model.vocab * copies + hidden
    else:
        sampling = seqs * model.vocab * sampling_bytes(version, flashinfer=flashinfer) + hidden
    graphs_gib, drafts = 0.0, engine.speculative
    if version >= (0, 20) and not engine.enforce_eager:
        sizes = capture_sizes(engine.max_num_seqs, tokens, 1 if drafts is None else 1 + drafts.num_speculative_tokens)
        graphs = len(sizes) + sum(size <= engine.max_num_seqs for size in sizes)
        graphs_gib = FIRST_GRAPH_GIB + (graphs - 1) * model.layers * GRAPH_LAYER_GIB
    outside = outside_torch_gib(gpu, tensor_parallel, engine)
    peak_gib = max(forward, sampling, encoding) / GIB + WORKSPACE_GIB
    drafter_gib = 0.0 if drafts is None else (drafts.draft_memory or 0) / GIB
    lora = engine.lora
    slots = 0 if lora is None else lora.max_loras * slot_bytes(model, tensor_parallel, lora.max_lora_rank)
    return Reserve(peak_gib, outside, graphs_gib, drafter_gib, slots / GIB)


def kv_blocks(kv_gib: float, bytes_per_block: int) -> int:
    """Whole KV blocks in this much memory of each GPU; 0 when it is negative."""
    return max(0, int(kv_gib * GIB / bytes_per_block))


def measure_capacity(
    served: Served, engine: EngineSettings, *, v0: bool | None = None, flashinfer: bool = False
) -> KvCapacity:
    """KV blocks of one replica, whether or not it would start.

    Args:
        served: Model, GPU and weights.
        engine: vLLM's settings.
        v0: See `reserve`.
        flashinfer: See `sampling_bytes`.

    Raises:
        InfeasibleCluster: The memory of the GPU is not known, and neither blocks nor their memory are stated; or drafts
            are to be verified by layers that keep different things.
    """
    gpu = GPUS.get(served.gpu)
    if gpu is None and engine.num_gpu_blocks is None and engine.kv_cache_memory is None:
        raise InfeasibleCluster(f"{served.id}: the memory of {served.gpu} is unknown; state engine.num_gpu_blocks")
    model, gpus = served.model, served.tensor_parallel
    number_bytes = kv_number_bytes(model, engine)
    plan = kv_plan(
        model, gpus, number_bytes, engine.block_size, engine.max_num_batched_tokens, engine.version,
        prefix_caching=engine.prefix_caching,
    )  # fmt: skip
    if engine.speculative is not None and not plan.uniform:
        raise InfeasibleCluster(
            f"{served.id}: its layers keep different things, for which speculative decoding is not modelled; leave out "
            "engine.speculative"
        )
    needed = reserve(model, gpus, engine, gpu=served.gpu, v0=v0, flashinfer=flashinfer)
    memory_gib = gpu.memory_gib if gpu else 0.0
    free_gib = memory_gib * engine.gpu_memory_utilisation - served.weights_gib_per_gpu - needed.gib
    if engine.kv_cache_memory is not None:
        free_gib = engine.kv_cache_memory / GIB
    pool = engine.num_gpu_blocks or kv_blocks(free_gib, plan.bytes_per_block)
    by_group = not plan.uniform and not engine.prefix_caching
    return KvCapacity(
        gpu=served.gpu,
        memory_gib=memory_gib,
        utilisation=engine.gpu_memory_utilisation,
        weights_gib=served.weights_gib_per_gpu,
        reserve=needed,
        kv_bytes_per_token=model.kv_bytes_per_token(gpus, number_bytes),
        block_size=engine.block_size,
        num_gpu_blocks=pool if plan.uniform or by_group else _uniform_blocks(plan, pool, engine),
        max_model_len=engine.max_model_len,
        plan=plan,
        by_group=by_group,
        pool_blocks=pool,
        max_num_seqs=engine.max_num_seqs,
        version=engine.version,
        stated=engine.num_gpu_blocks is not None or engine.kv_cache_memory is not None,
    )


def kv_number_bytes(model: ModelShape, engine: EngineSettings) -> int:
    """Bytes of a number of the KV cache: what is set, or what the checkpoint asks for."""
    if engine.kv_cache_dtype == "auto":
        return model.kv_cache_bits // 8
    return 1 if engine.kv_cache_dtype.startswith("fp8") else 2


def _uniform_blocks(plan: KvPlan, pool: int, engine: EngineSettings) -> int:
    """Blocks of the same size for all tokens, so many that what they hold fits whatever the lengths of requests.

    Where prefixes are cached, the scheduler counts one kind of block. Every seat is given its states, and a window is
    taken never to close: cautious by at most the share of layers that have one. A request of `max_model_len` that vLLM
    has room for is held all the same.
    """
    states = sum(group.state_blocks for group in plan.groups)
    per_token = sum(1 / group.block_size for group in plan.groups if not group.state_blocks)
    left = pool - 1 - states * engine.max_num_seqs
    tokens = int(max(0, left) / per_token) if per_token else 0
    blocks = tokens // engine.block_size
    if not states and plan.concurrency(pool - 1, engine.max_model_len) >= 1.0:
        blocks = max(blocks, ceil(engine.max_model_len / engine.block_size))
    return blocks + 1 if blocks else 0


def kv_capacity(served: Served, engine: EngineSettings) -> KvCapacity:
    """KV blocks of one replica that starts.

    Raises:
        InfeasibleCluster: One request of `max_model_len` does not fit, so vLLM would not start; the message shows the
            arithmetic. Or see `measure_capacity`.
    """
    capacity = measure_capacity(served, engine)
    taken_gib = served.weights_gib_per_gpu + capacity.reserve.gib
    if engine.kv_cache_memory is not None and capacity.memory_gib:
        free_gib = capacity.memory_gib - taken_gib
        if engine.kv_cache_memory > free_gib * GIB:
            raise InfeasibleCluster(
                f"{served.id} does not fit: kv_cache_memory {engine.kv_cache_memory / GIB:.1f} GiB is more than "
                f"{capacity.memory_gib:.1f} GiB - {served.weights_gib_per_gpu:.1f} GiB weights - "
                f"{capacity.reserve.gib:.1f} GiB = {free_gib:.1f} GiB"
            )
    states = sum(group.state_blocks for group in capacity.plan.groups)
    if (
        states
        and not capacity.by_group
        and capacity.tokens < engine.max_model_len <= capacity.requests * engine.max_model_len
    ):
        most = (capacity.pool_blocks - 1 - capacity.plan.request_blocks(engine.max_model_len)) // states
        raise InfeasibleCluster(
            f"{served.id} does not fit: each sequence keeps {states} blocks of states, and {engine.max_num_seqs:,} of "
            f"them leave too few of {capacity.pool_blocks:,} for one request of max_model_len "
            f"{engine.max_model_len:,} tokens. Set max_num_seqs to {max(1, most):,} or less"
        )
    if capacity.requests < 1 or (capacity.plan.uniform and capacity.tokens < engine.max_model_len):
        raise InfeasibleCluster(
            f"{served.id} does not fit: one request of max_model_len {engine.max_model_len:,} tokens needs more KV "
            f"than there is. {capacity.explain()}. Use more or larger GPUs, smaller weights, a shorter max_model_len "
            "or a smaller max_num_seqs"
        )
    straddled = capacity.plan.straddled_blocks(engine.max_model_len)
    if not capacity.plan.uniform and capacity.pool_blocks - 1 < straddled:
        raise InfeasibleCluster(
            f"{served.id} does not fit: it attends within chunks that are no whole blocks, and one request may need "
            f"{straddled:,} of {capacity.pool_blocks - 1:,} blocks. vLLM starts, and preempts such a request for ever. "
            "Set a block_size that divides the chunk, or a shorter max_model_len"
        )
    return capacity
