"""What the replicas of a cluster are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.performance.step_time import StepTimeModel


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
