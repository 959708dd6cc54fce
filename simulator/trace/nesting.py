"""Which prefixes begin with another one: a hospital's prompt, a department's template after it, then a patient.

Prompts that begin alike form a tree. A request names the longest prefix that it shares; what that one begins with
stands here once for all requests. A prefix always follows the same one, after the same number of its tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Nesting:
    """The prefixes that begin with another one; one array entry each.

    Attributes:
        prefix_id: int32, ascending.
        outer_id: int32, what it begins with, which may itself begin with another.
        outer_tokens: int32, how much of that.
    """

    prefix_id: NDArray[np.int32]
    outer_id: NDArray[np.int32]
    outer_tokens: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.prefix_id)

    @classmethod
    def of(
        cls, prefix_id: NDArray[np.integer], outer_id: NDArray[np.integer], outer_tokens: NDArray[np.integer]
    ) -> Nesting:
        """In any order, a prefix as often as one likes."""
        ids, first = np.unique(np.asarray(prefix_id, np.int32), return_index=True)
        return cls(ids, np.asarray(outer_id, np.int32)[first], np.asarray(outer_tokens, np.int32)[first])

    def with_(self, other: Nesting) -> Nesting:
        """Those of both."""
        if not len(self) or not len(other):
            return self if len(self) else other
        return Nesting.of(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in Nesting.__slots__))

    def needed_by(self, prefix_id: NDArray[np.int32]) -> Nesting:
        """What these prefixes begin with, and those in turn."""
        if not len(self):
            return self
        wanted = np.zeros(len(self), np.bool_)
        found = np.flatnonzero(np.isin(self.prefix_id, prefix_id))
        while len(found):
            wanted[found] = True
            found = np.flatnonzero(np.isin(self.prefix_id, self.outer_id[found]) & ~wanted)
        return Nesting(self.prefix_id[wanted], self.outer_id[wanted], self.outer_tokens[wanted])

    def outer(self, prefix_id: int) -> tuple[tuple[int, int], ...]:
        """What a prefix begins with, the shortest first: identities, and how many of their tokens."""
        if not len(self):
            return ()
        found: list[tuple[int, int]] = []
        place = int(np.searchsorted(self.prefix_id, prefix_id))
        while place < len(self) and self.prefix_id[place] == prefix_id:
            prefix_id, tokens = int(self.outer_id[place]), int(self.outer_tokens[place])
            found.append((prefix_id, min(tokens, found[-1][1]) if found else tokens))
            place = int(np.searchsorted(self.prefix_id, prefix_id))
        return tuple(found[::-1])

    def chains(
        self, prefix_id: NDArray[np.int32], prefix_tokens: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Identities and lengths of all that requests share, -1 and 0 where there is none.

        Returns:
            Two arrays of a row for each step up, a column for each request: its own prefix, what that begins with, …
        """
        ids = [np.asarray(prefix_id, np.int32)]
        tokens = [np.where(ids[0] >= 0, prefix_tokens, 0).astype(np.int32)]
        while len(self):
            place = np.minimum(np.searchsorted(self.prefix_id, ids[-1]), len(self) - 1)
            nests = (ids[-1] >= 0) & (self.prefix_id[place] == ids[-1])
            if not nests.any():
                break
            ids.append(np.where(nests, self.outer_id[place], -1).astype(np.int32))
            tokens.append(np.where(nests, np.minimum(self.outer_tokens[place], tokens[-1]), 0).astype(np.int32))
        return np.stack(ids), np.stack(tokens)


def written(outer: Sequence[tuple[int, int]]) -> str:
    """What a prefix begins with as a trace has it: `4:100 17:1200`."""
    return " ".join(f"{one}:{tokens}" for one, tokens in outer)


def parsed(text: str) -> tuple[tuple[int, int], ...]:
    """The prefixes that such a text names, the shortest first.

    Raises:
        ValueError: It is not one.
    """
    found = tuple((int(one), int(tokens)) for one, tokens in (pair.split(":") for pair in text.split()))
    lengths = [0, *(tokens for _, tokens in found)]
    if any(not (0 <= one < 2**31) for one, _ in found) or lengths != sorted(set(lengths)) or lengths[-1] > 10**7:
        raise ValueError("identities or lengths out of bounds")
    return found


_NONE = np.zeros(0, np.int32)
#: No prefix begins with another one.
FLAT = Nesting(_NONE, _NONE, _NONE)


def together(parts: Sequence[Nesting]) -> Nesting:
    """Those of all parts."""
    whole = FLAT
    for part in parts:
        whole = whole.with_(part)
    return whole
