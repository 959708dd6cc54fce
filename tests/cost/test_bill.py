from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.cost.api_lines import token_rates
from simulator.cost.bill import (
    Bill,
    BillLine,
    monthly_bill,
    upfront_usd,
    usd_per_million_tokens,
)
from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.errors import PriceNotFound
from simulator.scenario.patterns import ApiPattern, HybridPattern, SelfHostedPattern

BOOK = load_price_book("2026-11")
MONTH = Decimal(730)
POWER = {"gpu_idle_w": 100, "gpu_busy_w": 360, "host_w": 400, "pue": 1.55, "price": "0.12 USD/kWh"}
CLUSTER = {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2, "replicas": 3}
RENTAL = {"kind": "rental", "gpu_hour": "1.19 USD/h"}
PURCHASE = {"kind": "purchase", "gpus": "20000 USD", "chassis": "8000 USD", "infrastructure": "4000 USD"}
DEAR_PURCHASE = {**PURCHASE, "spares": "1500 USD", "residual": "6000 USD", "interest": "6 %", "support": "8 %"}
RUNNING = {
    "storage": "50 USD/month",
    "network": "20 USD/month",
    "monitoring": "200 USD/month",
    "staff": [{"role": "MLOps", "salary": "135000 USD/year", "share": "25 %", "loading": 1.3}],
    "on_call": "400 USD/month",
    "egress": {"price": "0.087 USD/GB"},
    "compliance": "10 %",
    "one_off": {"security_review": "12000 USD"},
    "delay": {"lasts": "73d", "costs": "10000 USD/month"},
}
API = {
    "model": "azure/gpt-4.1",
    "ttft": {"median": "500ms"},
    "output_tokens_per_s": {"median": 80},
}


def self_hosted(compute=RENTAL, **costs):
    return SelfHostedPattern.model_validate(
        {"kind": "self_hosted", "cluster": CLUSTER, "costs": {"compute": compute, **costs}}
    )


def metered(**api):
    return ApiPattern.model_validate({"kind": "metered_api", "api": {**API, **api}})


FULL_COSTS = {
    **RUNNING,
    "power": POWER,
    "colocation": "217.30 USD/kW-month",
    "model_updates": {"every_months": 3, "engineer_weeks": 1.5, "salary": "135000 USD/year"},
}
HYBRID = HybridPattern.model_validate(
    {
        "kind": "hybrid",
        "cluster": CLUSTER,
        "costs": {"compute": DEAR_PURCHASE, **FULL_COSTS},
        "api": {**API, "model": "azure/gpt-5.1", "costs": {**RUNNING, "prompt_iteration": 2.5}},
    }
)

tokens = st.integers(min_value=0, max_value=10**12)


@st.composite
def usages(draw, hours=st.floats(min_value=0.1, max_value=9000)):  # noqa: B008
    prompt = draw(tokens)
    api = ApiUse(prompt, draw(st.integers(min_value=0, max_value=prompt)), draw(tokens))
    return of(draw(hours), draw(st.floats(min_value=0, max_value=1)), api, draw(tokens), draw(tokens))


def of(hours, busy, api, served_prompt_tokens=0, served_output_tokens=0):
    """Every API of a pattern used alike, whatever it is called."""
    apis = defaultdict(lambda: api)
    return Usage(hours, {"cluster": ClusterUse(busy)}, apis, served_prompt_tokens, served_output_tokens)


def usage(prompt=0, cached=0, output=0, hours=730.0, busy=0.0, served=0):
    return of(hours, busy, ApiUse(prompt, cached, output), served)


patterns = st.sampled_from([HYBRID, metered(), self_hosted(**FULL_COSTS)])


@given(patterns, usages())
def test_total_is_the_sum_of_its_lines_and_nothing_is_negative(pattern, used):
    bill = monthly_bill(pattern, used, BOOK, MONTH)
    assert len({line.key for line in bill.lines}) == len(bill.lines)
    assert all(line.usd >= 0 and line.label and line.basis for line in bill.lines)
    assert bill.total_usd == sum(bill.usd(line.key) for line in bill.lines)
    assert bill.total_usd == bill.running_usd + bill.usd("purchase") + bill.usd("financing")


@given(patterns, usages())
def test_what_is_displayed_adds_up(pattern, used):
    bill = monthly_bill(pattern, used, BOOK, MONTH)
    shown = bill.rounded()
    assert all(line.usd == round(line.usd, 2) for line in shown.lines)
    assert shown.total_usd == sum(line.usd for line in shown.lines)
    assert abs(shown.total_usd - bill.total_usd) <= Decimal("0.005") * len(bill.lines)


def test_rounding_is_half_up():
    bill = Bill(tuple(BillLine(key, key, Decimal("0.005"), "") for key in "ab"))
    assert bill.rounded().total_usd == Decimal("0.02")


@given(st.lists(usages(st.just(24.0)), min_size=1, max_size=6))
def test_splitting_a_month_changes_nothing(parts):
    used = [part.apis["any"] for part in parts]
    totals = (
        sum(getattr(one, name) for one in used) for name in ("prompt_tokens", "cached_prompt_tokens", "output_tokens")
    )
    whole = of(24.0 * len(parts), 0.0, ApiUse(*totals))
    day_bills = [monthly_bill(metered(), part, BOOK, Decimal(24)) for part in parts]
    bill = monthly_bill(metered(), whole, BOOK, Decimal(24 * len(parts)))
    assert bill.total_usd == sum(day.total_usd for day in day_bills)


@given(usages(), st.integers(min_value=2, max_value=1000))
def test_metered_lines_are_linear_in_tokens_and_in_inverse_hours(used, factor):
    api = used.apis["any"]
    times = ApiUse(api.prompt_tokens * factor, api.cached_prompt_tokens * factor, api.output_tokens * factor)
    more = replace(used, apis=defaultdict(lambda: times))
    once, often = (monthly_bill(HYBRID, each, BOOK, MONTH) for each in (used, more))
    metered_lines = {"api_prompt", "api_cached_prompt", "api_output", "api_prompt_iteration", "api_egress"}
    for line in once.lines:
        if line.key == "api_compliance":
            continue
        expected = line.usd * factor if line.key in metered_lines else line.usd
        # A trillionth rounded once may be a trillionth off `factor` times, in each of three lines.
        assert abs(often.usd(line.key) - expected) <= Decimal("3e-12") * factor


@given(usages())
def test_fixed_costs_do_not_depend_on_what_was_measured(used):
    fixed = {"storage", "network", "monitoring", "staff", "on_call", "purchase", "financing", "support", "colocation"}
    fixed |= {"model_updates", "api_staff", "api_storage", "api_on_call"}
    bill = monthly_bill(HYBRID, used, BOOK, MONTH)
    reference = monthly_bill(HYBRID, usage(), BOOK, MONTH)
    assert [bill.usd(key) for key in fixed] == [reference.usd(key) for key in fixed]


@given(st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_electricity_grows_with_the_busy_fraction(a, b):
    low, high = sorted((a, b))
    idle, busy = (monthly_bill(HYBRID, usage(busy=share), BOOK, MONTH).usd("power") for share in (low, high))
    assert idle <= busy


def test_four_weeks_are_scaled_to_the_month_exactly():
    four_weeks = usage(prompt=3_000_000, cached=1_000_000, output=500_000, hours=672.0)
    bill = monthly_bill(metered(), four_weeks, BOOK, MONTH)
    # (2M × 2 + 1M × 0.5 + 0.5M × 8) USD/1M × 730 / 672
    assert round(bill.total_usd, 10) == round(Decimal("8.5") * 730 / 672, 10)
    assert "730 h / 672 h;" in bill.lines[0].basis


def test_electricity_of_three_replicas():
    bill = monthly_bill(self_hosted(**FULL_COSTS), usage(busy=0.5), BOOK, MONTH)
    watts = 3 * (2 * (100 + 260 * Decimal("0.5")) + 400)
    assert bill.usd("power") == watts / 1000 * Decimal("1.55") * 730 * Decimal("0.12")
    assert bill.usd("colocation") == 3 * (2 * 360 + 400) * Decimal("0.2173")


@pytest.mark.parametrize(
    ("compute", "usd"),
    [
        ({"kind": "rental", "gpu_hour": "1.19 USD/h"}, "5212.20"),
        ({"kind": "rental", "replica_hour": "2.38 USD/h"}, "5212.20"),
        # Six GPUs need a whole instance of eight.
        ({"kind": "rental", "offer": "aws/p4de.24xlarge"}, "20036.3465"),
        ({"kind": "rental", "offer": "runpod/a100-80gb-low"}, "5212.20"),
    ],
)
def test_rent_of_six_gpus_in_three_replicas(compute, usd):
    assert monthly_bill(self_hosted(compute), usage(), BOOK, MONTH).usd("rental") == Decimal(usd)


def test_only_a_purchase_is_paid_up_front():
    assert upfront_usd(HYBRID) == 33_500
    assert upfront_usd(self_hosted()) == 0
    assert upfront_usd(metered()) == 0


def test_contract_prices_replace_the_books():
    contract = metered(prices={"prompt": "1 USD/1M tokens", "output": "3 USD/1M tokens", "source": "offer of May"})
    bill = monthly_bill(contract, usage(prompt=2_000_000, cached=1_000_000, output=1_000_000), BOOK, MONTH)
    assert bill.total_usd == 5
    assert all("offer of May" in line.basis for line in bill.lines)


def test_cached_tokens_cost_the_prompt_price_where_no_other_is_known():
    rates = token_rates(metered(model="bedrock/llama-3.3-70b").api, BOOK)
    assert rates.usual.cached_prompt == rates.usual.cache_write == rates.usual.prompt


def test_priority_processing_has_its_own_price():
    priority = metered(model="azure/gpt-5", deployment={"kind": "priority"})
    assert token_rates(priority.api, BOOK).usual.output.usd_per_million == 20
    assert token_rates(metered(model="azure/gpt-5").api, BOOK).usual.output.usd_per_million == 10


def test_provisioned_units_cost_the_same_whatever_they_serve():
    """15 units of Azure's, a month of 730 hours at a dollar each: 10,950 USD."""
    units = metered(deployment={"kind": "provisioned", "units": 15})
    idle, busy = (monthly_bill(units, usage(prompt=tokens, output=tokens), BOOK, MONTH) for tokens in (0, 10**9))
    assert idle == busy
    assert idle.total_usd == 10_950
    assert [line.key for line in idle.lines] == ["provisioned_units"]
    zone = metered(deployment={"kind": "provisioned", "units": 15, "scope": "data_zone"})
    assert monthly_bill(zone, usage(), BOOK, MONTH).total_usd == Decimal("12045")
    reserved = metered(deployment={"kind": "provisioned", "units": 15, "unit_hour": "0.36 USD/h"})
    assert monthly_bill(reserved, usage(), BOOK, MONTH).total_usd == Decimal("3942")


def test_unknown_prices_are_refused():
    with pytest.raises(PriceNotFound, match="no priority price of azure/gpt-4o; give prices"):
        monthly_bill(metered(model="azure/gpt-4o", deployment={"kind": "priority"}), usage(), BOOK, MONTH)
    with pytest.raises(PriceNotFound, match="azure/gpt-9"):
        monthly_bill(metered(model="azure/gpt-9"), usage(), BOOK, MONTH)
    with pytest.raises(PriceNotFound, match="aws/none"):
        monthly_bill(self_hosted({"kind": "rental", "offer": "aws/none"}), usage(), BOOK, MONTH)


def test_cost_per_million_served_tokens():
    # Half a month was measured, so a million served tokens stand for two million.
    half = usage(served=1_000_000, hours=365.0)
    bill = Bill((BillLine("staff", "Staff", Decimal(10), ""),))
    assert usd_per_million_tokens(bill, half, MONTH) == 5
    assert usd_per_million_tokens(bill, usage(), MONTH) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": 0.0},
        {"hours": float("nan")},
        {"busy": 1.1},
        {"busy": -0.1},
        {"prompt": 1, "cached": 2},
        {"output": -1},
        {"served": -1},
    ],
)
def test_impossible_usage_is_refused(wrong):
    with pytest.raises(ValueError, match=r"positive|between|part of|negative"):
        usage(**wrong)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"compute": {"kind": "rental"}}, "exactly one of gpu_hour, replica_hour and offer"),
        ({"compute": {**RENTAL, "offer": "aws/p5.4xlarge"}}, "exactly one of"),
        ({"colocation": "217.30 USD/kW-month"}, "power must be given too"),
        ({"power": {**POWER, "gpu_busy_w": 50}}, "may not be less than gpu_idle_w"),
    ],
)
def test_costs_that_cannot_be_billed_are_refused(costs, message):
    with pytest.raises(ValidationError, match=message):
        self_hosted(**costs)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_replicas_that_come_and_go_are_rented_by_the_hour_and_the_rest_by_the_month(share):
    pattern = self_hosted(storage="50 USD/month")
    use = Usage(730.0, {"cluster": ClusterUse(0.0, paid_share=share)}, {}, 0, 0)
    bill = monthly_bill(pattern, use, BOOK, MONTH)
    whole = Decimal("1.19") * 6 * 730
    assert float(bill.usd("rental")) == pytest.approx(float(whole) * share)
    assert bill.usd("storage") == 50
    assert ("come and go" in bill.lines[0].basis) == (share < 1)
