"""How much more requests clump than independent ones would: counts in windows, at every time scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: More windows than this make an estimate no better.
_MOST_WINDOWS = 400_000
_FEWEST_WINDOWS = 20


@dataclass(frozen=True, slots=True)
class Demand:
    """How many requests were to be expected by when.

    Attributes:
        edge_s: Ascending moments, the first 0, the last the end.
        until: Requests expected before each of them.
    """

    edge_s: NDArray[np.float64]
    until: NDArray[np.float64]

    @property
    def span_s(self) -> float:
        """Seconds covered."""
        return float(self.edge_s[-1])

    @property
    def rate_per_s(self) -> float:
        """Mean rate as requests see it: the mean square of the rate over its mean."""
        length_s, expected = np.diff(self.edge_s), np.diff(self.until)
        total = expected.sum()
        return float((expected**2 / length_s).sum() / total) if total > 0 else 0.0

    def between(self, begin_s: float, end_s: float) -> Demand:
        """The part between two moments, from 0 again."""
        inside = self.edge_s[(self.edge_s > begin_s) & (self.edge_s < end_s)]
        edges = np.concatenate([[begin_s], inside, [end_s]])
        until = np.interp(edges, self.edge_s, self.until)
        return Demand(edges - begin_s, until - until[0])

    def within(self, edges: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Requests expected between these moments."""
        return np.asarray(np.diff(np.interp(edges, self.edge_s, self.until)))


def dispersion_about(arrival_s: NDArray[np.float64], demand: Demand, window_s: float) -> float:
    """Variance of the counts about what was expected, over their mean; 1 for independent requests.

    Sum of (count - expected)^2 over the sum of what was expected, over all whole windows.
    """
    edges = np.arange(int(demand.span_s / window_s) + 1) * window_s
    expected = demand.within(edges)
    counts = np.bincount((arrival_s / window_s).astype(np.int64), minlength=len(expected))[: len(expected)]
    total = expected.sum()
    return float(((counts - expected) ** 2).sum() / total) if total > 0 else 1.0


def scales(span_s: float, rate_per_s: float, longest_s: float) -> NDArray[np.float64]:
    """Window lengths that the data can say something about, five to a decade, ascending.

    From windows with a request in every hundredth, or as short as `_MOST_WINDOWS` allow, to a twentieth of the span.
    """
    low = max(0.01 / rate_per_s, span_s / _MOST_WINDOWS, 0.05)
    high = min(longest_s, span_s / _FEWEST_WINDOWS)
    if high <= low:
        return np.zeros(0)
    return np.asarray(np.geomspace(low, high, max(int(5 * np.log10(high / low)), 2)))


def gap_variation(arrival_s: NDArray[np.float64], window_s: float) -> float:
    """Median over windows of the coefficient of variation of the gaps within; 1 for independent requests.

    Windows with fewer than ten gaps are left out; NaN without any.
    """
    gaps_s = np.diff(arrival_s)
    window = (arrival_s[1:] / window_s).astype(np.int64)
    same = window == (arrival_s[:-1] / window_s).astype(np.int64)
    gaps_s, window = gaps_s[same], window[same]
    count = np.bincount(window)
    total = np.bincount(window, gaps_s)
    square = np.bincount(window, gaps_s**2)
    enough = (count >= 10) & (total > 0)
    if not enough.any():
        return float("nan")
    mean = total[enough] / count[enough]
    variance = square[enough] / count[enough] - mean**2
    return float(np.median(np.sqrt(np.maximum(variance, 0.0)) / mean))
