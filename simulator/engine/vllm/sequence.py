"""A request inside the step-by-step replica."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


@dataclass(slots=True, eq=False)
class Sequence:
    """One request, and how far it came.

    Attributes:
        index: Its number.
        prompt_tokens: Tokens of the prompt.
        output_tokens: Tokens it will produce; the scheduler only learns it when they are all there.
        ready_s: When the engine core received it; ties in the queue break on it.
        priority: Smaller goes first under the priority policy.
        prefix: Identity of the prefix it shares with others, if any.
        shared_blocks: Leading full blocks that belong to that prefix.
        outer: Prefixes that it begins with, the shortest first: identity, and how many leading full blocks are theirs.
        cached_tokens: Prompt tokens found in the cache at first admission, -1 before.
        preemptions: Times it lost its blocks.
        scheduled_s: When it was first scheduled, NaN before.
        first_token_s: When its first token left the engine, NaN before.
    """

    index: int
    prompt_tokens: int
    output_tokens: int
    ready_s: float
    priority: int = 3
    prefix: Hashable = None
    shared_blocks: int = 0
    outer: tuple[tuple[Hashable, int], ...] = ()
    cached_tokens: int = -1
    preemptions: int = 0
    scheduled_s: float = nan
    first_token_s: float = nan

    def __lt__(self, other: Sequence) -> bool:
        return (self.priority, self.ready_s, self.index) < (other.priority, other.ready_s, other.index)
