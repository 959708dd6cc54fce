"""How many drafted tokens a verification accepts: drawn for each request and verification on its own.

A draw depends on what the request is and on how many of its drafts were verified before, and on nothing that happens
around it: the same request has the same luck in every pattern, on every replica, in both engines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_32_BITS: Final = (1 << 32) - 1
#: Multipliers of Fibonacci hashing and of a 32-bit finaliser; each product fits 63 bits.
_STRIDE: Final = 0x9E3779B1
_MIX: Final = 0x45D9F3B


def streams(
    arrival_s: NDArray[np.float64], prompt_tokens: NDArray[np.integer], output_tokens: NDArray[np.integer]
) -> NDArray[np.int64]:
    """By request, what its draws depend on: 32 bits."""
    bits = np.ascontiguousarray(arrival_s, np.float64).view(np.uint64)
    lengths = prompt_tokens.astype(np.uint64) << np.uint64(32) | output_tokens.astype(np.uint64)
    mixed = bits * np.uint64(0x9E3779B97F4A7C15) ^ lengths * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    return (mixed * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)).astype(np.int64)


def drawn(stream: int, verification: int) -> float:
    """A number from 0 to 1, uniform, for one verification of a request."""
    bits = (stream + (verification + 1) * _STRIDE) & _32_BITS
    for _ in range(3):
        bits = ((bits ^ (bits >> 16)) * _MIX) & _32_BITS
    return (bits ^ (bits >> 16)) / 4294967296.0


def accepted(rates: Sequence[float], stream: int, verification: int) -> int:
    """Drafted tokens accepted.

    Args:
        rates: By position, the chance that this drafted token and all before it are accepted.
        stream: Of the request.
        verification: How many of its drafts were verified before.
    """
    chance = drawn(stream, verification)
    return sum(chance < rate for rate in rates)
