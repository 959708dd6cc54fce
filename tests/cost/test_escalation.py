"""Taxes, prices of a later year, and prices that hold from a day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.cost.api_lines import token_rates
from simulator.cost.bill import monthly_bill, one_off_bill, upfront_usd
from simulator.cost.escalation import escalated
from simulator.cost.overrides import override_faults, scenario_book
from simulator.cost.usage import ApiUse, ClusterUse, Usage
from simulator.errors import ScenarioError
from simulator.scenario.apis import MeteredApi
from simulator.scenario.costs import Prices
from simulator.scenario.patterns import HybridPattern
from simulator.scenario.rollout import Escalation
from simulator.study.rollout import rollout
from tests.cost.test_bill import API, CLUSTER, DEAR_PURCHASE, POWER, RUNNING
from tests.experiment.small import small

MONTH = Decimal(730)
PATTERN = HybridPattern.model_validate(
    {
        "kind": "hybrid",
        "cluster": CLUSTER,
        "costs": {"compute": DEAR_PURCHASE, "power": POWER, **RUNNING},
        "api": {**API, "costs": {**RUNNING, "prompt_iteration": 1.5}},
        "routing": {"max_in_flight": 1},
    }
)
USAGE = Usage(
    168.0,
    {"cluster": ClusterUse(0.4, tokens=5_000_000)},
    {"api": ApiUse(9_000_000, 2_000_000, 1_000_000)},
    8_000_000,
    1_000_000,
)
PEOPLE = {"staff", "on_call", "model_updates", "api_staff", "api_on_call"}


RENT = {"kind": "rental", "gpu_hour": "1 USD/h"}


def named():
    """The usage, by the names of the pattern's backends."""
    (cluster,), (api,) = PATTERN.hosted, PATTERN.metered
    return Usage(168.0, {cluster: USAGE.clusters["cluster"]}, {api: USAGE.apis["api"]}, 8_000_000, 1_000_000)


def bill(**prices):
    return monthly_bill(PATTERN, named(), scenario_book(Prices.model_validate(prices)), MONTH)


def test_tax_is_charged_on_what_is_bought_and_on_nothing_else():
    net, gross = bill(), bill(vat=0.19)
    lines = {line.key: line.usd for line in gross.lines}
    assert {key: usd for key, usd in lines.items() if "vat" not in key} == {line.key: line.usd for line in net.lines}
    bought = {key: usd for key, usd in lines.items() if "vat" not in key and key not in PEOPLE | {"financing"}}
    hosted = sum(usd for key, usd in bought.items() if not key.startswith("api_") and key != "purchase")
    metered = sum(usd for key, usd in bought.items() if key.startswith("api_"))
    assert lines["vat"] == pytest.approx(hosted * Decimal("0.19"), abs=Decimal("1e-9"))
    assert lines["api_vat"] == pytest.approx(metered * Decimal("0.19"), abs=Decimal("1e-9"))
    (months,) = (one.costs.compute.amortisation for one in PATTERN.hosted.values())
    paid = upfront_usd(PATTERN, 0.19) - upfront_usd(PATTERN)
    assert months * lines["purchase_vat"] == pytest.approx(paid, abs=Decimal("1e-9"))
    # What is paid before the first month is not paid again each month.
    assert gross.running_usd == gross.total_usd - sum(lines[key] for key in ("purchase", "purchase_vat", "financing"))


def test_what_is_paid_once_is_taxed_too_but_not_waiting():
    assert upfront_usd(PATTERN, 0.19) == Decimal("1.19") * upfront_usd(PATTERN)
    net, gross = one_off_bill(PATTERN), one_off_bill(PATTERN, 0.19)
    assert gross.total_usd - net.total_usd == pytest.approx(Decimal("0.19") * (12000 + 12000))


def test_a_bill_without_tax_has_no_line_for_it():
    assert not any("vat" in line.key for line in bill().lines)


def after(years, **yearly):
    return {line.key: line.usd for line in escalated(bill(vat=0.19), Escalation(**yearly), Fraction(years)).lines}


def test_after_two_years_each_kind_has_moved_by_itself():
    before = {line.key: line.usd for line in bill(vat=0.19).lines}
    found = after(2, salaries="3 %", energy="5 %", api="-10 %")
    for key, factor in {
        **dict.fromkeys(("staff", "on_call", "api_staff", "api_on_call"), 1.0609),
        "power": 1.1025,
        **dict.fromkeys(("api_prompt", "api_cached_prompt", "api_output", "api_prompt_iteration"), 0.81),
        **dict.fromkeys(("purchase", "purchase_vat", "financing", "support", "storage", "api_network"), 1.0),
    }.items():
        assert float(found[key]) == pytest.approx(float(before[key]) * factor, rel=1e-9), key


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.integers(0, 60))
def test_shares_of_other_lines_stay_shares_of_them(salaries, energy, api, months):
    found = after(Fraction(months, 12), salaries=salaries, energy=energy, api=api)
    for front in ("", "api_"):
        mine = {key: usd for key, usd in found.items() if key.startswith("api_") == bool(front)}
        base = sum(
            usd for key, usd in mine.items() if key.removeprefix("api_") not in ("compliance", "vat", "purchase_vat")
        )
        assert float(mine[f"{front}compliance"]) == pytest.approx(float(base) * 0.1, rel=1e-9)
        taxed = sum(
            usd
            for key, usd in mine.items()
            if key not in PEOPLE | {"financing", "purchase", "purchase_vat", "vat", "api_vat"}
        )
        assert float(mine[f"{front}vat"]) == pytest.approx(float(taxed) * 0.19, rel=1e-9)


RESERVED = {
    "kind": "reserved", "input_tokens_per_minute": 100_000, "output_tokens_per_minute": 10_000,
    "input_price": "40 USD/month", "output_price": "200 USD/month", "spillover": "tokens",
}  # fmt: skip
UNITS = {"kind": "provisioned", "units": 10, "unit_hour": "1 USD/h", "tokens_per_unit": 3000, "output_ratio": 4}


@pytest.mark.parametrize(
    ("deployment", "line", "usd"), [(RESERVED, "reserved_tokens", 6000), (UNITS, "provisioned_units", 7300)]
)
def test_what_is_bought_of_an_api_ahead_moves_with_its_tokens_and_its_shares_with_it(deployment, line, usd):
    """A tenth dearer beside a cluster that stays: by hand, with 10 % of compliance and 19 % of tax on all of it."""
    costs = {"storage": "100 USD/month", "compliance": "10 %"}
    api = {**API, "costs": costs}
    pattern = HybridPattern.model_validate(
        {
            "kind": "hybrid",
            "cluster": CLUSTER,
            "costs": {"compute": {"kind": "rental", "gpu_hour": "1 USD/h"}, **costs},
            "apis": {"ahead": {**api, "deployment": deployment}, "tokens": api},
            "routing": {"max_in_flight": 1},
        }
    )
    used = Usage(730.0, {"cluster": ClusterUse(0.4)}, {"ahead": ApiUse(9, 0, 9), "tokens": ApiUse(0, 0, 0)}, 9, 9)
    before = monthly_bill(pattern, used, scenario_book(Prices(vat=0.19)), MONTH)
    after = escalated(before, Escalation(api="10 %"), Fraction(1))
    compliance, tax = (usd + 100) * 0.1, (usd + 100) * 1.1 * 0.19
    moved = {key: float(before.usd(f"ahead.{key}")) for key in (line, "api_compliance", "api_vat")}
    assert moved == pytest.approx({line: usd, "api_compliance": compliance, "api_vat": tax})
    found = {key: float(after.usd(f"ahead.{key}")) for key in moved}
    assert found == pytest.approx(
        {line: usd * 1.1, "api_compliance": (usd * 1.1 + 100) * 0.1, "api_vat": (usd * 1.1 + 100) * 1.1 * 0.19}
    )
    still = [one.key for one in before.lines if one.key.removeprefix("ahead.") not in moved]
    assert len(still) > 5
    assert all(after.usd(key) == before.usd(key) for key in still)
    assert [one.key for one in after.lines] == [one.key for one in before.lines]


def test_weeks_of_engineers_who_update_models_are_salaries():
    costs = {
        "model_updates": {"every_months": 3, "engineer_weeks": 1.5, "salary": "135000 USD/year"},
        "network": "9 USD/month",
    }
    parts = {"cluster": CLUSTER, "costs": {"compute": RENT, **costs}, "api": API, "routing": {"max_in_flight": 1}}
    pattern = HybridPattern.model_validate({"kind": "hybrid", **parts})
    before = monthly_bill(pattern, named(), scenario_book(Prices()), MONTH)
    found = escalated(before, Escalation(salaries="10 %"), Fraction(1))
    assert found.usd("model_updates") == pytest.approx(
        before.usd("model_updates") * Decimal("1.1"), abs=Decimal("1e-9")
    )
    assert before.usd("model_updates") > 1000
    assert (found.usd("network"), found.usd("rental")) == (9, before.usd("rental"))


def test_nothing_moves_before_a_year_has_begun_or_without_a_change():
    before = {line.key: line.usd for line in bill(vat=0.19).lines}
    assert after(0, salaries="3 %", api="-10 %") == before
    assert after(5) == before


CONTRACT = {"prompt": "1 USD/1M tokens", "output": "2 USD/1M tokens", "holds_from": "2027-01-01"}


@pytest.mark.parametrize(("day", "usd"), [(date(2026, 12, 31), 2), (date(2027, 1, 1), 1), (None, 1)])
def test_a_contract_holds_from_its_day(day, usd):
    api = MeteredApi.model_validate({**API, "prices": CONTRACT})
    assert token_rates(api, scenario_book(Prices(), day)).usual.prompt.usd_per_million == usd


@pytest.mark.parametrize(("day", "usd"), [(date(2026, 12, 31), 2), (date(2027, 1, 1), 1), (None, 1)])
def test_so_does_an_override_of_the_book(day, usd):
    prices = Prices.model_validate({"overrides": {"azure/gpt-4.1": CONTRACT}})
    assert override_faults(prices) == []
    assert scenario_book(prices, day).api("azure/gpt-4.1").prompt.usd_per_million == usd


def test_what_is_no_day_is_said():
    with pytest.raises(ScenarioError, match="holds_from"):
        small({"hosting_patterns.api.api.prices": {**CONTRACT, "holds_from": "soon"}})
    wrong = Prices.model_validate({"overrides": {"azure/gpt-4.1": {**CONTRACT, "holds_from": "soon"}}})
    [((key, field), message)] = override_faults(wrong)
    assert (key, field) == ("azure/gpt-4.1", "holds_from")
    assert "2027-01-01" in message


@pytest.mark.parametrize("change", ["3", "200 %", -0.95, True, "three per cent"])
def test_what_is_no_yearly_change_is_said(change):
    with pytest.raises(ValueError, match="'3 %', '-10 %' or 0.03"):
        Escalation.model_validate({"salaries": change})


PLAN = {
    "months": 4,
    "start": "2026-11",
    "adoption": {"kind": "table", "points": [{"month": 1, "share": 1.0}]},
    "phases": [{"pattern": "api"}, {"pattern": "rented", "from_month": 2}],
}


def months(**settings):
    found = rollout(small({"rollout": PLAN, "experiment.replications": 1} | settings)).projection.months
    return [{name: one.monthly_cost_usd for name, one in month.patterns.items()} for month in found]


def test_a_month_of_a_rollout_has_the_prices_of_its_own():
    """Flat demand: what differs between months is the price alone."""
    staff = {"hosting_patterns.rented.costs.staff": [{"role": "engineer", "salary": "120000 USD/year", "share": 0.1}]}
    flat = months(**staff)
    assert flat[0] == flat[3]
    half = {"prompt": "0.36 USD/1M tokens", "output": "0.36 USD/1M tokens", "holds_from": "2027-01-15"}
    found = months(
        **staff,
        **{"hosting_patterns.api.api.prices": half, "rollout.escalation": {"salaries": "10 %"}},
    )
    assert [month["api"] for month in found[:3]] == [month["api"] for month in flat[:3]]
    assert found[3]["api"] == pytest.approx(flat[3]["api"] / 2, abs=0.02)
    for number, (month, before) in enumerate(zip(found, flat, strict=True)):
        dearer = 1000.0 * (1.1 ** (number / 12) - 1.0)
        assert month["rented"] == pytest.approx(before["rented"] + dearer, abs=0.02)


DAYS = [("2026-11-01", 0), ("2026-12-15", 2), ("2027-01-01", 2), ("2027-02-01", 3)]


@pytest.mark.parametrize("where", ["contract", "override"])
@pytest.mark.parametrize(("day", "begins"), DAYS)
def test_a_contract_costs_what_it_says_when_it_begins_and_changes_from_then_on(where, day, begins):
    """By hand: half of today's price, and a tenth more a year; what is agreed for a day is no tenth dearer on it."""
    half = {"prompt": "0.36 USD/1M tokens", "output": "0.36 USD/1M tokens", "holds_from": day}
    key = "hosting_patterns.api.api.prices" if where == "contract" else "prices.overrides"
    prices = half if where == "contract" else {"bedrock/llama-3.3-70b": half | {"source": "offer"}}
    today = months(**{"rollout.months": 1})[0]["api"]
    found = [month["api"] for month in months(**{key: prices, "rollout.escalation": {"api": "10 %"}})]
    for number, usd in enumerate(found):
        held = number - begins
        by_hand = today * 1.1 ** (number / 12) if held < 0 else today / 2 * 1.1 ** (held / 12)
        assert usd == pytest.approx(by_hand, abs=0.02), number
