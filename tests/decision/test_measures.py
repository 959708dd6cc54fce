"""What rules of thumb are told of a site and its workloads, by hand."""

from __future__ import annotations

import pytest

from simulator.decision.measures import site_measures, workload_measures
from simulator.results import run
from tests.experiment.small import small

WEEK = {
    "horizon.duration": "7d",
    "workloads.notes.day_variation": 0.25,
    "constraints.team": {"ml_engineers": 2},
    "experiment.replications": 1,
}


@pytest.fixture(scope="module")
def results():
    return run(small(WEEK), patterns=["api"], tables=False, band=False, outlook=False)


def test_tokens_of_a_month_are_those_of_a_request_that_came_times_the_requests_asked(results):
    """Sixty clinicians write 15 notes each on every day of 730 h, whatever came in the week; 600 letters a month.

    What is still open when the week ends counts for those hours, and is no more than a note or two.
    """
    (found,) = results.patterns
    asked = {"notes": 60 * 15 * 730 / 24, "letters": 600}
    served = {
        name: asked[name] * (load.tokens.prompt + load.tokens.output) / load.requests.arrived
        for name, load in found.workloads.items()
    }
    loads, site = workload_measures(results.scenario, found), site_measures(results.scenario, found, 7.5)
    for name, tokens in served.items():
        assert loads[name]["tokens_per_month"] == pytest.approx(tokens, rel=5e-4)
    assert site == {
        "tokens_per_month": pytest.approx(sum(served.values()), rel=5e-4),
        "payback_months": 7.5,
        "ml_engineers": 2.0,
    }
    # 600 requests of 600 tokens each, whatever chance made of them in a week.
    assert loads["letters"]["tokens_per_month"] == pytest.approx(600 * 600, abs=2)


def test_a_workload_tells_its_variation_and_its_limit_where_it_has_one(results):
    loads = workload_measures(results.scenario, results.patterns[0])
    assert (loads["notes"]["variation"], loads["notes"]["ttft_limit_s"]) == (0.25, 5.0)
    assert "ttft_limit_s" not in loads["letters"]


def test_what_nobody_knows_is_left_out():
    assert site_measures(small(), None, None) == {}
    assert workload_measures(small(), None) == {}
