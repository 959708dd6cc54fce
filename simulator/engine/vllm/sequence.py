"""A request inside the step-by-step replica, and the steps it takes part in."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from simulator.engine.vllm.block_tables import Tables


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
        adapter: Its LoRA adapter, if any.
        outer: Prefixes that it begins with, the shortest first: identity, and how many leading full blocks are theirs.
        encoder_s: What its images add to a step that starts it.
        cached_tokens: Prompt tokens found in the cache at first admission, -1 before.
        preemptions: Times it lost its blocks.
        scheduled_s: When it was first scheduled, NaN before.
        stream: What its accepted drafts are drawn from (`acceptance`).
        first_token_s: When its first token left the engine, NaN before.
        thinking_tokens: Of the output, tokens before the answer.
        first_answer_s: When the first token of the answer left the engine, NaN before.
    """

    index: int
    prompt_tokens: int
    output_tokens: int
    ready_s: float
    priority: int = 3
    prefix: Hashable = None
    shared_blocks: int = 0
    outer: tuple[tuple[Hashable, int], ...] = ()
    adapter: Hashable = None
    encoder_s: float = 0.0
    cached_tokens: int = -1
    preemptions: int = 0
    stream: int = 0
    scheduled_s: float = nan
    first_token_s: float = nan
    thinking_tokens: int = 0
    first_answer_s: float = nan

    def __lt__(self, other: Sequence) -> bool:
        return (self.priority, self.ready_s, self.index) < (other.priority, other.ready_s, other.index)


@dataclass(slots=True, eq=False)
class Request:
    """A request in the replica.

    Attributes:
        computed: Tokens computed, those in flight among them.
        returned: Output tokens that are out.
        promised: Output tokens in flight, as if all drafts were accepted.
        steps: Steps in flight that sample for it.
        in_flight: Tokens of steps in flight.
        stale: Of those, tokens of steps made before it was preempted.
        drafts: Drafted tokens to verify next.
        verified: Times its drafts were verified.
        part: Whether its last step left something known to compute.
        gone: Whether it ended or was dropped.
        tables: Its KV blocks.
    """

    sequence: Sequence
    computed: int = 0
    returned: int = 0
    promised: int = 0
    steps: int = 0
    in_flight: int = 0
    stale: int = 0
    drafts: int = 0
    verified: int = 0
    part: bool = False
    gone: bool = False
    tables: Tables = field(default_factory=list)

    def returns(self, tokens: int, at_s: float) -> None:
        """So many more output tokens are out, and with them perhaps the first one behind its thoughts."""
        before = self.returned
        self.returned += tokens
        if self.returned > self.sequence.thinking_tokens >= max(before, 1):
            self.sequence.first_answer_s = at_s

    @property
    def known(self) -> int:
        """Prompt and output that is out."""
        return self.sequence.prompt_tokens + self.returned

    @property
    def tokens(self) -> int:
        """Prompt and sampled output, tokens in flight included."""
        return self.known + self.promised

    @property
    def wanted(self) -> int:
        """Tokens that its next step is to compute."""
        # Each step in flight brings a token at least.
        sure = self.returned + self.steps
        return 0 if sure >= self.sequence.output_tokens else self.tokens + self.drafts - self.computed


@dataclass(slots=True)
class Item:
    """What a step does for a request: tokens it computes, drafts among them, whether it samples, and empty drafts."""

    request: Request
    tokens: int
    before: int
    drafts: int
    samples: bool
    padded: bool


@dataclass(slots=True)
class Step:
    """A step in flight."""

    end_s: float
    items: list[Item]


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step did, for comparison with a recorded one.

    Attributes:
        scheduled_s: When it was scheduled.
        start_s: When the GPU began it.
        end_s: When it ended.
        items: (request, tokens, tokens computed before).
        preempted: Requests that lost their blocks when it was scheduled.
        running: Running requests after scheduling it.
        waiting: Waiting requests after scheduling it.
        used_blocks: KV blocks in use after scheduling it.
    """

    scheduled_s: float
    start_s: float
    end_s: float
    items: list[tuple[int, int, int]]
    preempted: list[int]
    running: int
    waiting: int
    used_blocks: int
