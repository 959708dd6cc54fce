"""Figures of "The Model Hosting Decision", the document this simulator answers.

Figures "as written" are right in the document and come out of the package unchanged. Those "corrected" are
wrong there (utilisation applied twice, prices per million quoted a thousand times too low, weekends worked),
and come out as they should be. Each stands beside the law it follows from.
"""

from datetime import timedelta
from decimal import Decimal

import pytest

from simulator.cost import tco
from simulator.cost.bill import monthly_bill, upfront_usd, usd_per_million_tokens
from simulator.cost.prices import load_price_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.decision.break_even import (
    blended_price,
    break_even,
    capacity_share,
    capacity_tokens,
    payback_months,
)
from simulator.scenario.horizon import Horizon
from simulator.scenario.patterns import ApiPattern, SelfHostedPattern
from simulator.scenario.workloads import Volume
from simulator.units import TokenPrice

BOOK = load_price_book("2026-11")
#: The document's month has thirty days, its cluster makes 1,500 tokens/s and costs 5,900 USD.
MONTH = Decimal(720)
CAPACITY = capacity_tokens(1500, MONTH)
CLUSTER_USD = Decimal(5900)
LOWER, UPPER = TokenPrice.per_thousand("0.015"), TokenPrice.per_thousand("0.020")
STAFF = [
    {"role": "MLOps engineer", "salary": "135000 USD/year", "share": "25 %"},
    {"role": "DevOps engineer", "salary": "135000 USD/year", "share": "10 %"},
]
RENTED = {
    "compute": {"kind": "rental", "replica_hour": "2.38 USD/h"},
    "storage": "50 USD/month",
    "network": "20 USD/month",
}
BOUGHT = {
    "compute": {
        "kind": "purchase",
        "gpus": "20000 USD",
        "chassis": "8000 USD",
        "infrastructure": "4000 USD",
        "amortisation": 36,
    },
    # The document's flat 150 USD a month: 1,250 kWh at 0.12 USD, whatever the load.
    "power": {
        "gpu_idle_w": 0,
        "gpu_busy_w": 0,
        "host_w": 1736.1111111111111,
        "pue": 1,
        "price": "0.12 USD/kWh",
    },
}


def bill(costs, served_tokens=0):
    pattern = SelfHostedPattern.model_validate(
        {
            "kind": "self_hosted",
            "cluster": {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2},
            "costs": costs,
        }
    )
    used = Usage(720.0, {"cluster": ClusterUse(0.0)}, {}, served_tokens, 0)
    return pattern, used, monthly_bill(pattern, used, BOOK, MONTH)


def api_usd(prompt_tokens, output_tokens):
    pattern = ApiPattern.model_validate(
        {
            "kind": "metered_api",
            "api": {
                "model": "azure/gpt-4-turbo",
                "ttft": {"median": "600ms"},
                "output_tokens_per_s": {"median": 35},
            },
        }
    )
    api = ApiUse(prompt_tokens, 0, output_tokens)
    used = Usage(720.0, {}, {"azure/gpt-4-turbo": api}, prompt_tokens, output_tokens)
    return monthly_bill(pattern, used, BOOK, MONTH).rounded().total_usd


def test_blended_prices_come_from_a_mix():
    entry = BOOK.api("azure/gpt-4-turbo")
    assert blended_price(entry.prompt, entry.output, prompt_tokens=3, output_tokens=1) == LOWER
    assert blended_price(entry.prompt, entry.output, prompt_tokens=1, output_tokens=1) == UPPER


def test_rental_as_written():
    _, _, rented = bill(RENTED)
    assert rented.usd("rental") == Decimal("1713.60")
    assert rented.total_usd == Decimal("1783.60")
    assert round(rented.total_usd) == 1784


def test_purchase_as_written():
    pattern, _, bought = bill(BOUGHT)
    shown = bought.rounded()
    assert upfront_usd(pattern) == 32_000
    assert shown.usd("purchase") == Decimal("888.89")
    assert shown.usd("power") == Decimal("150.00")
    assert shown.total_usd == Decimal("1038.89")
    assert round(shown.total_usd) == 1039


def test_staff_as_written():
    assert [tco.staff_usd(Decimal(135_000), share) for share in (0.25, 0.1)] == [Decimal("2812.5"), 1125]
    _, _, staffed = bill({**RENTED, "staff": STAFF})
    assert staffed.usd("staff") == Decimal("3937.50")


def test_totals_as_written():
    _, _, rented = bill({**RENTED, "staff": STAFF})
    _, _, bought = bill({**BOUGHT, "staff": STAFF})
    assert rented.rounded().total_usd == Decimal("5721.10")
    assert round(rented.total_usd) == 5721
    assert bought.rounded().total_usd == Decimal("4976.39")
    assert round(bought.total_usd) == 4976


def test_capital_expensed_in_a_year_as_written():
    assert round(tco.amortised_usd(Decimal(187_000), months=12), 2) == Decimal("15583.33")


@pytest.mark.parametrize(
    ("tokens", "lower", "upper"),
    [
        (621_000_000, "9315", "12420"),
        (25_500_000, "382.50", "510"),
        (480_000, "7.20", "9.60"),
        (511_980_000, "7679.70", "10239.60"),
        (85_000_000, "1275", "1700"),
        (12_000_000, "180", "240"),
    ],
)
def test_api_costs_as_written(tokens, lower, upper):
    assert api_usd(tokens * 3 // 4, tokens // 4) == LOWER.cost_usd(tokens) == Decimal(lower)
    assert api_usd(tokens // 2, tokens // 2) == UPPER.cost_usd(tokens) == Decimal(upper)


@pytest.mark.parametrize(
    ("share", "tokens", "usd_per_million"),
    [(0.40, 1_555_200_000, "3.794"), (0.15, 583_200_000, "10.117")],
)
def test_cost_per_million_corrected(share, tokens, usd_per_million):
    assert capacity_tokens(1500, MONTH, share) == tokens
    assert capacity_share(tokens, CAPACITY) == pytest.approx(share)
    assert round(tco.usd_per_million(CLUSTER_USD, tokens), 3) == Decimal(usd_per_million)
    # The law: cost per million × millions = cost, whatever the bill.
    _, used, rented = bill({**RENTED, "staff": STAFF}, served_tokens=tokens)
    rate = usd_per_million_tokens(rented, used, MONTH)
    assert round(TokenPrice(rate).cost_usd(tokens), 6) == rented.total_usd


@pytest.mark.parametrize(("price", "tokens_m", "share"), [(LOWER, 393.3, 0.1012), (UPPER, 295.0, 0.0759)])
def test_break_even_corrected(price, tokens_m, share):
    found = break_even(CLUSTER_USD, price, CAPACITY)
    assert round(found.tokens_per_month / 1e6, 1) == tokens_m
    assert round(found.capacity_share, 4) == share
    assert round(price.cost_usd(found.tokens_per_month), 4) == CLUSTER_USD


@pytest.mark.parametrize(("tokens", "share"), [(432_000_000, 11.1), (486_000_000, 12.5), (511_980_000, 13.2)])
def test_share_of_capacity_corrected(tokens, share):
    assert round(100 * capacity_share(tokens, CAPACITY), 1) == share


def test_documentation_volume_as_written_and_on_weekdays():
    volume, horizon = Volume(clinicians=1200, notes_per_day=15), Horizon(month="2027-04")
    days = [horizon.start_local + timedelta(days=day) for day in range(round(horizon.duration_s / 86_400))]
    daily_tokens = volume.clinicians * volume.notes_per_day * 800
    assert daily_tokens * len(days) == 432_000_000
    assert daily_tokens * sum(day.weekday() < 5 for day in days) == 316_800_000


@pytest.mark.parametrize(("tokens", "months"), [(432_000_000, "13.4"), (486_000_000, "10.0"), (621_000_000, "6.1")])
def test_payback_corrected(tokens, months):
    pattern, _, bought = bill({**BOUGHT, "staff": STAFF})
    found = payback_months(upfront_usd(pattern), LOWER.cost_usd(tokens), bought.running_usd)
    assert round(found, 1) == Decimal(months)
    # Counting the amortisation as a running cost too would delay every payback.
    assert found < payback_months(upfront_usd(pattern), LOWER.cost_usd(tokens), bought.total_usd)
