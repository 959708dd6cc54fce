from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.bill import Bill
from simulator.cost.lines import BillLine
from simulator.decision.ranges import draws, drivers, fixed_lines, split, unsure_prices, volume_range
from simulator.scenario.costs import Rental, TokenPrices
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


TERM, SPOT = {"discount": 0.3, "months": 12}, {"share": 0.5, "discount": 0.6}
CONTRACT = {"prompt": "1 USD/1M tokens", "output": "2 USD/1M tokens"}


@pytest.mark.parametrize(
    ("commitment", "spot", "fixed", "rent_open"),
    [
        (None, None, set(), True),
        (None, SPOT, set(), True),
        (TERM, None, {"rental"}, False),
        (TERM, SPOT, {"rental"}, True),
    ],
)
def test_rent_under_a_commitment_is_what_it_is_and_spot_capacity_beside_it_is_not(commitment, spot, fixed, rent_open):
    rent = {"kind": "rental", "gpu_hour": "1 USD/h", "commitment": commitment, "spot": spot}
    scenario = small({f"hosting_patterns.{name}.costs.compute": rent for name in ("rented", "hybrid")})
    assert fixed_lines(scenario.hosting_patterns["rented"]) == fixed
    assert ("gpu_rent" in {one.id for one in unsure_prices(scenario)}) is rent_open
    bill = Bill((BillLine("rental", "", Decimal(1022), ""), BillLine("rental_spot", "", Decimal(276), "")))
    moves = dict(zip([one.id for one in PRICES], split(bill, PRICES, fixed)[:-1], strict=True))
    assert moves["gpu_rent"] == (276 if fixed else 1298)


def test_of_two_backends_only_what_is_fixed_is():
    """Two clusters of which one is committed, two APIs of which one has a contract: names tell their lines apart."""
    scenario = small()
    one, api = scenario.hosting_patterns["hybrid"].hosted, scenario.hosting_patterns["hybrid"].metered
    (cluster,), (usual,) = one.values(), api.values()
    term = Rental.model_validate({"kind": "rental", "gpu_hour": "1 USD/h", "commitment": TERM})
    bound = cluster.model_copy(update={"costs": cluster.costs.model_copy(update={"compute": term})})
    agreed = usual.model_copy(update={"prices": TokenPrices.model_validate(CONTRACT)})
    update = {"cluster": None, "costs": None, "api": None, "clusters": {"a": bound, "b": cluster}}
    pattern = scenario.hosting_patterns["hybrid"].model_copy(update=update | {"apis": {"x": agreed, "y": usual}})
    fixed = fixed_lines(pattern)
    assert {key for key in fixed if "rental" in key} == {"a.rental"}
    assert {"x.api_prompt", "x.api_output"} <= fixed
    assert not any(key.startswith(("b.", "y.")) for key in fixed)
    both = scenario.model_copy(update={"hosting_patterns": {"hybrid": pattern}})
    assert {"gpu_rent", "api_prices"} <= {one.id for one in unsure_prices(both)}
    assert fixed_lines(scenario.hosting_patterns["bought"]) == frozenset()
