"""The months to come, by the arithmetic of growth; and what they cost, by the curve of cost against volume."""

from __future__ import annotations

import pytest

from simulator.plots.cost import over_months
from simulator.scenario.loading import load_scenario
from simulator.studio.growth import grows, months_ahead
from simulator.workload.demand import demands
from tests.parts import SCENARIOS


def test_a_rollout_grows_as_it_is_adopted():
    scenario = load_scenario(SCENARIOS / "health_system_rollout.yaml")
    months = months_ahead(scenario)
    whole = sum(one.tokens for one in demands(scenario).values())
    assert [name for name, _ in months[:3]] == ["2027-01", "2027-02", "2027-03"]
    assert len(months) == 36
    # 20, 100, 300 and all of 1,200 clinicians; between points shares lie on a line.
    for number, clinicians in ((1, 20), (4, 100), (9, 300), (10, 1200), (36, 1200)):
        assert months[number - 1][1] == pytest.approx(whole * clinicians / 1200, rel=1e-4)


def test_a_trend_compounds_and_what_has_none_stays():
    settings = {"workloads.radiology_anomaly.trend": {"yearly_growth": 1.0}}
    scenario = load_scenario(SCENARIOS / "ci_small.yaml", settings=settings)
    months = dict(months_ahead(scenario))
    asked = demands(load_scenario(SCENARIOS / "ci_small.yaml"))
    still, grown = (asked[name].tokens for name in ("clinical_documentation", "radiology_anomaly"))
    for later in ("2026-05", "2027-05", "2028-05"):
        years = int(later[:4]) - 2026
        # The middle of May is 40 days after the start, the sixth of April.
        assert months[later] - still == pytest.approx(grown * 2.0 ** (years + 40 / 365.25), rel=0.01)
    assert not grows(load_scenario(SCENARIOS / "ci_small.yaml"))
    assert months_ahead(load_scenario(SCENARIOS / "ci_small.yaml")) == []


def test_months_cost_what_the_curve_says_and_nothing_is_drawn_beyond_it():
    series = {"pattern": "api", "tokens_per_month": [0, 100], "monthly_cost_usd": [5.0, 25.0]}
    document = {"decision": {"cost_curve": {"series": [series]}}}
    drawn = over_months(document, [("2027-01", 10.0), ("2027-02", 100.0), ("2027-03", 101.0)], {"api": "#000"})
    assert list(drawn.data[0].y) == [7.0, 25.0, None]
    assert list(drawn.data[0].x) == ["2027-01", "2027-02", "2027-03"]
    assert over_months(document, [], {}) is None
    assert over_months({"decision": {"cost_curve": None}}, [("2027-01", 1.0)], {}) is None
