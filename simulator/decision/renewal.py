"""How often something comes, beside how long what it needs is kept: in a cache, or up until it is idle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: As far as a rate is looked for, and how closely.
_MOST_KEPT: Final = 1e9
_HALVINGS: Final = 50


@dataclass(frozen=True, slots=True)
class Renewal:
    """How often something comes, beside how long what it needs is kept after its last use.

    A shared beginning of prompts is in an API's cache, and a replica that is given back when idle is up, unless nothing
    came for so long: with probability exp(-r T) at a rate r of Poisson arrivals, T being how long it is kept. How often
    they come is not looked up but told from the share that was gone at the simulated volume.

    Attributes:
        hourly: Rate of each hour over the mean.
        weights: What each hour counts: its requests, or its time.
        kept: Arrivals while it is kept, at the mean rate of the simulated volume.
    """

    hourly: NDArray[np.float64]
    weights: NDArray[np.float64]
    kept: float

    @classmethod
    def of(cls, gone: float, hourly: NDArray[np.float64], weights: NDArray[np.float64]) -> Renewal | None:
        """As measured; None where it was never gone, or always."""
        if not 0.0 < gone < 1.0:
            return None
        low, high = 0.0, 1.0
        while cls(hourly, weights, high).gone > gone and high < _MOST_KEPT:
            low, high = high, 2.0 * high
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if cls(hourly, weights, middle).gone > gone else (low, middle)
        return cls(hourly, weights, high)

    @property
    def gone(self) -> float:
        """Share of the requests, or of the time, in which it is gone."""
        return float(self.weights @ np.exp(-self.kept * self.hourly) / self.weights.sum())

    def missed(self, factor: float) -> float:
        """How many times as great that share is at so many times the volume."""
        return Renewal(self.hourly, self.weights, self.kept * factor).gone / self.gone
