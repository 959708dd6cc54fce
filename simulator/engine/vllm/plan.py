"""What the replicas of a cluster are made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import inf, isfinite, lcm
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.engine.vllm import state
from simulator.engine.vllm.kv_groups import CHUNK, FULL, STATE, WINDOW
from simulator.engine.vllm.state import UNLIMITED
from simulator.performance.clusters import cluster_profile
from simulator.performance.lora import FREE, LoraCost, lora_cost
from simulator.performance.memory import kv_capacity
from simulator.performance.step_time import ProfiledStepTime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.engine.ledger import Ledger
    from simulator.performance.kv_groups import KvGroup
    from simulator.performance.profile import PerformanceProfile
    from simulator.performance.step_time import StepTimeModel
    from simulator.scenario.patterns import Cluster, EngineSettings

_KEEPS: Final = {"full": FULL, "latent": FULL, "window": WINDOW, "chunk": CHUNK, "state": STATE}


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """What one replica of a cluster is made of.

    Attributes:
        step_time: How long a step takes.
        num_gpu_blocks: KV blocks, the null block included.
        frontend_base_s: Delay before the engine core sees a request (HTTP, tokenising).
        frontend_per_prompt_token_s: The part of it that grows with the prompt.
        output_s: Delay from the end of a step to the client.
        launch_s: Host time between scheduling a step and its start, which under asynchronous scheduling hides
            behind the step before; no longer than a step. A synchronous engine pays it in its step time.
        groups: What its groups of layers keep, where not all keep everything in blocks of one size.
        lora: What LoRA adapters add to its steps.
    """

    step_time: StepTimeModel
    num_gpu_blocks: int
    frontend_base_s: float = 0.0
    frontend_per_prompt_token_s: float = 0.0
    output_s: float = 0.0
    launch_s: float = 0.0
    groups: tuple[KvGroup, ...] = ()
    lora: LoraCost = FREE

    def kv_tokens(self, block_size: int, request_tokens: float) -> int:
        """Tokens that the KV blocks hold at once, in requests of so many each."""
        blocks = self.num_gpu_blocks - 1
        if not self.groups:
            return blocks * block_size
        tokens = max(1, round(request_tokens))
        return blocks * tokens // sum(group.blocks(tokens, 1) for group in self.groups)

    def front_end_s(self, prompt_tokens: int) -> float:
        """How long a prompt takes to the engine core."""
        return self.frontend_base_s + self.frontend_per_prompt_token_s * prompt_tokens


def plan_of(profile: PerformanceProfile, engine: EngineSettings) -> ReplicaPlan:
    """A replica of this profile under these settings.

    Raises:
        InfeasibleCluster: The model does not fit the GPUs; the message shows the arithmetic.
    """
    overhead, capacity = profile.overhead, kv_capacity(profile, engine)
    return ReplicaPlan(
        step_time=ProfiledStepTime(
            profile,
            engine.max_num_seqs,
            engine.max_num_batched_tokens,
            enforce_eager=engine.enforce_eager,
            v0_engine=engine.is_v0,
            query_len=1 if engine.speculative is None else 1 + engine.speculative.num_speculative_tokens,
        ),
        num_gpu_blocks=capacity.num_gpu_blocks,
        frontend_base_s=overhead.frontend_base_s,
        frontend_per_prompt_token_s=overhead.frontend_per_prompt_token_s,
        output_s=overhead.output_s,
        groups=capacity.plan.groups if capacity.by_group else (),
        lora=FREE
        if engine.lora is None
        else lora_cost(
            profile.model,
            profile.gpu,
            profile.tensor_parallel,
            engine.lora,
            eager_per_layer_s=overhead.eager_per_layer_s if engine.enforce_eager else 0.0,
        ),
    )


def copy_settings(settings: Any, engine: EngineSettings, plan: ReplicaPlan) -> None:  # noqa: ANN401
    """Fill in what `SETTINGS` have of vLLM's settings and of a replica."""
    for name in (
        "block_size", "max_num_seqs", "max_num_batched_tokens", "max_model_len", "long_prefill_token_threshold",
        "prefix_caching", "chunked_prefill", "reserve_full_isl", "async_scheduling", "serial_front_end",
    ):  # fmt: skip
        setattr(settings, name, getattr(engine, name))
    settings.by_priority = engine.policy == "priority"
    settings.queue_limit = UNLIMITED if engine.queue_limit is None else engine.queue_limit
    for name in ("frontend_base_s", "frontend_per_prompt_token_s", "output_s", "launch_s"):
        setattr(settings, name, getattr(plan, name))
    if (drafts := engine.speculative) is not None:
        settings.draft_tokens, settings.draft_lookahead = drafts.num_speculative_tokens, drafts.lookahead_tokens
        settings.draft_slots, settings.draft_share = drafts.slots, drafts.step_share
        settings.hash_lookahead = drafts.hash_lookahead_tokens if engine.prefix_caching else 0
    # One of vLLM's blocks is the null block, which nobody gets.
    settings.blocks = plan.num_gpu_blocks - 1
    settings.watermark_blocks = int(engine.watermark * plan.num_gpu_blocks)
    if engine.lora is not None:
        settings.max_loras, settings.max_cpu_loras = engine.lora.max_loras, engine.lora.host_loras
        for name in LoraCost.__slots__:
            setattr(settings, f"lora_{name}", getattr(plan.lora, name))


def count_kinds(settings: Any, engine: EngineSettings, plan: ReplicaPlan) -> NDArray[Any]:  # noqa: ANN401
    """Groups of layers that keep the same, counted together (`KIND`), and what `SETTINGS` say of them."""
    counts = Counter(plan.groups)
    if counts and engine.prefix_caching:
        raise AssertionError("prefixes are not cached by group")
    if counts and engine.speculative is not None:
        raise AssertionError("drafts are not verified by group")
    settings.kinds, settings.lag = len(counts), int(engine.async_scheduling)
    settings.period = (
        lcm(*(kind.block_size for kind in counts if not kind.state_blocks)) if counts else engine.block_size
    )
    settings.forgets = any(kind.span for kind in counts)
    in_flight = engine.max_num_batched_tokens * (2 if engine.async_scheduling else 1)
    made = np.zeros(len(counts), state.KIND)
    for row, (kind, groups) in zip(made, counts.items(), strict=True):
        most = kind.blocks(engine.max_model_len, in_flight)
        row["keeps"], row["block_size"], row["groups"] = _KEEPS[kind.kind], kind.block_size, groups
        row["span"], row["most"] = kind.span or 0, most
        size = kind.block_size
        row["shift"] = size.bit_length() - 1 if size & (size - 1) == 0 else 0
    return made


def step_times(
    settings: NDArray[Any], engine: EngineSettings, plan: ReplicaPlan
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """What a step takes: by sequences, the dense layers by tokens, the logits by rows; the rest in `SETTINGS`."""
    table = plan.step_time.table(engine.max_num_seqs, engine.max_num_batched_tokens)
    batches = np.zeros(len(table.decode), state.BATCH)
    batches["decode_s"], batches["decode_per_kv_token_s"] = table.decode.T
    batches["attention_s"], batches["attention_per_kv_token_s"] = table.attention.T
    batches["per_step_s"], batches["alone_s"] = table.per_step_s, table.alone_s
    batches["window_per_kv_token_s"] = table.window_per_kv_token_s
    batches["window_kv_tokens"] = inf
    if isfinite(table.window_tokens):
        batches["window_kv_tokens"] = table.window_tokens * np.arange(len(batches))
    settings["least_s"] = table.least_s
    names = "prefill_fixed_s", "prefill_per_token_s", "prefill_per_pair_s"
    for name, seconds in zip(names, table.prefill_attention, strict=True):
        settings[name] = seconds
    settings["linear"] = table.per_prefill_token_s is not None
    settings["linear_per_prefill_token_s"] = table.per_prefill_token_s or 0.0
    return batches, table.dense_s, table.logits_s


def drafted(engine: EngineSettings, ledger: Ledger, replicas: int) -> dict[str, NDArray[Any]]:
    """What speculative decoding needs; nothing where there is none."""
    drafts = engine.speculative
    seats = 0 if drafts is None else engine.max_num_seqs
    return {
        "acceptance": np.array([] if drafts is None else drafts.acceptance_rates, np.float64),
        "stream": np.zeros(0, np.int64) if drafts is None else ledger.column(np.int64),
        "launches": np.zeros((replicas, 2), state.LAUNCH),
        "launched": np.zeros((replicas, 2 * seats), state.LAUNCHED),
    }


def replica_plan(cluster: Cluster) -> ReplicaPlan:
    """What a replica of this cluster is made of.

    Raises:
        ProfileNotFound: No profile for this model, GPU, parallelism and quantisation.
        ProfileError: The cluster's own profile file is wrong.
        InfeasibleCluster: See `plan_of`.
    """
    plan = plan_of(cluster_profile(cluster), cluster.engine)
    return plan if plan.lora is FREE else replace(plan, lora=plan.lora.scaled(cluster.step_time_factor))
