from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.cash import Asset, cash_usd
from simulator.decision.purchase import cash_flows, net_present_value, present_usd
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


def _two_clusters(lives=(36, 60), prices=(100_000, 20_000), residuals=(10_000, 0), rate="7 %"):
    """Speech and notes on hardware of their own, that lasts unequally."""
    clusters = {}
    for name, months, price, left in zip(("notes", "speech"), lives, prices, residuals, strict=True):
        compute = {"kind": "purchase", "gpus": f"{price} USD", "amortisation": months, "residual": f"{left} USD"}
        clusters[name] = {"cluster": {"model": "llama-3.1-8b", "gpu": "l40s"}, "costs": {"compute": compute}}
    return small(
        {
            "prices.discount_rate": rate,
            "hosting_patterns.bought": {
                "kind": "self_hosted",
                "clusters": clusters,
                "routing": {"kind": "overflow", "backends": {"notes": ["notes"], "letters": ["speech"]}},
            },
        }
    )


def _flow(scenario, api_usd=9_000):
    (flow,) = cash_flows(scenario, [result("api", api_usd), result("bought", 700)])
    return flow


def test_what_lasts_less_is_bought_again():
    """By hand, at no discount: 100,000 USD a set of 36 months, of which 10,000 come back, beside 20,000 USD for 60."""
    flow = _flow(_two_clusters(rate="0 %"))
    saving = flow.saving_usd_per_month
    assert (flow.months, flow.upfront_usd, flow.residual_usd) == (60, 120_000.0, 10_000.0)
    assert flow.renewals_usd == {36: 90_000.0}
    assert flow.cumulative_usd[35] == pytest.approx(35 * saving - 120_000)
    assert flow.cumulative_usd[36] == pytest.approx(36 * saving - 210_000)
    assert flow.cumulative_usd[60] == pytest.approx(60 * saving - 210_000)
    # Five years of the first take 60/36 of what a set loses.
    assert flow.npv_usd == pytest.approx(60 * saving - 60 / 36 * 90_000 - 20_000)


@pytest.mark.parametrize(("lives", "dues"), [((24, 48), (24,)), ((12, 48), (12, 24, 36)), ((60, 20), (20, 40))])
def test_where_lives_end_together_it_is_each_payment_at_its_date(lives, dues):
    prices, residuals = (100_000, 20_000), (10_000, 4_000)
    flow = _flow(_two_clusters(lives, prices, residuals))
    short, end = int(lives[1] < lives[0]), max(lives)
    worth = [1.07 ** (-month / 12) for month in range(end + 1)]
    paid = sum(prices) + sum((prices[short] - residuals[short]) * worth[due] for due in dues)
    saved = flow.saving_usd_per_month * sum(worth[1:]) + sum(residuals) * worth[end]
    assert flow.npv_usd == pytest.approx(saved - paid, abs=0.01)
    assert tuple(flow.renewals_usd) == dues


@given(st.integers(1, 120), st.integers(1, 120), st.integers(0, 30))
def test_a_set_costs_a_month_the_same_however_long_one_looks(life, months, per_cent):
    asset, rate = Asset(Decimal(90_000), Decimal(9_000), life), per_cent / 100
    each = [(1 + rate) ** (-month / 12) for month in range(1, max(life, months) + 1)]
    monthly = (90_000 - 9_000 * each[life - 1]) / sum(each[:life])
    assert float(present_usd(asset, months, rate)) == pytest.approx(monthly * sum(each[:months]), rel=1e-9)


def test_tax_is_paid_again_with_what_is_bought_again():
    scenario = _two_clusters(rate="0 %")
    taxed = scenario.model_copy(update={"prices": scenario.prices.model_copy(update={"vat": 0.19})})
    assert _flow(taxed).renewals_usd == {36: 109_000.0}


def test_it_has_paid_for_itself_when_what_is_bought_again_is_paid_too():
    """At 4,000 USD a month 120,000 are back after 30, and 90,000 more are due after 36."""
    scenario = _two_clusters(rate="0 %")
    running = 9_000 - _flow(scenario).saving_usd_per_month
    assert _flow(scenario, round(4_000 + running, 2)).payback_months == pytest.approx(210_000 / 4_000, abs=0.01)
    # At 6,000 USD a month the second set takes nothing that the first had not brought in by then.
    assert _flow(scenario, round(6_000 + running, 2)).payback_months == pytest.approx(20.0, abs=0.01)


@given(st.sampled_from([(24, 60), (12, 36), (5, 24), (36, 36), (20, 60)]), st.integers(0, 60))
def test_cash_beside_it_agrees_with_every_month_of_its_course(lives, month):
    """Both are what is paid: they differ by what is saved, and by what is bought with the end of the month itself."""
    scenario = _two_clusters(lives, rate="0 %")
    bought = result("bought", 700)
    (flow,) = cash_flows(scenario, [result("api", 9_000), bought])
    month = min(month, flow.months)
    due = flow.renewals_usd.get(month, 0.0)
    paid = float(cash_usd(scenario.hosting_patterns["bought"], bought.bill, month)) + due
    assert month * 9_000 - paid == pytest.approx(flow.cumulative_usd[month], abs=0.01)
