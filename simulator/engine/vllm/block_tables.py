"""KV blocks as objects, one table of them for each group of layers: the reference of `kv_cache` and `kv_groups`.

As vLLM 0.33 keeps them (`v1/core/block_pool.py`, `single_type_kv_cache_manager.py`, `kv_cache_coordinator.py`): all
groups draw from one pool; a window or chunk frees what lies behind it when its request is scheduled next; a state is
one block; a cached prefix is as long as all groups have it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from simulator.performance.kv_groups import KvGroup


@dataclass(slots=True, eq=False)
class Block:
    """One KV block: its content's identity once it is full and known, and how many sequences use it."""

    content: Hashable = None
    users: int = 0


#: Of one request, by group: its blocks in order; none where it keeps none any more.
Tables: TypeAlias = "list[list[Block | None]]"


class BlockPool:
    """vLLM's block pool: a free queue, and a look-up from content to blocks."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.free: deque[Block] = deque(Block() for _ in range(blocks))
        self.cached: dict[Hashable, list[Block]] = {}

    def find(self, content: Hashable) -> Block | None:
        """A block that holds this content, in use or free."""
        found = self.cached.get(content)
        return found[0] if found else None

    def take(self) -> Block:
        """The next free block, its old content forgotten."""
        block = self.free.popleft()
        if block.content is not None:
            self.cached[block.content].remove(block)
            block.content = None
        block.users = 1
        return block

    def reuse(self, block: Block) -> None:
        """One more user of a cached block."""
        if block.users == 0:
            self.free.remove(block)
        block.users += 1

    def remember(self, block: Block, content: Hashable) -> None:
        """The block is full and its content known from now on."""
        block.content = content
        self.cached.setdefault(content, []).append(block)

    def release(self, blocks: Sequence[Block | None]) -> None:
        """Free blocks, tail first."""
        for block in reversed(blocks):
            if block is None:
                continue
            block.users -= 1
            if block.users == 0:
                if block.content is None:
                    self.free.appendleft(block)
                else:
                    self.free.append(block)


@dataclass(frozen=True, slots=True)
class Hit:
    """What the cache has of a request: its blocks by group, and how many tokens they are."""

    tables: Tables
    tokens: int


class BlockTables:
    """Gives requests their blocks.

    Args:
        blocks: Of the pool.
        groups: What each group of layers keeps.
        in_flight: Most tokens scheduled and not settled.
        max_model_len: Longest request.
    """

    def __init__(self, blocks: int, groups: Sequence[KvGroup], in_flight: int, max_model_len: int) -> None:
        self.pool = BlockPool(blocks)
        self._groups = tuple(groups)
        self._most = [group.blocks(max_model_len, in_flight) for group in groups]
        # Groups that keep the same are looked up together, those that keep everything first.
        kinds = sorted(dict.fromkeys(groups), key=lambda group: group.gone(1 << 60) > 0)
        self._kinds = [(kind, [number for number, one in enumerate(groups) if one == kind]) for kind in kinds]

    def none(self) -> Tables:
        """Tables without a block."""
        return [[] for _ in self._groups]

    def hit(self, content: Callable[[int], Hashable], tokens: int) -> Hit:
        """The longest beginning, of at most so many tokens, that all groups have (`find_longest_cache_hit`)."""
        tables, length = self.none(), tokens
        everything: int | None = None
        while True:
            now = length
            for kind, numbers in self._kinds:
                if not kind.gone(1 << 60) and everything is not None:
                    now = min(now, everything)
                    continue
                found = self._longest(kind, numbers, content, now // kind.block_size)
                now = len(found) * kind.block_size
                if not kind.gone(1 << 60):
                    everything = now
                for place, number in enumerate(numbers):
                    tables[number] = [None if block is None else block[place] for block in found]
            if now >= length:
                break
            length = now
        for kind, numbers in self._kinds:
            for number in numbers:
                del tables[number][length // kind.block_size :]
        return Hit(tables, length)

    def _longest(
        self, kind: KvGroup, numbers: list[int], content: Callable[[int], Hashable], blocks: int
    ) -> list[list[Block] | None]:
        """The longest beginning that groups of one kind have; none for blocks that they need no more."""

        def cached(block: int) -> list[Block] | None:
            found = [one for number in numbers if (one := self.pool.find((number, content(block)))) is not None]
            return found if len(found) == len(numbers) else None

        if kind.kind == "window":
            assert kind.span is not None
            return _end_of_run(cached, blocks, -(-(kind.span - 1) // kind.block_size))
        start = kind.gone(blocks * kind.block_size)
        run: list[list[Block] | None] = [None] * start
        while len(run) < blocks and (found := cached(len(run))) is not None:
            run.append(found)
        return run

    def short(self, hit: Hit, tokens: int, *, capped: bool) -> int:
        """Free blocks that a new request needs to hold `tokens`, counting free ones it would reuse.

        `capped`: never more than what is in use at once of a window.
        """
        need = 0
        for group, table, most in zip(self._groups, hit.tables, self._most, strict=True):
            required = group.table(tokens)
            behind = group.gone(hit.tokens)
            need += max(0, (min(required, most) if capped else required) - max(behind, len(table)))
            need += sum(block is not None and block.users == 0 for block in table[behind:])
        return need

    def reuse(self, hit: Hit) -> Tables:
        """Tables that begin with what the cache has."""
        tables = self.none()
        for number, (group, table) in enumerate(zip(self._groups, hit.tables, strict=True)):
            behind = group.gone(hit.tokens)
            tables[number] += [None] * min(behind, len(table))
            tables[number] += table[behind:]
            for block in table[behind:]:
                if block is not None:
                    self.pool.reuse(block)
        return tables

    def leave_behind(self, tables: Tables, settled: int) -> None:
        """Free what no token needs that comes after so many computed and settled ones."""
        for group, table in zip(self._groups, tables, strict=True):
            last = first = min(group.gone(settled), len(table))
            while first and table[first - 1] is not None:
                first -= 1
            self.pool.release(table[first:last])
            table[first:last] = [None] * (last - first)

    def extend(self, tables: Tables, tokens: int) -> bool:
        """Give a request new blocks up to so many tokens; whether there are as many."""
        need = [group.table(tokens) - len(table) for group, table in zip(self._groups, tables, strict=True)]
        if sum(max(0, blocks) for blocks in need) > len(self.pool.free):
            return False
        for table, blocks in zip(tables, need, strict=True):
            table += [self.pool.take() for _ in range(blocks)]
        return True

    def remember(self, tables: Tables, content: Callable[[int], Hashable], tokens: int) -> None:
        """Make the full blocks of so many tokens findable; those before a known one are known."""
        for number, (group, table) in enumerate(zip(self._groups, tables, strict=True)):
            first = full = max(0, min(tokens // group.block_size, len(table)))
            while first and (one := table[first - 1]) is not None and one.content is None:
                first -= 1
            for block in range(first, full):
                self.pool.remember(cast("Block", table[block]), (number, content(block)))

    def release(self, tables: Tables) -> None:
        """Free all blocks of a request, group after group, each tail first."""
        for table in tables:
            self.pool.release(table)
            table.clear()


def _end_of_run(cached: Callable[[int], list[Block] | None], blocks: int, needed: int) -> list[list[Block] | None]:
    """The longest beginning whose last `needed` blocks are all there, or else the leading ones that are."""
    table: list[list[Block] | None] = [None] * blocks
    run = 0
    for block in range(blocks - 1, -1, -1):
        found = cached(block)
        if found is None:
            run = 0
            continue
        table[block] = found
        run += 1
        if run >= needed:
            return table[: block + run]
    return table[:run]
