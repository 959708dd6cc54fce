"""Small numbers for the identities of shared prefixes, so that what is known of each can lie in an array."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class PrefixNumbers:
    """Numbers from 0 on; those of prefixes of which nothing is known any more are used again."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        """One more than the highest number there has been."""
        return len(self._numbers) + len(self._free)

    def of(self, prefix_id: NDArray[np.int32]) -> NDArray[np.int32]:
        """The numbers of some prefixes; -1 for none."""
        ids, place = np.unique(prefix_id, return_inverse=True)
        return np.array([self._number(one) for one in ids.tolist()], np.int32)[place]

    def _number(self, prefix_id: int) -> int:
        if prefix_id < 0:
            return -1
        if prefix_id not in self._numbers:
            self._numbers[prefix_id] = self._free.pop() if self._free else len(self._numbers)
        return self._numbers[prefix_id]

    def forget(self, numbers: Iterable[int]) -> None:
        """Nothing is known of these any more: a prefix that comes again gets another number."""
        gone = set(numbers)
        self._numbers = {one: number for one, number in self._numbers.items() if number not in gone}
        self._free = sorted(gone, reverse=True)
