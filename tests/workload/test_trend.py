"""Seasons, growth and adoption multiply the volume, each by its own law."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from simulator.scenario.arrivals import Trend
from simulator.units import DAY_S
from simulator.workload.trend import day_trend
from tests.workload.clinic import APRIL, expected

YEAR = [date(2027, 1, 1) + timedelta(days=number) for number in range(731)]


def test_months_have_their_factor():
    factors = day_trend(Trend.model_validate({"seasons": {"jan": 1.08, "dec": 1.05}}), YEAR)
    assert factors[:31].tolist() == [1.08] * 31
    assert factors[31] == 1.0
    assert factors[364] == 1.05


def test_growth_compounds():
    factors = day_trend(Trend(yearly_growth=0.43), YEAR)
    assert factors[0] == 1.0
    assert factors[730] == pytest.approx(1.43**2, rel=2e-3)


def test_adoption_is_that_of_the_permanente_medical_group():
    """Enabled for 10,000 in October 2023; 3,442 had used it in week 10, 7,260 by week 63."""
    factors = day_trend(
        Trend.model_validate({"adoption": {"ceiling": 0.745, "time_constant": "16w"}}), YEAR
    )  # fmt: skip
    assert factors[70] == pytest.approx(0.344, abs=0.01)
    assert factors[441] == pytest.approx(0.726, abs=0.01)
    later = Trend.model_validate({"adoption": {"ceiling": 0.745, "time_constant": "16w", "since": "70d"}})
    np.testing.assert_allclose(day_trend(later, YEAR[:30]), factors[70:100])


def test_the_volume_is_what_it_would_be_without():
    trend = {"seasons": {"apr": 1.1}, "yearly_growth": 0.2}
    (_, plain), (calendar, grown) = expected(APRIL), expected(APRIL, trend=trend)
    day = calendar.cells.start_s // DAY_S
    np.testing.assert_allclose(grown, plain * 1.1 * 1.2 ** (calendar.cells.day / 365.25))
    assert grown.sum() == pytest.approx(1000 * 1.1 * 1.2 ** (14.5 / 365.25), rel=1e-3)
    assert day.max() == 29
