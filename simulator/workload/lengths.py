"""Token lengths: constant, lognormal or observed; prompt and output may be correlated."""

from __future__ import annotations

import json
from functools import lru_cache
from math import erf, exp, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import SimulatorError
from simulator.extensions import find, mark
from simulator.scenario.workloads import Constant, CustomLengths, Empirical, Lognormal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.workloads import SyntheticWorkload

    Lengths = Constant | Lognormal | Empirical | CustomLengths


#: Tokens up to which the mean of rounded lengths is a sum, and no limit.
_SUMMED, _NO_LIMIT = 32, np.iinfo(np.int32).max
#: Shares at which a distribution of one's own is looked at for its mean.
_GRID = 20_000


def _location(lengths: Lognormal) -> float:
    """Mean of the logarithm."""
    if lengths.median is not None:
        return log(lengths.median)
    return log(lengths.mean or 1.0) - 0.5 * lengths.sigma**2


def _limited_mean(m: float, s: float, cut: float) -> float:
    """E[min(X, c)] of a lognormal: exp(m + s^2/2) Phi((ln c - m)/s - s) + c (1 - Phi((ln c - m)/s))."""
    z = (log(cut) - m) / s
    below = 0.5 * (1.0 + erf((z - s) / sqrt(2.0)))
    return exp(m + 0.5 * s * s) * below + cut * 0.5 * (1.0 - erf(z / sqrt(2.0)))


def _rounded_mean(m: float, s: float, cut: int) -> float:
    """E[N] of a lognormal X rounded to whole tokens from 1 to c: 1 + the sum of P(X >= k - 1/2) over k = 2 ... c.

    Beyond a few tokens the sum is the integral of P(X >= x).
    """
    if s == 0.0:
        return float(min(max(round(exp(m)), 1), cut))
    near = min(cut, _SUMMED)
    above = sum(0.5 * (1.0 - erf((log(k - 0.5) - m) / (s * sqrt(2.0)))) for k in range(2, near + 1))
    beyond = _limited_mean(m, s, cut) - _limited_mean(m, s, near) if cut > near else 0.0
    return 1.0 + above + beyond


def _quantiles(lengths: CustomLengths, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tokens that these shares of all requests have no more of."""
    found = np.asarray(find("lengths", lengths.name)(shares, **lengths.options), np.float64)
    if found.shape != shares.shape or not np.isfinite(found).all():
        raise SimulatorError(f"the length distribution '{lengths.name}' must give a number of tokens for each share")
    return found


@lru_cache(maxsize=64)
def _tabled(name: str, options: str, mark: str) -> Empirical:  # noqa: ARG001 - tells it from another of that name
    """The same at evenly spaced shares, which says what its mean is, and how much lies above."""
    shares = (np.arange(_GRID) + 0.5) / _GRID
    lengths = CustomLengths(kind="custom", name=name, options=json.loads(options))
    values = np.clip(np.rint(_quantiles(lengths, shares)), 1, _NO_LIMIT).astype(np.int64)
    return Empirical(kind="empirical", values=values.tolist())


def _on_a_grid(lengths: CustomLengths) -> Empirical:
    return _tabled(lengths.name, json.dumps(dict(lengths.options), default=list), mark("lengths", lengths.name))


def share_above(lengths: Lengths, tokens: float) -> float:
    """Probability of more tokens than these."""
    if isinstance(lengths, CustomLengths):
        return share_above(_on_a_grid(lengths), tokens)
    if isinstance(lengths, Constant):
        return float(lengths.tokens > tokens)
    if isinstance(lengths, Lognormal):
        if tokens >= lengths.at_most:
            return 0.0
        if lengths.sigma == 0.0:
            return float(exp(_location(lengths)) > tokens)
        # What is drawn is rounded.
        return 0.5 * (1.0 - erf((log(max(tokens + 0.5, 0.5)) - _location(lengths)) / (lengths.sigma * sqrt(2.0))))
    above = np.array(lengths.values) > tokens
    return float(np.average(above, weights=lengths.weights))


def mean_tokens(lengths: Lengths, at_most: int | None = None, *, spread: float = 0.0) -> float:
    """Expected tokens as `draw_lengths` rounds and cuts them, at `at_most` and at the distribution's own limit.

    Args:
        lengths: Their distribution.
        at_most: A further limit.
        spread: Log standard deviation of an independent lognormal factor of mean 1 on all of them, before the cut. A
            lognormal times a lognormal is one: the means of the logarithms add up, and so do their variances.
    """
    if isinstance(lengths, CustomLengths):
        return mean_tokens(_on_a_grid(lengths), at_most, spread=spread)
    limit = at_most or _NO_LIMIT
    shift = -0.5 * spread * spread
    if isinstance(lengths, Lognormal):
        sigma = sqrt(lengths.sigma**2 + spread**2)
        return _rounded_mean(_location(lengths) + shift, sigma, min(lengths.at_most, limit))
    if isinstance(lengths, Constant):
        return _rounded_mean(log(lengths.tokens) + shift, spread, limit)
    values, which = np.unique(lengths.values, return_inverse=True)
    means = np.array([_rounded_mean(log(value) + shift, spread, limit) for value in values.tolist()])
    return float(np.average(means[which], weights=lengths.weights))


def from_normal(
    lengths: Lengths, normal: NDArray[np.float64], factor: NDArray[np.float64] | None, at_most: int
) -> NDArray[np.int32]:
    """Token counts whose ranks are those of standard normal draws, times a factor each, rounded, then cut."""
    if isinstance(lengths, Lognormal):
        tokens, at_most = np.exp(_location(lengths) + lengths.sigma * normal), min(lengths.at_most, at_most)
    elif isinstance(lengths, CustomLengths):
        from scipy.special import ndtr

        tokens = _quantiles(lengths, ndtr(normal))
    else:
        tokens = _ranked(lengths, normal)
    if factor is not None:
        tokens = tokens * factor
    return np.clip(np.rint(tokens), 1, at_most).astype(np.int32)


def _ranked(lengths: Constant | Empirical, normal: NDArray[np.float64]) -> NDArray[np.float64]:
    if isinstance(lengths, Constant):
        return np.full(len(normal), float(lengths.tokens))
    from scipy.special import ndtr

    order = np.argsort(lengths.values, kind="stable")
    values = np.array(lengths.values, np.float64)[order]
    weights = np.ones(len(values)) if lengths.weights is None else np.array(lengths.weights, np.float64)[order]
    steps = np.cumsum(weights) / weights.sum()
    found = np.searchsorted(steps, ndtr(normal), side="right")
    return np.asarray(values[np.minimum(found, len(values) - 1)])


def draw_lengths(
    workload: SyntheticWorkload, size: int, rng: np.random.Generator, factor: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Prompt and output tokens of `size` requests, times a factor each where there is one; then they are cut.

    Outputs are cut at `max_tokens` too.

    The correlation is that of the underlying normals, for lognormal lengths that of the logarithms.
    """
    first, second = rng.standard_normal(size), rng.standard_normal(size)
    share = workload.correlation
    both = share * first + sqrt(1.0 - share * share) * second
    prompt = from_normal(workload.prompt_tokens, first, factor, _NO_LIMIT)
    return prompt, from_normal(workload.output_tokens, both, factor, workload.max_tokens)
