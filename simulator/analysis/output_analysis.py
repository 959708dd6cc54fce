"""Intervals over replications, and how many are needed."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean of independent replications with its Student interval.

    Attributes:
        mean: Mean over replications.
        low: Lower end of the interval; None with a single replication.
        high: Upper end.
    """

    mean: float
    low: float | None
    high: float | None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends of the interval, where there is one."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def half_width(self) -> float | None:
        """Half the interval."""
        return None if self.high is None else self.high - self.mean


def estimate(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Mean and interval of replications: mean +/- t(n-1) s / sqrt(n)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, None, None)
    half = student(len(values) - 1, level) * float(np.std(values, ddof=1)) / sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def paired_difference(base: Sequence[float], new: Sequence[float], level: float = 0.95) -> Estimate:
    """New less base, where both drew the same random numbers in each replication: the interval of the differences.

    Raises:
        ValueError: They are not of the same number.
    """
    return estimate([after - before for before, after in zip(base, new, strict=True)], level)


def difference(base: Sequence[float], new: Sequence[float], level: float = 0.95) -> Estimate:
    """New less base, where the replications are independent: Welch's interval, each side with its own spread."""
    mean = float(np.mean(new)) - float(np.mean(base))
    if min(len(base), len(new)) < 2:
        return Estimate(mean, None, None)
    errors = [float(np.var(values, ddof=1)) / len(values) for values in (base, new)]
    error = sum(errors)
    if error == 0.0:
        return Estimate(mean, mean, mean)
    # Shares of the error, not its square: that of a tiny one is zero.
    freedom = 1.0 / sum((part / error) ** 2 / (len(side) - 1) for part, side in zip(errors, (base, new), strict=True))
    half = student(freedom, level) * sqrt(error)
    return Estimate(mean, mean - half, mean + half)


def student(freedom: float, level: float = 0.95) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2.0))


def replications_needed(values: Sequence[float], share: float, level: float = 0.95) -> int:
    """Fewest replications for a half-width of `share` of the mean, judging the spread by those at hand.

    Raises:
        ValueError: Fewer than two replications, a mean of zero, or a share that is not positive.
    """
    if share <= 0.0:
        raise ValueError(f"the share must be positive, not {share}")
    now = estimate(values, level)
    if now.half_width is None or now.mean == 0.0:
        raise ValueError("needs at least two replications with a mean other than zero")
    spread = float(np.std(values, ddof=1))

    def enough(count: int) -> bool:
        return student(count - 1, level) * spread / sqrt(count) <= share * abs(now.mean)

    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def fewest(enough: Callable[[int], bool], present: int, most: int = 100_000) -> int | None:
    """Fewest replications that are enough, where more always are; no fewer than there are.

    Returns:
        Their number; None where not even the most are.
    """
    high = present
    while not enough(high):
        if high >= most:
            return None
        high = min(2 * high, most)
    low = max(high // 2, present)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def mser5(values: NDArray[np.float64]) -> int:
    """Observations to drop as warm-up: MSER-5 of White (1997), at most half of them.

    Means of five; the cut that minimises the squared standard error of what is left.
    """
    means = values[: len(values) // 5 * 5].reshape(-1, 5).mean(axis=1)
    if len(means) < 4:
        return 0
    errors = [float(np.var(means[cut:])) / (len(means) - cut) for cut in range(len(means) // 2)]
    return 5 * int(np.argmin(errors))
