"""Average and marginal cost of a token, and what utilisation does to it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from simulator.cost.bill import monthly_bill
from simulator.cost.prices import load_price_book
from simulator.cost.unit_costs import SHARES, idle_bill, unit_costs
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.scenario.patterns import ApiPattern, SelfHostedPattern
from simulator.workload.work import Work
from tests.cost.test_allocation import HYBRID

BOOK = load_price_book("2026-11")
MONTH = Decimal(720)
API = "azure/gpt-4-turbo"
TURBO = ApiPattern.model_validate(
    {
        "kind": "metered_api",
        "api": {"model": API, "ttft": {"median": "1s"}, "output_tokens_per_s": {"median": 50}},
    }
)


def cluster(**costs):
    return SelfHostedPattern.model_validate(
        {
            "kind": "self_hosted",
            "cluster": {"model": "llama-3.3-70b", "gpu": "a100-80gb", "tensor_parallel": 2},
            "costs": {"compute": {"kind": "rental", "replica_hour": "2.50 USD/h"}, **costs},
        }
    )


def of_cluster(busy=0.5, tokens=388_800_000, requests=1000, hours=720.0):
    work = {"cluster": {"notes": Work(requests, tokens, 0, 0)}}
    return Usage(hours, {"cluster": ClusterUse(busy, tokens)}, {}, tokens, 0, work)


def test_the_documents_cluster_at_its_utilisations():
    """5,900 USD over 15, 30, 40 and 100 % of 1,500 tokens/s: 10.117 USD, twice and 8/3 times less, and the floor."""
    pattern = cluster(staff=[{"role": "all", "salary": "49200 USD/year", "share": 1}])
    assert monthly_bill(pattern, of_cluster(), BOOK, MONTH).total_usd == 5900
    found = unit_costs(pattern, of_cluster(), BOOK, MONTH, capacity_share=0.1)
    assert [level.capacity_share for level in found.at_utilisation] == list(SHARES) == [0.15, 0.30, 0.40, 1.0]
    assert [level.tokens_per_month for level in found.at_utilisation][::2] == [583_200_000, 1_555_200_000]
    prices = [level.usd_per_million_tokens for level in found.at_utilisation]
    assert prices == pytest.approx([10.117, 5.058, 3.794, 1.517], abs=5e-4)
    assert prices == pytest.approx([5900 / (share * 3888) for share in SHARES])


def test_at_the_simulated_share_it_costs_what_was_simulated():
    pattern = cluster(power={"gpu_idle_w": 100, "gpu_busy_w": 400, "price": "0.12 USD/kWh"})
    used = of_cluster(busy=0.4)
    found = unit_costs(pattern, used, BOOK, MONTH, capacity_share=0.30)
    average = monthly_bill(pattern, used, BOOK, MONTH).total_usd / (Decimal(388_800_000) / 1_000_000)
    assert found.at_utilisation[1].usd_per_million_tokens == pytest.approx(float(average))
    assert 0 < found.marginal_usd_per_million_tokens < float(average)


def test_the_margin_of_a_cluster_is_electricity_and_that_of_an_api_its_price():
    pattern = cluster(power={"gpu_idle_w": 100, "gpu_busy_w": 350, "pue": 1.5, "price": "0.12 USD/kWh"})
    used = of_cluster(busy=0.5, tokens=100_000_000)
    watts = 2 * Decimal(250) * Decimal("0.5")
    expected = watts / 1000 * Decimal("1.5") * 720 * Decimal("0.12") / 100
    found = unit_costs(pattern, used, BOOK, MONTH)
    assert found.marginal_usd_per_million_tokens == pytest.approx(float(expected))
    api = Usage(720.0, {}, {API: ApiUse(3_000_000, 0, 1_000_000)}, 3_000_000, 1_000_000, {API: {}})
    assert unit_costs(TURBO, api, BOOK, MONTH).marginal_usd_per_million_tokens == 15.0
    assert idle_bill(TURBO, api, BOOK, MONTH).total_usd == 0


def test_requests_and_patients():
    found = unit_costs(cluster(), of_cluster(requests=600, hours=360.0), BOOK, MONTH, patients=9000)
    assert found.usd_per_request == pytest.approx(1800 / 1200)
    assert found.usd_per_patient == pytest.approx(1800 / 9000)
    assert unit_costs(cluster(), of_cluster(), BOOK, MONTH).usd_per_patient is None


def test_nothing_served_has_no_price_a_token():
    found = unit_costs(cluster(), of_cluster(busy=0.0, tokens=0, requests=0), BOOK, MONTH, capacity_share=0.0)
    assert (found.marginal_usd_per_million_tokens, found.usd_per_request, found.at_utilisation) == (None, None, [])


def test_tokens_and_requests_of_half_a_month_are_twice_as_many():
    """Of two workloads and two backends: 100M tokens in 360 of 720 h are 200M; half the capacity is 400M at full."""
    work = {
        "cluster": {"notes": Work(100, 0, 0, 0), "letters": Work(200, 0, 0, 0)},
        "other": {"notes": Work(300, 0, 0, 0)},
    }
    power = {"gpu_idle_w": 100, "gpu_busy_w": 350, "price": "0.12 USD/kWh"}
    used = Usage(360.0, {"cluster": ClusterUse(0.5, 1)}, {}, 90_000_000, 10_000_000, work)
    found = unit_costs(cluster(power=power), used, BOOK, MONTH, capacity_share=0.5)
    assert [level.tokens_per_month for level in found.at_utilisation] == [
        60_000_000,
        120_000_000,
        160_000_000,
        400_000_000,
    ]
    bill = float(monthly_bill(cluster(power=power), used, BOOK, MONTH).total_usd)
    assert found.usd_per_request == pytest.approx(bill / 1200)
    idle = float(idle_bill(cluster(power=power), used, BOOK, MONTH).total_usd)
    marginal = (bill - idle) / 200
    assert found.marginal_usd_per_million_tokens == pytest.approx(marginal)
    assert found.at_utilisation[-1].usd_per_million_tokens == pytest.approx(idle / 400 + marginal)


def test_levels_are_those_of_clusters_whose_share_is_known():
    assert unit_costs(cluster(), of_cluster(), BOOK, MONTH, capacity_share=None).at_utilisation == []
    api = Usage(720.0, {}, {API: ApiUse(3_000_000, 0, 1_000_000)}, 3_000_000, 1_000_000, {API: {}})
    assert unit_costs(TURBO, api, BOOK, MONTH, capacity_share=0.5).at_utilisation == []
    # With nobody's request there is no price of one, and of no patient none either.
    assert unit_costs(TURBO, api, BOOK, MONTH, patients=0).usd_per_patient is None


def test_a_hybrid_has_no_levels_of_its_cluster_alone():
    hybrid = HYBRID.model_copy(update={"api": HYBRID.api.model_copy(update={"model": API})})
    used = of_cluster()
    used = replace(used, apis={API: ApiUse(10**6, 0, 10**6)}, work=used.work | {API: {}})
    assert unit_costs(hybrid, used, BOOK, MONTH, capacity_share=0.5).at_utilisation == []


def test_what_tokens_carry_is_part_of_the_margin():
    """Four bytes a token at 87 USD a gigabyte are 0.348 USD a million tokens, with the same hardware."""
    pattern = cluster(egress={"price": "87 USD/GB", "bytes_per_token": 4})
    assert unit_costs(pattern, of_cluster(), BOOK, MONTH).marginal_usd_per_million_tokens == pytest.approx(0.348)
    assert idle_bill(pattern, of_cluster(), BOOK, MONTH).usd("egress") == 0
