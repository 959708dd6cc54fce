from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.bill import Bill
from simulator.cost.lines import BillLine
from simulator.decision.ranges import draws, drivers, split, volume_range
from simulator.workload.demand import demands
from tests.experiment.small import small

PRICES = [one for one in drivers() if one.lines]
keys = st.sampled_from(
    ["rental", "berlin.rental", "api_prompt", "x.api_output", "staff", "purchase", "power", "storage", "vat", "api_vat"]
)
lines = st.builds(BillLine, keys, st.just(""), st.decimals(0, 10**6, places=2), st.just(""))


def parts(*bill_lines):
    bill = Bill(tuple(BillLine(key, "", Decimal(usd), "") for key, usd in bill_lines))
    return dict(zip([*(one.id for one in PRICES), "rest"], split(bill, PRICES), strict=True))


@given(st.lists(lines, max_size=8))
def test_the_parts_of_a_bill_are_the_bill(found):
    bill = Bill(tuple(found))
    taxes = sum(line.usd for line in found if line.key.endswith("vat"))
    # A tax on nothing is nobody's.
    due = any(line.usd for line in found if not line.key.endswith(("vat", "staff", "purchase")))
    assert split(bill, PRICES).sum() == pytest.approx(float(bill.total_usd - (0 if due else taxes)))


def test_compliance_follows_what_it_is_a_share_of():
    found = parts(("rental", 80), ("network", 20), ("compliance", 10))
    assert (found["gpu_rent"], found["rest"]) == pytest.approx((88.0, 22.0))


def test_tax_follows_what_it_is_due_on():
    """19 % on the rent of 100; salaries and what is bought bear none in this line."""
    found = parts(("rental", 100), ("staff", 900), ("purchase", 50), ("vat", 19))
    assert (found["gpu_rent"], found["staff"], found["hardware"], found["rest"]) == pytest.approx((119, 900, 50, 0))


def test_each_line_follows_its_price():
    found = parts(("a.rental", 1), ("b.api_cached_prompt", 1), ("network", 1))
    assert {name for name, usd in found.items() if usd} == {"gpu_rent", "api_prices", "rest"}


def test_ranges_hold_what_the_scenario_says_and_name_their_source():
    assert len({one.id for one in drivers()}) == len(drivers()) == 8
    for one in drivers():
        assert 0.0 < one.low <= 1.0 <= one.high
        assert one.basis in {"derived", "assumed"}
        assert len(one.source) > 20


def test_draws_fill_the_ranges_evenly():
    found = draws(drivers()[:7], 1024)
    low, high = (np.array([getattr(one, end) for one in drivers()[:7]]) for end in ("low", "high"))
    assert (found > low).all()
    assert (found < high).all()
    # Log-uniform: half of them below the geometric mean of the ends, in each direction and a quarter in each two.
    below = found < np.sqrt(low * high)
    assert below.mean(axis=0) == pytest.approx(0.5, abs=0.01)
    for one, other in combinations(range(below.shape[1]), 2):
        assert (below[:, one] & below[:, other]).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("growth", "low", "high"), [(0.0, 0.5, 2.0), (0.5, 0.5, 3.0), (-0.4, 0.3, 2.0)])
def test_a_year_of_stated_growth_is_within_the_range_of_the_volume(growth, low, high):
    trend = {"yearly_growth": growth}
    scenario = small({"workloads.notes.trend": trend, "workloads.letters.trend": trend})
    found = volume_range(scenario, demands(scenario))
    assert (found.low, found.high) == pytest.approx((low, high))
