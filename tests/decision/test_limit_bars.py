"""What tighter and looser limits would change, held against scenarios with those limits.

The API is the cheapest by far. It keeps the limit of the first token and misses that of the whole answer, which the
rented cluster keeps; letters have a limit of their own.
"""

from __future__ import annotations

import pytest

from simulator.decision.limit_bars import limit_bars
from simulator.results import run
from tests.experiment.small import small

GIVEN = {
    "hosting_patterns.api.api.output_tokens_per_s": {"median": 10, "sigma": 0.1},
    "hosting_patterns.bought": None,
    "hosting_patterns.hybrid": None,
    "workloads.notes.objectives": {"ttft": "5s", "end_to_end": "12s", "share": 0.95},
    "workloads.letters.objectives": {"ttft": "4s", "end_to_end": "30s", "share": 0.9},
    "experiment.replications": 2,
}
LIMITS = {"notes.ttft": 5.0, "notes.end_to_end": 12.0, "letters.ttft": 4.0, "letters.end_to_end": 30.0}


def recommended(**settings):
    return run(small(GIVEN | settings), tables=False, band=False, outlook=False).decision.recommended


@pytest.fixture(scope="module")
def results():
    return run(small(GIVEN), tables=False, band=False)


@pytest.fixture(scope="module")
def bars(results):
    found = limit_bars(results.scenario, results.pattern("rented"), results.patterns)
    return {bar.factor: bar for bar in found}


def test_every_limit_has_a_bar_of_half_and_twice_its_length(results, bars):
    assert results.decision.recommended == "rented"
    assert {name: (bar.low, bar.base, bar.high) for name, bar in bars.items()} == {
        name: (limit_s / 2, limit_s, 2 * limit_s) for name, limit_s in LIMITS.items()
    }


@pytest.mark.parametrize("factor", LIMITS)
@pytest.mark.parametrize("times", [0.5, 2.0])
def test_at_the_end_of_a_bar_stands_what_the_scenario_with_that_limit_recommends(bars, factor, times):
    """One limit of four is moved; the other three are kept or missed as before."""
    workload, limit = factor.split(".")
    found = recommended(**{f"workloads.{workload}.objectives.{limit}": f"{times * LIMITS[factor]}s"})
    bar = bars[factor]
    assert (bar.recommended_low if times < 1.0 else bar.recommended_high) == found
    # Only an answer that may take twice as long lets the API in.
    assert found == ("api" if (factor, times) == ("notes.end_to_end", 2.0) else "rented")


def test_a_pattern_that_is_let_in_is_as_much_cheaper_as_its_bill_says(results, bars):
    usd = {one.name: one.monthly_cost_usd.mean for one in results.patterns}
    assert bars["notes.end_to_end"].margin_high_usd == pytest.approx(usd["api"] - usd["rented"])
    assert bars["notes.end_to_end"].margin_high_usd < -700.0
    # Without it nobody is left to compare with.
    assert bars["notes.ttft"].margin_high_usd is None


def test_what_lies_nearest_is_said_with_its_pattern_its_share_and_what_it_saves(results, bars):
    """The API would be let in by a longer answer; by no first token, which it has in time."""
    usd = {one.name: one.monthly_cost_usd.mean for one in results.patterns}
    (reached_s,) = [
        one.reached_s(0.95) for one in results.pattern("api").workloads["notes"].samples if one.metric == "e2e_s"
    ]
    said = bars["notes.end_to_end"]
    assert said.flips_at == reached_s > 12.0
    assert said.text == (
        f"api would do, for {usd['rented'] - usd['api']:,.0f} USD a month less, if notes wants its p95 of end-to-end "
        f"latency below {reached_s:.2f} s instead of 12 s"
    )
    for factor, quantile in (("notes.ttft", "p95"), ("letters.ttft", "p90"), ("letters.end_to_end", "p90")):
        workload = factor.partition(".")[0]
        assert bars[factor].text.startswith(f"rented is out once {workload} wants its {quantile} of ")


def test_a_dearer_pattern_that_misses_is_no_advice(results):
    """To the API, which is the cheapest by far, nobody is cheaper."""
    for bar in limit_bars(results.scenario, results.pattern("api"), results.patterns):
        assert bar.text.startswith("api is out once ")
