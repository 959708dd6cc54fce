"""How use grows: curves of adoption, and the one that fits what a site has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.scenario.rollout import ExponentialAdoption, FittedAdoption, LogisticAdoption, SaturatingAdoption

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario.rollout import Adoption


@dataclass(frozen=True, slots=True)
class Curve:
    """Adoption by month.

    Attributes:
        kind: Its shape.
        parameters: What determines it.
        observed: Months and shares it was fitted to; empty where it was given.
        residual: Root mean square of observed less fitted shares; None where it was given.
        shares: Share of the scenario's volume in months 1, 2, …
    """

    kind: str
    parameters: dict[str, float]
    shares: list[float]
    observed: list[tuple[int, float]] = field(default_factory=list)
    residual: float | None = None


def adoption_curve(adoption: Adoption, months: int) -> Curve:
    """Shares of the first months, after fitting where there is something to fit."""
    at = np.arange(1, months + 1, dtype=float)
    if isinstance(adoption, LogisticAdoption):
        values = adoption.ceiling, adoption.midpoint, adoption.rate
        return Curve("logistic", _named("logistic", values), _logistic(at, *values).tolist())
    if isinstance(adoption, SaturatingAdoption):
        both = adoption.ceiling, adoption.time_constant
        return Curve("saturating", _named("saturating", both), _saturating(at, *both).tolist())
    if isinstance(adoption, ExponentialAdoption):
        grown = adoption.first * (1.0 + adoption.monthly_growth) ** (at - 1.0)
        most = np.inf if adoption.ceiling is None else adoption.ceiling
        known_of = {"first": adoption.first, "monthly_growth": adoption.monthly_growth}
        return Curve("exponential", known_of, np.minimum(grown, most).tolist())
    if isinstance(adoption, FittedAdoption):
        return _fitted(adoption, at)
    known = [(0, 0.0), *((point.month, point.share) for point in adoption.points)]
    return Curve("table", {}, np.interp(at, [month for month, _ in known], [share for _, share in known]).tolist())


def _logistic(month: NDArray[np.float64], ceiling: float, midpoint: float, rate: float) -> NDArray[np.float64]:
    from scipy.special import expit

    return np.asarray(ceiling * expit(rate * (month - midpoint)))


def _saturating(month: NDArray[np.float64], ceiling: float, time_constant: float) -> NDArray[np.float64]:
    return np.asarray(-ceiling * np.expm1(-month / time_constant))


#: By shape: the curve, its parameters after the ceiling, where fits start and what they may find. A fit that steps onto
#: a flat part of the curve stays there, so it starts in several places and the best one counts.
_SHAPES: dict[str, tuple[Any, tuple[str, ...], tuple[tuple[float, ...], ...], tuple[tuple[float, float], ...]]] = {
    "logistic": (
        _logistic,
        ("midpoint", "rate"),
        tuple(product((3.0, 9.0, 18.0, 36.0), (0.1, 0.3, 1.0))),
        ((-120.0, 240.0), (1e-3, 10.0)),
    ),
    "saturating": (_saturating, ("time_constant",), ((3.0,), (12.0,), (48.0,), (200.0,)), ((0.1, 1200.0),)),
}
_CEILINGS = (1e-3, 100.0)


def _named(kind: str, values: tuple[float, ...]) -> dict[str, float]:
    return dict(zip(("ceiling", *_SHAPES[kind][1]), map(float, values), strict=True))


def _fitted(adoption: FittedAdoption, at: NDArray[np.float64]) -> Curve:
    """Least squares within the bounds; with as many points as parameters it goes through them where it can."""
    from scipy.optimize import least_squares

    curve, _, starts, bounds = _SHAPES[adoption.curve]
    month = np.array([float(point.month) for point in adoption.observed])
    share = np.array([point.share for point in adoption.observed])
    ceiling = adoption.ceiling

    def shares(values: NDArray[np.float64], when: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(curve(when, *values) if ceiling is None else curve(when, ceiling, *values))

    def residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(shares(values, month) - share)

    top = max(1.2 * float(share.max()), _CEILINGS[0])
    limits = (_CEILINGS, *bounds) if ceiling is None else bounds
    fits = [
        least_squares(
            residuals,
            start,
            bounds=([low for low, _ in limits], [high for _, high in limits]),
            x_scale=np.abs(start),
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
        )
        for start in (((top, *first) if ceiling is None else first) for first in starts)
    ]
    found = min(fits, key=lambda fit: float(fit.cost))
    values = tuple(found.x) if ceiling is None else (ceiling, *found.x)
    residual = float(np.sqrt(np.mean(found.fun**2)))
    observed = [(point.month, point.share) for point in adoption.observed]
    return Curve(adoption.curve, _named(adoption.curve, values), shares(found.x, at).tolist(), observed, residual)
