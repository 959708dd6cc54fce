"""KV blocks of one replica: counts, prefix reuse and least-recently-used eviction, in runs of blocks.

Follows vLLM 0.33 (`v1/core/block_pool.py`, `v1/core/kv_cache_manager.py`). A freed block that holds a hashed
(full, reusable) part of a sequence goes to the tail of the free queue, any other to its front, so the queue is
always *unhashed blocks, then hashed ones by age*: a number and a queue. A sequence frees its blocks tail first,
so what is left of a prefix is always its beginning: one length per prefix. Hence every operation costs the same
however long the sequences are.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.engine.sequence import Sequence


@dataclass(slots=True, eq=False)
class Run:
    """Hashed blocks freed together; eviction takes the highest first.

    Attributes:
        low: First block of the run within its sequence or prefix.
        high: One past its last block.
        chain: The prefix it belongs to; None for blocks only their own sequence could use again.
    """

    low: int
    high: int
    chain: PrefixChain | None = None


@dataclass(slots=True, eq=False)
class PrefixChain:
    """Blocks of one shared prefix.

    Attributes:
        cached: Leading blocks whose KV exists, in use or free.
        holders: How many sequences hold exactly the first n blocks, by n.
        free_runs: Its runs in the free queue, highest blocks first.
    """

    cached: int = 0
    holders: dict[int, int] = field(default_factory=dict)
    free_runs: list[Run] = field(default_factory=list)

    @property
    def held(self) -> int:
        """Leading blocks in use by some sequence."""
        return max(self.holders, default=0)


class KvCache:
    """The block pool of one replica.

    Attributes:
        blocks: Usable blocks; vLLM keeps one of `num_gpu_blocks` as the null block.
        block_size: Tokens per block.
        free: Blocks that can be taken, reusable ones included.
    """

    __slots__ = ("_chains", "_hashed", "_unhashed", "block_size", "blocks", "free", "prefix_caching")

    def __init__(self, num_gpu_blocks: int, block_size: int, *, prefix_caching: bool) -> None:
        self.blocks = num_gpu_blocks - 1
        self.block_size = block_size
        self.prefix_caching = prefix_caching
        self.free = self.blocks
        self._unhashed = self.blocks
        self._hashed: OrderedDict[Run, None] = OrderedDict()
        self._chains: dict[int, PrefixChain] = {}

    @property
    def used(self) -> int:
        """Blocks held by sequences."""
        return self.blocks - self.free

    def chain(self, prefix_id: int) -> PrefixChain:
        """The chain of a shared prefix, made when first asked for."""
        chain = self._chains.get(prefix_id)
        if chain is None:
            chain = self._chains[prefix_id] = PrefixChain()
        return chain

    def hit_blocks(self, sequence: Sequence) -> int:
        """Leading blocks of a waiting sequence whose KV exists already.

        The last known token is always recomputed, for its logits, so a fully cached sequence loses one block.
        """
        if not self.prefix_caching:
            return 0
        hit, chain = 0, sequence.chain
        if chain is not None:
            hit = min(chain.cached, sequence.shared_blocks)
        run = sequence.resumable
        if run is not None and hit == run.low:
            hit = max(hit, run.high)
        return min(hit, (sequence.known_tokens - 1) // self.block_size)

    def blocks_short(self, sequence: Sequence, hit: int, tokens: int) -> int:
        """Free blocks that a waiting sequence needs to hold `tokens`, counting free ones it would reuse."""
        chain = sequence.chain
        in_use = min(chain.held, hit, sequence.shared_blocks) if chain is not None else 0
        return -(-tokens // self.block_size) - in_use

    def admit(self, sequence: Sequence, hit: int, tokens: int) -> None:
        """Give a waiting sequence its reused blocks and new ones up to `tokens`."""
        shared = 0
        if sequence.chain is not None:
            shared = min(hit, sequence.shared_blocks, sequence.chain.cached)
            self._hold(sequence.chain, shared)
        sequence.held_shared = shared
        run = sequence.resumable
        if run is not None:
            if run.low == shared < hit:
                self._reuse(run, hit)
            sequence.resumable = None
        self.take(-(-tokens // self.block_size) - hit)
        self.computed(sequence, tokens)

    def computed(self, sequence: Sequence, tokens: int) -> None:
        """Make the blocks of a prefix findable up to `tokens`, as soon as their computation is scheduled."""
        chain = sequence.chain
        if chain is None:
            return
        shared = min(tokens // self.block_size, sequence.shared_blocks)
        # Blocks that another sequence has meanwhile cached stay this sequence's private copies.
        if shared > sequence.held_shared and chain.cached == sequence.held_shared:
            holders = chain.holders
            self._drop_holder(holders, sequence.held_shared)
            holders[shared] = holders.get(shared, 0) + 1
            sequence.held_shared = chain.cached = shared

    def release(self, sequence: Sequence, tokens: int, hashed_tokens: int, *, resumable: bool) -> None:
        """Free all blocks of a sequence that holds `tokens`, of which `hashed_tokens` fill reusable blocks."""
        held = -(-tokens // self.block_size)
        shared = sequence.held_shared
        hashed = max(min(hashed_tokens // self.block_size, held), shared) if self.prefix_caching else shared
        self._unhashed += held - hashed
        if hashed > shared:
            run = Run(shared, hashed)
            self._hashed[run] = None
            if resumable:
                sequence.resumable = run
        self.free += held - shared
        if shared and sequence.chain is not None:
            self._let_go(sequence.chain, shared)
        sequence.held_shared = 0

    def take(self, blocks: int) -> None:
        """Take new blocks; the caller has checked `free`. The oldest reusable ones go last, ends of prefixes first."""
        self.free -= blocks
        fresh = self._unhashed
        if blocks <= fresh:
            self._unhashed = fresh - blocks
            return
        self._unhashed = 0
        blocks -= fresh
        queue = self._hashed
        while blocks > 0:
            run = next(iter(queue))
            size = run.high - run.low
            taken = size if size <= blocks else blocks
            run.high -= taken
            blocks -= taken
            chain = run.chain
            if chain is not None:
                chain.cached = run.high
            if taken == size:
                del queue[run]
                if chain is not None:
                    chain.free_runs.remove(run)

    def _hold(self, chain: PrefixChain, shared: int) -> None:
        if not shared:
            return
        held = chain.held
        chain.holders[shared] = chain.holders.get(shared, 0) + 1
        runs = chain.free_runs
        while held < shared:
            run = runs[-1]
            reused = min(run.high, shared)
            self.free -= reused - run.low
            held = run.low = reused
            if run.low == run.high:
                del self._hashed[run]
                runs.pop()

    def _reuse(self, run: Run, hit: int) -> None:
        self.free -= hit - run.low
        run.low = hit
        if run.low == run.high:
            del self._hashed[run]

    @staticmethod
    def _drop_holder(holders: dict[int, int], shared: int) -> None:
        if shared:
            if holders[shared] == 1:
                del holders[shared]
            else:
                holders[shared] -= 1

    def _let_go(self, chain: PrefixChain, shared: int) -> None:
        self._drop_holder(chain.holders, shared)
        still_held = chain.held
        if still_held < shared:
            run = Run(still_held, shared, chain)
            chain.free_runs.append(run)
            self._hashed[run] = None
            self.free += shared - still_held
