"""Shared prefixes out of block identities: which requests begin alike, as one small number for each.

A log such as Mooncake's names the blocks of every prompt, equal names for equal beginnings, so that prompts form a
tree. In a trace each request has a `prefix_id` whose tokens are a path from the root; a path that branches off another
begins with it. After `LEVELS` such branchings a request is put on the path that keeps most of what it shares; what a
second path would have shared as well is lost, and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.trace.nesting import Nesting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Paths that one may begin with.
LEVELS: Final = 8
#: Beyond them, a request that leaves a path within this share of its blocks begins a path of its own.
_BRANCH_SHARE: Final = 0.3


class Paths:
    """Numbers paths in the order in which they appear; the names of blocks are forgotten with it."""

    def __init__(self, block_tokens: int, levels: int = LEVELS) -> None:
        self._levels = levels
        self._block_tokens = block_tokens
        self._nodes: dict[tuple[int, Any], int] = {}
        self._path_of: dict[int, int] = {}
        self._length: list[int] = []
        self._longest: list[int] = []
        self._outer: list[list[tuple[int, int]]] = []
        self.shared_blocks = 0
        self.kept_blocks = 0

    def assign(
        self, blocks: Sequence[object], prompt_tokens: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """`prefix_id` and `prefix_tokens` of requests in the order of the log; no blocks, no prefix."""
        found = [self._place(names) for names in blocks]
        prefix_id = np.array([path for path, _ in found], np.int32)
        tokens = np.array([count * self._block_tokens for _, count in found], np.int64)
        return prefix_id, np.minimum(tokens, np.where(prefix_id >= 0, prompt_tokens, 0)).astype(np.int32)

    def told(self) -> str:
        """What became of the sharing, for the header."""
        share = self.kept_blocks / self.shared_blocks if self.shared_blocks else 1.0
        kept = f"{100 * share:.1f} %"
        return f"of the blocks that an unlimited cache would have reused, the prefixes of this trace keep {kept}"

    def _place(self, names: object) -> tuple[int, int]:
        if not isinstance(names, list) or not names or not all(isinstance(name, (int, str)) for name in names):
            return -1, 0
        names = self._beginnings(names)
        depth = next((at for at, name in enumerate(names) if name not in self._path_of), len(names))
        self.shared_blocks += depth
        path, count = (self._path_of[names[depth - 1]], len(names)) if depth else (-1, len(names))
        if depth < len(names):
            extends = path >= 0 and depth == self._length[path]
            outer = self._outer[path] if path >= 0 else []
            branches = path >= 0 and not extends and len(outer) < self._levels
            own = path if extends else self._begin([*outer, (path, depth)] if branches else [])
            self._path_of.update(dict.fromkeys(names[depth:], own))
            self._length[own] = len(names)
            if depth > _BRANCH_SHARE * len(names) and not (extends or branches):
                count = depth
            else:
                path = own
        along = [*self._outer[path], (path, count)]
        self.kept_blocks += max(min(blocks, self._longest[one]) for one, blocks in along)
        for one, blocks in along:
            self._longest[one] = max(blocks, self._longest[one])
        return path, count

    def _beginnings(self, names: list[Any]) -> list[int]:
        """A number for each beginning: Bailian names equal blocks alike wherever they stand, which share nothing."""
        node, found = -1, []
        for name in names:
            node = self._nodes.setdefault((node, name), len(self._nodes))
            found.append(node)
        return found

    def nesting(self) -> Nesting:
        """Which paths begin with others."""
        nested = [(path, *outer[-1]) for path, outer in enumerate(self._outer) if outer]
        path, outer_id, blocks = np.array(nested, np.int64).reshape(-1, 3).T
        return Nesting.of(path, outer_id, blocks * self._block_tokens)

    def _begin(self, outer: list[tuple[int, int]]) -> int:
        self._outer.append(outer)
        self._length.append(0)
        self._longest.append(0)
        return len(self._length) - 1
