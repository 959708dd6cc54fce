"""A workload as the sum of its departments: the whole keeps its volume, the parts differ."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.workload.synthesis import synthesise
from tests.workload.clinic import WEEK, scenario, source

MONTH = {"month": "2027-04", "time_zone": "Europe/London"}

LENGTHS = {
    "prompt_tokens": {"kind": "lognormal", "median": 900, "sigma": 0.3, "at_most": 4000},
    "output_tokens": {"kind": "lognormal", "median": 300, "sigma": 0.3},
}
WARDS = {"count": 12, "share_sigma": 0.87, "length_sigma": 0.3}
NOTES = source(
    volume={"requests_per_month": 40_000}, departments=WARDS, shared_prefix={"tokens": 100, "variants": 12}, **LENGTHS
)


def by_department(table):
    return [np.flatnonzero(table.prefix_id == code) for code in np.unique(table.prefix_id)]


def test_the_sum_keeps_its_mean_and_the_parts_their_spread():
    tables = [synthesise(scenario(WEEK, 1, notes=NOTES), number) for number in range(30)]
    counts = np.array([len(table) for table in tables])
    assert counts.mean() == pytest.approx(40_000 * 168 / 730, abs=4 * counts.std(ddof=1) / np.sqrt(30))
    shares = np.concatenate([np.log([len(rows) for rows in by_department(table)]) for table in tables])
    assert shares.std() == pytest.approx(0.87, abs=0.12)
    prompts = np.concatenate(
        [np.log([np.median(table.prompt_tokens[rows]) for rows in by_department(table)]) for table in tables]
    )
    assert prompts.std() == pytest.approx(0.3, abs=0.05)
    assert max(table.prompt_tokens.max() for table in tables) <= 4000
    assert min(table.prompt_tokens.min() for table in tables) >= 1


def test_departments_have_days_of_their_own():
    """Twelve departments whose days stray by 0.4 each: their sum strays by a third of that."""
    spreads = {}
    for count in (1, 12):
        wards = {"count": count, "share_sigma": 0.0}
        notes = source(volume={"requests_per_month": 60_000}, day_variation=0.4, departments=wards)
        demand = scenario({"start": "2027-04-05", "duration": "12w"}, 1, notes=notes)
        per_day = np.histogram(synthesise(demand, 0).arrival_s, 84, (0, 84 * 86_400))[0]
        spreads[count] = np.log(per_day).std()
    assert spreads[1] == pytest.approx(0.4, abs=0.1)
    assert spreads[12] == pytest.approx(0.4 / np.sqrt(12), abs=0.05)


def test_each_department_has_its_own_draws():
    table = synthesise(scenario(WEEK, 1, notes=NOTES), 0)
    first, second = by_department(table)[:2]
    assert len(np.intersect1d(table.arrival_s[first], table.arrival_s[second])) == 0


def test_tokens_per_month_hold_whatever_the_departments_and_the_cuts():
    """Longer departments are cut more often: left out of the mean of a request, that loses a tenth of the volume."""
    volume = {"tokens_per_month": 6_000_000}
    load = source(
        volume=volume,
        departments={"count": 60, "share_sigma": 0.0, "length_sigma": 0.6},
        prompt_tokens={"kind": "lognormal", "mean": 1_200, "sigma": 0.5, "at_most": 1_500},
        output_tokens={"kind": "empirical", "values": [300, 500, 900], "weights": [2, 1, 1]},
        max_tokens=600,
    )
    drawn = [synthesise(scenario(MONTH, notes=load), number) for number in range(12)]
    tokens = [int(table.prompt_tokens.sum() + table.output_tokens.sum()) for table in drawn]
    assert max(table.prompt_tokens.max() for table in drawn) == 1_500
    assert max(table.output_tokens.max() for table in drawn) == 600
    assert np.mean(tokens) == pytest.approx(6_000_000, abs=4 * np.std(tokens, ddof=1) / np.sqrt(12))
    assert np.std(tokens, ddof=1) / np.sqrt(12) < 0.02 * 6_000_000, "too wide to notice a tenth"
