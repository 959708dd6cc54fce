"""What the replicas of a cluster are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.performance.memory import kv_capacity
from simulator.performance.profile import cluster_profile
from simulator.performance.step_time import ProfiledStepTime

if TYPE_CHECKING:
    from simulator.performance.profile import PerformanceProfile
    from simulator.performance.step_time import StepTimeModel
    from simulator.scenario.patterns import Cluster, EngineSettings


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
    """

    step_time: StepTimeModel
    num_gpu_blocks: int
    frontend_base_s: float = 0.0
    frontend_per_prompt_token_s: float = 0.0
    output_s: float = 0.0
    launch_s: float = 0.0

    def front_end_s(self, prompt_tokens: int) -> float:
        """How long a prompt takes to the engine core."""
        return self.frontend_base_s + self.frontend_per_prompt_token_s * prompt_tokens


def plan_of(profile: PerformanceProfile, engine: EngineSettings) -> ReplicaPlan:
    """A replica of this profile under these settings.

    Raises:
        InfeasibleCluster: The model does not fit the GPUs; the message shows the arithmetic.
    """
    overhead = profile.overhead
    return ReplicaPlan(
        step_time=ProfiledStepTime(
            profile,
            engine.max_num_seqs,
            engine.max_num_batched_tokens,
            enforce_eager=engine.enforce_eager,
            v0_engine=engine.is_v0,
        ),
        num_gpu_blocks=kv_capacity(profile, engine).num_gpu_blocks,
        frontend_base_s=overhead.frontend_base_s,
        frontend_per_prompt_token_s=overhead.frontend_per_prompt_token_s,
        output_s=overhead.output_s,
    )


def replica_plan(cluster: Cluster) -> ReplicaPlan:
    """What a replica of this cluster is made of.

    Raises:
        ProfileNotFound: No profile for this model, GPU, parallelism and quantisation.
        ProfileError: The cluster's own profile file is wrong.
        InfeasibleCluster: See `plan_of`.
    """
    return plan_of(cluster_profile(cluster), cluster.engine)
