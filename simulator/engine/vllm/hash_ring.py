"""Consistent hashing: replicas and prefixes on a ring, where a prefix belongs to the next replica.

A replica that comes or goes takes or leaves its own share of the prefixes and moves no other (Karger et al., STOC
1997). Each stands at so many points of the ring that shares are even to a few per cent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from simulator.engine.vllm.state import NONE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.trace.nesting import Nesting

#: As many as in KubeAI (`replication: 256`).
POINTS: Final = 256
#: Prefixes are numbered below this, and points of replicas from here on.
_REPLICAS: Final = 1 << 32


def ring(replicas: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Points of the ring, ascending, and whose they are."""
    at = _places(np.arange(replicas * POINTS, dtype=np.int64) + _REPLICAS)
    order = np.argsort(at, kind="stable")
    return at[order], order // POINTS


def places_of(prefix_id: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where prefixes stand on the ring; NONE for those that are none."""
    return np.where(prefix_id < 0, NONE, _places(prefix_id.astype(np.int64)))


def outermost(prefix_id: NDArray[np.int32], nesting: Nesting) -> NDArray[np.int32]:
    """What prefixes begin with at the very first."""
    found = prefix_id.copy()
    while len(nesting):
        place = np.searchsorted(nesting.prefix_id, found).clip(max=len(nesting) - 1)
        inner = nesting.prefix_id[place] == found
        if not inner.any():
            break
        found[inner] = nesting.outer_id[place[inner]]
    return found


def _places(numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Numbers, well mixed: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) without its sign."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)
