"""Goodput: requests within every limit at once, and what those that are open at the end do to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.analysis.backlog import Drift
from simulator.analysis.metrics import summarise
from simulator.engine.record import Outcome
from simulator.experiment.workload_result import workload_result
from simulator.scenario.workloads import Objectives
from tests.analysis.test_metrics import HOUR_S, record
from tests.engine.demand import table

STABLE = Drift(load=None, waiting=0.0, may_grow=False, grows=False)


def answered(arrival_s, first_after_s, last_after_s, horizon_s, limits):
    """One workload whose answers begin and end so long after their requests, as far as the horizon goes."""
    demand = table(arrival_s)
    first_s, last_s = (demand.arrival_s + np.asarray(after_s) for after_s in (first_after_s, last_after_s))
    outcome = np.where(last_s > horizon_s, Outcome.UNFINISHED, Outcome.COMPLETED)
    first_s[first_s > horizon_s], last_s[last_s > horizon_s] = np.nan, np.nan
    run = record(demand, horizon_s, first_token_s=first_s, last_token_s=last_s, outcome=outcome)
    return summarise(run, demand, {"notes": Objectives.model_validate(limits)}).workloads["notes"]


@pytest.mark.parametrize("first_limit", [{}, {"ttft": "5s"}])
def test_what_is_open_at_the_end_makes_it_no_better(first_limit):
    """Every other request takes a minute and the others, of a limit of 4 h, 6 h: half of them are good, not more.

    Of those that came in the last 4 h the good ones have ended and the bad ones are open.
    """
    slow = np.where(np.arange(100) % 2, 60.0, 6.0 * HOUR_S)
    limits = {"end_to_end": "4h", "share": "50 %"} | first_limit
    group = answered(HOUR_S / 10.0 * np.arange(100.0), 1.0, slow, 10.0 * HOUR_S, limits)
    # Those of the first six hours were followed for the whole limit.
    assert (group.goodput_requests, group.goodput) == (60, 0.5)
    found = workload_result([group, group], STABLE, steady=False)
    assert found.goodput == found.share_met == 0.5


def test_replications_count_by_the_requests_that_are_judged_for_all_limits():
    """Of ten requests nine are open for one limit, and have missed the other: all ten tell, and one of them is good."""
    limits = {"ttft": "5s", "end_to_end": "4h"}
    one = answered(np.arange(10.0), [1.0] + [60.0] * 9, [2.0] + [9e9] * 9, HOUR_S, limits)
    other = answered(np.arange(2.0), 1.0, 2.0, HOUR_S, limits)
    assert [(group.goodput, group.goodput_requests) for group in (one, other)] == [(0.1, 10), (1.0, 2)]
    assert workload_result([one, other], STABLE, steady=False).goodput == 3 / 12


waits = st.tuples(st.floats(0.1, 900.0), st.floats(0.0, 900.0))


@given(st.lists(waits, min_size=1, max_size=40), st.floats(1.0, 990.0), st.booleans())
def test_law_it_is_at_most_the_share_within_any_limit_and_that_of_the_only_one(waits_s, limit_s, alone):
    first_s, then_s = np.array(waits_s).T
    limits = {"end_to_end": f"{limit_s}s"} | ({} if alone else {"ttft": f"{limit_s / 2}s"})
    arrival_s = 1000.0 / len(waits_s) * np.arange(len(waits_s))
    group = answered(arrival_s, first_s, first_s + then_s, 1000.0, limits)
    found = workload_result([group, group], STABLE, steady=False)
    shares = [limit.share for limit in found.objective.limits if limit.requests]
    assert found.goodput is None or found.goodput <= min(shares, default=1.0)
    if alone:
        assert ([] if found.goodput is None else [found.goodput]) == shares
