"""Token lengths: constant, lognormal or observed; prompt and output may be correlated."""

from __future__ import annotations

from math import erf, exp, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from simulator.scenario.workloads import Constant, Lognormal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.workloads import Empirical, SyntheticWorkload

    Lengths = Constant | Lognormal | Empirical


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


def mean_tokens(lengths: Lengths, at_most: int | None = None) -> float:
    """Expected tokens, cut at `at_most` (and at the distribution's own limit); rounding is left out.

    For a lognormal between 1 and c: E[min(X, c)] + 1 - E[min(X, 1)].
    """
    limit = at_most or 1 << 30
    if isinstance(lengths, Constant):
        return float(min(lengths.tokens, limit))
    if isinstance(lengths, Lognormal):
        cut, m, s = min(lengths.at_most, limit), _location(lengths), lengths.sigma
        if s == 0.0:
            return min(max(exp(m), 1.0), cut)
        return _limited_mean(m, s, cut) + 1.0 - _limited_mean(m, s, 1.0)
    return float(np.average(np.minimum(lengths.values, limit), weights=lengths.weights))


def share_above(lengths: Lengths, tokens: float) -> float:
    """Probability of more tokens than these."""
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


def _from_normal(lengths: Lengths, normal: NDArray[np.float64]) -> NDArray[np.int32]:
    """Token counts whose ranks are those of standard normal draws."""
    if isinstance(lengths, Constant):
        return np.full(len(normal), lengths.tokens, np.int32)
    if isinstance(lengths, Lognormal):
        tokens = np.rint(np.exp(_location(lengths) + lengths.sigma * normal))
        return np.clip(tokens, 1, lengths.at_most).astype(np.int32)
    from scipy.special import ndtr

    order = np.argsort(lengths.values, kind="stable")
    values = np.array(lengths.values, np.int32)[order]
    weights = np.ones(len(values)) if lengths.weights is None else np.array(lengths.weights, np.float64)[order]
    steps = np.cumsum(weights) / weights.sum()
    found = np.searchsorted(steps, ndtr(normal), side="right")
    return np.asarray(values[np.minimum(found, len(values) - 1)])


def draw_lengths(
    workload: SyntheticWorkload, size: int, rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Prompt and output tokens of `size` requests; outputs are cut at `max_tokens`.

    The correlation is that of the underlying normals, for lognormal lengths that of the logarithms.
    """
    first, second = rng.standard_normal(size), rng.standard_normal(size)
    share = workload.correlation
    prompt = _from_normal(workload.prompt_tokens, first)
    output = _from_normal(workload.output_tokens, share * first + sqrt(1.0 - share * share) * second)
    return prompt, np.minimum(output, workload.max_tokens)
