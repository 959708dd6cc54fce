"""What may be chance in which of two costs less, held against draws of which the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.decision.chance import undecided
from simulator.experiment.pattern_result import Interval
from tests.decision.test_verdict import result

TRIALS = 1000


def with_costs(one, costs):
    mean = float(np.mean(costs))
    return replace(
        one, monthly_cost_usd=Interval(mean, None), by_replication={"all": {"monthly_cost_usd": [*map(float, costs)]}}
    )


def told(ours, theirs):
    """Share of trials in which one of two patterns, by the costs of their replications, is said to cost less."""
    api, hybrid = result("api", 300), result("hybrid", 300)
    found = 0
    for pair in zip(ours, theirs, strict=True):
        both = [with_costs(one, costs) for one, costs in zip((api, hybrid), pair, strict=True)]
        found += undecided(sorted(both, key=lambda one: one.cost_usd)) is None
    return found / len(ours)


@pytest.mark.parametrize("replications", [2, 3, 4])
def test_of_two_that_cost_the_same_one_is_said_to_cost_less_once_in_a_thousand(replications):
    """The hybrid's API takes a share that swings from month to month, far more than the number of its requests says."""
    rng = np.random.default_rng(replications)
    ours = np.full((TRIALS, replications), 300.0)
    theirs = 300.0 + 20.0 * rng.standard_normal((TRIALS, replications))
    assert told(ours, theirs) <= 0.005


@pytest.mark.parametrize(("replications", "apart", "at_least"), [(2, 1200.0, 0.95), (3, 45.0, 0.95), (4, 13.0, 0.95)])
def test_what_is_far_apart_is_told(replications, apart, at_least):
    """In standard deviations: what two cannot tell, three or four can."""
    rng = np.random.default_rng(7)
    theirs = 300.0 + apart + rng.standard_normal((200, replications))
    assert told(np.full((200, replications), 300.0), theirs) >= at_least


def test_two_replications_that_agree_by_chance_tell_nothing():
    """Twenty cents between what they say: half the interval is 636.6 x 0.141 / 1.414 = 63.7, of three 31.6 x 0.082."""
    rented, hybrid = result("rented", 300, each=[300.0, 300.0]), result("hybrid", 370, each=[369.9, 370.1])
    assert undecided([rented, hybrid]) is None
    close = undecided([rented, result("hybrid", 360, each=[359.9, 360.1])])
    assert close is not None
    assert (close.costs, close.replications_to_tell) == (["hybrid"], 3)


def test_a_single_replication_goes_by_the_number_of_requests():
    """100 requests of 1,000 USD: 141 USD supposed, times t of three degrees, 12.9."""
    api = with_tokens(result("api", 1000, each=[1000.0]), 1000)
    for more, known in ((1800.0, False), (1850.0, True)):
        found = undecided([api, result("rented", 1000 + more, each=[1000.0 + more])])
        assert (found is None) is known


def with_tokens(one, usd):
    (line, *_) = one.bill.lines
    return replace(one, bill=replace(one.bill, lines=(replace(line, key="api_prompt", usd=type(line.usd)(usd)),)))
