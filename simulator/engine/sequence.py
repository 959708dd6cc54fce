"""A request inside a replica."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.engine.kv_cache import PrefixChain, Run


@dataclass(slots=True, eq=False)
class Sequence:
    """What the scheduler knows of one request, and how far it has come.

    Attributes:
        index: Row of the request in the run's log.
        prompt_tokens: Tokens of the prompt.
        output_tokens: Tokens it will produce; the scheduler only learns it when they are all there.
        ready_s: When the engine core received it; ties in the queue break on it.
        priority: Smaller goes first under the priority policy.
        chain: The prefix it shares with others, if any.
        shared_blocks: Leading full blocks that belong to that prefix.
        known_tokens: Prompt plus the output scheduled so far: what must be computed before a token is sampled.
        computed_tokens: Tokens whose KV is computed or in flight; stale while it decodes (see `end_clock`).
        held_shared: Blocks it holds of the prefix.
        end_clock: Decode clock at which its last token is scheduled; meaningful only while it decodes.
        order: Position in the running list, in order of admission.
        resumable: Its own cached blocks after a preemption.
        cached_tokens: Prompt tokens found in the cache at first admission, -1 before.
        preemptions: Times it lost its blocks.
        first_token_s: When its first token left the engine, NaN before.
        gone: It was aborted; queues drop it when they meet it.
    """

    index: int
    prompt_tokens: int
    output_tokens: int
    ready_s: float
    priority: int = 3
    chain: PrefixChain | None = None
    shared_blocks: int = 0
    known_tokens: int = field(init=False)
    computed_tokens: int = 0
    held_shared: int = 0
    end_clock: int = -1
    order: int = -1
    resumable: Run | None = None
    cached_tokens: int = -1
    preemptions: int = 0
    scheduled_s: float = float("nan")
    first_token_s: float = float("nan")
    gone: bool = False

    def __post_init__(self) -> None:
        self.known_tokens = self.prompt_tokens

    @property
    def total_tokens(self) -> int:
        """Tokens whose KV is ever computed: the last output token is never fed back."""
        return self.prompt_tokens + self.output_tokens - 1

    def __lt__(self, other: Sequence) -> bool:
        return (self.priority, self.ready_s, self.index) < (other.priority, other.ready_s, other.index)
