from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.decision.purchase import cash_flows, net_present_value
from tests.decision.test_verdict import result
from tests.experiment.small import small

usd = st.decimals(min_value=0, max_value=10**6, places=2)


@given(usd, usd, st.integers(1, 120))
def test_without_discounting_it_is_the_sum(upfront, saving, months):
    assert net_present_value(upfront, saving, months, 0.0) == pytest.approx(saving * months - upfront)


@given(usd, usd, st.integers(1, 120), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_a_higher_rate_is_worth_less(upfront, saving, months, one, other):
    low, high = sorted((one, other))
    assert net_present_value(upfront, saving, months, high) <= net_present_value(upfront, saving, months, low)


def test_a_yearly_rate_is_a_yearly_rate():
    """A single saving of 107 USD a year from now is worth 100 USD at 7 %."""
    only_last = net_present_value(Decimal(0), Decimal(107), 12, 0.07) - net_present_value(
        Decimal(0), Decimal(107), 11, 0.07
    )
    assert only_last == pytest.approx(Decimal(100))


def test_savings_leave_the_amortisation_out():
    scenario = small()
    against = {flow.against: flow for flow in cash_flows(scenario, [result("api", 1070), result("bought", 700)])}
    flow = against["metered_api"]
    # 7,300 USD upfront; the bill of the purchase is 70 USD of power and 9 of amortisation.
    assert (flow.upfront_usd, flow.saving_usd_per_month) == (7300.0, 1000.0)
    assert flow.payback_months == pytest.approx(7.3)
    assert flow.months == 10
    assert flow.cumulative_usd[0] == -7300.0
    assert flow.cumulative_usd[7] < 0.0 < flow.cumulative_usd[8]
    assert flow.npv_usd < flow.cumulative_usd[-1] == pytest.approx(2700.0)


def test_what_is_paid_once_and_what_is_fetched_in_the_end_count():
    settings = {
        "hosting_patterns.bought.costs.one_off": {"training": "700 USD"},
        "hosting_patterns.bought.costs.compute.residual": "1000 USD",
        "hosting_patterns.api.api.costs": {"one_off": {"connection": "200 USD"}},
        "prices.discount_rate": "0 %",
    }
    results = [result("api", 1070), result("bought", 700)]
    (plain,) = cash_flows(small({"prices.discount_rate": "0 %"}), results)
    (flow,) = cash_flows(small(settings), results)
    assert (flow.upfront_usd, flow.reference_upfront_usd, flow.residual_usd) == (8000.0, 200.0, 1000.0)
    assert flow.payback_months == pytest.approx(7.8)
    assert flow.npv_usd - plain.npv_usd == pytest.approx(1000.0 - 500.0)


def test_each_kind_is_represented_by_its_cheapest():
    results = [result("api", 900), result("rented", 800), result("hybrid", 850), result("bought", 700)]
    flows = cash_flows(small(), results)
    assert {flow.reference for flow in flows} == {"api", "rented", "hybrid"}
    assert all(flow.pattern == "bought" for flow in flows)


def test_a_purchase_that_saves_nothing_never_pays():
    (flow,) = cash_flows(small(), [result("api", 60), result("bought", 700)])
    assert flow.payback_months is None
    assert flow.npv_usd < -flow.upfront_usd


def test_without_a_purchase_there_is_no_cash_flow():
    assert cash_flows(small(), [result("api", 60), result("rented", 700)]) == []
