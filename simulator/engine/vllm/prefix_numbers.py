"""Small numbers for the identities of shared prefixes, so that what is known of each can lie in an array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.engine.vllm.state import NONE

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
        if prefix_id.max(initial=-1) < 0:
            return np.full(len(prefix_id), -1, np.int32)
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


def nest_prefixes(
    chains: NDArray[Any], inner: NDArray[np.int32], outer: NDArray[np.int32], start: NDArray[np.int32]
) -> list[int]:
    """Prefixes begin with so many blocks of others: from now on they are kept block by block.

    Args:
        chains: `CHAIN` by number and replica.
        inner: Numbers.
        outer: Numbers of what they begin with.
        start: Blocks of that.

    Returns:
        Which of those they begin with must be brought to be kept block by block.
    """
    replicas = chains.shape[1]
    new = chains["outer"][inner, 0] == NONE
    inner, outer, start = inner[new], outer[new], start[new]
    chains["outer"][inner] = outer[:, None] * replicas + np.arange(replicas)
    chains["start"][inner] = chains["cached"][inner] = start[:, None]
    chains["by_block"][inner] = True
    found: list[int] = np.unique(outer[~chains["by_block"][outer].all(axis=1)]).tolist()
    return found


def kept_prefixes(chains: NDArray[Any], sequences: NDArray[Any]) -> NDArray[np.bool_]:
    """By number, whether a block of a prefix is kept, a request has it, or such a one begins with it.

    Args:
        chains: `CHAIN` by number and replica.
        sequences: `SEQUENCE` by slot.
    """
    replicas = chains.shape[1]
    held = (chains["first_run"] != NONE) | (chains["first_holder"] != NONE)
    kept: NDArray[np.bool_] = ((chains["cached"] > chains["start"]) | held).any(axis=1)
    named = sequences["chain"][(sequences["index"] != NONE) & (sequences["chain"] != NONE)]
    kept[named // replicas] = True
    while True:
        # One may have no block of its own, and those that begin with it some.
        outer = np.unique(chains["outer"][kept])
        outer = outer[outer != NONE] // replicas
        if kept[outer].all():
            return kept
        kept[outer] = True


def expected_prefixes(chains: NDArray[Any], sent_tokens: NDArray[np.int64], holds_tokens: int) -> NDArray[np.bool_]:
    """By number, whether a balancer takes a prefix to be in a replica still.

    Args:
        chains: `CHAIN` by number and replica.
        sent_tokens: By replica, of all prompts that were sent there.
        holds_tokens: What the KV blocks of a replica hold.
    """
    found = (chains["sent_at"] != NONE) & (sent_tokens - chains["sent_at"] <= holds_tokens)
    return np.asarray(found.any(axis=1))
