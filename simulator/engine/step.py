"""One engine step, as the scheduler hands it over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.engine.sequence import Sequence


@dataclass(slots=True)
class Step:
    """One engine step.

    Attributes:
        decodes: Sequences that compute one token each.
        kv_tokens: Their context after the step.
        chunks: Prompt chunks, as (new tokens, tokens computed before).
        admitted: Sequences that left the waiting queue.
        sampled: Sequences that sample a token at the end of a prompt chunk.
        finished: Sequences whose last token this step samples.
        preempted: Sequences that lost their blocks.
    """

    decodes: int = 0
    kv_tokens: int = 0
    chunks: list[tuple[int, int]] = field(default_factory=list)
    admitted: list[Sequence] = field(default_factory=list)
    sampled: list[Sequence] = field(default_factory=list)
    finished: list[Sequence] = field(default_factory=list)
    preempted: list[Sequence] = field(default_factory=list)
