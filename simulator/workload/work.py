"""What was done, and charged, for one workload, in tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Charged:
    """Tokens of one workload that one API charges for, all attempts.

    Attributes:
        prompt_tokens: Prompt tokens, cached ones included.
        cached_prompt_tokens: Of those, at the price of cached ones.
        output_tokens: Output tokens.
        written_tokens: Of the prompt tokens, those written to the API's cache.
        long: Of all these, what requests of more prompt tokens than so many are charged: prompt, cached, written and
            output tokens, by that number; without those for which there is nothing.
    """

    prompt_tokens: int
    cached_prompt_tokens: int
    output_tokens: int
    written_tokens: int = 0
    long: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
