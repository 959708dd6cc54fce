"""How demand changes over months and years: seasons, growth, adoption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.scenario.arrivals import MONTHS
from simulator.units import DAY_S

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from simulator.scenario.arrivals import Trend

_YEAR_DAYS = 365.25


def day_trend(trend: Trend, days: Sequence[date]) -> NDArray[np.float64]:
    """Factor on the volume of each of these consecutive days, the first of which starts the horizon."""
    number = np.arange(len(days), dtype=np.float64)
    season = np.array([trend.seasons.get(MONTHS[day.month - 1], 1.0) for day in days])
    factors = season * (1.0 + trend.yearly_growth) ** (number / _YEAR_DAYS)
    if trend.adoption is None:
        return np.asarray(factors)
    since_s = trend.adoption.since + (number + 0.5) * DAY_S
    return np.asarray(factors * trend.adoption.ceiling * -np.expm1(-since_s / trend.adoption.time_constant))
