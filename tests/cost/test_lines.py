"""The lines of a bill: what each is, and the law it keeps."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.cost import tco
from simulator.cost.bill import monthly_bill, one_off_bill, upfront_usd
from simulator.cost.lines import BillLine, Factor, vat_lines
from simulator.cost.overrides import scenario_book
from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.scenario.costs import Prices
from simulator.scenario.patterns import ApiPattern, SelfHostedPattern

BOOK = load_price_book("2026-11")
MONTH = Decimal(730)
TRILLIONTHS = Decimal("1e-11")
RENTAL = {"kind": "rental", "replica_hour": "2 USD/h"}
PURCHASE = {"kind": "purchase", "gpus": "20000 USD", "chassis": "10000 USD", "spares": "2000 USD"}

shares = st.integers(min_value=0, max_value=100).map(lambda percent: percent / 100)
prices = st.integers(min_value=0, max_value=10**7).map(Decimal)


def bill(compute=RENTAL, tokens=0, **costs):
    cluster = {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2}
    pattern = SelfHostedPattern.model_validate(
        {"kind": "self_hosted", "cluster": cluster, "costs": {"compute": compute, **costs}}
    )
    used = Usage(730.0, {"cluster": ClusterUse(0.0, tokens)}, {}, 0, 0)
    return pattern, monthly_bill(pattern, used, BOOK, MONTH)


def api_bill(prompt=0, output=0, **costs):
    api = {"model": "azure/gpt-4.1", "ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}, "costs": costs}
    pattern = ApiPattern.model_validate({"kind": "metered_api", "api": api})
    used = Usage(730.0, {}, {"azure/gpt-4.1": ApiUse(prompt, 0, output)}, 0, 0)
    return pattern, monthly_bill(pattern, used, BOOK, MONTH)


@given(shares, shares, shares)
def test_rent_is_split_between_committed_and_spot_hours(spot, committed_off, spot_off):
    _, found = bill(
        {
            **RENTAL,
            "commitment": {"discount": committed_off, "months": 12},
            "spot": {"share": spot, "discount": spot_off},
        }
    )
    full, share = Decimal(1460), Decimal(str(spot))
    assert found.usd("rental") == full * (1 - share) * (1 - Decimal(str(committed_off)))
    assert found.usd("rental_spot") == full * share * (1 - Decimal(str(spot_off)))
    assert found.total_usd <= full


def test_a_commitment_says_what_is_owed_in_all():
    _, found = bill({**RENTAL, "commitment": {"discount": "37 %", "months": 12}})
    assert found.total_usd == Decimal("919.80")
    assert "11,037.60 USD in all" in found.lines[0].basis


@given(prices, shares, st.integers(min_value=1, max_value=240), shares)
def test_instalments_and_residual_are_worth_the_price(price, residual_share, months, rate):
    residual = price * Decimal(str(residual_share))
    instalment = tco.amortised_usd(price, months, residual) + tco.interest_usd(price, months, rate, residual)
    monthly = 1 + tco.exact(rate) / 12
    worth = sum(tco.exact(instalment) / monthly**month for month in range(1, months + 1))
    worth += tco.exact(residual) / monthly**months
    assert abs(worth - tco.exact(price)) <= tco.exact(TRILLIONTHS) * months


def test_what_a_purchase_costs_beside_its_price():
    pattern, found = bill({**PURCHASE, "residual": "5000 USD", "interest": "6 %", "support": "9 %"})
    assert upfront_usd(pattern) == 32_000
    assert found.usd("purchase") == 750
    assert found.usd("support") == 240
    assert found.usd("financing") == tco.interest_usd(Decimal(32_000), 36, 0.06, Decimal(5000)) > 0
    assert found.running_usd == found.usd("support")
    assert tco.interest_usd(Decimal(32_000), 36, 0.0) == 0


def test_nothing_fetches_more_than_it_cost():
    with pytest.raises(ValidationError, match="may not exceed the price of 32,000 USD"):
        bill({**PURCHASE, "residual": "32001 USD"})


@given(shares)
def test_compliance_is_a_share_of_everything_else(share):
    costs = {"storage": "50 USD/month", "on_call": "400 USD/month", "compliance": share}
    for found in (bill(**costs)[1], api_bill(1_000_000, 1_000_000, **costs)[1]):
        others = [line for line in found.lines if not line.key.endswith("compliance")]
        assert found.total_usd == sum(line.usd for line in others) * (1 + Decimal(str(share)))


def test_a_billion_tokens_of_text_leave_for_a_third_of_a_dollar():
    egress = {"price": "0.087 USD/GB"}
    assert bill(tokens=1_000_000_000, egress=egress)[1].usd("egress") == Decimal("0.348")
    assert api_bill(700_000_000, 300_000_000, egress=egress)[1].usd("api_egress") == Decimal("0.348")


def test_four_updates_a_year_of_six_weeks_in_all():
    _, found = bill(model_updates={"every_months": 3, "engineer_weeks": 1.5, "salary": "135000 USD/year"})
    assert round(12 * found.usd("model_updates"), 6) == round(Decimal(135_000) / 52 * 6, 6)


@given(st.integers(min_value=0, max_value=10**9), st.integers(min_value=0, max_value=10**9))
def test_working_on_prompts_multiplies_tokens(prompt, output):
    _, once = api_bill(prompt, output)
    _, often = api_bill(prompt, output, prompt_iteration=3.5)
    assert abs(often.total_usd - once.total_usd * Decimal("3.5")) <= TRILLIONTHS
    assert often.usd("api_output") == once.usd("api_output")


def test_what_is_paid_once_is_in_no_month():
    once = {
        "one_off": {"security_review": "12000 USD", "training": "3000 USD"},
        "delay": {"lasts": "73d", "costs": "10000 USD/month"},
    }
    for prefix, make in (("", bill), ("api_", api_bill)):
        pattern, found = make(**once)
        assert found.lines == make()[1].lines
        owed = one_off_bill(pattern)
        assert [owed.usd(prefix + key) for key in ("security_review", "training", "delay")] == [12_000, 3000, 24_000]


def test_nothing_is_billed_that_nobody_asked_for():
    assert [line.key for line in bill()[1].lines] == ["rental"]
    assert [line.key for line in api_bill()[1].lines] == ["api_prompt", "api_cached_prompt", "api_output"]


@pytest.mark.parametrize("hours", [720, 744])
def test_a_reservation_costs_the_same_in_every_month_and_the_rest_goes_by_the_token(hours):
    """100 × 40 and 10 × 200 USD; a million prompt tokens of Sonnet 4.5 beside it at 3 USD."""
    one = {"model": "bedrock/claude-sonnet-4.5", "ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}
    reserved = {
        "kind": "reserved", "input_tokens_per_minute": 100_000, "output_tokens_per_minute": 10_000,
        "input_price": "40 USD/month", "output_price": "200 USD/month", "spillover": "tokens",
    }  # fmt: skip
    apis = {"reserved": {**one, "deployment": reserved}, "tokens": one}
    pattern = ApiPattern.model_validate({"kind": "metered_api", "apis": apis})
    used = Usage(float(hours), {}, {"reserved": ApiUse(9**9, 0, 9**8), "tokens": ApiUse(1_000_000, 0, 0)}, 0, 0)
    found = monthly_bill(pattern, used, BOOK, Decimal(hours))
    assert found.usd("reserved.reserved_tokens") == 6_000
    assert found.total_usd == 6_003


def test_flex_is_billed_at_its_own_prices():
    """A million prompt tokens of which 400,000 are cached, and 100,000 of output, at flex prices by hand: 3.05 USD."""
    usd = {"flex_prompt": "2", "flex_cached_prompt": "0.25", "flex_output": "17.50"}
    rates = {name: f"{amount} USD/1M tokens" for name, amount in usd.items()}
    book = scenario_book(Prices.model_validate({"book": "2026-11", "overrides": {"azure/gpt-4.1": rates}}))
    api = {"model": "azure/gpt-4.1", "ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}}
    pattern = ApiPattern.model_validate({"kind": "metered_api", "api": {**api, "deployment": {"kind": "flex"}}})
    used = Usage(730.0, {}, {"azure/gpt-4.1": ApiUse(1_000_000, 400_000, 100_000)}, 0, 0)
    assert monthly_bill(pattern, used, book, MONTH).total_usd == Decimal("3.05")


@pytest.mark.parametrize(
    ("spot", "usd"),
    # Four at 1.19 USD/h and half price for 730 h; at a quarter of spot the other three quarters of that, and a quarter
    # of the hours they are up at 60 % off.
    [
        (None, 4 * 1.19 * 730 * 0.5),
        ({"share": 0.25, "discount": 0.6}, 4 * 1.19 * 730 * (0.75 * 0.5 + 0.25 * 0.45 * 0.4)),
    ],
)
def test_every_hour_of_a_commitment_is_owed_while_replicas_come_and_go(spot, usd):
    compute = {"kind": "rental", "gpu_hour": "1.19 USD/h", "commitment": {"months": 36, "discount": "50 %"}}
    cluster = {"model": "llama-3.1-8b", "gpu": "l40s", "replicas": 4}
    given = {
        "kind": "self_hosted",
        "cluster": cluster,
        "costs": {"compute": compute | ({"spot": spot} if spot else {})},
    }
    pattern = SelfHostedPattern.model_validate(given)
    for paid_share in (0.45, 1.0):
        used = Usage(730.0, {"cluster": ClusterUse(0.1, 0, paid_share)}, {}, 0, 0)
        total = float(monthly_bill(pattern, used, BOOK, MONTH).total_usd)
        assert (total == pytest.approx(usd)) is (paid_share == 0.45 or spot is None)


def fleet(compute, replicas=3, tensor_parallel=4, **costs):
    """Bases of the lines of clusters of three replicas of four GPUs, a quarter busy, up for half of the time."""
    cluster = {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": tensor_parallel, "replicas": replicas}
    given_ = {"kind": "self_hosted", "cluster": cluster, "costs": {"compute": compute, **costs}}
    pattern = SelfHostedPattern.model_validate(given_)
    used = Usage(730.0, {"cluster": ClusterUse(0.25, 0, 0.5)}, {}, 0, 0)
    return {line.key: line for line in monthly_bill(pattern, used, BOOK, MONTH).lines}


RENT = {"kind": "rental", "gpu_hour": "2 USD/h"}
SPOT, TERM = {"share": 0.25, "discount": 0.6}, {"discount": 0.3, "months": 12}
POWER = {"gpu_idle_w": 100, "gpu_busy_w": 300, "host_w": 500, "pue": 1.5, "price": "0.1 USD/kWh"}
UPDATES = {"every_months": 6, "engineer_weeks": 2, "salary": "130000 USD/year", "loading": 1.3}


def test_rent_says_what_it_is_made_of():
    """12 GPUs x 2 USD x 730 h are 17,520 USD, half of that is 8,760; committed hours are owed, spot ones are not."""
    found = fleet(RENT | {"spot": SPOT})
    every = "12 × 2 USD/h × 730 h, per GPU; scenario"
    often = f"{every}; 0.5 of the time, as replicas come and go"
    assert found["rental"].basis == f"{often}; 0.75 of the hours"
    assert found["rental_spot"].basis == f"{often}; 0.25 of the hours, 0.6 off for spot capacity"
    assert (found["rental"].usd, found["rental_spot"].usd) == (6570, 876)
    found = fleet(RENT | {"spot": SPOT, "commitment": TERM})
    assert found["rental"].basis == f"{every}; 0.75 of the hours; 0.3 off for 12 months, 110,376.00 USD in all"
    assert (found["rental"].usd, found["rental_spot"].usd) == (9198, 876)
    assert fleet(RENT | {"commitment": TERM})["rental"].basis.startswith(f"{every}; 0.3 off for 12 months")
    assert fleet({"kind": "rental", "replica_hour": "2 USD/h"})["rental"].basis.startswith(
        "3 × 2 USD/h × 730 h, per replica"
    )


def test_hardware_its_power_and_its_room_say_what_they_are_made_of():
    """120,000 USD less 12,000 over 36 months; 3 x (4 x 150 + 500) W = 3,300 W, and 5,100 W when all are busy."""
    bought = {"kind": "purchase", "gpu_each": "10000 USD", "residual": "12000 USD", "interest": 0.06, "support": 0.1}
    found = fleet(bought, power=POWER, colocation="200 USD/kW-month", model_updates=UPDATES)
    assert found["purchase"].basis == "120,000 USD for 12 GPUs less 12,000 USD residual / 36 months; scenario"
    assert found["purchase"].factors[0].label == "price of 12 GPUs and what holds them"
    assert found["financing"].basis == "120,000 USD at 0.06 a year over 36 months, mean of the term; scenario"
    assert found["support"].basis == "0.1 of 120,000 USD a year; scenario"
    watts = "3 × (4 GPUs of 100 W idle and 300 W busy, 25.0 % of the time, 500 W host)"
    assert found["power"].basis == f"3,300 W × PUE 1.5 × 730 h × 0.1 USD/kWh; {watts}; scenario"
    assert found["colocation"].basis == "5.10 kW rated × 200 USD/kW-month; scenario"
    terms = "2 weeks of 130,000 USD/year / 52 × 1.3 loading, every 6 months; scenario"
    assert found["model_updates"].basis == terms
    usd = {"purchase": 3000, "support": 1000, "power": Decimal("361.35"), "colocation": 1020}
    assert {key: found[key].usd for key in usd} == usd
    assert float(found["model_updates"].usd) == pytest.approx(6500 / 6)


def test_one_gpu_is_not_gpus():
    found = fleet({"kind": "purchase", "gpu_each": "10000 USD", "amortisation": 1}, replicas=1, tensor_parallel=1)
    assert found["purchase"].basis == "10,000 USD for 1 GPU / 1 month; scenario"
    assert found["purchase"].factors[0].label == "price of 1 GPU and what holds it"


def taxed(share, *others):
    return {line.key: line for line in vat_lines(share, others)}


@given(prices, st.integers(1, 120), st.integers(1, 40), prices, prices)
def test_law_tax_is_a_share_of_what_is_taxed_and_on_hardware_of_all_of_its_price(price, months, percent, power, salary):
    """Written off over as many months; what it is sold for brings none of the tax back. In fractions."""
    factors = Factor("price", price, "USD"), Factor("residual", Decimal(7), "USD"), Factor("months", months, "months")
    bought = BillLine("purchase", "Hardware", price / months + 1, "", "({0} - {1}) / {2}", factors)
    others = [bought] + [BillLine(key, "", usd, "") for key, usd in (("power", power), ("staff", salary))]
    found = taxed(percent / 100, *others)
    tax = Fraction(price) * percent / 100 / months
    assert abs(Fraction(found["purchase_vat"].usd) - tax) < Fraction(TRILLIONTHS)
    assert found["purchase_vat"].basis == (
        f"{percent / 100:.3g} of {price:,.2f} USD / {months} month{'' if months == 1 else 's'}; scenario"
    )
    assert found.get("vat", BillLine("", "", Decimal(0), "")).usd == power * percent / 100
    assert taxed(0.0, *others) == {}
    assert taxed(percent / 100, *others[2:]) == {}
