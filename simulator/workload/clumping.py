"""From counts in windows to the process that makes them: bursts or trains, and a rate that swings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.units import HOUR_S
from simulator.workload.dispersion import Demand, dispersion_about, scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A program's train or a person's sitting is over by then.
_LONGEST_FIRST_S = 60.0
_LONGEST_SWING_S = 6 * 3600.0
#: Bursts of this size are trains of a program, one at a time.
_TRAIN = 10.0
_FEWEST_REQUESTS = 200
#: Where more bursts than this overlap, nobody can tell them from a swing of the rate.
_MOST_AT_ONCE = 0.5


@dataclass(frozen=True, slots=True)
class Clumping:
    """Beyond independent requests.

    Attributes:
        burst_mean: Mean requests of a burst; 1 without bursts.
        burst_spacing_s: Mean gap within one.
        swing_sigma: Log standard deviation of the rate's swings; 0 without.
        swing_s: Their time constant.
    """

    burst_mean: float = 1.0
    burst_spacing_s: float = 0.0
    swing_sigma: float = 0.0
    swing_s: float = 0.0


class _Cause(NamedTuple):
    """An excess of the index of dispersion: how high it gets, and how long what causes it lasts."""

    height: float
    over_s: float

    @property
    def size(self) -> float:
        """Mean requests of a burst, were it one."""
        return 1.0 + self.height / 2.0

    @property
    def spacing_s(self) -> float:
        """Mean gap within a burst, were it one."""
        return self.over_s / self.size

    def at_once(self, rate_per_s: float) -> float:
        """How many bursts would be under way at a time on average, were it one."""
        return rate_per_s / self.size * (self.size - 1.0) * self.spacing_s


_NOTHING = _Cause(0.0, 0.0)


def _grown(window_s: NDArray[np.float64], over_s: float) -> NDArray[np.float64]:
    """Share of a correlation exp(-t / over) that windows of this length see: 1 - (1 - exp(-x)) / x."""
    x = window_s / over_s
    return np.asarray(1.0 - -np.expm1(-x) / x)


def fit_clumping(arrival_s: NDArray[np.float64], demand: Demand, longest_window_s: float) -> Clumping:
    """Least squares on the logarithm of the index of dispersion by window length.

    Both causes leave a covariance that decays exponentially. Geometric bursts of mean b with exponential gaps of mean
    s (a Neyman-Scott process) give I(w) = 1 + 2 (b - 1) g(w / (b s)); a lognormal rate with an Ornstein-Uhlenbeck
    logarithm of deviation S and time constant T gives about 1 + 2 r T (exp(S^2) - 1) g(w / T), with r the rate and
    g(x) = 1 - (1 - exp(-x)) / x. A cause that explains less than the estimate's own error is left
    out, one whose bursts would overlap most of the time is a swing, and of two of a kind the stronger is taken.
    """
    rate = demand.rate_per_s
    windows = scales(demand.span_s, rate, longest_window_s) if rate > 0 else np.zeros(0)
    if len(arrival_s) < _FEWEST_REQUESTS or len(windows) < 4:
        return Clumping()
    seen = np.array([dispersion_about(arrival_s, demand, window) for window in windows])
    # A variance from n windows is known to a share of about sqrt(2 / n), and never better than a twentieth.
    error = np.maximum(np.sqrt(2.0 * windows / demand.span_s), 0.05)
    bursts, swings = [_NOTHING], [_NOTHING]
    for cause in _two_causes(windows, np.maximum(seen, 0.5), error):
        if np.any(cause.height * _grown(windows, cause.over_s) > 2.0 * error):
            (bursts if cause.at_once(rate) < _MOST_AT_ONCE else swings).append(cause)
    burst, swing = max(bursts), max(swings)
    sigma = float(np.sqrt(np.log1p(swing.height / (2.0 * rate * swing.over_s)))) if swing.height else 0.0
    return Clumping(burst.size, burst.spacing_s, sigma, swing.over_s)


def _two_causes(
    windows: NDArray[np.float64], seen: NDArray[np.float64], error: NDArray[np.float64]
) -> tuple[_Cause, _Cause]:
    """A shorter and a longer cause."""
    from scipy.optimize import least_squares

    def parts(x: NDArray[np.float64]) -> tuple[_Cause, _Cause]:
        first_s = float(np.exp(x[1]))
        return _Cause(float(np.exp(x[0])), first_s), _Cause(float(np.exp(x[2])), first_s * float(np.exp(x[3])))

    def miss(x: NDArray[np.float64]) -> NDArray[np.float64]:
        curve = 1.0 + sum(height * _grown(windows, over_s) for height, over_s in parts(x))
        return np.asarray((np.log(curve) - np.log(seen)) / error)

    low, high = np.log(windows[0]), np.log(_LONGEST_FIRST_S)
    bounds = ([-9.0, low, -9.0, np.log(5.0)], [12.0, high, 15.0, np.log(_LONGEST_SWING_S / windows[0])])
    starts = [
        [np.log(max(seen.max() - 1.0, 0.01)) - 1.0, begin, np.log(max(seen.max() - 1.0, 0.01)), np.log(30.0)]
        for begin in np.linspace(low, high, 5)[1:4]
    ]
    found = [least_squares(miss, np.clip(start, *bounds), bounds=bounds) for start in starts]
    return parts(min(found, key=lambda one: float(one.cost)).x)


def hourly_dispersion(arrival_s: NDArray[np.float64], span_s: float) -> float:
    """What windows shorter than an hour lead one to expect of hourly counts' variance over their mean; at least 1.

    Swings of the rate that last longer are not in it: see `simulator.workload.hours.dispersion`.
    """
    edges = HOUR_S * np.arange(int(span_s // HOUR_S) + 1.0)
    if len(edges) < 2:
        return 1.0
    counts = np.histogram(arrival_s, edges)[0].astype(np.float64)
    own = Demand(edges, np.concatenate([[0.0], np.cumsum(counts)]))
    # Three windows share a mean.
    seen = 1.5 * dispersion_about(arrival_s[arrival_s < edges[-1]], own, HOUR_S / 3.0)
    found = fit_clumping(arrival_s, own, HOUR_S / 2.0)
    rate, excess = own.rate_per_s, np.expm1(found.swing_sigma**2)
    by_swings = 2.0 * rate * found.swing_s * excess * _grown(np.array([HOUR_S]), found.swing_s)[0] if excess else 0.0
    return max(seen, 1.0 + 2.0 * (found.burst_mean - 1.0) + float(by_swings))


@dataclass(frozen=True, slots=True)
class Trains:
    """A program's trains.

    Attributes:
        size_mean: Mean requests of one.
        gap_s: Mean gap within one.
        gap_variation: Its coefficient of variation.
        idle_sigma: Log deviation of the demand that gathers between their starts.
    """

    size_mean: float
    gap_s: float
    gap_variation: float
    idle_sigma: float


def trains_of(arrival_s: NDArray[np.float64], demand: Demand, found: Clumping) -> Trains | None:
    """The trains, or None where bursts are too small to be a program's.

    Gaps of more than twenty times the burst's spacing part one train from the next.
    """
    if found.burst_mean < _TRAIN:
        return None
    gaps_s = np.diff(arrival_s)
    heads = np.concatenate([[0], np.flatnonzero(gaps_s > 20.0 * found.burst_spacing_s) + 1])
    if len(heads) < 10:
        return None
    inside = gaps_s[gaps_s <= 20.0 * found.burst_spacing_s]
    gathered = np.diff(np.interp(arrival_s[heads], demand.edge_s, demand.until))
    spread = float(gathered.std() / gathered.mean())
    gap_s = float(inside.mean())
    return Trains(len(arrival_s) / len(heads), gap_s, float(inside.std()) / gap_s, float(np.sqrt(np.log1p(spread**2))))
