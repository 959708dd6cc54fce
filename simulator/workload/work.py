"""What was done for one workload, in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Prompts of more tokens than these cost more at some providers; bills know their tokens apart.
LONG_PROMPTS: Final = (100_000, 128_000, 200_000, 256_000, 272_000, 512_000)


@dataclass(frozen=True, slots=True)
class Work:
    """Requests of one workload that one backend completed, and their tokens.

    Attributes:
        requests: How many.
        prompt_tokens: Their prompt tokens.
        cached_prompt_tokens: Of those, found in a prefix cache.
        output_tokens: Their output tokens.
    """

    requests: int
    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: int

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that were in no cache, and output tokens."""
        return self.prompt_tokens - self.cached_prompt_tokens + self.output_tokens
