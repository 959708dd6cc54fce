from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.bill import Bill, BillLine
from simulator.decision.price_ranges import draws, drivers, split, winners

keys = st.sampled_from(
    ["rental", "berlin.rental", "api_prompt", "x.api_output", "staff", "purchase", "power", "storage"]
)
lines = st.builds(BillLine, keys, st.just(""), st.decimals(0, 10**6, places=2), st.just(""))
amounts = st.lists(st.floats(0.0, 1e6), min_size=len(drivers()) + 1, max_size=len(drivers()) + 1).map(np.array)


@given(st.lists(lines, max_size=8))
def test_the_parts_of_a_bill_are_the_bill(found):
    bill = Bill(tuple(found))
    assert split(bill, drivers()).sum() == pytest.approx(float(bill.total_usd))


def test_compliance_follows_what_it_is_a_share_of():
    lines = (BillLine("rental", "", Decimal(80), ""), BillLine("network", "", Decimal(20), ""))
    bill = Bill((*lines, BillLine("compliance", "", Decimal(10), "")))
    found = dict(zip([*(one.id for one in drivers()), "rest"], split(bill, drivers()), strict=True))
    assert (found["gpu_rent"], found["rest"]) == pytest.approx((88.0, 22.0))


def test_each_line_follows_its_price():
    bill = Bill(tuple(BillLine(key, "", Decimal(1), "") for key in ("a.rental", "b.api_cached_prompt", "network")))
    found = dict(zip([*(one.id for one in drivers()), "rest"], split(bill, drivers()), strict=True))
    assert {name for name, usd in found.items() if usd} == {"gpu_rent", "api_prices", "rest"}


def test_ranges_hold_what_the_scenario_says_and_name_their_source():
    for one in drivers():
        assert 0.0 < one.low <= 1.0 <= one.high
        assert one.basis in {"derived", "assumed"}
        assert len(one.source) > 20


def test_draws_fill_the_ranges_evenly():
    found = draws(drivers(), 1024)
    low, high = (np.array([getattr(one, end) for one in drivers()]) for end in ("low", "high"))
    assert (found[:, -1] == 1.0).all()
    assert (found[:, :-1] > low).all()
    assert (found[:, :-1] < high).all()
    # Log-uniform: half of them below the geometric mean of the ends, in each direction and a quarter in each two.
    below = found[:, :-1] < np.sqrt(low * high)
    assert below.mean(axis=0) == pytest.approx(0.5, abs=0.01)
    for one, other in combinations(range(below.shape[1]), 2):
        assert (below[:, one] & below[:, other]).mean() == pytest.approx(0.25, abs=0.02)


@given(st.dictionaries(st.sampled_from("abc"), amounts, min_size=1), st.none() | st.floats(0.0, 1e6))
def test_the_winner_is_the_cheapest_that_is_affordable(found, budget):
    factors = draws(drivers(), 16)
    for row, name in zip(factors, winners(found, factors, budget), strict=True):
        costs = {one: float(row @ usd) for one, usd in found.items()}
        lowest = min(costs.values())
        if not name:
            assert lowest >= budget * (1 - 1e-12)
        else:
            assert costs[name] == pytest.approx(lowest)
            assert budget is None or lowest <= budget * (1 + 1e-12)
