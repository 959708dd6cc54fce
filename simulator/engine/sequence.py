"""A request inside a replica."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.engine.kv_cache import PrefixChain, Run


class Sequence:
    """What the scheduler knows of one request, and how far it has come.

    Attributes:
        index: Row of the request in the run's log.
        prompt_tokens: Tokens of the prompt.
        output_tokens: Tokens it will produce; the scheduler only learns it when they are all there.
        total_tokens: Tokens whose KV is ever computed: the last output token is never fed back.
        ready_s: When the engine core received it; ties in the queue break on it.
        priority: Smaller goes first under the priority policy.
        chain: The prefix it shares with others, if any.
        shared_blocks: Leading full blocks that belong to that prefix.
        known_tokens: Prompt plus the output scheduled so far: what must be computed before a token is sampled.
        computed_tokens: Tokens whose KV is computed or in flight; stale while it decodes (see `end_clock`).
        held_shared: Blocks it holds of the prefix.
        copies: Those blocks, where the prefix is kept block by block.
        end_clock: Decode clock at which its last token is scheduled; meaningful only while it decodes.
        order: Position in the running list, in order of admission.
        resumable: Its own cached blocks after a preemption.
        cached_tokens: Prompt tokens found in the cache at first admission, -1 before.
        preemptions: Times it lost its blocks.
        first_token_s: When its first token left the engine, NaN before.
        gone: It was aborted; queues drop it when they meet it.
    """

    __slots__ = (
        "cached_tokens", "chain", "computed_tokens", "copies", "end_clock", "first_token_s", "gone",
        "held_shared", "index", "known_tokens", "order", "output_tokens", "preemptions", "priority",
        "prompt_tokens", "ready_s", "resumable", "scheduled_s", "shared_blocks", "total_tokens",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        prompt_tokens: int,
        output_tokens: int,
        ready_s: float,
        priority: int = 3,
        chain: PrefixChain | None = None,
        shared_blocks: int = 0,
    ) -> None:
        self.index = index
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.total_tokens = prompt_tokens + output_tokens - 1
        self.ready_s = ready_s
        self.priority = priority
        self.chain = chain
        self.shared_blocks = shared_blocks
        self.known_tokens = prompt_tokens
        self.computed_tokens = 0
        self.held_shared = 0
        self.copies: list[Run] = []
        self.end_clock = -1
        self.order = -1
        self.resumable: Run | None = None
        self.cached_tokens = -1
        self.preemptions = 0
        self.scheduled_s = nan
        self.first_token_s = nan
        self.gone = False

    def __lt__(self, other: Sequence) -> bool:
        return (self.priority, self.ready_s, self.index) < (other.priority, other.ready_s, other.index)
