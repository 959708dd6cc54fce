"""What a bill needs to know about a finished run, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Metered quantities of one replication of one hosting pattern.

    Attributes:
        hours: Length of the measured part of the horizon.
        busy_fraction: Share of that time in which a GPU executes an engine step, mean over replicas.
        api_prompt_tokens: Prompt tokens billed by the API, cached ones included.
        api_cached_prompt_tokens: Of those, tokens billed at the cached price.
        api_output_tokens: Output tokens billed by the API.
        served_prompt_tokens: Prompt tokens of completed requests, over all backends.
        served_output_tokens: Output tokens of completed requests, over all backends.
    """

    hours: float
    busy_fraction: float
    api_prompt_tokens: int
    api_cached_prompt_tokens: int
    api_output_tokens: int
    served_prompt_tokens: int
    served_output_tokens: int

    def __post_init__(self) -> None:
        """Refuse quantities that no run can produce."""
        if not 0 < self.hours < math.inf:
            raise ValueError(f"the measured time must be positive, not {self.hours} h")
        # Busy time is a sum of many floats and may exceed its total by a rounding error.
        if not 0 <= self.busy_fraction <= 1 + 1e-9:
            raise ValueError(f"busy_fraction lies between 0 and 1, not {self.busy_fraction}")
        if not 0 <= self.api_cached_prompt_tokens <= self.api_prompt_tokens:
            raise ValueError("cached prompt tokens are part of the prompt tokens")
        if min(self.api_output_tokens, self.served_prompt_tokens, self.served_output_tokens) < 0:
            raise ValueError("token counts are not negative")
