"""The formula of every line of a bill, worked out with its factors, is its amount."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import floor
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cost.bill import monthly_bill, one_off_bill, upfront_bill
from simulator.cost.escalation import escalated
from simulator.cost.tco import exact
from simulator.cost.usage import ApiUse, ClusterUse
from simulator.scenario.patterns import ApiPattern, SelfHostedPattern
from simulator.scenario.rollout import Escalation
from tests.cost.test_bill import API, BOOK, CLUSTER, FULL_COSTS, MONTH, PURCHASE, RUNNING, metered, of, patterns, usages

LONG = "anthropic/claude-haiku-5.5"
#: Of each kind of bill: what differs is mostly numbers.
FEW = settings(max_examples=30)
#: A trillionth for each addition or product that was rounded.
STEP = Fraction(1, 10**9)
RENTED = {"kind": "rental", "gpu_hour": "1.861 USD/h"}
COMPUTE = {
    "committed": {**RENTED, "commitment": {"months": 36, "discount": "50 %"}},
    "spot": {**RENTED, "spot": {"share": "30 %", "discount": "60 %"}},
    "both": {
        **RENTED,
        "commitment": {"months": 12, "discount": "20 %"},
        "spot": {"share": "25 %", "discount": "60 %"},
    },
    "replicas": {"kind": "rental", "replica_hour": "5.5 USD/h"},
    "offer": {"kind": "rental", "offer": "aws/p4d.24xlarge"},
    "bought": {**PURCHASE, "residual": "6000 USD", "interest": "6 %", "support": "8 %"},
    "nothing left": {**PURCHASE, "interest": "4.5 %"},
}
DEPLOYED = {
    "units": {"kind": "provisioned", "units": 15, "unit_hour": "1.00 USD/h"},
    "reserved": {
        "kind": "reserved",
        "input_tokens_per_minute": 120_000,
        "output_tokens_per_minute": 30_000,
        "input_price": "8 USD/month",
        "output_price": "32 USD/month",
        "spillover": "rest",
    },
}


def amounts(bill):
    """Every line worked out: `^` is a power, and a factor that is other lines their sum."""
    found = {}
    for line in bill.lines:
        values = [
            sum((found[key] for key in one.lines), Fraction(0)) if one.lines else exact(one.value)
            for one in line.factors
        ]
        names = SimpleNamespace(values=values)
        places = (f"names.values[{at}]" for at in range(len(values)))
        text = line.formula.format(*places).replace("^", "**")
        # Whole numbers as fractions, so that nothing is lost.
        found[line.key] = Fraction(eval(text, {"names": names, "INT": floor, "MIN": min, "MAX": max}))
    return found


def agree(bill):
    worked_out = amounts(bill)
    assert len(worked_out) == len(bill.lines)
    for line in bill.lines:
        assert abs(worked_out[line.key] - exact(line.usd)) <= STEP * (1 + len(bill.lines)), line


@FEW
@given(patterns, usages(), st.sampled_from([0.0, 0.19, 0.077]))
def test_of_any_pattern(pattern, used, vat):
    agree(monthly_bill(pattern, used, replace_vat(vat), MONTH))
    agree(one_off_bill(pattern, vat))
    agree(upfront_bill(pattern, vat))


def replace_vat(vat):
    return BOOK.model_copy(update={"vat": vat})


@FEW
@given(
    st.sampled_from(sorted(COMPUTE)),
    st.floats(0, 1),
    st.floats(0.1, 1),
    st.sampled_from([0.0, 0.2]),
    st.integers(0, 10**10),
)
def test_of_any_way_to_pay_for_gpus(compute, busy, paid, vat, tokens):
    pattern = SelfHostedPattern.model_validate(
        {"kind": "self_hosted", "cluster": CLUSTER, "costs": {"compute": COMPUTE[compute], **FULL_COSTS}}
    )
    used = replace(of(730.0, busy, ApiUse(0, 0, 0)), clusters={"cluster": ClusterUse(busy, tokens, paid)})
    agree(monthly_bill(pattern, used, replace_vat(vat), MONTH))


@FEW
@given(st.sampled_from(sorted(DEPLOYED)), usages())
def test_of_throughput_bought_ahead(kind, used):
    apis = {"ahead": {**API, "deployment": DEPLOYED[kind], "costs": RUNNING}, "rest": API}
    pattern = ApiPattern.model_validate({"kind": "metered_api", "apis": apis})
    agree(monthly_bill(pattern, used, replace_vat(0.2), MONTH))


@FEW
@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_of_long_prompts_and_of_writing_to_the_cache(prompt, cached, written):
    above = BOOK.api(LONG).long_prompts.above_tokens
    part = ApiUse(cached + written, cached, prompt, written)
    whole = part + ApiUse(prompt + written, prompt, cached, written, {above: part})
    bill = monthly_bill(metered(model=LONG), of(91.7, 0.0, whole), BOOK, MONTH)
    assert not prompt * cached * written or {"api_long_prompt", "api_cache_write"} <= {line.key for line in bill.lines}
    agree(bill)


def test_of_several_apis_of_one_pattern_and_their_tax():
    api = {**API, "costs": {**RUNNING, "prompt_iteration": 2}}
    pattern = ApiPattern.model_validate({"kind": "metered_api", "apis": {"first": api, "second": api}})
    bill = monthly_bill(pattern, of(730.0, 0.0, ApiUse(10**8, 10**7, 10**7)), replace_vat(0.2), MONTH)
    assert {"first.api_vat", "second.api_compliance"} <= {line.key for line in bill.lines}
    agree(bill)


@FEW
@given(patterns, usages(), st.floats(0, 0.2), st.fractions(0, 5))
def test_of_a_bill_years_later(pattern, used, yearly, years):
    before = monthly_bill(pattern, used, replace_vat(0.1), MONTH)
    after = escalated(before, Escalation(salaries=yearly, energy=yearly / 2, api=0.0), years)
    agree(after)


@pytest.mark.parametrize("month", [Decimal(720), Decimal("743")])
def test_of_a_month_of_any_length(month):
    agree(monthly_bill(metered(), of(31.5, 0.0, ApiUse(10**9 + 7, 10**8 + 1, 12_345)), BOOK, month))
