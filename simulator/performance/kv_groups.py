"""KV cache groups: what a request holds of the pool when not all layers keep the same.

vLLM gives layers of one kind a block table of their own, and all draw blocks of one size from one pool
(`v1/core/kv_cache_planning.py` of 0.33, `get_kv_cache_groups`): pages are made equal by longer blocks or padding, and
kinds are cut into groups of as many layers as the smallest kind has. Attention to everything grows with a request; a
window frees what lies behind it; a recurrent state is one block, two where prefixes are cached.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulator.performance.architecture import KvLayers, ModelShape
    from simulator.scenario.gpus import Version

#: From this version on states are kept for prefix caching by default; assumed between two public logs (0.19.0 without,
#: one of 2026-08 with).
_ALIGNED_STATES: Final = (0, 20)
#: From this version on two batches may be in flight (`VllmConfig.max_in_flight_tokens`, read in 0.33; since when is
#: assumed, and tells on windows alone).
_TWO_IN_FLIGHT: Final = (0, 21)


@dataclass(frozen=True, slots=True)
class KvGroup:
    """Layers that share a block table.

    Attributes:
        kind: Of its layers, see `KvLayers`.
        block_size: Tokens of one of its blocks.
        span: Tokens of its window or chunk.
        state_blocks: Blocks of a request, where they do not depend on its length.
    """

    kind: str
    block_size: int
    span: int | None = None
    state_blocks: int = 0

    def blocks(self, tokens: int, in_flight: int) -> int:
        """Most blocks that a request of so many tokens holds, with so many tokens scheduled at once."""
        if self.state_blocks:
            return self.state_blocks
        if self.kind == "window" and self.span:
            return _ceil(min(self.span - 1 + in_flight, tokens), self.block_size) + 1
        if self.kind == "chunk" and self.span:
            return _ceil(min(self.span + in_flight, tokens), self.block_size)
        return _ceil(tokens, self.block_size)

    def straddled(self, tokens: int, in_flight: int) -> int:
        """The same wherever in a block a chunk begins, for which vLLM does not allow."""
        blocks = self.blocks(tokens, in_flight)
        if self.kind == "chunk" and self.span and self.span % self.block_size:
            return min(blocks + 1, _ceil(tokens, self.block_size))
        return blocks

    def table(self, tokens: int) -> int:
        """Blocks of a table of so many tokens, those included that a window has left behind."""
        return self.state_blocks if self.state_blocks and tokens else _ceil(tokens, self.block_size)

    def gone(self, tokens: int) -> int:
        """Leading blocks that no token needs which comes after so many (`get_num_skipped_tokens`)."""
        if self.kind == "window" and self.span:
            return max(0, tokens - self.span + 1) // self.block_size
        if self.kind == "chunk" and self.span:
            return tokens // self.span * self.span // self.block_size
        return 0


@dataclass(frozen=True, slots=True)
class KvPlan:
    """How one GPU's KV memory is cut.

    Attributes:
        groups: They draw from one pool.
        bytes_per_block: Of the pool.
        block_size: Tokens of a block of attention, which a recurrent state may have made longer.
        in_flight: Tokens scheduled and not settled.
    """

    groups: tuple[KvGroup, ...]
    bytes_per_block: int
    block_size: int
    in_flight: int

    @property
    def uniform(self) -> bool:
        """Whether every layer keeps every token, in blocks of one kind."""
        return len(self.groups) == 1 and self.groups[0].kind in {"full", "latent"}

    def request_blocks(self, tokens: int) -> int:
        """Most blocks of the pool that a request of so many tokens holds."""
        return sum(group.blocks(tokens, self.in_flight) for group in self.groups)

    def straddled_blocks(self, tokens: int) -> int:
        """Blocks without which a request of so many tokens may never end: see `KvGroup.straddled`."""
        return sum(group.straddled(tokens, self.in_flight) for group in self.groups)

    def concurrency(self, pool_blocks: int, tokens: int) -> float:
        """Requests of so many tokens that fit at once, as vLLM prints it."""
        return pool_blocks / self.request_blocks(tokens)

    def logged_tokens(self, pool_blocks: int, max_model_len: int, version: Version) -> int:
        """What vLLM calls the size of the KV cache: since 0.20 it follows from `max_model_len`.

        Between 0.19.0, whose logs have the first meaning for hybrids, and 0.21, which has the second.
        """
        if version < (0, 21):
            return pool_blocks // len(self.groups) * self.block_size
        return int(self.concurrency(pool_blocks, max_model_len) * max_model_len)


def kv_plan(
    model: ModelShape,
    tensor_parallel: int,
    number_bytes: int,
    block_size: int,
    max_num_batched_tokens: int,
    version: Version,
    *,
    prefix_caching: bool = True,
) -> KvPlan:
    """How vLLM groups a model's layers.

    Args:
        model: Its shape.
        tensor_parallel: GPUs among which it is split.
        number_bytes: Of a number of the KV cache.
        block_size: Tokens of a block, as set.
        max_num_batched_tokens: Token budget of a step.
        version: Of vLLM.
        prefix_caching: Whether prefixes are cached, which keeps another state.
    """
    kinds = model.kv_layers
    in_flight = max_num_batched_tokens * (2 if version >= _TWO_IN_FLIGHT else 1)
    block_size = _long_enough(kinds, tensor_parallel, number_bytes, block_size)
    states = 2 if prefix_caching and version >= _ALIGNED_STATES else 1

    def group(one: KvLayers) -> KvGroup:
        return KvGroup(one.kind, block_size, one.span, states if one.kind == "state" else 0)

    def page(one: KvLayers) -> int:
        return one.token_bytes(tensor_parallel, number_bytes) * block_size or one.state_bytes(tensor_parallel)

    if len({(one.grows, one.span, one.kind == "state") for one in kinds}) == 1:
        # All keep as many tokens: one group, whatever a token of each takes.
        size = sum(one.layers * page(one) for one in kinds)
        return KvPlan((group(kinds[0]),), size, block_size, in_flight)
    largest = max(map(page, kinds))
    few, many = min(one.layers for one in kinds), max(one.layers for one in kinds)
    size = many if many < 1.5 * few else few
    groups: list[KvGroup] = []
    for one in kinds:
        own = group(one)
        if one.kind != "state" and largest % page(one) == 0:
            own = replace(own, block_size=block_size * (largest // page(one)))
        groups += [own] * _ceil(one.layers, size)
    return KvPlan(tuple(groups), size * largest, block_size, in_flight)


def _long_enough(kinds: tuple[KvLayers, ...], tensor_parallel: int, number_bytes: int, block_size: int) -> int:
    """Tokens of a block: its page must be no smaller than a recurrent state (`_align_hybrid_block_size`).

    Beside latent attention it is a multiple of 128, as kernels that decode it ask.
    """
    state = max((one.state_bytes(tensor_parallel) for one in kinds), default=0)
    tokens = [one.token_bytes(tensor_parallel, number_bytes) for one in kinds if one.kind != "state"]
    if not state or not tokens:
        return block_size
    aligned = max(block_size, 128) if any(one.kind == "latent" for one in kinds) else block_size
    return max(block_size, aligned * _ceil(state, aligned * tokens[0]))


def _ceil(count: int, size: int) -> int:
    return -(-count // size)
