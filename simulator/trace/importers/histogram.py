"""Lengths out of a histogram: each within its bucket, their sum as it was counted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from simulator.trace.checks import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_MOST: Final = BOUNDS["prompt_tokens"][1]


def draw_lengths(
    bounds: Sequence[float], counts: NDArray[np.float64], total: float, draw: np.random.Generator
) -> NDArray[np.int64]:
    """As many whole lengths as each bucket counts, in random order.

    Within its bucket a length lies at a random share `u ** p` of the way up; the one `p` for all of them is that with
    which they have the sum that was counted, as nearly as the buckets allow.

    Args:
        bounds: Upper bounds, ascending, the last infinite: a length of that bucket is at most twice its lower bound.
        counts: Of each bucket alone, whole numbers.
        total: Sum of all lengths; below 0 where it is unknown.
        draw: Source of chance.
    """
    upper = np.array([bound if math.isfinite(bound) else math.inf for bound in bounds])
    lower = np.concatenate([[0.0], upper[:-1]])
    upper = np.where(np.isfinite(upper), upper, np.maximum(2 * lower, 1.0))
    low = np.clip(np.floor(lower) + 1, 1, _MOST).astype(np.int64)
    high = np.clip(np.floor(upper), low, _MOST).astype(np.int64)
    each = np.repeat(np.arange(len(counts)), counts.astype(np.int64))
    low, high, share = low[each], high[each], draw.random(len(each))

    def lengths(power: float) -> NDArray[np.int64]:
        return np.asarray(low + np.round((high - low) * share**power).astype(np.int64))

    found = lengths(1.0)
    if total >= 0:
        found = _towards(total, lengths(_power(total, lengths)), low, high)
    mixed: NDArray[np.int64] = found[draw.permutation(len(found))]
    return mixed


def _power(total: float, lengths: Lengths) -> float:
    """The power with which the sum is nearest, by halving; a larger one makes shorter lengths."""
    below, above = -6.0, 6.0
    for _ in range(30):
        middle = (below + above) / 2
        below, above = (middle, above) if lengths(math.exp(middle)).sum() > total else (below, middle)
    return math.exp((below + above) / 2)


def _towards(
    total: float, found: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Move lengths within their buckets until the sum is right, the first ones first."""
    missing = round(total) - int(found.sum())
    room = high - found if missing > 0 else found - low
    before = np.cumsum(room) - room
    step = np.clip(abs(missing) - before, 0, room)
    return np.asarray(found + (step if missing > 0 else -step))


if TYPE_CHECKING:
    from collections.abc import Callable

    Lengths = Callable[[float], NDArray[np.int64]]
