"""Shared prefixes out of block identities: which requests begin alike, as one small number for each.

A log such as Mooncake's names the blocks of every prompt, equal names for equal beginnings, so that prompts form a
tree. A trace says less: one `prefix_id` for a request, whose tokens are a path from the root. Each request is put on
the path that keeps most of what it shares; what a second path would have shared as well is lost, and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: A request that leaves a path within this share of its blocks begins a path of its own.
_BRANCH_SHARE: Final = 0.3


class Paths:
    """Numbers paths in the order in which they appear; the names of blocks are forgotten with it."""

    def __init__(self, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        self._path_of: dict[Any, int] = {}
        self._length: list[int] = []
        self._longest: list[int] = []
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
        return f"of the blocks that an unlimited cache would have reused, the prefixes of this trace keep {share:.1%}"

    def _place(self, names: object) -> tuple[int, int]:
        if not isinstance(names, list) or not names or not all(isinstance(name, (int, str)) for name in names):
            return -1, 0
        depth = next((at for at, name in enumerate(names) if name not in self._path_of), len(names))
        self.shared_blocks += depth
        path, count = (self._path_of[names[depth - 1]], len(names)) if depth else (-1, len(names))
        if depth < len(names):
            extends = path >= 0 and depth == self._length[path]
            own = path if extends else self._begin()
            self._path_of.update(dict.fromkeys(names[depth:], own))
            self._length[own] = len(names)
            if depth > _BRANCH_SHARE * len(names) and not extends:
                count = depth
            else:
                path = own
        self.kept_blocks += min(count, self._longest[path])
        self._longest[path] = max(count, self._longest[path])
        return path, count

    def _begin(self) -> int:
        self._length.append(0)
        self._longest.append(0)
        return len(self._length) - 1
