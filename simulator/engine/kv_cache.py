"""KV blocks of one replica: counts, prefix reuse and least-recently-used eviction, in runs of blocks.

Follows vLLM 0.33 (`v1/core/block_pool.py`, `v1/core/kv_cache_manager.py`). A freed block that holds a hashed
(full, reusable) part of a sequence goes to the tail of the free queue, any other to its front, so the queue is
always *unhashed blocks, then hashed ones by age*: a number and a queue. A sequence frees its blocks tail first,
so what is left of a prefix is always its beginning: one length per prefix. Hence every operation costs the same
however long the sequences are.

One thing breaks the pattern: two sequences that compute the same prefix block at once, or a prompt that is all prefix
and recomputes its last block, leave two copies. From then on that prefix is kept block by block.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
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
        users: Sequences that hold it, where the prefix is kept block by block.
    """

    low: int
    high: int
    chain: PrefixChain | None = None
    users: int = 0


@dataclass(slots=True, eq=False)
class PrefixChain:
    """Blocks of one shared prefix.

    Attributes:
        cached: Leading blocks whose KV exists, in use or free.
        holders: How many sequences hold exactly the first n blocks, by n.
        free_runs: Its runs in the free queue, highest blocks first.
        sequences: Who holds blocks of it.
        copies: By block, its copies in the order they were cached; None until some block has two.
    """

    cached: int = 0
    holders: dict[int, int] = field(default_factory=dict)
    free_runs: list[Run] = field(default_factory=list)
    sequences: dict[Sequence, None] = field(default_factory=dict)
    copies: defaultdict[int, list[Run]] | None = None

    def in_use(self, blocks: int) -> int:
        """How many of the first blocks some sequence holds."""
        if self.copies is None:
            return min(self.held, blocks)
        return sum(1 for block in range(min(blocks, self.cached)) if self.copies[block][0].users)

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
        in_use = chain.in_use(min(hit, sequence.shared_blocks)) if chain is not None else 0
        return -(-tokens // self.block_size) - in_use

    def admit(self, sequence: Sequence, hit: int, tokens: int) -> None:
        """Give a waiting sequence its reused blocks and new ones up to `tokens`."""
        shared = 0
        if sequence.chain is not None:
            shared = min(hit, sequence.shared_blocks, sequence.chain.cached)
            self._hold(sequence, sequence.chain, shared)
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
        held, shared = sequence.held_shared, min(tokens // self.block_size, sequence.shared_blocks)
        if shared <= held:
            return
        if chain.copies is None and chain.cached > held:
            self._keep_by_block(chain)
        chain.sequences[sequence] = None
        sequence.held_shared = shared
        if chain.copies is None:
            self._drop_holder(chain.holders, held)
            chain.holders[shared] = chain.holders.get(shared, 0) + 1
            chain.cached = shared
            return
        for block in range(held, shared):
            copy = Run(block, block + 1, chain, users=1)
            chain.copies[block].append(copy)
            sequence.copies.append(copy)
        while chain.copies[chain.cached]:
            chain.cached += 1

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
            self._let_go(sequence, sequence.chain, shared)
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
                if chain.copies is None:
                    chain.cached = run.high
                else:
                    chain.copies[run.low].remove(run)
                    if not chain.copies[run.low]:
                        chain.cached = min(chain.cached, run.low)
            if taken == size:
                del queue[run]
                if chain is not None and chain.copies is None:
                    chain.free_runs.remove(run)

    def _hold(self, sequence: Sequence, chain: PrefixChain, shared: int) -> None:
        if not shared:
            return
        chain.sequences[sequence] = None
        if chain.copies is not None:
            sequence.copies = [chain.copies[block][0] for block in range(shared)]
            for copy in sequence.copies:
                if not copy.users:
                    del self._hashed[copy]
                    self.free -= 1
                copy.users += 1
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

    def _keep_by_block(self, chain: PrefixChain) -> None:
        """A second copy of some block is about to be made: give every block an entry of its own."""
        copies: defaultdict[int, list[Run]] = defaultdict(list)
        for block in range(chain.cached):
            copies[block].append(Run(block, block + 1, chain))
        for sequence in chain.sequences:
            sequence.copies = [copies[block][0] for block in range(sequence.held_shared)]
            for copy in sequence.copies:
                copy.users += 1
        hashed: OrderedDict[Run, None] = OrderedDict()
        for run in self._hashed:
            parts = [copies[block][0] for block in reversed(range(run.low, run.high))] if run.chain is chain else [run]
            hashed.update(dict.fromkeys(parts))
        self._hashed = hashed
        chain.copies = copies

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

    def _let_go(self, sequence: Sequence, chain: PrefixChain, shared: int) -> None:
        del chain.sequences[sequence]
        if chain.copies is not None:
            for copy in reversed(sequence.copies):
                copy.users -= 1
                if not copy.users:
                    self._hashed[copy] = None
                    self.free += 1
            sequence.copies = []
            return
        self._drop_holder(chain.holders, shared)
        still_held = chain.held
        if still_held < shared:
            run = Run(still_held, shared, chain)
            chain.free_runs.append(run)
            self._hashed[run] = None
            self.free += shared - still_held
